"""What pods of this tool's own consist of: the node's image, user and place, of no release.

Why it exists: a namespace may demand the *restricted* standard, and a cluster may have no other image. It must not know
what they do.
"""

from collections.abc import Sequence
from typing import Any

from chaos.targets.kubernetes.api import Object
from chaos.targets.kubernetes.release import CONTAINER, Release


def pod_spec(
    release: Release, command: Sequence[str], ready_when: Object, container: Object | None = None, **more: Any
) -> Object:
    """A pod's `spec`. `ready_when`: its probe, asked every second; `container`: what else the container has, `more`:
    what else the spec has."""
    spec = release.template["spec"]
    node = next(one for one in spec["containers"] if one["name"] == CONTAINER)
    copied = {key: spec[key] for key in ("imagePullSecrets", "nodeSelector", "tolerations") if spec.get(key)}
    user = (spec.get("securityContext") or {}).get("runAsUser")
    security: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        **copied,
        "terminationGracePeriodSeconds": 0,
        "enableServiceLinks": False,
        "securityContext": {**security, **({"runAsUser": user} if user is not None else {})},
        "containers": [
            {
                "name": CONTAINER,
                "image": node["image"],
                "imagePullPolicy": node.get("imagePullPolicy", "IfNotPresent"),
                "command": [*command],
                "readinessProbe": {**ready_when, "periodSeconds": 1},
                "resources": {
                    "requests": {"cpu": "10m", "memory": "32Mi"},
                    "limits": {"cpu": "200m", "memory": "64Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                **(container or {}),
            }
        ],
        **more,
    }
