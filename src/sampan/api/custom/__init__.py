"""Custom resources, as far as they need no server: structural schemas, their values, JSONPath, rules of definitions."""
