"""`raft-chaos partition` on a real Kubernetes: whatever its network does with open connections, beside policies of the
chart and of others, and with pods that are made again meanwhile."""

import json
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import NOT_EFFECTIVE, PASSED, REFUSED
from tests.kubernetes.chaos_account import RBAC
from tests.kubernetes.chaos_tool import CLOCK_STARTS, Tool, is_complete, no_trace, passed
from tests.kubernetes.doors import PortForward
from tests.kubernetes.figures import figure
from tests.kubernetes.policies import policies
from tests.kubernetes.release import Release
from tests.kubernetes.witness import acknowledges_nothing, nothing_passes_between, nothing_passes_over, writes_through

INSTALLED_WITH = RBAC
QUICK = ("--duration", "10s", "--yes", "-o", "json")
WITNESSED = ("--duration", "30s", "--yes")
HELD = "proven to the end"
IN_ALL = {
    "test_a_partition_is_proven_whatever_becomes_of_open_connections": {
        *("chart policies off-keep", "chart policies on-cut")
    },
    "test_where_policies_are_ignored_nothing_was_tested_and_all_is_taken_back": {"chart policies off"},
    "test_cuts_other_than_between_groups_are_proven_and_leave_nothing": {
        *("chart policies off-leader to others-cut", "chart policies on-others to leader-keep"),
        "chart policies on-bridge-cut",
    },
    "test_such_a_cut_where_policies_are_ignored_tested_nothing_and_is_taken_back": set(),
    "test_groups_are_cut_as_they_were_asked_for": {"follower"},
    "test_pods_made_again_in_mid_partition_are_in_it_again_and_the_proof_is_repeated": {"chart policies on"},
}
"""Each shape once, and each behaviour both with the chart's policies and without."""


def fault_of(record: Any) -> Any:
    (fault,) = record["faults"]
    return fault


@pytest.mark.parametrize("behaviour", ["keep", "cut"])
def test_a_partition_is_proven_whatever_becomes_of_open_connections(
    behaviour: str, guarded: str, tool: Tool, raft: Release, doors: dict[str, PortForward]
) -> None:
    leader = tool.leader()
    with policies(behaviour), no_trace(raft) as before, tool.breaking("partition", *WITNESSED) as run:
        assert any("peers" in name for name in before) is (guarded == "chart policies on")
        nothing_passes_between(doors, [leader])
        assert HELD not in run.output, "the cut was over while it was looked at"
        assert run.ends() == PASSED, run.output
    folder = tool.runs()[-1]
    fault = fault_of(passed(tool("report", str(folder), "-o", "json")))
    assert fault["groups"][0] == [leader]
    assert fault["reverting_us"] - fault["effective_us"] >= 30_000_000
    assert f"as predicted: {leader} has stepped down" in fault["facts"]
    is_complete(folder)
    took = (fault["effective_us"] - fault["injected_us"]) / 1e6
    figure(f"raft-chaos partition ({behaviour}, {guarded}): proven after", took, "s")


def test_where_policies_are_ignored_nothing_was_tested_and_all_is_taken_back(
    guarded: str, tool: Tool, raft: Release
) -> None:
    with policies("ignore"), no_trace(raft):
        said = tool.run("partition", *QUICK)
    assert said.code == NOT_EFFECTIVE, said
    record = said.json
    assert fault_of(record)["effective_us"] is None
    assert fault_of(record)["reverted_us"] is not None
    assert "The partition is not enforced" in record["trouble"]
    assert CLOCK_STARTS not in said.err
    is_complete(tool.folder / record["folder"])


@pytest.mark.parametrize(
    ("shape", "sizes", "majority"),
    [
        (("--split", "1,2"), (1, 2), 1),
        (("--isolate", "follower"), (2, 1), 0),
    ],
    ids=["split", "follower"],
)
def test_groups_are_cut_as_they_were_asked_for(
    shape: tuple[str, ...], sizes: tuple[int, ...], majority: int, tool: Tool, raft: Release
) -> None:
    leader = tool.leader()
    with no_trace(raft):
        record = passed(tool.run("partition", *shape, *QUICK, "--seed", "1"))
    groups = fault_of(record)["groups"]
    assert tuple(map(len, groups)) == sizes
    assert leader in groups[0]
    assert won_since("effective", tool.runs()[-1], record) <= set(groups[majority])
    if leader not in groups[majority]:
        assert won_since("injected", tool.runs()[-1], record), "a majority without its leader elects another one"


def won_since(moment: str, folder: Path, record: Any) -> set[str]:
    """Who was elected from then on until the cut was taken back, by the nodes' own events and clocks."""
    fault, began_us = fault_of(record), record["began_wall_us"]
    since_us, until_us = began_us + fault[f"{moment}_us"], began_us + fault["reverting_us"]
    events = [json.loads(line) for line in (folder / "trace.ndjson").read_text().splitlines()]
    return {event["node"] for event in events if event["kind"] == "won" and since_us <= event["time_us"] <= until_us}


