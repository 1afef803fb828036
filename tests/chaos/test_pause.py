"""A node whose process stands still: what proves it, what ends it, and that it never stays so."""

import os
import random
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec
import psutil
import pytest

from chaos.clock import Clock
from chaos.errors import PASSED, REFUSED, NotEffective, Refused
from chaos.faults import pause
from chaos.faults.pause import PauseNode
from chaos.model import View
from chaos.targets.kubernetes.pods import GO_ON_SCRIPT, KILL_SCRIPT, STATE_SCRIPT, STOP_SCRIPT, WAKES_SECONDS
from tests.chaos.doubles import scene_of
from tests.chaos.raft_chaos import Tool
from tests.chaos.situations import healthy, view


class Cluster:
    """Whoever is paused answers nothing, but `wakes` says that its process goes on by itself."""

    kind, title, nodes = "local", "the cluster", ("n1", "n2", "n3")

    def __init__(self) -> None:
        self.now: dict[str, View] = dict(healthy(3).views)
        self.clock, self.still, self.wakes, self.deaf = Clock(), set[str](), False, True
        self.refuses: Exception | None = None

    def latest(self) -> Mapping[str, View]:
        return {name: msgspec.structs.replace(one, answered_us=10**12) for name, one in self.now.items()}

    def url(self, node: str) -> str:
        return f"http://127.0.0.1:1/{node}"

    def pause_plan(self, node: str) -> str:
        return f"stop {node}"

    async def pause(self, node: str, _: object) -> str:
        if self.refuses:
            raise self.refuses
        self.still.add(node)
        self.now = {name: one for name, one in self.now.items() if name != node or not self.deaf}
        return f"Stopped {node}."

    async def paused(self, node: str) -> bool:
        return node in self.still and not self.wakes

    async def resume(self, node: str) -> str:
        self.still.discard(node)
        self.now[node] = view(node)
        return f"woke {node}"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pause, "PROVE_SECONDS", 0.2)


def fault(who: str = "leader", seconds: float = 0.05) -> PauseNode:
    return PauseNode(who, random.Random(1), seconds)


async def test_a_pause_is_proven_held_and_taken_back_and_its_span_says_so() -> None:
    cluster, one = Cluster(), fault()
    scene = scene_of(cluster)
    await one.inject(scene)
    assert (one.span.nodes, one.span.acted_on, cluster.still) == (("n1",), ("n1", 5), {"n1"})
    assert one.span.title == "pause n1 (the leader of term 5)"
    await one.prove(scene)
    await one.hold(scene)
    await one.revert(scene)
    await one.revert(scene)
    await one.prove_healed(scene)
    assert cluster.still == set()
    span = one.span
    assert span.injected_us <= span.effective_us < span.reverting_us <= span.reverted_us <= span.healed_us  # type: ignore[operator]
    assert (span.in_force, span.hit_the_leader) == (False, True)


async def test_a_node_that_still_answers_does_not_stand_still() -> None:
    cluster, one = Cluster(), fault("n2")
    cluster.deaf = False
    await one.inject(scene_of(cluster))
    with pytest.raises(NotEffective, match="n2 did not stand still within"):
        await one.prove(scene_of(cluster))
    assert one.span.effective_us is None


async def test_a_node_that_only_does_not_answer_does_not_stand_still() -> None:
    cluster, one = Cluster(), fault()
    cluster.wakes = True
    await one.inject(scene_of(cluster))
    assert "n1" not in cluster.now
    with pytest.raises(NotEffective, match="n1 did not stand still within"):
        await one.prove(scene_of(cluster))
    assert one.span.effective_us is None


async def test_a_process_that_somebody_else_woke_ends_the_pause_as_not_effective() -> None:
    cluster, one = Cluster(), fault()
    await one.inject(scene_of(cluster))
    await one.prove(scene_of(cluster))
    cluster.wakes = True
    with pytest.raises(NotEffective, match="n1 does not stand still any more"):
        await one.hold(scene_of(cluster))


async def test_who_hears_from_a_node_that_should_stand_still_disproves_it() -> None:
    cluster, one = Cluster(), fault()
    await one.inject(scene_of(cluster))
    await one.prove(scene_of(cluster))
    late = 10**9
    cluster.now["n2"] = view("n2", voters=3, ages_ms={"n1": 1.0}, at_us=late)
    with pytest.raises(NotEffective, match="n2 heard from n1 while it should have stood still"):
        await one.hold(scene_of(cluster))


async def test_a_refusal_leaves_nothing_to_take_back() -> None:
    cluster, one = Cluster(), fault()
    cluster.refuses = Refused("Pod n1 is being deleted already.")
    with pytest.raises(Refused):
        await one.inject(scene_of(cluster))
    assert one.span.injected_us is None
    await one.revert(scene_of(cluster))
    assert one.span.reverted_us is None


def test_the_follower_that_is_meant_is_the_same_for_the_same_seed() -> None:
    chosen = {PauseNode("follower", random.Random(seed), 1.0).victim(healthy(5)) for seed in range(20)}
    assert chosen == {"n2", "n3", "n4", "n5"}
    assert fault("follower").victim(healthy(5)) == fault("follower").victim(healthy(5))
    usual = fault("follower").victim(healthy(3))
    assert fault("follower").victim(healthy(3), excused={usual}) == ({"n2", "n3"} - {usual}).pop()


