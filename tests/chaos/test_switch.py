"""The dead man's switch of a local cluster: whatever becomes of the tool, what it broke is taken back."""

import asyncio
import functools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from chaos import healing, journal
from chaos.errors import INTERRUPTED, NOT_EFFECTIVE, PASSED, TOOL_FAILED, Refused
from chaos.switch import healer, process
from chaos.switch.port import Charge
from chaos.targets.local import open_local
from chaos.targets.port import UndoStep
from tests.chaos.raft_chaos import Process, Tool
from tests.supervisor.conftest import eventually

KILL = ("kill-leader", "--mode", "sigkill", "--duration", "60s", "--yes")
PAUSE = ("pause", "leader", "--duration", "60s", "--yes")
CUT = ("partition", "--duration", "60s", "--yes")
GONE_SECONDS = 60.0
"""What is promised."""


# --- its parts --------------------------------------------------------------------------------------------------------


def test_it_tells_an_end_that_is_well_from_a_dead_tool_and_from_a_silent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healer, "GRACE_SECONDS", 0.05)
    reads, writes = os.pipe()
    os.write(writes, process.BEAT * 3)
    assert healer.watch(reads, 0.05) == "silent"
    os.write(writes, process.BEAT + process.BYE)
    os.close(writes)
    assert healer.watch(reads, 0.05) == "bye"
    assert healer.watch(reads, 0.05) == "gone"
    os.close(reads)


