"""The link faults of local nodes where nodes are slow or silent."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal, cast

import aiohttp
import pytest
from aiohttp import web

from chaos.errors import ChaosError, Refused
from chaos.targets import clusterfile, linkfaults, local, localdoctor, supervisor
from chaos.targets.clusterfile import ClusterFile, NodeEntry
from chaos.targets.linkfaults import LinkFaults
from chaos.targets.local import LocalTarget
from chaos.targets.port import Cut, Journal, UndoStep
from tests.chaos.doubles import Notes, answering


class Nodes:
    """`running`: those that have a process."""

    def __init__(self, url: str, running: tuple[str, ...] = ("n1", "n2")) -> None:
        self.nodes, self._url, self.running = ("n1", "n2"), url, running

    def url(self, node: str) -> str:
        return f"{self._url}/{node}"

    def runs(self, node: str) -> bool:
        return node in self.running

    def stands_still(self, node: str) -> bool:
        return False


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


async def test_a_cut_that_is_under_way_when_the_run_is_ended_is_made_before_the_healing_begins(
    session: aiohttp.ClientSession,
) -> None:
    happened: list[str] = []
    arrived = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.sleep(0.2)
        happened.append(request.path)
        return web.json_response({})

    async with answering(slow) as url:
        network = LinkFaults(Nodes(url), session)
        installing = asyncio.ensure_future(
            network.install(Cut.between((("n1",), ("n2",))), "r1", 5.0, cast(Journal, Notes()))
        )
        await arrived.wait()
        installing.cancel()
        await asyncio.wait((installing,))
        assert installing.cancelled()
        assert sorted(happened) == ["/n1/commands/cut_link", "/n2/commands/cut_link"]


async def test_a_one_way_cut_stops_what_is_said_where_it_is_said_and_where_it_is_heard(
    session: aiohttp.ClientSession,
) -> None:
    told: list[tuple[str, str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        order = await request.json()
        told.append((request.path, order["peer"], order["direction"]))
        return web.json_response({})

    cut, notes = Cut(("n1", "n2"), (("n1", "n2"),), "one way"), Notes()
    async with answering(answer) as url:
        network = LinkFaults(Nodes(url), session)
        await network.install(cut, "r1", 5.0, cast(Journal, notes))
        assert sorted(told) == [("/n1/commands/cut_link", "n2", "out"), ("/n2/commands/cut_link", "n1", "in")]
        assert ['"out"' in line for line in network.plan(cut, "r1", 5.0)] == [True, False]
        told.clear()
        await network.remove(cut, "r1", cast(Journal, notes))
        assert sorted(told) == [("/n1/commands/heal_link", "n2", "both"), ("/n2/commands/heal_link", "n1", "both")]
    assert notes.open == []


async def test_a_node_that_stands_still_is_not_asked_for_its_faults(session: aiohttp.ClientSession) -> None:
    class Still(Nodes):
        def stands_still(self, node: str) -> bool:
            return node == "n2"

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({}) if request.path == "/n1/status" else web.Response(status=500)

    async with answering(answer) as url:
        assert await LinkFaults(Still(url), session).certainly_active() == {"n1": (), "n2": ()}


async def test_a_node_that_runs_and_does_not_say_what_is_on_is_not_taken_for_healthy(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linkfaults, "LOOK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(linkfaults, "ANSWER_SECONDS_MAX", 5.0)
    asked: list[str] = []
    faults = [{"kind": "cut", "peer": "n2", "direction": "out"}]

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if request.path == "/n2/status" and asked.count(request.path) < speaks_at:
            return web.Response(status=500)
        return web.json_response({"faults": faults})

    async with answering(answer) as url:
        speaks_at = 4
        found = await LinkFaults(Nodes(url), session).certainly_active()
        assert [len(of_node) for of_node in found.values()] == [1, 1]
        speaks_at = 10**6
        monkeypatch.setattr(linkfaults, "ANSWER_SECONDS_MAX", 0.1)
        with pytest.raises(Refused, match=r"n2 runs and does not answer at .*, so whether faults are on there is not"):
            await LinkFaults(Nodes(url), session).certainly_active()
        found = await LinkFaults(Nodes(url, running=("n1",)), session).certainly_active()
        assert found["n2"] == ()


def file_of(folder: Path, system: Literal["raft-node", "etcd"] = "raft-node", pid: int | None = None) -> ClusterFile:
    return ClusterFile(
        format="raft-node cluster" if system == "raft-node" else "raft-chaos lab",
        version=1,
        system=system,
        state="running",
        supervisor_pid=None,
        control=str(folder / "nobody.sock"),
        nodes=(NodeEntry("n1", "http://127.0.0.1:1", "127.0.0.1:1", str(folder), "", pid),),
    )


def target_of(folder: Path) -> LocalTarget:
    return LocalTarget(folder, file_of(folder))


@pytest.mark.parametrize(
    ("system", "again", "start"),
    [
        ("raft-node", "start the cluster again with raft-node cluster", "start it with raft-node start n1"),
        ("etcd", "end the lab and start it again with raft-chaos lab etcd", None),
    ],
)
async def test_every_cure_is_one_of_that_system(
    tmp_path: Path,
    session: aiohttp.ClientSession,
    system: Literal["raft-node", "etcd"],
    again: str,
    start: str | None,
) -> None:
    stranger = file_of(tmp_path, system, os.getpid())
    assert (await localdoctor.of_supervisor(stranger)).sentence.endswith(again)
    down = await localdoctor.of_node(session, "http://127.0.0.1:1", "n1", False, stranger)
    assert down.sentence == f"does not run: {start or again}"
    with pytest.raises(ChaosError, match=f"does not answer: {again}"):
        await supervisor.start(stranger, "n1")
    with pytest.raises(ChaosError, match=f"is not n1 .*: {again}"):
        clusterfile.send(stranger, "n1", signal.SIGKILL)


@pytest.mark.parametrize(
    ("fault", "cure"),
    [
        ({"kind": "cut", "peer": "n2", "direction": "out"}, "raft-chaos heal --all"),
        ({"kind": "failure"}, "raft-node command n1 recover"),
    ],
)
async def test_a_fault_that_is_on_already_is_told_with_what_ends_it(
    session: aiohttp.ClientSession, fault: dict[str, str], cure: str
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"faults": [fault] if request.path == "/n1/status" else []})

    async with answering(answer) as url:
        (said,) = await LinkFaults(Nodes(url), session).objections(Cut.between((("n1",), ("n2",))))
    assert said.endswith(f"end it with {cure}")


def test_whoever_stands_still_under_the_number_of_a_node_is_not_the_node(tmp_path: Path) -> None:
    """And has to be stopped by a signal: one that only waits does not stand still."""
    program = [sys.executable, "-c", "import time; time.sleep(60)"]
    stranger, node = subprocess.Popen(program), subprocess.Popen([*program, "n1", str(tmp_path)])
    try:
        entries = [file_of(tmp_path, "raft-node", process.pid).node("n1") for process in (stranger, node)]
        assert not any(map(clusterfile.stands_still, entries))
        for process in (stranger, node):
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
        assert list(map(clusterfile.stands_still, entries)) == [False, True]
    finally:
        for process in (stranger, node):
            process.kill()
            process.wait(10.0)


@pytest.mark.parametrize(("ends", "ready"), [(True, False), (False, True), (False, False)])
async def test_a_node_that_was_told_to_leave_before_the_tool_died_is_started_when_it_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool, ready: bool
) -> None:
    """It still runs when `heal` looks; what is ready, or stays as it is, is not waited for for ever."""
    monkeypatch.setattr(local, "END_WAIT_SECONDS", 0.5)
    looks, started = [0], list[str]()
    target = target_of(tmp_path)

    def instance(_: str) -> str:
        return "2-b" if started else ("" if ends and looks[0] >= 3 else "1-a")

    async def is_ready(_: str) -> bool:
        looks[0] += 1
        return ready

    async def bring_back(node: str) -> None:
        if not instance(node):
            started.append(node)

    monkeypatch.setattr(target, "instance", instance)
    monkeypatch.setattr(target, "_ready", is_ready)
    monkeypatch.setattr(target, "bring_back", bring_back)
    try:
        said = await target.undo(UndoStep("start", {"node": "n1"}))
    finally:
        await target.close()
    assert said == ("had n1 started again" if ends else "n1 runs already")
    assert started == (["n1"] if ends else [])
