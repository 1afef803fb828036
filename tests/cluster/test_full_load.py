"""Full load is no reason for an election: heartbeats do not queue behind data, disk or requests."""

import asyncio
from pathlib import Path

import pytest

from tests.cluster.harness import Cluster, running_cluster
from tests.cluster.oracle import Load

pytestmark = pytest.mark.slow

CLIENTS = 64


@pytest.mark.slowest
@pytest.mark.parametrize("seconds", [2, pytest.param(20, marks=pytest.mark.longest)])
async def test_full_load_from_64_clients_causes_no_election(tmp_path: Path, seconds: int) -> None:
    async with running_cluster(tmp_path) as cluster:
        before = await cluster.statuses()
        async with Load(cluster, CLIENTS) as load:
            await asyncio.sleep(seconds)  # the duration is what is tested
        after = await cluster.statuses()
        told = sum((writer.outcomes for writer in load.writers), start=load.writers[0].outcomes.__class__())
        stalls = [line for name in cluster.nodes for line in await stalls_of(cluster, name)]
        assert not [line for line in stalls if 'own="true"' in line], "no turn was held by work"
        if not stalls:  # where the machine itself stood still, an election is its doing
            assert {status["term"] for status in after.values()} == {status["term"] for status in before.values()}
            assert {status["leader"] for status in after.values()} == {status["leader"] for status in before.values()}
            assert set(told) == {"200"}, told
        await load.nothing_is_lost()


async def stalls_of(cluster: Cluster, name: str) -> list[str]:
    """The samples of a node's metrics that count turns which took half an election timeout and more."""
    async with cluster.http.get(f"{cluster.url(name)}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return [line for line in lines if line.startswith("raft_loop_stalls_total") and float(line.rpartition(" ")[2])]