def process(folder: Path, pid: int, parent: int, name: str, state: str) -> None:
    (folder / str(pid)).mkdir()
    status = f"Name:\t{name}\nState:\t{state} (so)\nPid:\t{pid}\nPPid:\t{parent}\n"
    (folder / str(pid) / "status").write_text(status)


@pytest.mark.parametrize(
    ("script", "state", "prints"),
    [
        (STOP_SCRIPT, "S", ["kill 8", "wake in 30 s", "kill -STOP 7"]),
        (GO_ON_SCRIPT, "T", ["kill 8", "kill -CONT 7"]),
        (STATE_SCRIPT, "T", ["T", "kill 8", "wake in 30 s"]),
        (STATE_SCRIPT, "S", ["S"]),
        (KILL_SCRIPT, "S", ["kill -KILL 7"]),
    ],
)
def test_in_a_container_the_child_of_the_init_is_meant_and_a_timer_wakes_it(
    script: str, state: str, prints: list[str], tmp_path: Path
) -> None:
    """8 is the timer of the look before; it is armed before the process is stopped, and put off by every look."""
    for pid, parent, name, its in (
        (1, 0, "tini", "S"),
        (7, 1, "raft-node", state),
        (8, 1, "sh", "S"),
        (9, 0, "sh", "R"),
    ):
        process(tmp_path, pid, parent, name, its)
    lines = tmp_path / "said"
    says = f'kill() {{ echo "kill $*" >> {lines}; }}\nsleep() {{ :; }}\n'
    armed = f"(trap '' HUP; sleep {WAKES_SECONDS}; kill -CONT $children) >/dev/null 2>&1 </dev/null &"
    told = script.replace(armed, f'echo "wake in {WAKES_SECONDS} s" >> {lines}').replace("2>/dev/null\n", "\n")
    told = says + told.replace("/proc", str(tmp_path)).replace('echo "$state"', f'echo "$state" >> {lines}')
    subprocess.run(["sh", "-c", told], check=True)
    assert lines.read_text().splitlines() == prints


# --- a real cluster -------------------------------------------------------------------------------------------------


@pytest.mark.slowest
def test_the_paused_leader_is_replaced_and_not_believed_when_it_wakes(tool: Tool) -> None:
    leader = tool.status()["leader"]
    said = tool("pause", "leader", "--for", "2s", "--yes", "-o", "json")
    assert said.code == PASSED, said.err
    (fault,) = said.json["faults"]
    assert (fault["effect"], fault["nodes"]) == ("paused", [leader])
    assert fault["reverting_us"] - fault["effective_us"] >= 2_000_000
    assert {verdict["outcome"] for verdict in said.json["verdicts"]} == {"pass"}
    assert "the-leader-was-hit" in {verdict["check"] for verdict in said.json["verdicts"]}
    assert tool.status()["in_force"] == []


@pytest.mark.slowest
def test_what_a_dead_tool_and_its_dead_switch_left_asleep_is_told_refused_and_woken(tool: Tool) -> None:
    with tool.process("pause", "follower", "--for", "60s", "--yes") as run:
        run.until_says("proven: its process is stopped")
        run.kill_with_its_switch()
    (told,) = tool.status()["in_force"]
    node, _, said = told.partition(": ")
    assert said == "its process stands still (SIGSTOP)"
    pid = tool.cluster.pid(node)
    assert pid is not None
    try:
        refused = tool("kill-leader", "--yes")
        assert (refused.code, f"wake {node}" in refused.err) == (REFUSED, True), refused.err
        healed = tool("heal")
        assert f"sent SIGCONT to {node}" in healed.out
        assert psutil.Process(pid).status() != psutil.STATUS_STOPPED
        assert tool.status()["in_force"] == []
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.longest
@pytest.mark.parametrize("ends", ["leader:follower", "follower:leader", "others:leader"])
def test_a_cut_one_way_is_proven_to_leave_the_other_way_open_whoever_leads(tool: Tool, ends: str) -> None:
    said = tool("partition", "--one-way", ends, "--for", "4s", "--yes", "-o", "json")
    assert said.code == PASSED, said.err
    assert said.json["faults"][0]["effective_us"]


@pytest.mark.longest
def test_a_one_way_cut_of_the_leaders_words_is_proven_and_judged_by_its_direction(tool: Tool) -> None:
    leader = tool.status()["leader"]
    others = [name for name in ("n1", "n2", "n3") if name != leader]
    said = tool("partition", "--one-way", "leader:others", "--for", "4s", "--yes", "-o", "json")
    assert said.code == PASSED, said.err
    (fault,) = said.json["faults"]
    assert fault["links"] == [[leader, other] for other in others]
    assert f"as predicted: {leader} has stepped down" in fault["facts"]
    outcomes = {verdict["check"]: verdict["outcome"] for verdict in said.json["verdicts"]}
    assert outcomes["minority-acknowledges-nothing"] == "pass"
    assert tool.status()["in_force"] == []
