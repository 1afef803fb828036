"""What NetworkPolicies say about one connection, held against the examples and rules of the API's reference."""

from typing import Any

import pytest

from chaos.targets.kubernetes.admits import End, Space, admitted, directions, matches

HERE = Space("raft", {"kubernetes.io/metadata.name": "raft", "team": "a"})
OTHER = Space("other", {"kubernetes.io/metadata.name": "other", "team": "b"})
PEER = 9001


def pod(name: str, space: Space = HERE, address: str = "10.244.1.5", **labels: str) -> End:
    return End(
        name=name,
        space=space,
        labels={"app": "raft", "pod": name, **labels},
        addresses=(address,),
        ports={"peer": 9001, "client": 8001},
    )


def policy(namespace: str = "raft", name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"podSelector": {}, **spec}}


A, B = pod("a"), pod("b", address="10.244.2.6")


def test_without_any_policy_everything_is_admitted() -> None:
    assert admitted([], A, B, PEER)


def test_a_policy_of_another_namespace_selects_none_of_our_pods() -> None:
    assert admitted([policy("other", policyTypes=["Ingress"])], A, B, PEER)


@pytest.mark.parametrize("types", [["Ingress"], ["Egress"]])
def test_one_end_that_refuses_is_enough(types: list[str]) -> None:
    assert not admitted([policy(policyTypes=types)], A, B, PEER)


def test_a_selected_pod_is_isolated_in_the_named_direction_only() -> None:
    only_b = policy(podSelector={"matchLabels": {"pod": "b"}}, policyTypes=["Ingress"])
    assert not admitted([only_b], A, B, PEER)
    assert admitted([only_b], B, A, PEER)


def test_policies_add_up() -> None:
    closed = policy(policyTypes=["Ingress"])
    opened = policy(
        name="q", policyTypes=["Ingress"], ingress=[{"from": [{"podSelector": {"matchLabels": {"pod": "a"}}}]}]
    )
    assert admitted([closed, opened], A, B, PEER)
    assert not admitted([closed, opened], pod("c"), B, PEER)


def test_both_ends_must_agree() -> None:
    out = policy(
        name="out",
        podSelector={"matchLabels": {"pod": "a"}},
        policyTypes=["Egress"],
        egress=[{"to": [{"podSelector": {"matchLabels": {"pod": "b"}}}]}],
    )
    into = policy(name="in", podSelector={"matchLabels": {"pod": "b"}}, policyTypes=["Ingress"])
    assert admitted([out], A, B, PEER)
    assert not admitted([out, into], A, B, PEER)


@pytest.mark.parametrize(
    ("ports", "admits"),
    [
        ([], True),
        ([{"port": 9001}], True),
        ([{"port": 9001, "protocol": "TCP"}], True),
        ([{"port": 9001, "protocol": "UDP"}], False),
        ([{"port": 8001}], False),
        ([{"port": "peer"}], True),
        ([{"port": "client"}], False),
        ([{"port": "nobody-knows"}], False),
        ([{"port": 9000, "endPort": 9010}], True),
        ([{"port": 9002, "endPort": 9010}], False),
        ([{"protocol": "TCP"}], True),
        ([{"port": 8001}, {"port": 9001}], True),
    ],
)
def test_ports(ports: list[dict[str, Any]], admits: bool) -> None:
    assert admitted([policy(policyTypes=["Ingress"], ingress=[{"ports": ports}])], A, B, PEER) is admits


@pytest.mark.parametrize(
    ("peer", "admits"),
    [
        ({"podSelector": {}}, True),
        ({"podSelector": {"matchLabels": {"pod": "b"}}}, False),
        ({"namespaceSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, False),
        ({"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {"matchLabels": {"pod": "a"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {"matchLabels": {"pod": "b"}}}, False),
        ({"ipBlock": {"cidr": "10.244.0.0/16"}}, True),
        ({"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.244.1.0/24"]}}, False),
        ({"ipBlock": {"cidr": "192.168.0.0/16"}}, False),
        ({"ipBlock": {"cidr": "::/0"}}, False),
    ],
)
def test_peers(peer: dict[str, Any], admits: bool) -> None:
    assert admitted([policy(policyTypes=["Ingress"], ingress=[{"from": [peer]}])], A, B, PEER) is admits


def test_a_pod_selector_alone_means_the_policy_s_own_namespace() -> None:
    open_to_pods = policy(policyTypes=["Ingress"], ingress=[{"from": [{"podSelector": {}}]}])
    assert not admitted([open_to_pods], pod("x", OTHER), B, PEER)


@pytest.mark.parametrize(
    ("expression", "with_label", "without"),
    [
        ({"operator": "In", "values": ["a", "b"]}, True, False),
        ({"operator": "In", "values": ["z"]}, False, False),
        ({"operator": "NotIn", "values": ["a"]}, False, True),
        ({"operator": "Exists"}, True, False),
        ({"operator": "DoesNotExist"}, False, True),
    ],
)
def test_expressions(expression: dict[str, Any], with_label: bool, without: bool) -> None:
    selector = {"matchExpressions": [{"key": "pod", **expression}]}
    assert matches(selector, {"pod": "a"}) is with_label
    assert matches(selector, {}) is without


def test_labels_of_a_namespace_that_may_not_be_read_are_taken_to_match() -> None:
    unread = Space("raft")
    ends = (pod("a", unread), pod("b", unread))
    by_team = policy(
        policyTypes=["Ingress"], ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"team": "x"}}}]}]
    )
    by_name = policy(
        policyTypes=["Ingress"],
        ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "x"}}}]}],
    )
    assert admitted([by_team], *ends, PEER)
    assert not admitted([by_name], *ends, PEER)


def test_without_types_a_policy_is_for_ingress_and_for_egress_where_it_has_rules_for_that() -> None:
    assert directions(policy()) == {"Ingress"}
    assert directions(policy(egress=[{}])) == {"Ingress", "Egress"}
    assert directions(policy(policyTypes=["Egress"])) == {"Egress"}
