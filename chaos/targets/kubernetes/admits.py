"""What NetworkPolicies say about one connection: pure, as the API's reference defines it.

Why it exists: policies only ever allow, and the result is their union, so one foreign policy can void a partition; it
has to be named before anything is changed. It must not ask the API server, and where it does not know (labels of a
namespace that may not be read) it takes a rule to admit.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from chaos.targets.kubernetes.api import Object

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
Direction = Literal["Ingress", "Egress"]


class Space(msgspec.Struct, frozen=True):
    """A namespace. `labels` None: they may not be read, but for its name."""

    name: str
    labels: Mapping[str, str] | None = None


class End(msgspec.Struct, frozen=True):
    """One end of a connection: a pod. `addresses`: its own; `ports`: those with a name."""

    name: str
    space: Space
    labels: Mapping[str, str]
    addresses: tuple[str, ...] = ()
    ports: Mapping[str, int] = {}


def selects(policy: Object, end: End) -> bool:
    """Whether this policy applies to this pod."""
    return policy["metadata"]["namespace"] == end.space.name and matches(
        policy["spec"].get("podSelector") or {}, end.labels
    )


def directions(policy: Object) -> frozenset[Direction]:
    """What it isolates; without `policyTypes` always ingress, and egress where it has rules for that."""
    spec = policy["spec"]
    types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    both: tuple[Direction, Direction] = ("Ingress", "Egress")
    return frozenset(one for one in both if one in types)


def isolating(policies: Sequence[Object], end: End, direction: Direction) -> list[Object]:
    """Those that apply to this pod in this direction; none: everything is admitted."""
    return [policy for policy in policies if direction in directions(policy) and selects(policy, end)]


def admitting(
    policies: Sequence[Object], source: End, target: End, port: int, direction: Direction
) -> list[Object] | None:
    """Policies at one end that admit the connection from `source` to `target`; None: that end is not isolated at all.

    `direction` names the end: "Egress" that of the source, "Ingress" that of the target.
    """
    own, other = (source, target) if direction == "Egress" else (target, source)
    applying = isolating(policies, own, direction)
    if not applying:
        return None
    return [policy for policy in applying if _admits(policy, direction, other, target, port)]


def admitted(policies: Sequence[Object], source: End, target: End, port: int) -> bool:
    """Whether a new TCP connection would be let through: both ends must agree."""
    found = [admitting(policies, source, target, port, direction) for direction in ("Egress", "Ingress")]
    return all(one is None or one for one in found)


def matches(selector: Object, labels: Mapping[str, str], known: bool = True) -> bool:
    """A label selector; an empty one matches all. Not `known`: a label that is not there may be there."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if not _meets(key, "In", [value], labels, known):
            return False
    return all(
        _meets(one["key"], one["operator"], one.get("values") or [], labels, known)
        for one in selector.get("matchExpressions") or []
    )


def _meets(key: str, operator: str, values: Sequence[str], labels: Mapping[str, str], known: bool) -> bool:
    if not known and key not in labels:
        return True
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return True


def _admits(policy: Object, direction: Direction, other: End, target: End, port: int) -> bool:
    rules, peers = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return any(
        _port_admitted(rule.get("ports") or [], target, port) and _peer_admitted(policy, rule.get(peers) or [], other)
        for rule in policy["spec"].get(rules) or []
    )


def _peer_admitted(policy: Object, peers: Sequence[Object], other: End) -> bool:
    """No peers: everybody."""
    return not peers or any(_is_peer(policy, peer, other) for peer in peers)


def _is_peer(policy: Object, peer: Object, other: End) -> bool:
    if "ipBlock" in peer:
        return any(_in_block(peer["ipBlock"], address) for address in other.addresses)
    if "namespaceSelector" in peer:
        known = other.space.labels is not None
        labels = {**(other.space.labels or {}), NAMESPACE_LABEL: other.space.name}
        if not matches(peer["namespaceSelector"], labels, known):
            return False
    elif policy["metadata"]["namespace"] != other.space.name:
        return False
    return matches(peer.get("podSelector") or {}, other.labels)


def _in_block(block: Object, address: str) -> bool:
    """Plugins differ in whether blocks reach pods at all; here they do."""
    one = ipaddress.ip_address(address)
    return one in ipaddress.ip_network(block["cidr"], strict=False) and not any(
        one in ipaddress.ip_network(without, strict=False) for without in block.get("except") or []
    )


def _port_admitted(ports: Sequence[Object], target: End, port: int) -> bool:
    """No ports: all of them. A name is one of the target's ports."""
    for one in ports:
        if one.get("protocol", "TCP") != "TCP":
            continue
        wanted = one.get("port")
        if wanted is None:
            return True
        first = target.ports.get(wanted) if isinstance(wanted, str) else int(wanted)
        if first is not None and first <= port <= int(one.get("endPort") or first):
            return True
    return not ports
