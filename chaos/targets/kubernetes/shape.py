"""The objects that make a cut: of groups a policy on every side but the largest, and chart policies narrowed. Pure.

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
from chaos.targets.kubernetes.narrowing import (
    MANAGED_BY_LABEL,
    MANAGER,
    ORIGINAL,
    POD_NAME_LABEL,
    RUN_LABEL,
    original_of,
)
from chaos.targets.kubernetes.release import INSTANCE_LABEL, Release
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


class Side(msgspec.Struct, frozen=True):
    """Pods that get a policy of ours, and whom they may not dial or be dialled by."""

    pods: tuple[str, ...]
    may_not_dial: tuple[str, ...]
    may_not_be_dialled_by: tuple[str, ...]

    def blocked(self, direction: Direction) -> tuple[str, ...]:
        return self.may_not_dial if direction == _EGRESS else self.may_not_be_dialled_by

    def stops(self, pair: Pair, direction: Direction) -> bool:
        """Whether that end of the connection is one of these pods, and this policy stands against the other end."""
        own, other = pair if direction == _EGRESS else (pair[1], pair[0])
        return own in self.pods and other in self.blocked(direction)


def sides_of(cut: Cut) -> tuple[Side, ...]:
    """Who gets a policy. Of groups every one but the largest (of equals the last). Else every node that somebody must
    not reach both ways, or that must not dial: everything that a node says goes over what it dialled itself."""
    if cut.groups:
        largest = max(range(len(cut.groups)), key=lambda number: (len(cut.groups[number]), number))
        chosen = [group for number, group in enumerate(cut.groups) if number != largest]
        others = [tuple(sorted(set(cut.nodes) - set(group))) for group in chosen]
        return tuple(Side(group, blocked, blocked) for group, blocked in zip(chosen, others, strict=True))
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for node in sorted({a for a, _ in cut.blocked}):
        dials = tuple(b for a, b in cut.blocked if a == node)
        hears = tuple(b for b in dials if (b, node) in cut.blocked)
        found.setdefault((dials, hears), []).append(node)
    return tuple(Side(tuple(pods), dials, hears) for (dials, hears), pods in found.items())


def partition_of(around: Around, cut: Cut, run: str, expires_at: float) -> Partition:
    """The objects for `cut`. `expires_at`: seconds since the epoch, for people and for `heal`."""
    sides = sides_of(cut)
    restricted = [node for side in sides for node in side.pods]
    narrow = [policy for policy in around.policies if is_charts(around.release, policy) and _voids(around, policy, cut)]
    narrowed = tuple(_narrowed(policy, run, restricted) for policy in narrow)
    expires = datetime.fromtimestamp(expires_at, UTC).isoformat(timespec="seconds")
    create, opened = [], False
    for number, side in enumerate(sides):
        spec: Object = {"podSelector": _named("In", side.pods), "policyTypes": []}
        for direction, rules, peers in _RULES:
            ends = [around.ends[node] for node in side.pods]
            blocked = side.blocked(direction)
            taken = [one for one in narrow if direction in directions(one) and any(selects(one, end) for end in ends)]
            if all(isolating(around.policies, end, direction) for end in ends):
                before = [rule for one in taken for rule in one["spec"].get(rules) or []]
                kept = [_without(rule, peers, blocked) for rule in before]
                spec[rules] = [rule for rule in kept if rule is not None] if blocked else before
            elif blocked:
                opened = True
                spec[rules] = [{peers: _open_peers(around, sorted(set(cut.nodes) - set(blocked)))}]
            else:
                continue  # nobody stands in that way now, and nobody shall
            spec["policyTypes"].append(direction)
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


def _open_peers(around: Around, admitted: Sequence[str]) -> list[Object]:
    """All the world, but of the release these pods alone."""
    release = around.release
    other_releases = {"key": INSTANCE_LABEL, "operator": "NotIn", "values": [release.labels[INSTANCE_LABEL]]}
    elsewhere = {"key": NAMESPACE_LABEL, "operator": "NotIn", "values": [release.namespace]}
    peers: list[Object] = [
        {"podSelector": _named("In", admitted)},
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
    ends, port = (around.ends[pair[0]], around.ends[pair[1]]), around.release.peer_port
    stopped = [way for way in (_EGRESS, _INGRESS) if any(side.stops(pair, way) for side in sides_of(cut))]
    return [admitting(policies, *ends, port, direction) or [] for direction in stopped]


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


def _without(rule: Object, peers: str, blocked: Sequence[str]) -> Object | None:
    """This rule, but never for the blocked pods. One that admits everybody comes to admit all pods but those; blocks of
    addresses are left out, for the blocked pods may be in them. None: nothing is left of it, and a rule without peers
    would admit everybody."""
    except_blocked = _named("NotIn", blocked)["matchExpressions"][0]
    kept = []
    for peer in rule.get(peers) or [{"namespaceSelector": {}}]:
        if "ipBlock" in peer:
            continue
        selector = peer.get("podSelector") or {}
        expressions = [*(selector.get("matchExpressions") or []), except_blocked]
        kept.append({**peer, "podSelector": {**selector, "matchExpressions": expressions}})
    return {**rule, peers: kept} if kept else None


def _named(operator: str, pods: Sequence[str]) -> Object:
    return {"matchExpressions": [{"key": POD_NAME_LABEL, "operator": operator, "values": sorted(pods)}]}
