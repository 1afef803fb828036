"""The policies that make a partition, judged by what they admit: blocked pairs nothing, allowed pairs what they had."""

import json
from typing import Any

import pytest

from chaos import links
from chaos.targets.kubernetes.admits import End, Space, admitted
from chaos.targets.kubernetes.inforce import foreign_policies, policy_lines
from chaos.targets.kubernetes.narrowing import ORIGINAL, RUN_LABEL, finishing_patch, widening_patch
from chaos.targets.kubernetes.release import Release
from chaos.targets.kubernetes.shape import (
    Around,
    culprits,
    narrowing_patch,
    partition_of,
    sides_of,
)
from chaos.targets.port import Cut
from tests.chaos.fake_apiserver import merge_patched

NODES = ("raft-0", "raft-1", "raft-2", "raft-3", "raft-4")
LABELS = {"app.kubernetes.io/name": "raft", "app.kubernetes.io/instance": "raft", "app.kubernetes.io/component": "node"}
HERE = Space("home", {"kubernetes.io/metadata.name": "home"})
ISOLATED = Cut.between((("raft-0",), ("raft-1", "raft-2", "raft-3", "raft-4")))
LEADER_IN_MAJORITY = Cut.between((("raft-0", "raft-1", "raft-2"), ("raft-3", "raft-4")))
THREE_WAYS = Cut.between((("raft-0",), ("raft-1", "raft-2"), ("raft-3", "raft-4")))
ONE_WAY = Cut(NODES, links.one_way(("raft-0",), ("raft-1", "raft-2")), "one way")
BRIDGE = Cut(NODES, links.between((("raft-0", "raft-1"), ("raft-3", "raft-4"))), "bridge")
RING = Cut(NODES, links.ring(NODES), "ring")
CUTS = [ISOLATED, LEADER_IN_MAJORITY, THREE_WAYS, ONE_WAY, BRIDGE, RING]
PEER, CLIENT = 9001, 8001

RELEASE = Release(
    context="test", namespace="home", name="raft", stateful_set="raft", nodes=NODES, labels=LABELS,
    client_port=CLIENT, peer_port=PEER, template={},
)  # fmt: skip

CLIENT_POD = End(name="web", space=HERE, labels={"app": "web"}, addresses=("10.244.9.1",))
ELSEWHERE = End(name="dns", space=Space("kube-system", {}), labels={"k8s-app": "kube-dns"}, addresses=("10.244.9.2",))
OUTSIDE = End(name="browser", space=Space("none", {"kubernetes.io/metadata.name": "home"}), labels=LABELS,
              addresses=("192.168.1.1",))  # fmt: skip


def node(name: str) -> End:
    number = int(name.rpartition("-")[2])
    labels = {**LABELS, "statefulset.kubernetes.io/pod-name": name}
    return End(name=name, space=HERE, labels=labels, addresses=(f"10.244.{number}.7",), ports={"peer": 9001})


def policy(name: str, *, labels: dict[str, str] | None = None, selector: Any = None, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "home", "resourceVersion": "5", "labels": labels or {}}
    return {"metadata": metadata, "spec": {"podSelector": selector or {}, **spec}}


def chart() -> tuple[dict[str, Any], ...]:
    own = {"podSelector": {"matchLabels": LABELS}}
    both = ["Ingress", "Egress"]
    selector = {"matchLabels": LABELS}
    peers = [{"port": PEER, "protocol": "TCP"}]
    clients = [{"port": CLIENT, "protocol": "TCP"}]
    names = [{"port": 53, "protocol": "TCP"}]
    return (
        policy("raft-clients", labels=LABELS, selector=selector, policyTypes=both,
               ingress=[{"from": [own, {"podSelector": {}}], "ports": clients}],
               egress=[{"to": [own], "ports": clients}]),
        policy("raft-dns", labels=LABELS, selector=selector, policyTypes=["Egress"],
               egress=[{"to": [{"namespaceSelector": {}}], "ports": names}]),
        policy("raft-peers", labels=LABELS, selector=selector, policyTypes=both,
               ingress=[{"from": [own], "ports": peers}], egress=[{"to": [own], "ports": peers}]),
    )  # fmt: skip


def around(*policies: dict[str, Any], ranges: tuple[str, ...] | None = ("10.244.0.0/16",)) -> Around:
    return Around(release=RELEASE, ends={name: node(name) for name in NODES}, policies=policies, pod_ranges=ranges)


def after(seen: Around, cut: Cut) -> list[Any]:
    return partition_of(seen, cut, "r1", 1e9).policies_after(seen.policies)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("policies", [(), chart()], ids=["no policies", "the chart's policies"])
