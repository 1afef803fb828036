"""A scenario must not say "as predicted" when it was not: planted faults, and ends that nobody planned."""

import asyncio
import contextlib
import io
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from node.cli import demo, main
from node.scenarios import faults, outcome
from node.scenarios.catalogue import SCENARIOS
from node.scenarios.cluster import Cluster
from node.scenarios.nodes import Nodes, Start
from node.scenarios.outcome import Timing, ToolFailure
from node.scenarios.ranks import there_is_mpi
from tests.demo.conftest import Played, Stage


@pytest.fixture
def here(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Scenarios played in this process keep their files in the stage's folder."""
    monkeypatch.setattr("tempfile.tempdir", str(stage.folder))
    return stage


def play_here(*arguments: str) -> Played:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["demo-scenario", *arguments, "--json"])
    return Played(code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue())


async def _no_cut(cluster: Cluster, one: str, other: str) -> None:
    pass


def _is_not_as_predicted(played: Played, sentence: str, stage: Stage) -> None:
    assert played.code == 1, played.lines
    verdict = played.of("verdict")[-1]
    assert verdict["verdict"] == "not as predicted"
    assert sentence in verdict["seen"]
    assert sentence in played.texts("not-as-predicted")
    assert len(stage.left) == 1, "the nodes' logs are kept for whoever wants to know why"
    assert stage.left[0] in played.texts("detail")
    assert stage.processes() == []


@pytest.mark.slowest
def test_a_cut_that_was_silently_not_made_is_found(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_cut_link", _no_cut)
    _is_not_as_predicted(play_here("majority-partition"), "the fault is not effective", here)


@pytest.mark.longest
@pytest.mark.parametrize("name", ["split-vote", "minority-partition", "log-divergence"])
def test_no_scenario_believes_in_a_cut_that_was_not_made(
    here: Stage, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(faults, "_cut_link", _no_cut)
    _is_not_as_predicted(play_here(name), "the fault is not effective", here)


@pytest.mark.slowest
def test_a_cut_in_one_direction_only_is_found(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def half(cluster: Cluster, one: str, other: str) -> None:
        await cluster.command(one, "cut_link", peer=other, direction="out", seconds=60)

    monkeypatch.setattr(faults, "_cut_link", half)
    _is_not_as_predicted(play_here("majority-partition"), "the fault is not effective", here)


@pytest.mark.slowest
def test_a_tie_that_did_not_come_about_is_tried_again(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    command = Cluster.command

    async def forgets_the_first(self: Cluster, name: str, what: str, **arguments: str | float) -> str:
        told.append(what)
        forgotten = what == "trigger_election" and told.count(what) == 1
        return "" if forgotten else await command(self, name, what, **arguments)

    monkeypatch.setattr(Cluster, "command", forgets_the_first)
    played = play_here("split-vote")
    assert played.code == 0, played.lines
    assert "try 1 of 3" in played.texts("fact")
    assert len(played.of("predicted")) == 2 + played.texts("fact").count("so this is no tie (try ")
    assert len(played.of("seen")) == 2


@pytest.mark.longest
def test_a_leader_that_was_not_killed_is_no_leader_failure(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def spare(self: Nodes, name: str) -> int:
        self._wanted.discard(name)
        return 1

    monkeypatch.setattr(Nodes, "kill", spare)
    _is_not_as_predicted(play_here("leader-failure"), "a new leader that all four follow", here)


def test_what_cannot_be_played_is_not_called_wrong(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PROGRAM", (sys.executable, "-c", "raise SystemExit(3)"))
    played = play_here("leader-failure")
    assert played.code == 70
    assert played.of("verdict")[-1]["verdict"] == "not played"
    assert "ended with exit code 3" in played.texts("trouble")
    assert played.of("seen") == []


def test_all_goes_on_after_one_that_failed_and_tells_the_worst(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PROGRAM", ("/nowhere/raft-node",))
    played = play_here("--all")
    assert played.code == 70
    assert len(played.of("verdict")) == len(SCENARIOS) - (not there_is_mpi(os.environ))
    assert set(played.of("summary")[-1]["codes"].values()) == {70}


@pytest.mark.slowest
def test_ctrl_c_ends_every_node_and_leaves_no_folder(stage: Stage) -> None:
    process = stage.start("--all", "--json")  # one alone may be over by the time that the signal comes
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["kind"] == "seen":
            break
    assert len(stage.processes()) == 5
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert stage.processes() == []
    assert stage.left == []


@pytest.mark.slowest
def test_ctrl_c_is_obeyed_although_ending_the_nodes_fails(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    end = Nodes.end

    async def interrupted(self: Nodes, name: str) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
        return 1

    async def not_in_time(self: Nodes) -> None:
        await end(self)
        raise ToolFailure("A killed process was not gone after 5 s.")

    monkeypatch.setattr(Nodes, "kill", interrupted)
    monkeypatch.setattr(Nodes, "end", not_in_time)
    played = play_here("leader-failure")
    assert played.code == 130
    assert played.of("verdict") == []
    assert here.left == []


@pytest.mark.slowest
def test_a_scenario_that_is_killed_takes_its_nodes_along(stage: Stage) -> None:
    process = stage.start("leader-election", "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["kind"] == "seen":
            break
    process.kill()
    process.communicate(timeout=20)
    end = time.monotonic() + 10
    while stage.processes() and time.monotonic() < end:
        time.sleep(0.05)
    assert stage.processes() == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("no-such",), "There is no scenario 'no-such'; there are leader-election, "),
        (("recovery", "--all"), "not both"),
        (("recovery", "--speed", "warp"), "warp"),
    ],
)
def test_wrong_arguments_are_told_in_a_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    played = play_here(*arguments)
    assert played.code == 64
    assert sentence in played.err
    assert played.lines == []


def test_without_a_name_it_tells_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo-scenario"]) == 0
    told = capsys.readouterr().out
    assert "log-divergence" in told
    assert "Play one: raft-node demo-scenario leader-failure" in told
    assert main(["demo-scenario", "--list", "--json"]) == 0
    names = [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()]
    assert len(names) == len(SCENARIOS) == 9


def test_settings_from_outside_do_not_reach_the_nodes(tmp_path: Path) -> None:
    nodes = nodes_with(tmp_path, {"RAFT_ELECTION_TIMEOUT_MS": "9000-9999", "PATH": os.environ["PATH"]})
    assert not [key for key in nodes._environ if key.startswith("RAFT_")]
    assert "PATH" in nodes._environ


def nodes_with(folder: Path, environ: dict[str, str]) -> Nodes:
    return Nodes(folder, 5, Timing(), Start(("raft-node",), lambda _e, _all: (), environ))


def test_slow_is_slower_in_everything() -> None:
    normal, slow = outcome.SPEEDS["normal"], outcome.SPEEDS["slow"]
    fields: list[Any] = ["heartbeat_ms", "election_low_ms", "election_high_ms", "pause_s", "wait_s"]
    assert all(getattr(slow, field) > getattr(normal, field) for field in fields)
    assert slow.wait_s > 10 * slow.election_high_ms / 1000
