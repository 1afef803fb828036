"""Several faults at a time: each in its own instant, with its own span, and taken back in reverse order."""

import asyncio
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from chaos import guard
from chaos.errors import NOT_EFFECTIVE, PASSED, NotEffective, Refused, Usage
from chaos.faults import inside
from chaos.faults.groups import Isolate
from chaos.faults.inside import Inside, spans_of
from chaos.faults.kill_leader import KillLeader
from chaos.faults.partition import Partition
from chaos.faults.pause import PauseNode
from chaos.faults.port import Fault, Scene
from chaos.faults.shapes import Bridge, Ring, parse_one_way
from chaos.run import Options, RunResult, run, takeback
from chaos.targets.local import open_local
from chaos.targets.port import Cut, Target
from tests.chaos import runs
from tests.chaos.local_cluster import local_cluster
from tests.chaos.runs import World, world_of
from tests.chaos.situations import healthy

ROOT = Path(__file__).parents[2]
CHAOS_PAGE = ROOT / "docs" / "chaos.md"
ALL = ("refuse", "inject", "prove", "hold", "revert", "prove_healed")


class Planned:
    """A target of which only plans are asked."""

    title, network = "the cluster", cast(Any, None)

    def __init__(self) -> None:
        self.network = self

    def plan(self, cut: Cut, run: str, seconds: float) -> Sequence[str]:
        return [f"{run}: cut {cut.title} for {seconds:g} s"]

    def kill_plan(self, node: str, mode: str) -> str:
        return f"{mode} {node}"

    def pause_plan(self, node: str) -> str:
        return f"stop {node}"


TARGET = cast(Target, Planned())


def pause(who: str) -> PauseNode:
    return PauseNode(who, random.Random(1), 2.0)


def isolate(seconds: float = 8.0) -> Partition:
    return Partition(Isolate("leader"), random.Random(1), seconds)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[World]:
    monkeypatch.setattr(takeback, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(takeback, "INSIST_SECONDS_MAX", 0.3)
    yield world_of(monkeypatch, tmp_path / "runs")
    await asyncio.get_running_loop().shutdown_default_executor()


def noted(did: list[str], name: str, **failing: Exception) -> runs.Fault:
    """A fault that notes what it does; the outer one holds until the inner one is gone."""

    def part(step: str) -> runs.Act:
        async def act(_: Scene) -> None:
            if name == "outer" and step == "hold" and not failing:
                while "inner prove_healed" not in did:  # noqa: ASYNC110 - as a fault that watches
                    await asyncio.sleep(0.01)
            did.append(f"{name} {step}")
            if step in failing:
                raise failing[step]

        return act

    return runs.Fault(**{step: part(step) for step in ALL})


async def test_the_inner_one_is_done_and_taken_back_while_the_outer_one_holds(world: World) -> None:
    did: list[str] = []
    both = Inside(noted(did, "outer"), noted(did, "inner"))
    result = await world(cast(Any, both))
    assert result.exit_code == PASSED
    assert did == [
        *(f"outer {step}" for step in ("refuse", "inject", "prove")),
        *(f"inner {step}" for step in ALL),
        *(f"outer {step}" for step in ("hold", "revert", "prove_healed")),
    ]
    assert spans_of(both) == (both.outer.span, both.inner.span)


@pytest.mark.parametrize("where", ["inject", "prove", "hold"])
async def test_where_the_inner_one_breaks_off_both_are_taken_back_the_inner_one_first(world: World, where: str) -> None:
    did: list[str] = []
    both = Inside(noted(did, "outer"), noted(did, "inner", **{where: NotEffective("It did nothing.")}))
    result = await world(cast(Any, both))
    assert result.exit_code == NOT_EFFECTIVE
    after = [f"{name} {step}" for step in ("revert", "prove_healed") for name in ("inner", "outer")]
    assert did[-4:] == after


async def test_the_outer_one_is_held_and_proven_until_the_inner_one_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside, "AGAIN_SECONDS", 0.01)
    did: list[str] = []
    outer, inner = noted(did, "outer"), noted(did, "inner")
    outer.span.effect = "cut"

    async def held(_: Scene) -> None:
        did.append("outer hold")

    async def until_held_often(_: Scene) -> None:
        for _tries in range(300):
            if did.count("outer hold") >= 5:
                return
            await asyncio.sleep(0.01)
        raise NotEffective("Nobody held the outer one meanwhile.")

    outer.parts["hold"], inner.parts["hold"] = held, until_held_often
    assert (await world(cast(Any, Inside(outer, inner)))).exit_code == PASSED
    assert did.index("inner prove_healed") > did.index("outer hold")


@pytest.mark.parametrize(
    ("voters", "both"),
    [
        (3, lambda: Inside(Partition(Bridge("leader"), random.Random(1), 8.0), KillLeader("sigkill"))),
        (5, lambda: Inside(Partition(Bridge("leader"), random.Random(1), 8.0), KillLeader("sigkill"))),
        (5, lambda: Inside(Partition(Bridge("leader"), random.Random(1), 8.0), pause("leader"))),
        (3, lambda: Inside(Partition(parse_one_way("n1:n2"), random.Random(1), 8.0), pause("n3"))),
        (3, lambda: Inside(Partition(parse_one_way("n2:n3"), random.Random(1), 8.0), KillLeader("sigkill"))),
    ],
)
def test_who_only_talks_to_a_majority_through_a_stopped_node_has_none(voters: int, both: Callable[[], Inside]) -> None:
    situation = healthy(voters)
    with pytest.raises(Refused, match="could still talk to each other"):
        guard.refuse_harm(both().plan(situation, TARGET), situation, TARGET, allow_quorum_loss=False)


