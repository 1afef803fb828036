"""The client against real nodes: what it says is true while leaders die, stall and hand over."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

import pytest

from raftclient import NotDone, OutcomeUnknown, RaftClient, RevisionMismatch, Value
from tests.cluster.harness import Cluster, running_cluster

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(300)]

CALM = ("--heartbeat-ms", "50", "--election-timeout-ms", "500-1000")
"""Where outcomes are counted, leaders change only where the test makes them."""
PAUSE_S = 0.05
"""Between a writer's writes: every key is read again, one by one."""


def urls(cluster: Cluster) -> list[str]:
    return [str(node["url"]) for node in cluster.nodes.values()]


async def test_what_was_written_is_read_with_its_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for patience in ("READ_SECONDS_MAX", "WRITE_SECONDS_MAX"):  # a slow answer is no reason to ask again here
        monkeypatch.setattr(f"raftclient.client.{patience}", 60.0)
    async with running_cluster(tmp_path, 3, *CALM) as cluster, RaftClient(urls(cluster), timeout_s=100) as client:
        first = await client.put("k", "one")
        assert await client.get("k") == Value(b"one", first)
        second = await client.compare_and_set("k", b"", first)
        assert await client.get("k") == Value(b"", second)
        with pytest.raises(RevisionMismatch) as caught:
            await client.compare_and_set("k", "three", first)
        assert caught.value.revision == second
        for key in (b"..", b".", b"a/../b", b"\xff?#% &"):
            assert await client.get(key) is None
            revision = await client.compare_and_set(key, key, 0)
            assert await client.get(key) == Value(key, revision)
        with pytest.raises(NotDone, match="longer than") as refused:
            await client.put("k" * 9000, "v")
        assert refused.value.status == 413
        await client.put("large", bytes(1024 * 1024))
        assert len((await client.get("large") or Value(b"", 0)).value) == 1024 * 1024
        with pytest.raises(RevisionMismatch):
            await client.delete("k", expect_revision=first)
        assert await client.delete("k") is not None
        assert await client.delete("k") is None
        assert client.retries == 0

        async def tells_who_leads() -> bool:
            leader = cluster.url(await cluster.leader())
            told = (await client.status()).items()
            return [url for url, status in told if status and status["role"] == "leader"] == [leader]

        await cluster.until(tells_who_leads, "the client tells who leads")


async def test_nothing_acknowledged_is_lost_and_nothing_refused_appears(tmp_path: Path) -> None:
    """Two leaders are killed, and one asked to go, under writes; each outcome is compared with what is there."""
    outcomes: dict[str, str] = {}
    stop = asyncio.Event()

    async def write(number: int, client: RaftClient) -> None:
        step = 0
        while not stop.is_set():
            key, step = f"{number}-{step}", step + 1
            try:
                await client.compare_and_set(key, "v", 0)
                outcomes[key] = "done"
            except OutcomeUnknown:
                outcomes[key] = "unknown"
            except NotDone:  # a mismatch, too: the key would have been written before, by this very call
                outcomes[key] = "not done"
            await asyncio.sleep(PAUSE_S)

    async with running_cluster(tmp_path, 3, *CALM) as cluster, RaftClient(urls(cluster), timeout_s=10) as client:
        writers = [asyncio.create_task(write(number, client)) for number in range(4)]
        leader = await cluster.leader()
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            cluster.signal(leader, number)
            new = await cluster.leader(not_one_of=(leader,))
            done = len(outcomes)
            async with asyncio.timeout(20):
                while len(outcomes) < done + 20:  # noqa: ASYNC110 - writes go on, through other nodes
                    await asyncio.sleep(0.01)
            await cluster.start_node(leader)
            leader = new
        stop.set()
        await asyncio.gather(*writers)
        there = {key for key in outcomes if await client.get(key) is not None}
        counts = Counter(outcomes.values())
        assert not [key for key, outcome in outcomes.items() if outcome == "done" and key not in there]
        assert not [key for key, outcome in outcomes.items() if outcome == "not done"], counts
        assert not counts["unknown"], "there was time for an answer to every write"
        assert client.retries > 0
        assert client.longest_stall_s < 10


async def test_a_paused_leader_makes_a_write_unknown_and_a_read_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_cluster(tmp_path, 3, *CALM) as cluster, RaftClient(urls(cluster)) as client:
        await client.put("k", "before")
        leader = await cluster.leader()
        client._nodes.current = cluster.url(leader)
        cluster.signal(leader, signal.SIGSTOP)
        monkeypatch.setattr(client, "_timeout_s", 1.0)
        with pytest.raises(OutcomeUnknown) as caught:
            await client.put("k", "during")
        monkeypatch.undo()
        assert caught.value.endpoint == cluster.url(leader)
        found = await client.get("k")
        assert found is not None
        assert await client.compare_and_set("k", "settled", found.revision) > found.revision
        cluster.signal(leader, signal.SIGCONT)
        assert (await client.get("k") or Value(b"", 0)).value == b"settled"


async def test_without_a_majority_nothing_is_done_and_the_client_knows(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, RaftClient(urls(cluster), timeout_s=2) as client:
        leader = await cluster.leader()
        for name in cluster.nodes:
            if name != leader:
                cluster.signal(name, signal.SIGKILL)

        async def stepped_down() -> bool:
            status = await cluster.status(leader)
            return status is not None and not status["leader"]

        await cluster.until(stepped_down, "the leader without a majority stepped down")
        with pytest.raises(NotDone):
            await client.put("k", "v")
        with pytest.raises(NotDone):
            await client.get("k")
        assert await client.get("k", stale=True) is None
