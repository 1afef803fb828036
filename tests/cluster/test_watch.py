"""Watches of real processes: each change once and in order, whoever is killed meanwhile."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from raftclient import Change, RaftClient
from tests.cluster.harness import Cluster, raft_node, running_cluster

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(200)]


@pytest.fixture(autouse=True)
def snapshots_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that was down comes back by a snapshot, not by the log alone."""
    monkeypatch.setenv("RAFT_SNAPSHOT_ENTRIES", "30")
    monkeypatch.setenv("RAFT_SNAPSHOT_TAIL", "5")


async def test_a_watch_goes_through_leader_kills_and_restarts_without_loss_or_repetition(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster:
        urls = [cluster.url(name) for name in cluster.nodes]
        heard: list[Change] = []
        async with RaftClient(urls, timeout_s=30) as writer, RaftClient(urls, timeout_s=60) as reader:
            first = await writer.put("w/0", "0")

            async def follow() -> None:
                async for change in reader.watch("w/", first):
                    heard.append(change)

            following = asyncio.create_task(follow())
            written = [Change(b"w/0", b"0", first)]
            for round_number in range(4):
                victim = await _victim(cluster, leader=round_number % 2 == 0)
                cluster.signal(victim, signal.SIGKILL)
                for number in range(40):
                    key, value = f"w/{number % 7}", f"{round_number} {number}"
                    written.append(Change(key.encode(), value.encode(), await writer.put(key, value)))
                await cluster.start_node(victim)
            async with asyncio.timeout(60):
                while len(heard) < len(written) and not following.done():  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.05)
            following.cancel()
        assert heard == written


LASTING_SECONDS = 120
"""Of a cut: none may end by itself while a test looks at it."""

AT_ONCE_SECONDS = 12.0
"""Three election timeouts of 1 s, the follower's own before them, and a slow machine. Silence alone takes 20 s."""


async def _cut_off(cluster: Cluster, one: str) -> None:
    for peer in set(cluster.nodes) - {one}:
        words = {"peer": peer, "seconds": LASTING_SECONDS}
        async with cluster.http.post(f"{cluster.url(one)}/commands/cut_link", json=words) as answer:
            assert answer.status == 200, await answer.text()


@pytest.mark.parametrize("at", ["leader", pytest.param("follower", marks=pytest.mark.longest)])
async def test_a_watch_at_a_node_that_is_cut_off_goes_on_at_another_one(tmp_path: Path, at: str) -> None:
    async with running_cluster(tmp_path, 3, "--election-timeout-ms", "500-1000") as cluster:
        leader = await cluster.leader()
        cut = leader if at == "leader" else next(name for name in cluster.nodes if name != leader)
        others = [cluster.url(name) for name in cluster.nodes if name != cut]
        reader = RaftClient([cluster.url(cut), *others], timeout_s=30)
        async with RaftClient(others, timeout_s=30) as writer, reader:
            reader._nodes.current = cluster.url(cut)  # a client prefers who leads
            first = await writer.put("w/0", "0")
            watch = reader.watch("w/", first)
            heard = [await anext(watch)]
            written = [Change(b"w/0", b"0", first)]
            async with _watching(cluster, cut, others, first) as command, asyncio.timeout(AT_ONCE_SECONDS):
                await _cut_off(cluster, cut)
                for number in range(1, 31):
                    written.append(Change(b"w/1", b"%d" % number, await writer.put("w/1", str(number))))
                while len(heard) < len(written):
                    heard.append(await anext(watch))
                told, _ = await command.communicate()
            await watch.aclose()  # type: ignore[attr-defined]
        assert heard == written
        assert [int(line.split()[0]) for line in told.splitlines()] == [change.revision for change in written]
        async with cluster.http.get(f"{cluster.url(cut)}/kv/?watch=1&timeout_ms=2000") as answer:
            assert answer.status == 503
        async with cluster.http.get(f"{cluster.url(cut)}/kv/?watch=1&consistency=stale") as answer:
            assert (answer.status, await answer.content.readline()) == (200, b"retry: 1000\n")


@asynccontextmanager
async def _watching(
    cluster: Cluster, cut: str, others: list[str], first: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`raft-node watch` as a process, which watches at that node."""
    urls = [word for url in (cluster.url(cut), *others) for word in ("--url", url)]
    words = ("watch", "w/", "--revision", str(first), "--count", "31", *urls)
    pipe = asyncio.subprocess.PIPE
    command = await asyncio.create_subprocess_exec(sys.executable, "-m", "node.cli", *words, stdout=pipe)

    async def both_watch() -> bool:
        async with cluster.http.get(f"{cluster.url(cut)}/metrics") as answer:
            return "raft_watches 2.0" in await answer.text()

    try:
        await cluster.until(both_watch, "two watches")
        yield command
    finally:
        if command.returncode is None:
            command.kill()
            await command.wait()


async def _victim(cluster: Cluster, *, leader: bool) -> str:
    leads = await cluster.leader()
    return leads if leader else next(name for name in cluster.nodes if name != leads)


async def test_the_command_prints_what_was_and_what_comes_and_ends_after_as_many_as_it_was_told(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster:
        data = str(tmp_path / "data")
        for words in (("put", "a/1", "x"), ("put", "b", "y"), ("put", "a/2", "two\nlines"), ("delete", "a/1")):
            assert (await raft_node(*words, "--data-dir", data))[0] == 0
        code, said = await raft_node("watch", "a", "--revision", "1", "--count", "3", "--data-dir", data)
        assert (code, said) == (0, '2  put     a/1  x\n4  put     a/2  "two\\nlines"\n5  delete  a/1\n')
        code, said = await raft_node("watch", "", "--revision", "3", "--count", "1", "--json", "--data-dir", data)
        found = json.loads(said)
        assert (code, found["type"], found["key"], found["revision"]) == (0, "put", "b", 3)
        url = cluster.url(next(iter(cluster.nodes)))
        async with cluster.http.post(f"{url}/v3/kv/compaction", json={"revision": 4}) as answer:
            assert answer.status == 200
        code, said = await raft_node("watch", "a", "--revision", "2", "--data-dir", data)
        assert code == 1
        assert "read the keys, and watch from there on" in said
