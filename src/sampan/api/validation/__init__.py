"""Rules of the API's kinds: what a well-typed object must also satisfy.

One module a group; `meta` holds for every kind. A rule appends FieldErrors to a list, with upstream's paths,
types and texts; nothing here raises on any decoded object.
"""