@pytest.mark.parametrize("behaviour", ["keep", "cut"])
@pytest.mark.parametrize(
    ("shape", "pairs"),
    [
        (("--one-way", "leader:others"), {("leader", "a"), ("leader", "b")}),
        (("--one-way", "others:leader"), {("a", "leader"), ("b", "leader")}),
        (("--bridge", "leader"), {("a", "b"), ("b", "a")}),
    ],
    ids=["leader to others", "others to leader", "bridge"],
)
def test_cuts_other_than_between_groups_are_proven_and_leave_nothing(
    behaviour: str,
    shape: tuple[str, ...],
    pairs: set[tuple[str, str]],
    guarded: str,
    tool: Tool,
    raft: Release,
    doors: dict[str, PortForward],
) -> None:
    leader = tool.leader()
    said = dict(zip(("leader", "a", "b"), (leader, *(node for node in raft.nodes if node != leader)), strict=True))
    blocked = {(said[a], said[b]) for a, b in pairs}
    with policies(behaviour), no_trace(raft), tool.breaking("partition", *shape, *WITNESSED) as run:
        heard = nothing_passes_over(doors, blocked)
        assert {(b, a) for a, b in blocked} <= heard | blocked, "the other way is cut as well"
        writes_through(doors, leader if shape[0] == "--bridge" else said["a"])
        if shape[0] == "--one-way":
            acknowledges_nothing(doors, [leader])
        assert HELD not in run.output, "the cut was over while it was looked at"
        assert run.ends() == PASSED, run.output
    record = passed(tool("report", str(tool.runs()[-1]), "-o", "json"))
    fault = fault_of(record)
    assert {(a, b) for a, b in fault["links"]} == blocked
    assert fault["groups"] == []
    if shape[0] == "--one-way":
        assert f"as predicted: {leader} has stepped down" in fault["facts"]
        assert won_since("injected", tool.runs()[-1], record), "a majority without its leader elects another one"
    took = (fault["effective_us"] - fault["injected_us"]) / 1e6
    figure(f"raft-chaos partition {' '.join(shape)} ({behaviour}, {guarded}): proven after", took, "s")


@pytest.mark.parametrize("shape", [("--one-way", "leader:others"), ("--bridge", "leader")], ids=["one-way", "bridge"])
def test_such_a_cut_where_policies_are_ignored_tested_nothing_and_is_taken_back(
    shape: tuple[str, ...], guarded: str, tool: Tool, raft: Release
) -> None:
    with policies("ignore"), no_trace(raft):
        said = tool.run("partition", *shape, *QUICK)
    assert said.code == NOT_EFFECTIVE, said
    assert "The partition is not enforced" in said.json["trouble"]
    assert CLOCK_STARTS not in said.err


def test_a_foreign_policy_that_would_void_it_is_refused_by_name(tool: Tool, raft: Release) -> None:
    foreign = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "team-peers"},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"ports": [{"port": 9001}]}, {"ports": [{"port": 8001}]}],
            "egress": [{}],
        },
    }
    raft.namespace.apply(foreign)
    try:
        with no_trace(raft):
            said = tool("partition", "--duration", "10s", "--yes")
            assert said.code == REFUSED, said
            assert f"NetworkPolicy team-peers in namespace {raft.namespace.name} admits raft-" in said.sentence
            planned = " ".join(tool("partition", "--dry-run").out.split())
            assert "It would be refused now: " in planned
            assert "NetworkPolicy team-peers" in planned
        assert tool.runs() == []
    finally:
        raft.namespace.kubectl("delete", "networkpolicy", "team-peers")


def test_pods_made_again_in_mid_partition_are_in_it_again_and_the_proof_is_repeated(
    guarded: str, tool: Tool, raft: Release, doors: dict[str, PortForward]
) -> None:
    alone = tool.leader()
    beside = next(node for node in raft.nodes if node != alone)
    with no_trace(raft), tool.breaking("partition", *WITNESSED) as run:
        for times, node in enumerate((alone, beside), 1):
            old = raft.pod(node)["metadata"]["uid"]
            raft.namespace.kubectl("delete", "pod", node, "--wait=false", "--grace-period=1")
            run.until_says(f"{node} is another process than before")
            run.until_says("proven again; the fault clock starts anew", times)
            assert raft.pod(node)["metadata"]["uid"] != old
            nothing_passes_between(doors, [alone])
            assert HELD not in run.output, "the cut was over while it was looked at"
        assert run.ends() == PASSED, run.output
    assert "pass  minority-acknowledges-nothing" in run.output
    assert HELD in run.output
    assert "not as predicted" not in run.output
