"""One verb per module, each with `configure(parser)` and `run(options, context) -> exit code`."""