@pytest.mark.parametrize("ranges", [None, ("10.244.0.0/16",)], ids=["ranges unknown", "ranges known"])
def test_exactly_the_blocked_pairs_are_cut(cut: Cut, policies: Any, ranges: Any) -> None:
    seen = around(*policies, ranges=ranges)
    now = after(seen, cut)
    for source, target in cut.blocked:
        assert not admitted(now, seen.ends[source], seen.ends[target], PEER), (source, target)
    for source, target in cut.allowed:
        assert admitted(now, seen.ends[source], seen.ends[target], PEER), (source, target)
    assert culprits(seen, cut, partition_of(seen, cut, "r1", 1e9)) == {}


@pytest.mark.parametrize("cut", CUTS)
def test_without_policies_everybody_else_still_reaches_every_node(cut: Cut) -> None:
    seen = around()
    now = after(seen, cut)
    for name in NODES:
        for other in (CLIENT_POD, ELSEWHERE, OUTSIDE):
            assert admitted(now, other, seen.ends[name], CLIENT), (other.name, name)
            assert admitted(now, seen.ends[name], other, 53), (name, other.name)


@pytest.mark.parametrize("cut", CUTS)
def test_under_the_chart_s_policies_nobody_gets_in_who_did_not_before(cut: Cut) -> None:
    seen = around(*chart())
    now = after(seen, cut)
    everybody = [*seen.ends.values(), CLIENT_POD, ELSEWHERE, OUTSIDE]
    for source in everybody:
        for target in everybody:
            for port in (PEER, CLIENT, 53, 22):
                if admitted(now, source, target, port):
                    assert admitted(chart(), source, target, port), (source.name, target.name, port)
    for name in NODES:
        assert admitted(now, CLIENT_POD, seen.ends[name], CLIENT)
        assert admitted(now, seen.ends[name], ELSEWHERE, 53)


def test_without_the_ranges_of_pods_no_block_lets_the_blocked_in_again() -> None:
    [made] = partition_of(around(ranges=None), ISOLATED, "r1", 1e9).create
    assert "ipBlock" not in json.dumps(made)
    assert partition_of(around(ranges=None), ISOLATED, "r1", 1e9).cuts_outside
    [made] = partition_of(around(), ISOLATED, "r1", 1e9).create
    assert made["spec"]["ingress"][0]["from"][-1] == {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]}}


def test_the_largest_side_is_left_alone() -> None:
    assert [side.pods for side in sides_of(ISOLATED)] == [("raft-0",)]
    assert [side.pods for side in sides_of(LEADER_IN_MAJORITY)] == [("raft-3", "raft-4")]
    assert [side.pods for side in sides_of(THREE_WAYS)] == [("raft-0",), ("raft-1", "raft-2")]


def test_both_directions_are_denied_in_one_policy_a_side_and_it_is_labelled() -> None:
    made = partition_of(around(), THREE_WAYS, "r1", 1e9).create
    assert [one["metadata"]["name"] for one in made] == ["raft-chaos-r1-g0", "raft-chaos-r1-g1"]
    for one in made:
        assert one["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert one["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "raft-chaos", RUN_LABEL: "r1"}
        assert one["metadata"]["annotations"]["raft-chaos/expires-at"] == "2001-09-09T01:46:40+00:00"


def test_the_chart_s_policy_is_narrowed_and_comes_back_exactly() -> None:
    seen = around(*chart())
    partition = partition_of(seen, ISOLATED, "r1", 1e9)
    assert [one["metadata"]["name"] for one in partition.narrow] == ["raft-peers"]
    before = next(one for one in seen.policies if one["metadata"]["name"] == "raft-peers")
    narrowed = partition.narrow[0]
    there = merge_patched(before, narrowing_patch(before, narrowed))
    assert there == narrowed
    original = there["metadata"]["annotations"][ORIGINAL]
    widened = merge_patched(there, widening_patch(there, original))
    assert RUN_LABEL in widened["metadata"]["labels"], "what is not finished is found by it"
    back = merge_patched(widened, finishing_patch(there, widened, original))
    assert back["spec"] == before["spec"]
    assert back["metadata"]["labels"] == LABELS
    assert not back["metadata"].get("annotations")


def test_a_narrowed_policy_keeps_expressions_that_it_had() -> None:
    own = [{"key": "zone", "operator": "DoesNotExist"}]
    odd = chart()[2]
    odd["spec"]["podSelector"] = {"matchLabels": LABELS, "matchExpressions": own}
    [narrowed] = partition_of(around(odd), ISOLATED, "r1", 1e9).narrow
    assert narrowed["spec"]["podSelector"]["matchExpressions"][0] == own[0]
    original = narrowed["metadata"]["annotations"][ORIGINAL]
    assert merge_patched(narrowed, widening_patch(narrowed, original))["spec"] == odd["spec"]


