"""What lies around a release: its pods, all policies of its namespace, and the address ranges of pods.

Why it exists: the shape of a partition and the objections to it are pure functions of this. It must not change
anything.
"""

import asyncio

from chaos.targets.kubernetes.admits import End, Space
from chaos.targets.kubernetes.api import Api, Forbidden, Object
from chaos.targets.kubernetes.narrowing import POD_NAME_LABEL
from chaos.targets.kubernetes.pods import pods_by_node
from chaos.targets.kubernetes.release import Release
from chaos.targets.kubernetes.shape import Around


def policies_path(namespace: str, name: str = "") -> str:
    return f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies" + (f"/{name}" if name else "")


async def look_around(api: Api, release: Release) -> Around:
    pods, policies, ranges, labels = await asyncio.gather(
        pods_by_node(api, release),
        api.items(policies_path(release.namespace)),
        _pod_ranges(api),
        _namespace_labels(api, release.namespace),
    )
    space = Space(release.namespace, labels)
    return Around(
        release=release,
        ends={node: end_of(release, space, node, pods.get(node)) for node in release.nodes},
        policies=tuple(sorted(policies, key=lambda one: str(one["metadata"]["name"]))),
        pod_ranges=ranges,
    )


def end_of(release: Release, space: Space, node: str, pod: Object | None) -> End:
    """Where there is no pod now: as the StatefulSet will make it."""
    status: Object
    if pod is None:
        labels = {**(release.template.get("metadata", {}).get("labels") or {}), POD_NAME_LABEL: node}
        containers, status = release.template["spec"]["containers"], {}
    else:
        labels = pod["metadata"].get("labels") or {}
        containers, status = pod["spec"]["containers"], pod.get("status") or {}
    return End(
        name=node,
        space=space,
        labels=labels,
        addresses=tuple(str(one["ip"]) for one in status.get("podIPs") or []),
        ports={
            str(port["name"]): int(port["containerPort"])
            for container in containers
            for port in container.get("ports") or []
            if port.get("name")
        },
    )


async def _pod_ranges(api: Api) -> tuple[str, ...] | None:
    """Of every node of Kubernetes; None where they may not be listed or where a node has none (the network plugin
    gives addresses of its own then)."""
    try:
        nodes = await api.items("/api/v1/nodes")
    except Forbidden:
        return None
    found = [node["spec"].get("podCIDRs") or [] for node in nodes]
    return tuple(sorted(one for ranges in found for one in ranges)) if all(found) else None


async def _namespace_labels(api: Api, namespace: str) -> dict[str, str] | None:
    try:
        return (await api.get(f"/api/v1/namespaces/{namespace}"))["metadata"].get("labels") or {}
    except Forbidden:
        return None
