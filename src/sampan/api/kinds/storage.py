"""Kinds of storage.k8s.io/v1."""

from __future__ import annotations

from sampan.api import strategy
from sampan.api.columns import cluster as cluster_columns
from sampan.api.defaults import cluster
from sampan.api.kinds.kind import STATUS, Kind
from sampan.api.types import storage_v1
from sampan.api.validation import persistent_volume as persistent_volume_rules

CSI_DRIVER = Kind(
    storage_v1.CSIDriver,
    "storage.k8s.io",
    "v1",
    "csidrivers",
    namespaced=False,
    default=cluster.default_csi_driver,
    columns=cluster_columns.CSI_DRIVER,
    validate=persistent_volume_rules.validate_csi_driver,
)
CSI_NODE = Kind(
    storage_v1.CSINode,
    "storage.k8s.io",
    "v1",
    "csinodes",
    namespaced=False,
    columns=cluster_columns.CSI_NODE,
)
CSI_STORAGE_CAPACITY = Kind(
    storage_v1.CSIStorageCapacity,
    "storage.k8s.io",
    "v1",
    "csistoragecapacities",
    columns=cluster_columns.CSI_STORAGE_CAPACITY,
)
STORAGE_CLASS = Kind(
    storage_v1.StorageClass,
    "storage.k8s.io",
    "v1",
    "storageclasses",
    ("sc",),
    namespaced=False,
    default=cluster.default_storage_class,
    columns=cluster_columns.STORAGE_CLASS,
    validate=persistent_volume_rules.validate_storage_class,
    validate_update=persistent_volume_rules.validate_storage_class_update,
)
VOLUME_ATTACHMENT = Kind(
    storage_v1.VolumeAttachment,
    "storage.k8s.io",
    "v1",
    "volumeattachments",
    namespaced=False,
    subresources=(STATUS,),
    columns=cluster_columns.VOLUME_ATTACHMENT,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
    validate=persistent_volume_rules.validate_volume_attachment,
    validate_update=persistent_volume_rules.validate_volume_attachment_update,
)
VOLUME_ATTRIBUTES_CLASS = Kind(
    storage_v1.VolumeAttributesClass,
    "storage.k8s.io",
    "v1",
    "volumeattributesclasses",
    ("vac",),
    namespaced=False,
    columns=cluster_columns.VOLUME_ATTRIBUTES_CLASS,
)

KINDS = (
    CSI_DRIVER,
    CSI_NODE,
    CSI_STORAGE_CAPACITY,
    STORAGE_CLASS,
    VOLUME_ATTACHMENT,
    VOLUME_ATTRIBUTES_CLASS,
)
