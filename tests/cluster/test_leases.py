"""Leases with real processes: a killed leader shortens none, and what is not kept alive ends soon after its time."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from raftclient import RaftClient
from tests.cluster.harness import running_cluster

pytestmark = pytest.mark.slowest

TTL_S, KEPT_S = 2, 8
LATE_S = 1.0 + 1.5
"""What is promised, and what a busy machine needs to say so."""


async def test_a_lease_that_is_kept_outlives_leaders_and_one_that_is_not_ends_soon_after_its_time(
    tmp_path: Path,
) -> None:
    async with (
        running_cluster(tmp_path, 3) as cluster,
        RaftClient([cluster.url(name) for name in cluster.nodes]) as client,
    ):
        async with client.lease(KEPT_S) as kept:
            await client.put("kept", b"v", lease=kept)
            for _ in range(2):
                leader = await cluster.leader()
                cluster.signal(leader, signal.SIGKILL)
                await cluster.leader(not_one_of=(leader,))
                await asyncio.sleep(KEPT_S / 2 + 1)  # both together are longer than it lasts
                await cluster.all_there()
                kept.check()
                assert await client.get("kept") is not None
        assert await client.get("kept") is None, "it was revoked"

        asked = time.monotonic()  # its time begins when the leader proposes it, and that is in between
        async with cluster.http.post(f"{cluster.url('n1')}/v3/lease/grant", json={"TTL": TTL_S}) as answer:
            number = (await answer.json())["ID"]
            granted = time.monotonic()
        async with cluster.http.put(f"{cluster.url('n2')}/kv/left?lease={number}", data=b"v") as answer:
            assert answer.status == 200

        async def gone() -> bool:
            return await client.get("left") is None

        await cluster.until(gone, "the key of a lease that nobody keeps is gone")
        now = time.monotonic()
        assert now - asked >= TTL_S
        assert now - granted <= TTL_S + LATE_S
        async with cluster.http.post(f"{cluster.url('n3')}/v3/lease/timetolive", json={"ID": number}) as answer:
            assert (await answer.json())["TTL"] == "-1"
