"""Real nodes are killed, stopped and cut off under load, and whoever watches hears what was promised."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import aiohttp
import pytest

from node.simulation.invariants import Violation
from node.simulation.invariants.true_changes import TrueChanges
from node.simulation.invariants.watch_guarantees import Asked
from raftclient import Change, HistoryGone, RaftClient
from tests.robustness.followers import PREFIXES, RANGES, Follower, over_events, over_grpc, over_json
from tests.robustness.load import WRITERS, Load
from tests.robustness.nodes import NAMES, Nodes, breaking, running

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(240)]

SEED = 20
BREAKING_SECONDS = 25.0
CALM_SECONDS_MAX = 40.0
OF_EACH = 4
"""Watchers over each door; and so many that use `raftclient`."""
LIBRARY = 2


class Applicant:
    """Watches with `raftclient`, which resumes by itself. `heard`: since its history was gone last, from `first` on."""

    def __init__(self, client: RaftClient, prefix: bytes) -> None:
        self.prefix = prefix
        self.heard: list[tuple[int, list[Change]]] = [(1, [])]
        self._client = client

    async def run(self) -> None:
        while True:
            first, heard = self.heard[-1]
            try:
                async for change in self._client.watch(self.prefix, first):
                    heard.append(change)
            except HistoryGone as gone:
                self.heard.append((gone.compact_revision, []))

    @property
    def seen(self) -> int:
        return max((change.revision for _, heard in self.heard for change in heard), default=0)

    def judge(self, truth: TrueChanges, until: int) -> int:
        """All there is from each beginning on, in order, once; the last until the end."""
        for at, (first, heard) in enumerate(self.heard):
            last = until if at == len(self.heard) - 1 else max((change.revision for change in heard), default=0)
            wanted = [
                Change(change.key, change.value if change.version else None, revision)
                for revision in range(first, last + 1)
                for change in truth.changes(revision)
                if change.key.startswith(self.prefix)
            ]
            assert [change for change in heard if change.revision <= last] == wanted
        return sum(len(heard) for _, heard in self.heard)


def followers(nodes: Nodes, http: aiohttp.ClientSession, load: Load, chance: Random) -> list[Follower]:
    made = []
    doors = {"grpc": over_grpc(nodes), "json": over_json(nodes, http), "sse": over_events(nodes, http)}
    for door, stream in doors.items():
        for number in range(OF_EACH):
            first = chance.choice((0, 1, 1, 40))
            if door == "sse":
                prefix = chance.choice(PREFIXES)
                end = prefix[:-1] + bytes([prefix[-1] + 1]) if prefix else b"\0"
                asked = Asked(prefix, end, first)
            else:
                asked = Asked(*chance.choice(RANGES), first, chance.random() < 0.5, number == 0, number == 1)
            made.append(Follower(f"{door} {number} of {asked}", nodes, load, chance, stream, asked))
    return made


class Run:
    """What happened. `until`: the last revision that everybody was to hear of."""

    def __init__(self) -> None:
        self.truth = TrueChanges()
        self.watchers: list[Follower] = []
        self.applicants: list[Applicant] = []
        self.struck: dict[str, int] = {}
        self.until = 0
        self.restored = 0
        """How often a node was restored from a snapshot."""


async def recorded(folder: Path, seconds: float, program: str = "node.cli") -> tuple[Run, Load]:
    """Break a cluster for so long, then let everybody hear the end."""
    run, chance = Run(), Random(SEED)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http, running(folder, program) as nodes:
        load = Load(nodes, http, chance)
        await load.last()  # somebody leads
        run.watchers = followers(nodes, http, load, chance)
        async with RaftClient([nodes.url(name) for name in NAMES], timeout_s=60) as client:
            run.applicants = [Applicant(client, prefix) for prefix in PREFIXES[:LIBRARY]]
            everybody: list[Follower | Applicant] = [*run.watchers, *run.applicants]
            async with tasks(*(one.run() for one in everybody)) as following:
                async with tasks(*(load.write() for _ in range(WRITERS)), load.compact()):
                    until = asyncio.get_running_loop().time() + seconds
                    run.struck = await breaking(nodes, http, chance, until)
                    load.stopped = True
                await nodes.all_applied(http)
                for watcher in run.watchers:
                    watcher.calm = True
                run.until = await load.last()
                with suppress(TimeoutError):  # who does not hear the end is judged for it
                    async with asyncio.timeout(CALM_SECONDS_MAX):
                        while not all(_seen(one) >= run.until for one in everybody):
                            await asyncio.sleep(0.1)
                            broken = [task for task in following if task.done()]
                            if broken:
                                await broken[0]
        applied = await nodes.all_applied(http)
    await asyncio.sleep(0)
    run.truth, run.restored = nodes.truth(applied), nodes.restored
    return run, load


def _seen(one: Follower | Applicant) -> int:
    return one.seen if isinstance(one, Applicant) else one.records[-1].seen


@asynccontextmanager
async def tasks(*what: Coroutine[None, None, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """They run until the end of the block."""
    made = [asyncio.create_task(each) for each in what]
    try:
        yield made
    finally:
        for task in made:
            task.cancel()
        await asyncio.wait(made)


async def test_watches_of_real_nodes_keep_every_promise_whatever_is_done_to_these(tmp_path: Path) -> None:
    run, load = await recorded(tmp_path, BREAKING_SECONDS)
    assert min(run.struck.values()) >= 1, run.struck
    load.are_true(run.truth)
    events = {watcher.name: 0 for watcher in run.watchers}
    for watcher in run.watchers:
        for record in watcher.records:
            events[watcher.name] += record.judge(run.truth, run.until)
    library = [applicant.judge(run.truth, run.until) for applicant in run.applicants]
    connections = sum(watcher.connections for watcher in run.watchers)
    gone = sum(len(watcher.records) - 1 for watcher in run.watchers)
    told = [
        f"{run.truth.revision} revisions, {load.compactions} compactions, {run.restored} restores, {run.struck}",
        f"{connections} connections, {gone} times history was gone",
        f"events {list(events.values())}, by the library {library}",
    ]
    print(*told, sep="\n")
    assert len(load.acknowledged) > 100
    assert load.compactions > 3
    assert connections > 5 * len(run.watchers)
    assert all(events.values()), events
    assert all(library), library


async def test_a_node_that_forgets_an_event_is_found_out(tmp_path: Path) -> None:
    run, load = await recorded(tmp_path, 1.0, "tests.robustness.forgetful")
    load.are_true(run.truth)
    for watcher in run.watchers:
        for record in watcher.records:
            with suppress(Violation):
                record.judge(run.truth, run.until)
                continue
            with pytest.raises(Violation, match=r"not (reliable|atomic|bookmarkable)"):
                record.judge(run.truth, run.until)
            return
    pytest.fail("nobody noticed")
