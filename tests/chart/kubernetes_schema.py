"""Whether an object is one of a version of Kubernetes: field by field, unknown ones refused.

Why it exists: the package reads a megabyte of definitions anew for each object, which took longer than rendering them;
here they are read once, and an object that several renders have in common is checked once.
"""

import functools
import json

import kubernetes_validate
from kubernetes_validate import utils

from tests.chart.rendering import Object

OLDEST = "1.30"
NEWEST = kubernetes_validate.latest_version()

utils.schema_contents = functools.cache(utils.schema_contents)


@functools.cache
def _check(item: str, version: str) -> None:
    kubernetes_validate.validate(json.loads(item), version, strict=True)


def check(item: Object, version: str) -> None:
    """Raises kubernetes_validate.ValidationError where `item` is not valid in `version`. What others define is not
    looked at: tests say field by field what that is."""
    if item["apiVersion"].startswith(("monitoring.coreos.com/", "cert-manager.io/", "gateway.networking.k8s.io/")):
        return
    _check(json.dumps(item, sort_keys=True), version)
