"""How answers look: tables, JSON, YAML, names, paths and templates."""
