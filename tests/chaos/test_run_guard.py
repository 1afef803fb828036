"""A run looks again: before every fault whether it may still be done, after it whether anything of it is left."""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from chaos.errors import NOT_EFFECTIVE, NOT_RECOVERED, PASSED, REFUSED
from chaos.run import order, recovery
from chaos.run.recording import Recording
from chaos.targets.local import LocalTarget
from chaos.targets.port import UndoStep
from tests.chaos.raft_chaos import Tool
from tests.supervisor.conftest import eventually

KILL = ("kill-leader", "--mode", "sigkill", "--duration", "100ms", "--yes", "-o", "json")

NEVER_ENOUGH = """
import sys
from chaos.cli import main
from chaos.run import recording
recording.WRITES_PER_SECOND_MIN, recording.BASELINE_TRIES = 1e6, 1
sys.exit(main())
"""


pytestmark = pytest.mark.slowest


def fall(tool: Tool, node: str) -> None:
    """The node dies by itself, and nobody starts it again."""
    pid = tool.cluster.pid(node)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: tool.cluster.pid(node) is None, "the end of the node")


@pytest.mark.longest
def test_a_voter_that_falls_during_the_baseline_is_noticed_before_the_quorum_is_lost(
    tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, leader = Recording.baseline, tool.status()["leader"]
    other = next(name for name in ("n1", "n2", "n3") if name != leader)

    async def baseline(self: Recording, seconds: float) -> float:
        rate = await real(self, seconds)
        fall(tool, other)
        return rate

    monkeypatch.setattr(Recording, "baseline", baseline)
    said = tool(*KILL, "--within", "2s")
    tool.start(other)
    assert said.code == REFUSED, said.err
    assert f"({other} already down)" in said.json["trouble"]
    assert said.json["faults"] == []


@pytest.mark.longest
def test_a_voter_that_falls_between_two_kills_ends_the_run(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    fallen: list[str] = []
    real = recovery.until_whole

    async def until_whole(*arguments: object) -> object:
        found = whole_us, now = await real(*arguments)  # type: ignore[arg-type]
        if whole_us is not None and now.views[now.leader].term > began and not fallen:
            fallen.append(now.followers[0])
            await asyncio.to_thread(fall, tool, fallen[0])
        return found

    began = tool.status()["term"]
    monkeypatch.setattr(order, "until_whole", until_whole)
    said = tool(*KILL, "--times", "2", "--every", "100ms", "--within", "10s")
    tool.start(fallen[0])
    assert said.code == NOT_RECOVERED, said.err
    assert f"and is not any more: the voter {fallen[0]} does not answer" in said.json["trouble"]
    assert len(said.json["faults"]) == 1


def test_what_an_act_that_was_broken_off_left_behind_is_cleared_after_the_healing(
    tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    undone: list[UndoStep] = []
    late = UndoStep("delete-policy", {"name": "late"})

    async def leftovers(_: LocalTarget) -> Sequence[UndoStep]:
        made = [path.name for path in tool.runs.iterdir()] if tool.runs.exists() else []
        run = (tool.runs / made[0] / "undo.json").read_text().split('"run":"')[1].split('"')[0] if made else ""
        return [UndoStep("delete-policy", {**late.arguments, "run": name}) for name in (run, "other")] if run else []

    async def undo(_: LocalTarget, step: UndoStep) -> str:
        undone.append(step)
        return "Deleted NetworkPolicy late."

    monkeypatch.setattr(LocalTarget, "leftovers", leftovers)
    monkeypatch.setattr(LocalTarget, "undo", undo)
    said = tool(*KILL)
    assert said.code == PASSED, said.err
    assert [step.arguments["run"] for step in undone] == [said.json["run"]]
    assert "Deleted NetworkPolicy late" in said.err


def test_what_a_run_found_is_its_exit_code_though_nobody_can_read_it(tool: Tool) -> None:
    command = f"{sys.executable} -c {shlex.quote(NEVER_ENOUGH)} {shlex.join([*KILL, *tool.where()])} > /dev/full"
    ended = subprocess.run(["sh", "-c", command], stderr=subprocess.DEVNULL, check=False)
    assert ended.returncode == NOT_EFFECTIVE
