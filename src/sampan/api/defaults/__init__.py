"""Upstream's v1 defaulting, on documents in place, one module per family of kinds.

A document may still have any shape here (types are checked when it is decoded, after admission): what has
the wrong type is left alone for the decoder to refuse.
"""
