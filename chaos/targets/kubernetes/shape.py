"""The objects that make a partition: one policy on every side but the largest, and chart policies narrowed. Pure.

Why it exists: a connection needs the consent of both ends, so a side that refuses all others in both directions is cut
off completely, and the largest side need not be touched. Deny is said by not listing. It must not ask the API server.

Where a side's pods are isolated by policies already, such as the chart's own, a policy of the general shape would open
them to the world; then the new policy repeats those of the chart's rules that it takes away, without the blocked nodes.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from chaos.targets.kubernetes.admits import NAMESPACE_LABEL, Direction, End, admitting, directions, isolating, selects
from chaos.targets.kubernetes.api import Object
from chaos.targets.kubernetes.narrowing import MANAGED_BY_LABEL as MANAGED_BY_LABEL
from chaos.targets.kubernetes.narrowing import MANAGER as MANAGER
from chaos.targets.kubernetes.narrowing import ORIGINAL as ORIGINAL
from chaos.targets.kubernetes.narrowing import RUN_LABEL as RUN_LABEL
from chaos.targets.kubernetes.narrowing import fields_after as fields_after
from chaos.targets.kubernetes.narrowing import is_as_narrowed as is_as_narrowed
from chaos.targets.kubernetes.narrowing import is_narrowed as is_narrowed
from chaos.targets.kubernetes.narrowing import original_of as original_of
from chaos.targets.kubernetes.narrowing import widening_patch as widening_patch
from chaos.targets.kubernetes.release import INSTANCE_LABEL, POD_NAME_LABEL, Release
from chaos.targets.port import Cut, Pair

EXPIRES = "raft-chaos/expires-at"
POLICY_API = "networking.k8s.io/v1"
ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
_INGRESS: Direction = "Ingress"
_EGRESS: Direction = "Egress"
_RULES = ((_INGRESS, "ingress", "from"), (_EGRESS, "egress", "to"))


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What the shape depends on. `ends`: the release's pods by node, also of nodes that have no pod now; `policies`:
    all of the namespace; `pod_ranges`: podCIDRs of every node of Kubernetes; None: they may not be listed."""

    release: Release
    ends: Mapping[str, End]
    policies: tuple[Object, ...]
    pod_ranges: tuple[str, ...] | None


class Partition(msgspec.Struct, frozen=True):
    """`create`: new policies. `narrow`: policies of the chart as they will be, with what they were. `cuts_outside`:
    they also cut a side off from addresses outside the cluster, which it may reach now."""

    create: tuple[Object, ...]
    narrow: tuple[Object, ...]
    cuts_outside: bool = False

    def policies_after(self, before: Sequence[Object]) -> list[Object]:
        """All policies of the namespace once this is in place."""
        narrowed = {one["metadata"]["name"]: one for one in self.narrow}
        return [narrowed.get(one["metadata"]["name"], one) for one in before] + list(self.create)


def restricted_sides(cut: Cut) -> tuple[tuple[str, ...], ...]:
    """Every group but the largest (of equals the last)."""
    largest = max(range(len(cut.groups)), key=lambda number: (len(cut.groups[number]), number))
    return tuple(group for number, group in enumerate(cut.groups) if number != largest)


def partition_of(around: Around, cut: Cut, run: str, expires_at: float) -> Partition:
    """The objects for `cut`. `expires_at`: seconds since the epoch, for people and for `heal`."""
    sides = restricted_sides(cut)
    restricted = [node for side in sides for node in side]
    narrow = [policy for policy in around.policies if is_charts(around.release, policy) and _voids(around, policy, cut)]
    narrowed = tuple(_narrowed(policy, run, restricted) for policy in narrow)
    expires = datetime.fromtimestamp(expires_at, UTC).isoformat(timespec="seconds")
    nodes = sorted(node for group in cut.groups for node in group)
    create, opened = [], False
    for number, side in enumerate(sides):
        blocked = [node for node in nodes if node not in side]
        spec: Object = {"podSelector": _named("In", side), "policyTypes": ["Ingress", "Egress"]}
        for direction, rules, peers in _RULES:
            ends = [around.ends[node] for node in side]
            closed = all(isolating(around.policies, end, direction) for end in ends)
            if closed:
                taken = [
                    one for one in narrow if direction in directions(one) and any(selects(one, end) for end in ends)
                ]
                spec[rules] = [_without(rule, peers, blocked) for one in taken for rule in one["spec"].get(rules) or []]
            else:
                opened = True
                spec[rules] = [{peers: _open_peers(around, side)}]
        create.append(_policy(around.release, run, number, expires, spec))
    return Partition(tuple(create), narrowed, cuts_outside=opened and around.pod_ranges is None)


