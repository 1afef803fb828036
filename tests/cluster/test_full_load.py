"""Full load is no reason for an election: heartbeats do not queue behind data, disk or requests."""

import asyncio
from pathlib import Path

import pytest

from tests.cluster.harness import running_cluster
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
        assert {status["term"] for status in after.values()} == {status["term"] for status in before.values()}
        assert {status["leader"] for status in after.values()} == {status["leader"] for status in before.values()}
        refused = sum((writer.outcomes for writer in load.writers), start=load.writers[0].outcomes.__class__())
        assert set(refused) == {"200"}, refused
        await load.nothing_is_lost()
