"""A node whose disk was lost, with real processes: it has no vote, says why, and harms nobody."""

import json
import signal
from pathlib import Path

import pytest

from tests.cluster.harness import Cluster, running_cluster

pytestmark = pytest.mark.slow


async def put(cluster: Cluster, name: str, key: str) -> int:
    async with cluster.http.put(f"{cluster.url(name)}/kv/{key}", data=b"v") as answer:
        return answer.status


async def votes_granted(cluster: Cluster, name: str) -> int:
    async with cluster.http.get(f"{cluster.url(name)}/stats") as answer:
        return int(json.loads(await answer.read())["votes"]["granted"])


@pytest.mark.slowest
@pytest.mark.parametrize("which", [pytest.param("leader", marks=pytest.mark.slowest), "follower"])
async def test_a_wiped_node_stays_initial_without_a_vote_and_writes_go_on(tmp_path: Path, which: str) -> None:
    async with running_cluster(tmp_path, 3) as cluster:
        leader = await cluster.leader()
        wiped = leader if which == "leader" else next(name for name in cluster.nodes if name != leader)
        assert await put(cluster, leader, "before") == 200
        await cluster.wipe(wiped)

        async def says_why() -> bool:
            status = await cluster.status(wiped)
            return bool(status and "was born without this disk" in status["waiting_for"])

        await cluster.until(says_why, f"{wiped} says why it waits")
        new_leader = await cluster.leader((wiped,))
        other = next(name for name in cluster.nodes if name not in (wiped, new_leader))
        for number in range(20):
            assert await put(cluster, (new_leader, other)[number % 2], f"k{number}") == 200
        for command, node in (
            ("trigger_election", other),
            ("transfer_leadership", new_leader),
            ("force_timeout", wiped),
        ):
            async with cluster.http.post(f"{cluster.url(node)}/commands/{command}", json={}) as answer:
                assert answer.status in ((409,) if node == wiped else (200, 409))
        assert await put(cluster, await cluster.leader((wiped,)), "after") == 200
        status = await cluster.status(wiped)
        assert status is not None
        assert (status["role"], status["vote"], status["commit"], status["last_index"]) == ("initial", "", 0, 0)
        assert await put(cluster, wiped, "asked-of-it") == 503
        assert await votes_granted(cluster, wiped) == 0
        async with cluster.http.get(f"{cluster.url(wiped)}/readyz") as answer:
            assert (answer.status, "without this disk" in await answer.text()) == (503, True)
        async with cluster.http.get(f"{cluster.url(wiped)}/livez") as answer:
            assert answer.status == 200
        async with cluster.http.get(f"{cluster.url(await cluster.leader((wiped,)))}/kv/before") as answer:
            assert await answer.read() == b"v"
        # And when one of the two others dies, the wiped one does not stand in for it.
        leader = await cluster.leader((wiped,))
        cluster.signal(next(name for name in cluster.nodes if name not in (wiped, leader)), signal.SIGKILL)

        async def stepped_down() -> bool:
            status = await cluster.status(leader)
            return status is not None and status["role"] != "leader"

        await cluster.until(stepped_down, "a leader with one vote of three steps down")
        assert await votes_granted(cluster, wiped) == 0