@pytest.mark.parametrize("policies", [(), chart()], ids=["no policies", "the chart's policies"])
@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"from": [{"podSelector": {}}]},
        {"from": [{"namespaceSelector": {}}], "ports": [{"port": "peer"}]},
        {"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
    ],
)
def test_a_foreign_policy_that_admits_a_blocked_pair_is_named(policies: Any, rule: Any) -> None:
    seen = around(*policies, policy("allow-all", policyTypes=["Ingress"], ingress=[rule]))
    partition = partition_of(seen, ISOLATED, "r1", 1e9)
    found = culprits(seen, ISOLATED, partition)
    assert list(found) == ["allow-all"]
    assert ("raft-1", "raft-0") in found["allow-all"]
    assert ("raft-0", "raft-1") not in found["allow-all"]  # its own side still refuses to send


def test_a_foreign_policy_that_admits_other_ports_or_others_is_none_s_business() -> None:
    harmless = (
        policy("clients", policyTypes=["Ingress"], ingress=[{"ports": [{"port": CLIENT}]}]),
        policy("web", policyTypes=["Ingress"], ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}]),
        policy("majority", selector={"matchLabels": {"statefulset.kubernetes.io/pod-name": "raft-1"}},
               policyTypes=["Ingress"], ingress=[{}]),
        policy("elsewhere", selector={"matchLabels": {"app": "web"}}, policyTypes=["Ingress"], ingress=[{}]),
    )  # fmt: skip
    for one in harmless:
        seen = around(one)
        assert culprits(seen, ISOLATED, partition_of(seen, ISOLATED, "r1", 1e9)) == {}, one["metadata"]["name"]


def test_between_two_restricted_sides_a_foreign_policy_must_admit_at_both_ends() -> None:
    only_raft_1 = {"matchLabels": {"statefulset.kubernetes.io/pod-name": "raft-1"}}
    into = policy("into", selector=only_raft_1, policyTypes=["Ingress"], ingress=[{}])
    seen = around(into)
    found = culprits(seen, THREE_WAYS, partition_of(seen, THREE_WAYS, "r1", 1e9))
    assert ("raft-3", "raft-1") in found["into"]  # the largest side may send whatever it likes
    assert ("raft-0", "raft-1") not in found["into"]


def test_a_block_of_addresses_in_the_chart_s_policy_does_not_let_the_blocked_in_again() -> None:
    odd = chart()[2]
    odd["spec"]["ingress"][0]["from"].append({"ipBlock": {"cidr": "10.0.0.0/8"}})
    seen = around(odd)
    assert culprits(seen, ISOLATED, partition_of(seen, ISOLATED, "r1", 1e9)) == {}


def test_a_policy_of_the_chart_that_holds_nothing_but_blocks_admits_nobody_who_is_blocked() -> None:
    """A rule without peers would admit everybody, and the tool's own policy would void the cut."""
    servers = policy("raft-servers", labels=LABELS, selector={"matchLabels": LABELS}, policyTypes=["Egress"],
                     egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}])  # fmt: skip
    seen = around(*chart(), servers)
    partition = partition_of(seen, ISOLATED, "r1", 1e9)
    assert culprits(seen, ISOLATED, partition) == {}
    assert '"to": []' not in json.dumps(partition.policies_after(seen.policies))


def test_policies_in_force_are_told_with_whose_they_are() -> None:
    seen = around(*chart(), policy("allow-all", policyTypes=["Ingress"], ingress=[{}]))
    partition = partition_of(seen, ISOLATED, "r1", 1e9)
    now = around(*sorted(partition.policies_after(seen.policies), key=lambda one: str(one["metadata"]["name"])))
    assert list(policy_lines(now)) == [
        "NetworkPolicy allow-all (foreign): ingress of all nodes",
        "NetworkPolicy raft-chaos-r1-g0 (raft-chaos, run r1, meant to end at 2001-09-09T01:46:40+00:00): "
        "ingress and egress of raft-0",
        "NetworkPolicy raft-clients (of the chart): ingress and egress of all nodes",
        "NetworkPolicy raft-dns (of the chart): egress of all nodes",
        "NetworkPolicy raft-peers (of the chart, narrowed by run r1): "
        "ingress and egress of raft-1, raft-2, raft-3, raft-4",
    ]
    assert foreign_policies(now) == ["allow-all"]
