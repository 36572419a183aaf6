"""Volumes: claims and volumes find each other, volumes are made and given up, what is in use stays.

binding.py       a claim and its volume; volumes' phases
provisioning.py  volumes made to measure, directories on nodes; the default StorageClass
protection.py    the finalizers that keep what is in use
ephemeral.py     claims made for one pod
match.py         which volume would do
words.py         what the parts write for each other
"""

from __future__ import annotations

from sampan.controllers.volumes import binding, ephemeral, protection, provisioning

DECLARATIONS = (
    binding.declare_claims,
    binding.declare_volumes,
    provisioning.declare_class,
    provisioning.declare_claims,
    provisioning.declare_volumes,
    protection.declare_claims,
    protection.declare_volumes,
    protection.declare_classes,
    ephemeral.declare,
)