class Ended:
    """What a run was told by its switch."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    def charge(self, folder: Path) -> Charge:
        return Charge("r", folder / "undo.json", 60.0, True, lambda: (), lambda *told: self.told.put_nowait(told))


@pytest.mark.parametrize("program", ["/nowhere/python", "/bin/false"])
async def test_one_that_cannot_start_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(Refused, match=r"switch of this run could not be started .*; nothing was changed"):
        await process.start(tmp_path, Ended().charge(tmp_path))


async def test_one_that_dies_ends_the_run_and_one_that_is_let_go_ends(tmp_path: Path) -> None:
    ended = Ended()
    lost, kept = await asyncio.gather(*(process.start(tmp_path, ended.charge(tmp_path)) for _ in range(2)))
    os.kill(lost.pid, signal.SIGKILL)
    why, code = await asyncio.wait_for(ended.told.get(), 10.0)
    assert (why, code) == ("the dead man's switch of this run is gone, so the run ends", TOOL_FAILED)
    await lost.disarm()
    await kept.disarm()
    assert ended.told.empty()
    assert not psutil.pid_exists(kept.pid)


class Stuck:
    """A cluster on which one step can never be undone."""

    def __init__(self) -> None:
        self.undone: list[str] = []

    async def undo(self, step: UndoStep) -> str:
        if step.do == "heal-link":
            raise OSError("no answer")
        self.undone.append(step.do)
        return f"{step.do} is done."

    async def close(self) -> None: ...


async def taken_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, target: Stuck, steps: tuple[str, ...], *, alive: bool
) -> list[str]:
    """What the switch tells as it undoes these steps; `alive`: the tool still has its journal open."""
    monkeypatch.setattr(healing, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(healer, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(healer, "HEAL_SECONDS_MAX", 0.05)
    told = list[str]()

    async def opened(_: Path) -> Stuck:
        return target

    monkeypatch.setattr(healer, "open_local", opened)
    path = folder / "undo.json"
    open_journal = journal.UndoJournal(path, journal.Header(run="r", target="t", kind="local"))
    for do in steps:
        open_journal.will_do(UndoStep(do, {"node": "n1"}))
    if not alive:
        open_journal.close()
    await healer.take_back(folder, path, alive, told.append)
    if alive:
        open_journal.close()
    return told


async def test_a_step_that_cannot_be_taken_back_does_not_keep_others_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = Stuck()
    told = await taken_back(tmp_path, monkeypatch, stuck, ("wake", "heal-link"), alive=True)
    assert "wake" in stuck.undone
    assert told[-1].startswith("given up after")
    assert "nothing is left in force" not in told


class Mute(Stuck):
    """A node of its cluster runs and does not answer, so nobody can say what is in force there."""

    title, kind = "t", "local"

    async def refuse_living(self, _dead: object, _say: object) -> None: ...

    async def leftovers(self) -> list[UndoStep]:
        raise Refused("n3 runs and does not answer")


async def test_a_node_that_does_not_answer_keeps_nobody_from_undoing_what_the_journal_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mute = Mute()
    told = await taken_back(tmp_path, monkeypatch, mute, ("wake",), alive=False)
    assert "wake" in mute.undone
    assert "n3 runs and does not answer" in told


def test_what_it_tells_waits_for_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "hangs")
    hanging = healer.Log(tmp_path / "hangs")
    hanging("the tool is gone")
    with monkeypatch.context() as patched:
        patched.setattr(healer, "LOG_SECONDS_MAX", 0.05)
        hanging.end()
    with (tmp_path / "hangs").open() as reader:
        assert reader.readline().endswith("the tool is gone\n")
    log = healer.Log(tmp_path / "switch.log")
    log("one")
    log("two")
    log.end()
    assert [line.split()[-1] for line in (tmp_path / "switch.log").read_text().splitlines()] == ["one", "two"]


# --- with everything real ---------------------------------------------------------------------------------------------


def open_steps(tool: Tool) -> Sequence[object]:
    paths = [path for path in tool.runs.glob("*/undo.json") if not path.parent.is_symlink()]
    return [step for path in paths for step in journal.read(path).open_steps]


def switch_of(run: Process) -> psutil.Process:
    (found,) = psutil.Process(run.popen.pid).children()
    return found


def nothing_is_in_force(tool: Tool) -> bool:
    """As the cluster itself shows, not the journal."""

    async def left() -> Sequence[object]:
        target = await open_local(tool.cluster.data_dir)
        try:
            return await target.leftovers()
        finally:
            await target.close()

    try:
        return not asyncio.run(left()) and all(tool.cluster.pid(node) for node in ("n1", "n2", "n3"))
    except Refused:  # a node that was started in this instant
        return False


@pytest.mark.parametrize(
    ("command", "moment"),
    [
        pytest.param(KILL, "as predicted", marks=pytest.mark.slowest),
        pytest.param(CUT, "the fault clock starts", marks=pytest.mark.longest),
        pytest.param(PAUSE, "proven: ", marks=pytest.mark.longest),
    ],
)
def test_what_kill_9_of_the_tool_left_is_taken_back_by_its_switch(
    tool: Tool, command: tuple[str, ...], moment: str
) -> None:
    with tool.process(*command) as run:
        run.until_says(moment)
        switch = switch_of(run)
        assert not nothing_is_in_force(tool)
        run.popen.kill()
        run.ends()
        eventually(lambda: nothing_is_in_force(tool), "the switch")
        switch.wait(10.0)
    assert open_steps(tool) == []
    (log,) = [path for path in tool.runs.glob("*/switch.log") if not path.parent.is_symlink()]
    assert log.read_text().splitlines()[-1].endswith("nothing is left in force")
    assert tool("heal").out.startswith("Nothing to heal")
    tool.until_healthy()


@pytest.mark.longest
def test_a_tool_that_stands_still_is_healed_for_and_says_so_when_it_wakes(
    tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", hasty(1.0), *KILL, *tool.where()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    try:
        eventually(lambda: open_steps(tool), "the kill")
        eventually(lambda: not nothing_is_in_force(tool), "the end of the leader")
        run.send_signal(signal.SIGSTOP)
        eventually(lambda: nothing_is_in_force(tool), "the switch")
        run.send_signal(signal.SIGCONT)
        said, _ = run.communicate(timeout=60.0)
        assert run.returncode == NOT_EFFECTIVE, said
        assert "its dead man's switch took back what it had done" in said
    finally:
        run.kill()
        run.wait(10.0)
    assert open_steps(tool) == []
    tool.until_healthy()


def hasty(silent_s: float) -> str:
    """The tool, whose switch waits no longer than that."""
    return (
        "import sys; from chaos.cli import main; from chaos.switch import process; "
        f"process.SILENT_SECONDS = {silent_s}; sys.exit(main(sys.argv[1:]))"
    )


@pytest.mark.longest
def test_a_run_whose_switch_is_killed_heals_at_once_and_ends(tool: Tool) -> None:
    with tool.process(*CUT) as run:
        run.until_says("the fault clock starts")
        switch_of(run).kill()
        assert run.ends() == TOOL_FAILED, run.output
        assert "the dead man's switch of this run is gone, so the run ends" in run.output
    assert nothing_is_in_force(tool)
    assert open_steps(tool) == []


def moments(number: int, seed: int) -> list[tuple[tuple[str, ...], signal.Signals, float]]:
    """Commands, what ends them, and when, counted from when clients write. A cut that is not ended by the tool, or its
    switch, goes on for longer than what is promised: it ends by itself half a minute after it was meant to."""
    rng = random.Random(seed)
    ways = (signal.SIGKILL, signal.SIGQUIT, signal.SIGTSTP)
    found: list[tuple[tuple[str, ...], signal.Signals, float]] = []
    for at in range(number):
        way = ways[at % 3]
        kill = (*KILL[:-3], "--duration", "2s", "--yes")
        cut = CUT if way is not signal.SIGTSTP else (*CUT[:1], "--duration", "3s", "--yes")
        found.append(((kill, cut)[(at + seed) % 2], way, rng.uniform(0.0, 7.0)))
    return found


def has_answered(run: Process, tool: Tool) -> bool:
    if run.popen.poll() is not None or "SIGTSTP is not obeyed" in run.output:
        return True
    stopped = psutil.Process(run.popen.pid).status() == psutil.STATUS_STOPPED
    return stopped and not open_steps(tool) and nothing_is_in_force(tool)


@pytest.mark.parametrize(
    "seed",
    [pytest.param(at, marks=pytest.mark.longest) for at in range(1, 18)],
)
def test_at_whatever_moment_the_tool_is_ended_nothing_is_in_force_a_minute_later(tool: Tool, seed: int) -> None:
    for command, way, after_s in moments(3, seed):
        with tool.process(*command) as run:
            run.until_says("clients write and read")
            time.sleep(after_s)  # the moment is what is tried
            run.popen.send_signal(way)
            ended_at = time.monotonic()
            if way is signal.SIGTSTP:  # obeyed only where nothing is left to do but to print
                eventually(functools.partial(has_answered, run, tool), f"an answer ({after_s:.2f} s)")
                run.popen.send_signal(signal.SIGCONT)
            code = run.ends(120.0)
            allowed = {
                signal.SIGKILL: (-signal.SIGKILL, PASSED),
                signal.SIGQUIT: (INTERRUPTED, -signal.SIGQUIT, PASSED),  # -3: while it judged, with nothing in force
                signal.SIGTSTP: (PASSED, NOT_EFFECTIVE),
            }
            assert code in allowed[way], (way, after_s, run.output)
            eventually(lambda: nothing_is_in_force(tool), f"the end of all ({way!r} after {after_s:.2f} s)")
            took_s = time.monotonic() - ended_at
            assert way is signal.SIGTSTP or took_s < GONE_SECONDS, (way, after_s, took_s)
        tool.until_healthy()
