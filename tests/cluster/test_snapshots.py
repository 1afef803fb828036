"""A log that ends, with real processes: snapshots under load, a follower beyond the log, restarts from a snapshot."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.cluster.harness import Cluster, running_cluster
from tests.cluster.oracle import Load

pytestmark = pytest.mark.slow

ENTRIES, TAIL = 150, 50


@pytest.fixture(autouse=True)
def snapshots_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every node takes its settings from here."""
    for name, value in (("ENTRIES", ENTRIES), ("TAIL", TAIL)):
        monkeypatch.setenv(f"RAFT_SNAPSHOT_{name}", str(value))


async def every_log_begins_late(cluster: Cluster) -> None:
    async def so() -> bool:
        found = (await cluster.statuses()).values()
        return len(found) == len(cluster.nodes) and all(
            s["snapshot"]["index"] and s["first_index"] > s["snapshot"]["index"] - TAIL - ENTRIES > 0 for s in found
        )

    await cluster.until(so, "every node has a snapshot, and its log begins shortly before it")


@pytest.mark.slowest
@pytest.mark.timeout(300)
async def test_a_follower_beyond_the_log_gets_a_snapshot_under_load_and_nothing_is_lost(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 8) as load:
        leader = await cluster.leader()
        down = next(name for name in cluster.nodes if name != leader)
        await load.more_acknowledged(20)
        cluster.signal(down, signal.SIGKILL)
        await load.more_acknowledged(3 * (ENTRIES + TAIL))
        await cluster.start_node(down)

        async def caught_up() -> bool:
            status = await cluster.status(down)
            return bool(status and status["snapshot"]["index"] and status["applied"] >= status["commit"] > ENTRIES)

        await cluster.until(caught_up, f"{down} took a snapshot over and follows")

        async def says_so() -> bool:
            return "snapshot-installed" in (tmp_path / "data" / down / "node.log").read_text()

        await cluster.until(says_so, f"{down} says that it took one over")
        await load.more_acknowledged(50)
        killed = await cluster.leader()
        cluster.signal(killed, signal.SIGKILL)
        await cluster.leader(not_one_of=(killed,))
        await load.more_acknowledged(ENTRIES)
        await cluster.start_node(killed)
        for writer in load.writers:
            writer.stopped = True
        await cluster.all_applied()
        await every_log_begins_late(cluster)
        await load.nothing_is_lost()


@pytest.mark.longest
@pytest.mark.timeout(300)
async def test_all_killed_at_once_begin_again_with_their_snapshots(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 8) as load:
        await load.more_acknowledged(2 * (ENTRIES + TAIL))
        for name in cluster.nodes:
            cluster.signal(name, signal.SIGKILL)
        await cluster.all_there()
        await load.more_acknowledged(20)
        for writer in load.writers:
            writer.stopped = True
        await cluster.all_applied()
        await load.nothing_is_lost()
        for name, node in cluster.nodes.items():
            files = os.listdir(node["data_dir"])
            assert sum(file.endswith(".snap") for file in files) in (1, 2), (name, files)
        keys = [await digest(cluster, name) for name in cluster.nodes]
        assert keys[0] == keys[1] == keys[2]


async def digest(cluster: Cluster, name: str) -> str:
    """What a node itself holds, as it says so."""
    everything = json.dumps({"key": "AA==", "range_end": "AA==", "serializable": True})
    async with cluster.http.post(f"{cluster.url(name)}/v3/kv/range", data=everything) as answer:
        found = json.loads(await answer.read())
        return json.dumps(found["kvs"])
