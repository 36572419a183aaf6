"""One module per figure of the targets; `python -m benchmarks [ID...]` prints one table."""
