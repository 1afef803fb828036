"""The local target against a real cluster of three nodes: what it does, shows and takes back."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from chaos.errors import ChaosError, Refused, Usage
from chaos.targets import clusterfile, local, localdoctor
from chaos.targets.local import LocalTarget, open_local
from chaos.targets.port import Cut, UndoStep
from tests.chaos.local_cluster import LocalCluster, local_cluster

ALONE = Cut.between((("n1",), ("n2", "n3")))
RUN = "test-run"


class Written:
    """A journal in memory. `open`: written down and not undone, in order."""

    def __init__(self) -> None:
        self.open: list[UndoStep] = []

    def will_do(self, step: UndoStep) -> None:
        if step not in self.open:
            self.open.append(step)

    def undone(self, step: UndoStep) -> None:
        self.open.remove(step)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
async def target(cluster: LocalCluster) -> AsyncIterator[LocalTarget]:
    """Opened, and whatever the test did to it healed."""
    async with opening(cluster.data_dir) as opened:
        yield opened
        for step in await opened.leftovers():
            await opened.undo(step)
        await until_ready(opened)


@asynccontextmanager
async def opening(data_dir: Path) -> AsyncIterator[LocalTarget]:
    opened = await open_local(data_dir)
    try:
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def another_process(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Killed at the end; what it prints can be read."""
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until_ready(target: LocalTarget) -> None:
    async with asyncio.timeout(20):
        while not all(place.ready for place in (await target.places()).values()):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.05)


async def test_every_node_has_its_process_as_its_place(cluster: LocalCluster, target: LocalTarget) -> None:
    await until_ready(target)
    places = await target.places()
    assert target.nodes == tuple(places) == ("n1", "n2", "n3")
    assert {name: place.instance.partition("-")[0] for name, place in places.items()} == {
        name: str(cluster.pid(name)) for name in places
    }
    assert {place.where for place in places.values()} == {"this machine"}
    assert await target.policies() == []
    assert await target.leftovers() == []


async def test_a_cut_stops_both_ways_at_both_ends_and_nothing_else(target: LocalTarget) -> None:
    journal = Written()
    await target.network.install(ALONE, RUN, 20, journal)
    reached = await target.network.dial(ALONE.blocked + ALONE.allowed)
    assert reached == dict.fromkeys(ALONE.blocked, False) | dict.fromkeys(ALONE.allowed, True)
    assert len(await target.policies()) == 3
    assert [step.arguments["node"] + step.arguments["peer"] for step in journal.open] == [
        "n1n2",
        "n1n3",
        "n2n1",
        "n3n1",
    ]
    faults = await target.faults.active()
    assert {len(of_node or ()) for of_node in faults.values()} == {4, 2}
    assert all(0 < fault.expires_in_ms <= 50_000 for of_node in faults.values() for fault in of_node or ())
    objections = await target.network.objections(ALONE)
    assert len(objections) == 3
    assert "n1: cut of what goes to and from n2" in objections[0]

    await target.network.remove(ALONE, RUN, journal)
    assert all((await target.network.dial(ALONE.blocked)).values())
    assert journal.open == []
    assert await target.network.objections(ALONE) == []


class Full(Written):
    """A journal on a full disk."""

    def will_do(self, step: UndoStep) -> None:
        raise ChaosError("The journal cannot be written.")


async def test_what_cannot_be_written_down_is_not_done(target: LocalTarget) -> None:
    await until_ready(target)
    before = target.instance("n1")
    with pytest.raises(ChaosError, match="journal"):
        await target.network.install(ALONE, RUN, 20, Full())
    with pytest.raises(ChaosError, match="journal"):
        await target.kill("n1", "sigkill", Full())
    assert await target.policies() == []
    assert target.instance("n1") == before


async def test_a_plan_names_every_request_and_sends_none(target: LocalTarget) -> None:
    lines = target.network.plan(ALONE, RUN, 20)
    assert lines[0] == f'POST {target.url("n1")}/commands/cut_link {{"peer":"n2","direction":"both","seconds":50.0}}'
    assert len(lines) == len(ALONE.blocked)
    assert "SIGKILL to process" in target.kill_plan("n1", "sigkill")
    assert await target.policies() == []


async def test_a_partition_outlasts_the_restart_of_a_node(target: LocalTarget) -> None:
    journal = Written()
    await target.network.install(ALONE, RUN, 20, journal)
    await target.kill("n1", "sigkill", journal)
    await target.bring_back("n1")
    async with asyncio.timeout(10):
        while (await target.faults.active())["n1"] is None:  # noqa: ASYNC110 - another process starts
            await asyncio.sleep(0.02)
    assert (await target.faults.active())["n1"] == ()
    assert not any((await target.network.dial(ALONE.blocked)).values())
    await target.network.remove(ALONE, RUN, journal)
    assert journal.open == []


async def test_what_a_dead_node_cut_is_gone_with_it(target: LocalTarget) -> None:
    journal = Written()
    await target.kill("n1", "sigkill", journal)
    await target.network.install(ALONE, RUN, 20, journal)
    assert not any((await target.network.dial(ALONE.blocked)).values())
    await target.network.remove(ALONE, RUN, journal)
    assert journal.open == [UndoStep("start", {"node": "n1"})]
    assert await target.leftovers() == journal.open
    assert await target.undo(journal.open[0]) == "had n1 started again"
    assert await target.undo(UndoStep("start", {"node": "n1"})) == "n1 runs already"
    assert journal.open == []


