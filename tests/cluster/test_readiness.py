"""Readiness, asked of real processes: an election takes nobody out of service, the loss of a majority does."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from node.observe.health import READY_LEADERLESS_TIMEOUTS
from tests.cluster.harness import Cluster, running_cluster

pytestmark = pytest.mark.slow

ELECTION_MS = 600
LEADERLESS_S = READY_LEADERLESS_TIMEOUTS * ELECTION_MS / 1000
GIVEN_UP_SECONDS_MAX = LEADERLESS_S + 10
POLL_SECONDS = 0.02


async def readyz(cluster: Cluster, name: str) -> tuple[int, str]:
    async with cluster.http.get(f"{cluster.url(name)}/readyz") as answer:
        return answer.status, await answer.text()


async def test_a_node_without_a_leader_stays_ready_for_three_election_timeouts_and_no_longer(tmp_path: Path) -> None:
    timing = ("--heartbeat-ms", "50", "--election-timeout-ms", f"300-{ELECTION_MS}")
    async with running_cluster(tmp_path, 3, *timing) as cluster:
        leader = await cluster.leader()
        left = next(name for name in cluster.nodes if name != leader)
        assert (await readyz(cluster, left))[0] == 200
        for name in cluster.nodes:
            if name != left:
                cluster.signal(name, signal.SIGKILL)

        async def leaderless() -> bool:
            status = await cluster.status(left)
            return bool(status and not status["leader"])

        await cluster.until(leaderless, f"{left} knows no leader")
        began = time.monotonic()
        assert (await readyz(cluster, left))[0] == 200, "an election may be under way"
        while (said := await readyz(cluster, left))[0] == 200:
            assert time.monotonic() - began < GIVEN_UP_SECONDS_MAX
            await asyncio.sleep(POLL_SECONDS)
        assert "no leader is known for" in said[1]
        assert time.monotonic() - began > LEADERLESS_S / 2, "it was ready for as long as elections take"
        async with cluster.http.get(f"{cluster.url(left)}/livez") as answer:
            assert answer.status == 200, "a restart would not help"
