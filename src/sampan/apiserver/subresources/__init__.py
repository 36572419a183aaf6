"""Subresources that are more than a part of the object: what each does, by resource and name."""
