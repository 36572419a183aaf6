"""What a resource request does: one module per kind of verb."""
