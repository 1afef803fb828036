"""Watches of real processes: each change once and in order, whoever is killed meanwhile."""

import asyncio
import json
import signal
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
