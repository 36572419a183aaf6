"""Patches on documents: `json` (RFC 6902), `merge` (RFC 7386), `strategic` (Kubernetes).

Every `apply` returns a new document and leaves its arguments alone; parts that did not change are shared.
"""
