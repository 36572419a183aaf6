"""Generated Structs, one module per group-version."""