@pytest.mark.parametrize("mode", ["sigkill", "delete"])
async def test_a_killed_node_comes_back_as_another_process(target: LocalTarget, mode: Any) -> None:
    await until_ready(target)
    journal = Written()
    before = target.instance("n2")
    said = await target.kill("n2", mode, journal)
    assert said == f"sent {'SIGKILL' if mode == 'sigkill' else 'SIGTERM'} to process {before.partition('-')[0]} of n2"
    assert journal.open == [UndoStep("start", {"node": "n2"})]
    await target.bring_back("n2")
    assert target.instance("n2") not in ("", before)
    assert journal.open == []
    assert await target.leftovers() == []


async def test_a_process_that_serves_on_as_if_told_nothing_is_left_alone_and_a_wedged_one_is_told(
    target: LocalTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "END_WAIT_SECONDS", 0.5)
    await until_ready(target)
    before, journal = target.instance("n2"), Written()
    with monkeypatch.context() as patch:
        patch.setattr(clusterfile, "send", lambda *_: None)
        await target.kill("n2", "sigkill", journal)
    with monkeypatch.context() as patch:
        patch.setattr(local, "READY_TIMEOUT_SECONDS", 0.0001)
        with pytest.raises(ChaosError, match=r"n2 could not be started again within 0 s: its process .* did not end"):
            await target.bring_back("n2")
    assert journal.open == [UndoStep("start", {"node": "n2"})]
    await target.bring_back("n2")
    assert target.instance("n2") == before
    assert journal.open == []
    assert await target.leftovers() == []


async def test_leftovers_are_found_and_undone_by_another_tool_without_a_journal(
    cluster: LocalCluster, target: LocalTarget
) -> None:
    await target.network.install(ALONE, RUN, 20, Written())
    await target.kill("n3", "sigkill", Written())
    async with opening(cluster.data_dir) as other:
        async with asyncio.timeout(10):
            while other.runs("n3"):  # noqa: ASYNC110 - another process ends
                await asyncio.sleep(0.02)
        steps = await other.leftovers()
        assert [(step.do, step.arguments["node"]) for step in steps] == [
            ("heal_link", "n1"),
            ("heal_link", "n1"),
            ("heal_link", "n2"),
            ("start", "n3"),
        ]
        for step in (*steps, *steps):  # twice is harmless
            await other.undo(step)
        assert await other.leftovers() == []
        faults = await other.faults.active()
        assert faults["n1"] == faults["n2"] == ()


async def test_a_stranger_under_the_number_of_a_node_gets_no_signal(tmp_path: Path, cluster: LocalCluster) -> None:
    async with another_process("-c", "import time; time.sleep(60)") as stranger:
        content = cluster.file
        content["nodes"][0]["pid"] = stranger.pid
        (tmp_path / "cluster.json").write_bytes(msgspec.json.encode(content))
        async with opening(tmp_path) as target:
            journal = Written()
            with pytest.raises(ChaosError, match="n1 does not run"):
                await target.kill("n1", "sigkill", journal)
            with pytest.raises(ChaosError, match=f"Process {stranger.pid} is not n1"):
                clusterfile.send(target._now(), "n1", signal.SIGKILL)
            assert psutil.Process(stranger.pid).status() != psutil.STATUS_ZOMBIE
            assert journal.open == []
            assert (await target.places())["n1"].instance == ""


async def test_one_run_at_a_time_until_it_ends_however_it_ends(cluster: LocalCluster, target: LocalTarget) -> None:
    program = (
        "import asyncio, sys, time\nfrom pathlib import Path\nfrom chaos.targets.local import open_local\n"
        "async def hold():\n    t = await open_local(Path(sys.argv[1]))\n    await t.lock('the-other', 60)\n"
        "    print('held', flush=True)\n    time.sleep(60)\nasyncio.run(hold())\n"
    )
    async with another_process("-c", program, str(cluster.data_dir)) as holder:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        with pytest.raises(Refused, match=rf"the-other \(process {holder.pid}\)"):
            await target.lock(RUN, 60)
    await target.lock(RUN, 60)
    await target.lock(RUN, 60)
    async with opening(cluster.data_dir) as second:
        with pytest.raises(Refused, match=RUN):
            await second.lock("second", 60)
        await target.unlock()
        await second.lock("second", 60)


async def test_a_partition_longer_than_faults_last_is_refused_before_anything_is_cut(target: LocalTarget) -> None:
    journal = Written()
    with pytest.raises(Usage, match="at most 570 s, not 600"):
        await target.network.install(ALONE, RUN, 600, journal)
    assert journal.open == []
    assert await target.policies() == []


async def test_a_healthy_cluster_gets_a_clean_bill(target: LocalTarget) -> None:
    findings = await target.doctor()
    assert [finding.about for finding in findings] == ["supervisor", "disk", "n1", "n2", "n3"]
    assert {finding.level for finding in findings} == {"ok"}
    down = await localdoctor.of_node(target._session, target.url("n1"), "n1", False, target._now())
    assert down.sentence == "does not run: start it with raft-node start n1"


async def test_a_cluster_that_does_not_run_is_told_from_none(tmp_path: Path, cluster: LocalCluster) -> None:
    with pytest.raises(Refused, match="There is no local cluster in"):
        await open_local(tmp_path / "nothing")
    content = cluster.file
    for change, said in (
        ({"state": "stopped", "control": None, "supervisor_pid": None}, "is not running: start it"),
        ({"supervisor_pid": 2**22 - 1}, "is gone, and its nodes with it"),
        ({"version": 9}, "has version 9, this raft-chaos knows 1"),
        ({"format": "something"}, "was not written by raft-node"),
    ):
        (tmp_path / "cluster.json").write_bytes(msgspec.json.encode(content | change))
        with pytest.raises(ChaosError, match=said):
            await open_local(tmp_path)
