"""Which release is meant, and what its objects are called.

Why it exists: every other module works on one StatefulSet and its pods; which one is decided here, once. It must not
change anything.
"""

from collections.abc import Sequence

import msgspec

from chaos.errors import Refused, Usage
from chaos.targets.kubernetes.api import Api, Forbidden, Object

NODES_SELECTOR = "app.kubernetes.io/component=node"
NAME_LABEL = "app.kubernetes.io/name"
INSTANCE_LABEL = "app.kubernetes.io/instance"
CHART_LABEL = "helm.sh/chart"
PRODUCT = "raft"
CONTAINER = "node"
CLIENT_PORT, PEER_PORT = "client", "peer"


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """One StatefulSet of nodes. `name`: of the Helm release; `nodes`: pods by name, sorted by ordinal; `template`: of
    its pods; `labels`: those that its pods are found by; `service`: that gives each pod a name; `tls`: clients must
    speak it; `peers_take_tls`: peers may."""

    context: str
    namespace: str
    name: str
    stateful_set: str
    nodes: tuple[str, ...]
    labels: dict[str, str]
    client_port: int
    peer_port: int
    template: Object
    service: str = ""
    tls: bool = False
    peers_take_tls: bool = False

    @property
    def title(self) -> str:
        return f"release {self.name} in namespace {self.namespace} (context {self.context})"

    @property
    def selector(self) -> str:
        """Finds its pods in a list request."""
        return ",".join(f"{key}={value}" for key, value in sorted(self.labels.items()))

    def pod_path(self, node: str, subresource: str = "") -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{node}" + (f"/{subresource}" if subresource else "")

    def host(self, node: str) -> str:
        """The node's name in DNS, which its certificate holds."""
        return f"{node}.{self.service}.{self.namespace}.svc"


async def find_release(api: Api, namespace: str | None, name: str | None) -> Release:
    """The one release that matches: in `namespace`, else in the context's own, else in any. Raises `Refused` where
    there is none and `Usage` where there are several; both name where was searched."""
    account = api.account
    searched = namespace or account.namespace
    found = _of_product(await api.items(_path(searched), labelSelector=NODES_SELECTOR), name)
    where = f"namespace {searched}"
    if not found and namespace is None:
        try:
            found = _of_product(await api.items(_path(None), labelSelector=NODES_SELECTOR), name)
            where = "all namespaces"
        except Forbidden:
            where += " (this account may not search others: name one with --namespace)"
    if not found:
        wanted = f"release {name!r}" if name else "release of the chart"
        raise Refused(f"No {wanted} was found in context {account.context}, {where}: is it installed?")
    if len(found) > 1:
        several = "; ".join(f"--namespace {_namespace(one)} --release {_release_name(one)}" for one in found)
        raise Usage(f"{len(found)} releases were found in context {account.context}, {where}. Say which: {several}.")
    return release_of(account.context, found[0])


def release_of(context: str, stateful_set: Object) -> Release:
    """What a StatefulSet says; raises `Refused` where it is not one of the chart's."""
    name, spec = str(stateful_set["metadata"]["name"]), stateful_set["spec"]
    first = int((spec.get("ordinals") or {}).get("start", 0))
    labels = spec["selector"].get("matchLabels") or {}
    ports = _ports(spec["template"]["spec"]["containers"])
    missing = [port for port in (CLIENT_PORT, PEER_PORT) if port not in ports]
    if missing or not labels:
        raise Refused(
            f"StatefulSet {name} in namespace {_namespace(stateful_set)} is none of the chart's: "
            f"its container {CONTAINER!r} has no port named {', '.join(missing) or '...'}."
        )
    return Release(
        context=context,
        namespace=_namespace(stateful_set),
        name=_release_name(stateful_set),
        stateful_set=name,
        nodes=tuple(f"{name}-{ordinal}" for ordinal in range(first, first + int(spec.get("replicas", 1)))),
        labels=dict(labels),
        client_port=ports[CLIENT_PORT],
        peer_port=ports[PEER_PORT],
        template=spec["template"],
        service=str(spec.get("serviceName") or ""),
        tls=_variable(spec["template"]["spec"]["containers"], "RAFT_TLS_ACCEPT") == "tls",
        peers_take_tls=_variable(spec["template"]["spec"]["containers"], "RAFT_PEER_TLS_ACCEPT") in ("both", "tls"),
    )


def _path(namespace: str | None) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/statefulsets" if namespace else "/apis/apps/v1/statefulsets"


def _of_product(found: Sequence[Object], name: str | None) -> list[Object]:
    """A release with `nameOverride` is found by the chart that made it."""
    return [
        one
        for one in found
        if (labels := one["metadata"].get("labels") or {})
        and (labels.get(NAME_LABEL) == PRODUCT or str(labels.get(CHART_LABEL, "")).startswith(f"{PRODUCT}-"))
        and name in (None, labels.get(INSTANCE_LABEL))
    ]


def _namespace(stateful_set: Object) -> str:
    return str(stateful_set["metadata"]["namespace"])


def _release_name(stateful_set: Object) -> str:
    return str(stateful_set["metadata"]["labels"].get(INSTANCE_LABEL, stateful_set["metadata"]["name"]))


def _variable(containers: Sequence[Object], name: str) -> str:
    """Of the node's container, as the template says it; empty: unset, or not said there."""
    node = next((one for one in containers if one["name"] == CONTAINER), {})
    return next((str(one.get("value", "")) for one in node.get("env") or [] if one["name"] == name), "")


def _ports(containers: Sequence[Object]) -> dict[str, int]:
    """By name: the ports of the node's container."""
    node = next((one for one in containers if one["name"] == CONTAINER), {})
    return {str(port.get("name")): int(port["containerPort"]) for port in node.get("ports") or []}
