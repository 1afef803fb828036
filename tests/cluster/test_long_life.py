"""A cluster that lives: everything that happens to one in years, in minutes, under load, one after the other.

Forty seconds of it in `make test-slow`; half an hour in `make test-life`, or as long as LIFE_SECONDS says.
"""

import asyncio
import os
import shutil
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random, SystemRandom

import pytest

from tests.cluster.changing import done, fourth, is_a
from tests.cluster.harness import Cluster, running_cluster
from tests.cluster.oracle import Load

LIFE_SECONDS = float(os.environ.get("LIFE_SECONDS", "40"))

SETTINGS = {
    "RAFT_AUTO_MEMBERS": "n1,n2,n3",
    "RAFT_SNAPSHOT_ENTRIES": "2000",
    "RAFT_SNAPSHOT_TAIL": "200",
    "RAFT_AUTO_COMPACTION_MINUTES": "0",
    "RAFT_AUTO_COMPACTION_REVISIONS": "500",
}
"""Every node takes them from the environment: several snapshots a minute, and no hour of old revisions in memory."""

STATED = {"200", "503", "504", "ClientConnectorError", "ServerDisconnectedError", "ClientOSError", "TimeoutError"}
"""What a write may be answered with: done, not done, unknown; or its connection says that the node is gone."""

MEMORY_GROWTH_MAX = 1.5
"""Of the youngest processes' median: they all hold the same few keys, however long they have run."""

MEMORY_BYTES_MIN = 40_000_000
DISK_BYTES_MAX = 40_000_000
"""Two snapshots of a few keys, the entries since, a tail, and segments of the log that are filled in advance."""

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(LIFE_SECONDS + 300)]


class Life:
    """What may happen. Each is waited for until the cluster is whole again."""

    def __init__(self, cluster: Cluster, load: Load, chance: Random) -> None:
        self.cluster, self.load, self.chance = cluster, load, chance

    def events(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """By name."""
        return {
            "kill a node": self.kill,
            "kill the leader": self.kill_leader,
            "kill all": self.kill_all,
            "lose a disk": self.lose_a_disk,
            "hand over": self.hand_over,
            "a fourth node comes and goes": self.fourth_comes_and_goes,
        }

    async def kill(self) -> None:
        name = self.chance.choice(list(self.cluster.nodes))
        self.cluster.signal(name, signal.SIGKILL)
        await self.load.more_acknowledged(20)
        await self.cluster.start_node(name)

    async def kill_leader(self) -> None:
        killed = await self.cluster.leader()
        self.cluster.signal(killed, signal.SIGKILL)
        await self.cluster.leader(not_one_of=(killed,))
        await self.cluster.start_node(killed)

    async def kill_all(self) -> None:
        for name in self.cluster.nodes:
            self.cluster.signal(name, signal.SIGKILL)

    async def lose_a_disk(self) -> None:
        name = self.chance.choice(list(self.cluster.nodes))
        before = (await self.cluster.statuses())[name]["incarnation"]
        await self.cluster.wipe(name)

        async def votes_again() -> bool:
            status = await self.cluster.status(name)
            own = {"name": name, "incarnation": status["incarnation"]} if status else {}
            return bool(status and own["incarnation"] != before and own in status["voters"])

        await self.cluster.until(votes_again, f"{name} votes again, with its new disk")

    async def hand_over(self) -> None:
        url = self.cluster.url(await self.cluster.leader())
        async with self.cluster.http.post(f"{url}/commands/transfer_leadership", json={}) as answer:
            await answer.read()

    async def fourth_comes_and_goes(self) -> None:
        shutil.rmtree(self.cluster.folder / "n4", ignore_errors=True)
        async with fourth(self.cluster):
            await is_a(self.cluster, "applicants", "n4")
            await done(self.cluster, "add", "n4")
            await done(self.cluster, "promote", "n4")
            await self.load.more_acknowledged(50)
            await done(self.cluster, "remove", "n4")


async def test_a_cluster_lives_through_kills_lost_disks_and_changes_of_members_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    seed = SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # of the order of what happens, not of what the processes do
    happened: Counter[str] = Counter()
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 4) as load:
        loop = asyncio.get_running_loop()
        end = loop.time() + LIFE_SECONDS
        life = Life(cluster, load, Random(seed))
        events = life.events()
        while loop.time() < end or len(happened) < len(events):
            missing = [event for event in events if not happened[event]]
            event = life.chance.choice(missing or list(events))
            await events[event]()
            happened[event] += 1
            await cluster.all_there()
            await load.more_acknowledged(100)
        for writer in load.writers:
            writer.stopped = True
        await cluster.all_applied()
        await load.nothing_is_lost()
        outcomes = sum((writer.outcomes for writer in load.writers), Counter[str]())
        print(f"{dict(happened)}; writes: {dict(outcomes)}")
        assert not set(outcomes) - STATED, outcomes
        await snapshots_were_taken(cluster)
        what_it_holds_is_bounded(cluster)


async def snapshots_were_taken(cluster: Cluster) -> None:
    for name, status in (await cluster.statuses()).items():
        assert status["snapshot"]["index"] > 0, name
        assert status["last_index"] - status["first_index"] < 3 * int(SETTINGS["RAFT_SNAPSHOT_ENTRIES"]), name


def what_it_holds_is_bounded(cluster: Cluster) -> None:
    memory = {name: _resident_bytes(int(node["pid"])) for name, node in cluster.nodes.items()}
    disk = {name: _bytes_in(Path(node["data_dir"])) for name, node in cluster.nodes.items()}
    print(f"memory {memory}, disk {disk}")
    least = max(min(memory.values()), MEMORY_BYTES_MIN)
    assert max(memory.values()) < MEMORY_GROWTH_MAX * least, memory
    assert max(disk.values()) < DISK_BYTES_MAX, disk


def _resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no memory")


def _bytes_in(folder: Path) -> int:
    """Of everything but what the node said."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.suffix != ".log")
