"""`raft-chaos partition` of five nodes on a real Kubernetes: cuts that three nodes cannot show, such as a ring, in both
ways of networks with open connections, and beside the chart's own policies."""

import itertools
import re
import time

import pytest

from chaos.errors import NOT_EFFECTIVE, PASSED
from tests.kubernetes.chaos_account import RBAC
from tests.kubernetes.chaos_tool import (
    CLOCK_STARTS,
    Tool,
    no_trace,
    passed,
    policy_specs,
    until_no_trace,
)
from tests.kubernetes.doors import PortForward
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import until
from tests.kubernetes.policies import policies
from tests.kubernetes.release import Release
from tests.kubernetes.witness import nothing_passes_over, writes_through

INSTALLED_WITH = RBAC
NODES = 5
HELD = "proven to the end"
GONE_SECONDS = 60.0
RING = ("partition", "--ring", "--yes")
IN_ALL = {
    "test_in_a_ring_each_node_hears_its_two_neighbours_alone": {"chart policies on-keep"},
    "test_a_ring_where_policies_are_ignored_tested_nothing_and_is_taken_back": set(),
    "test_over_a_bridge_two_halves_hear_one_node_and_never_each_other": set(),
    "test_no_policy_of_a_ring_is_in_force_a_minute_after_kill_9_of_the_tool": set(),
}
"""What needs five. A bridge, what is ignored, and what a dead tool leaves, are shown with three nodes."""


@pytest.mark.parametrize("behaviour", ["keep", "cut"])
def test_in_a_ring_each_node_hears_its_two_neighbours_alone(
    behaviour: str, guarded: str, tool: Tool, raft: Release, doors: dict[str, PortForward]
) -> None:
    with policies(behaviour), no_trace(raft), tool.breaking(*RING, "--duration", "30s") as run:
        around = neighbours(run.output)
        apart = [pair for pair in itertools.permutations(doors, 2) if set(pair) not in around]
        assert len(apart) == 10
        assert nothing_passes_over(doors, apart), "neighbours do not hear each other"
        assert HELD not in run.output, "the cut was over while it was looked at"
        assert run.ends() == PASSED, run.output
    record = passed(tool("report", str(tool.runs()[-1]), "-o", "json"))
    (fault,) = record["faults"]
    assert sorted(map(tuple, fault["links"])) == sorted(apart)
    assert fault["groups"] == []
    took = (fault["effective_us"] - fault["injected_us"]) / 1e6
    figure(f"raft-chaos partition --ring ({behaviour}, {guarded}): proven after", took, "s")


def neighbours(said: str) -> list[set[str]]:
    """From "cut ring a b c d e; ...": who is beside whom."""
    (around,) = (found.split() for found in re.findall(r"cut ring ([^;\n]*);", said))
    assert len(around) == NODES
    return [{one, other} for one, other in zip(around, (*around[1:], around[0]), strict=True)]


def test_a_ring_where_policies_are_ignored_tested_nothing_and_is_taken_back(
    guarded: str, tool: Tool, raft: Release
) -> None:
    with policies("ignore"), no_trace(raft):
        said = tool.run(*RING, "--duration", "10s", "-o", "json")
    assert said.code == NOT_EFFECTIVE, said
    assert "The partition is not enforced" in said.json["trouble"]
    assert CLOCK_STARTS not in said.err


@pytest.mark.parametrize("behaviour", ["keep", "cut"])
def test_over_a_bridge_two_halves_hear_one_node_and_never_each_other(
    behaviour: str, guarded: str, tool: Tool, raft: Release, doors: dict[str, PortForward]
) -> None:
    bridge = next(node for node in raft.nodes if node != tool.leader())
    asked = ("partition", "--bridge", bridge, "--duration", "30s", "--yes")
    with policies(behaviour), no_trace(raft), tool.breaking(*asked) as run:
        halves = run.output.partition("cut ")[2].partition(f", {bridge} talks to both")[0]
        left, right = (half.split() for half in halves.split("|"))
        assert (len(left), len(right)) == (2, 2)
        apart = [pair for a, b in itertools.product(left, right) for pair in ((a, b), (b, a))]
        heard = nothing_passes_over(doors, apart)
        assert any(bridge in pair for pair in heard), "nobody hears the one between"
        writes_through(doors, bridge)
        assert HELD not in run.output, "the cut was over while it was looked at"
        assert run.ends() == PASSED, run.output
    passed(tool("report", str(tool.runs()[-1]), "-o", "json"))


def test_no_policy_of_a_ring_is_in_force_a_minute_after_kill_9_of_the_tool(
    guarded: str, tool: Tool, raft: Release
) -> None:
    before = policy_specs(raft)
    with tool.breaking(*RING, "--duration", "240s") as run:
        assert len(policy_specs(raft)) >= len(before) + NODES
        run.popen.kill()
        run.ends()
        began = time.monotonic()
        until("nothing is in force", lambda: policy_specs(raft) == before, GONE_SECONDS)
        figure(f"a ring ({guarded}), kill -9: all policies as before after", time.monotonic() - began, "s")
        until_no_trace(raft.namespace, GONE_SECONDS)
    tool.until_whole()
