"""Every fault of `raft-chaos` under each way in which networks treat policies, with the chart's own policies on and the
least account: what a process suffers is the same everywhere, and a tool that is gone leaves no cut in force."""

import signal
import time

import pytest

from tests.kubernetes.chaos_account import RBAC
from tests.kubernetes.chaos_tool import CLOCK_STARTS, Tool, left_by_label, passed, policy_specs, until_no_trace
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import until
from tests.kubernetes.policies import policies
from tests.kubernetes.release import Release

INSTALLED_WITH = (*RBAC, "--set", "networkPolicy.enabled=true")
GONE_SECONDS = 60.0
"""What is promised."""
INSTALLED = "led term"
"""What the tool says when its policies are there and not proven yet."""


SUFFERED = {
    "hand-over": (("kill-leader",), "killed"),
    "kill": (("kill-leader", "--mode", "sigkill"), "killed"),
    "pause of the leader": (("pause", "leader", "--for", "10s"), "paused"),
    "pause of a follower": (("pause", "follower", "--for", "10s"), "paused"),
}
"""Commands, and what they do to a process."""
IN_ALL = {
    "test_what_a_process_suffers_is_the_same_whatever_the_network_does_with_policies": {
        *("hand-over-keep", "kill-cut", "pause of the leader-ignore", "pause of a follower-cut")
    },
    "test_no_policy_is_in_force_a_minute_after_kill_9_of_the_tool": {"bridge"},
}
"""Each command and each behaviour once. What is ignored is taken back, too: see the partitions."""


@pytest.mark.parametrize("behaviour", ["keep", "cut", "ignore"])
@pytest.mark.parametrize(("command", "effect"), SUFFERED.values(), ids=SUFFERED)
def test_what_a_process_suffers_is_the_same_whatever_the_network_does_with_policies(
    command: tuple[str, ...], effect: str, behaviour: str, tool: Tool, raft: Release
) -> None:
    before, leader = policy_specs(raft), tool.leader()
    with policies(behaviour):
        record = passed(tool.run(*command, "--yes", "-o", "json"))
    (fault,) = record["faults"]
    assert fault["effect"] == effect
    assert (fault["nodes"] == [leader]) is ("follower" not in command)
    assert policy_specs(raft) == before
    assert left_by_label(raft.namespace) == []
    figure(f"{' '.join(command)} ({behaviour}): nobody wrote for", record["figures"]["longest_gap_us"] / 1e6, "s")


@pytest.mark.parametrize(
    ("behaviour", "shape", "moment"),
    [
        ("cut", ("--isolate", "leader"), CLOCK_STARTS),
        ("keep", ("--one-way", "leader:others"), CLOCK_STARTS),
        ("cut", ("--one-way", "others:leader"), CLOCK_STARTS),
        ("keep", ("--bridge", "follower"), CLOCK_STARTS),
        ("ignore", ("--isolate", "leader"), INSTALLED),
    ],
    ids=["all of it", "one way, connections kept", "one way, connections cut", "bridge", "policies ignored"],
)
def test_no_policy_is_in_force_a_minute_after_kill_9_of_the_tool(
    behaviour: str, shape: tuple[str, ...], moment: str, tool: Tool, raft: Release
) -> None:
    before = policy_specs(raft)
    with policies(behaviour), tool.breaking("partition", *shape, "--duration", "240s", "--yes", says=moment) as run:
        assert policy_specs(raft) != before
        run.popen.kill()
        run.ends()
        began = time.monotonic()
        until("nothing is in force", lambda: policy_specs(raft) == before, GONE_SECONDS)
        took = time.monotonic() - began
        until_no_trace(raft.namespace, GONE_SECONDS)
    assert run.popen.returncode == -signal.SIGKILL
    tool.until_whole()
    figure(f"partition {' '.join(shape)} ({behaviour}), kill -9: all policies as before after", took, "s")
