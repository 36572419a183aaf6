"""Kinds of apiextensions.k8s.io/v1."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import strategy
from sampan.api.columns import common
from sampan.api.defaults import cluster
from sampan.api.errors import FieldError, invalid
from sampan.api.kinds.kind import STATUS, Kind
from sampan.api.types import apiextensions_v1
from sampan.api.types.apiextensions_v1 import CustomResourceDefinition


def _validate(definition: CustomResourceDefinition) -> Sequence[FieldError]:
    from sampan.api.custom import rules  # few servers ever see a definition

    try:
        return rules.validate(definition)
    except RecursionError:
        return [invalid("spec.versions", "", "schemas are nested too deeply")]


def _validate_update(new: CustomResourceDefinition, old: CustomResourceDefinition) -> Sequence[FieldError]:
    from sampan.api.custom import rules

    return rules.validate_update(new, old)


CUSTOM_RESOURCE_DEFINITION = Kind(
    apiextensions_v1.CustomResourceDefinition,
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    ("crd", "crds"),
    categories=("api-extensions",),
    namespaced=False,
    subresources=(STATUS,),
    default=cluster.default_custom_resource_definition,
    prepare_create=strategy.create_definition,
    prepare_update=strategy.update_definition,
    validate=_validate,
    validate_update=_validate_update,
    columns=common.NAME_AND_CREATED,
)

KINDS = (CUSTOM_RESOURCE_DEFINITION,)