def culprits(around: Around, cut: Cut, partition: Partition) -> dict[str, list[Pair]]:
    """Policies, by name, that would let blocked pairs talk on the peer port once it is in place: those that admit them
    at the restricted ends."""
    after = partition.policies_after(around.policies)
    found: dict[str, list[Pair]] = {}
    for pair in cut.blocked:
        says = _at_restricted_ends(around, after, cut, pair)
        if all(says):
            for policy in {str(one["metadata"]["name"]) for ones in says for one in ones}:
                found.setdefault(policy, []).append(pair)
    return dict(sorted(found.items()))


def narrowing_patch(policy: Object, narrowed: Object) -> Object:
    """A merge patch from the one to the other, refused by the API server where somebody else was faster."""
    return {
        "metadata": {
            "resourceVersion": policy["metadata"]["resourceVersion"],
            "labels": {RUN_LABEL: narrowed["metadata"]["labels"][RUN_LABEL]},
            "annotations": {ORIGINAL: narrowed["metadata"]["annotations"][ORIGINAL]},
        },
        "spec": {"podSelector": {"matchExpressions": narrowed["spec"]["podSelector"]["matchExpressions"]}},
    }


def _policy(release: Release, run: str, number: int, expires: str, spec: Object) -> Object:
    return {
        "apiVersion": POLICY_API,
        "kind": "NetworkPolicy",
        "metadata": {
            "name": f"raft-chaos-{run}-g{number}",
            "namespace": release.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGER, RUN_LABEL: run},
            "annotations": {EXPIRES: expires},
        },
        "spec": spec,
    }


def _open_peers(around: Around, side: Sequence[str]) -> list[Object]:
    """All the world but the release's other pods."""
    release = around.release
    other_releases = {"key": INSTANCE_LABEL, "operator": "NotIn", "values": [release.labels[INSTANCE_LABEL]]}
    elsewhere = {"key": NAMESPACE_LABEL, "operator": "NotIn", "values": [release.namespace]}
    peers: list[Object] = [
        {"podSelector": _named("In", side)},
        {"podSelector": {"matchExpressions": [other_releases]}},
        {"namespaceSelector": {"matchExpressions": [elsewhere]}},
    ]
    for version, anywhere in ANYWHERE.items():
        ranges = [one for one in around.pod_ranges or () if (":" in one) == (version == 6)]
        if ranges:  # a block without its exceptions would let the blocked pods in again
            peers.append({"ipBlock": {"cidr": anywhere, "except": ranges}})
    return peers


def is_charts(release: Release, policy: Object) -> bool:
    """Whether this release's chart made it."""
    labels = policy["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in release.labels.items())


def _voids(around: Around, policy: Object, cut: Cut) -> bool:
    """Whether it admits a blocked pair at a restricted end."""
    return any(any(_at_restricted_ends(around, [policy], cut, pair)) for pair in cut.blocked)


def _at_restricted_ends(around: Around, policies: Sequence[Object], cut: Cut, pair: Pair) -> list[list[Object]]:
    """For each end of a blocked pair that gets a policy of ours: which of these policies admit the connection there."""
    restricted = {node for side in restricted_sides(cut) for node in side}
    ends = (around.ends[pair[0]], around.ends[pair[1]])
    sides = ((_EGRESS, pair[0]), (_INGRESS, pair[1]))
    port = around.release.peer_port
    return [admitting(policies, *ends, port, direction) or [] for direction, node in sides if node in restricted]


def _narrowed(policy: Object, run: str, restricted: Sequence[str]) -> Object:
    selector = policy["spec"].get("podSelector") or {}
    expressions = [*(selector.get("matchExpressions") or []), _named("NotIn", restricted)["matchExpressions"][0]]
    metadata = policy["metadata"]
    return {
        **policy,
        "metadata": {
            **metadata,
            "labels": {**(metadata.get("labels") or {}), RUN_LABEL: run},
            "annotations": {**(metadata.get("annotations") or {}), ORIGINAL: original_of(policy)},
        },
        "spec": {**policy["spec"], "podSelector": {**selector, "matchExpressions": expressions}},
    }


def _without(rule: Object, peers: str, blocked: Sequence[str]) -> Object:
    """This rule, but never for the blocked pods. One that admits everybody comes to admit all pods but those; blocks of
    addresses are left out, for the blocked pods may be in them."""
    except_blocked = _named("NotIn", blocked)["matchExpressions"][0]
    kept = []
    for peer in rule.get(peers) or [{"namespaceSelector": {}}]:
        if "ipBlock" in peer:
            continue
        selector = peer.get("podSelector") or {}
        expressions = [*(selector.get("matchExpressions") or []), except_blocked]
        kept.append({**peer, "podSelector": {**selector, "matchExpressions": expressions}})
    return {**rule, peers: kept}


def _named(operator: str, pods: Sequence[str]) -> Object:
    return {"matchExpressions": [{"key": POD_NAME_LABEL, "operator": operator, "values": sorted(pods)}]}
