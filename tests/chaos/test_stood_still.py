"""The tool as a process that is stopped, quit or told to stand still in the midst of a run."""

import random
import signal
import time

import pytest

from chaos.errors import INTERRUPTED, NOT_EFFECTIVE, PASSED
from chaos.run.lease import LEASE_SECONDS
from tests.chaos.raft_chaos import Tool

STOPPED_SECONDS = LEASE_SECONDS + 2
"""Longer than `--within`, and than the lock lasts that is renewed all the time."""

KILL = ("kill-leader", "--mode", "sigkill", "--duration", "2s", "--within", "8s", "--yes")
CUT = ("partition", "--duration", "3s", "--within", "8s", "--yes")


@pytest.mark.parametrize(
    ("command", "moment"),
    [
        pytest.param(KILL, "acknowledged writes per second", id="before the kill", marks=pytest.mark.longest),
        pytest.param(KILL, "proven: ", id="after the kill", marks=pytest.mark.longest),
        pytest.param(CUT, "acknowledged writes per second", id="before the cut", marks=pytest.mark.longest),
        pytest.param(CUT, "the cut is taken back", id="in the healing of the cut", marks=pytest.mark.longest),
    ],
)
def test_a_tool_that_was_stopped_never_blames_the_cluster(tool: Tool, command: tuple[str, ...], moment: str) -> None:
    with tool.process(*command) as run:
        run.until_says(moment)
        run.popen.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED_SECONDS)
        run.popen.send_signal(signal.SIGCONT)
        code = run.ends(120.0)
        assert code in (PASSED, NOT_EFFECTIVE), run.output
        assert "This tool itself stood still for" in run.output
    assert tool.status()["in_force"] == []
    tool.until_healthy()


MINUTE = 60.0
"""Longer than the dead man's switch waits: it takes back what was done meanwhile."""


@pytest.mark.longest
@pytest.mark.parametrize("command", [KILL, CUT])
@pytest.mark.parametrize("seed", range(3))
def test_a_tool_that_was_stopped_for_a_minute_at_any_moment_never_blames_the_cluster(
    tool: Tool, command: tuple[str, ...], seed: int
) -> None:
    with tool.process(*command) as run:
        run.until_says("clients write and read")
        time.sleep(random.Random(seed).uniform(0.0, 7.0))  # the moment is what is tried
        run.popen.send_signal(signal.SIGSTOP)
        time.sleep(MINUTE)
        run.popen.send_signal(signal.SIGCONT)
        assert run.ends(120.0) in (PASSED, NOT_EFFECTIVE), run.output
    assert tool.status()["in_force"] == []
    tool.until_healthy()


@pytest.mark.slowest
def test_a_quit_heals_as_an_interrupt_does(tool: Tool) -> None:
    with tool.process(*CUT[:1], "--duration", "60s", "--yes") as run:
        run.until_says("proven")
        run.popen.send_signal(signal.SIGQUIT)
        assert run.ends() == INTERRUPTED, run.output
    assert tool.status()["in_force"] == []


@pytest.mark.slowest
def test_who_is_told_to_stand_still_goes_on_and_says_why(tool: Tool) -> None:
    with tool.process(*CUT) as run:
        run.until_says("proven")
        run.popen.send_signal(signal.SIGTSTP)
        run.until_says("SIGTSTP is not obeyed while a run goes on")
        assert run.ends() == PASSED, run.output