def test_a_cut_goes_around_what_stops_a_node_and_not_into_it() -> None:
    with pytest.raises(Usage, match="put the cut around the other fault"):
        Inside(pause("follower"), isolate()).plan(healthy(5), TARGET)


async def test_where_the_outer_one_stops_working_the_inner_one_is_taken_back_too(world: World) -> None:
    did: list[str] = []
    inner = noted(did, "inner")
    inner.parts["hold"] = lambda _: asyncio.sleep(3600)
    both = Inside(noted(did, "outer", hold=NotEffective("It leaks.")), inner)
    result = await world(cast(Any, both))
    assert result.exit_code == NOT_EFFECTIVE
    assert did[-4:] == ["inner revert", "outer revert", "inner prove_healed", "outer prove_healed"]


async def test_an_inner_one_that_is_refused_proves_nothing_and_the_outer_one_is_taken_back(world: World) -> None:
    did: list[str] = []
    both = Inside(noted(did, "outer"), noted(did, "inner", refuse=Refused("n3 fell.")))
    result = await world(cast(Any, both))
    assert (result.exit_code, result.trouble) == (NOT_EFFECTIVE, "The second fault was not done: n3 fell.")
    assert "outer revert" in did


def test_the_guards_hold_for_both_together() -> None:
    both = Inside(isolate(), KillLeader("sigkill"))
    plan = both.plan(healthy(5), TARGET)
    assert max(map(len, plan.together(healthy(5).voters))) == 3
    assert plan.title == "cut n1 | n2 n3 n4 n5 for 8 s, and inside that kill the leader n2"
    guard.refuse_harm(plan, healthy(5), TARGET, allow_quorum_loss=False)
    with pytest.raises(Refused, match="at most 1 of 3 voters could still talk to each other, and 2 are needed"):
        guard.refuse_harm(both.plan(healthy(3), TARGET), healthy(3), TARGET, allow_quorum_loss=False)
    three = Inside(isolate(), Inside(PauseNode("leader", random.Random(1), 2.0), KillLeader("sigkill")))
    with pytest.raises(Refused, match="at most 2 of 5 voters"):
        guard.refuse_harm(three.plan(healthy(5), TARGET), healthy(5), TARGET, allow_quorum_loss=False)


def test_two_cuts_at_a_time_are_one_cut() -> None:
    with pytest.raises(Usage, match="write them as one cut"):
        Inside(isolate(), isolate()).plan(healthy(5), TARGET)


async def broken(folder: Path, fault: Fault) -> RunResult:
    """That fault against a real cluster of five."""
    options = Options(
        name="inside",
        seed=1,
        out=folder / "chaos-runs",
        command_line="a test",
        heal_command="raft-chaos heal",
        duration_s=1.0,
        baseline_s=1.0,
        after_s=0.3,
    )
    with local_cluster(folder, nodes=5) as cluster:
        target = await open_local(cluster.data_dir)
        try:
            return await run(target, [fault], options, print)
        finally:
            await target.close()
            await asyncio.get_running_loop().shutdown_default_executor()


@pytest.mark.slowest
def test_the_example_of_the_docs_cuts_the_leader_off_and_kills_its_successor_inside_the_cut(tmp_path: Path) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", CHAOS_PAGE.read_text(), re.DOTALL)
    with local_cluster(tmp_path, nodes=5) as cluster:
        shorter = script.replace('"raft-data"', repr(str(cluster.data_dir))).replace("20.0", "2.0")
        shorter = shorter.replace("duration_s=2.0", "duration_s=0.5, baseline_s=0.5, after_s=0.3")
        where = {**os.environ, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run([sys.executable, "-c", shorter], cwd=tmp_path, env=where, capture_output=True, text=True)
    assert ran.returncode == PASSED, ran.stdout + ran.stderr
    record = json.loads((tmp_path / "chaos-runs" / "latest" / "run.json").read_bytes())
    cut, kill = record["faults"]
    assert (cut["effect"], kill["effect"]) == ("cut", "killed")
    assert cut["groups"][0] != kill["nodes"]
    assert cut["injected_us"] < kill["injected_us"] < kill["healed_us"] < cut["reverted_us"]
    assert kill["acted_on"][1] > cut["acted_on"][1], "the successor of whoever was cut off"
    verdicts = {verdict["check"]: verdict["outcome"] for verdict in record["verdicts"]}
    assert verdicts["minority-acknowledges-nothing"] == verdicts["the-leader-was-hit"] == "pass"


@pytest.mark.longest
async def test_a_ring_of_five_is_proven_and_nobody_is_lost_over_it(tmp_path: Path) -> None:
    result = await broken(tmp_path, Partition(Ring(), random.Random(1), 3.0))
    assert (result.exit_code, result.trouble) == (PASSED, "")
    (cut,) = result.record.faults
    assert (len(cut.links), cut.groups) == (10, ())
    assert all(verdict.outcome == "pass" for verdict in result.record.verdicts)
