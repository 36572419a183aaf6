"""Custom resources: what CustomResourceDefinitions declare is served while they are there.

definitions.py   follows the definitions, keeps their conditions, makes the server serve their kinds
names.py         which names a definition gets, and its conditions
kinds.py         from one definition to a Kind per served version
scale.py         the scale subresource by the definition's paths
cleanup.py       a definition that goes takes its objects with it
"""
