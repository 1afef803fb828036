"""Readiness, asked of real processes: an election takes nobody out of service, the loss of a majority does, and a node
that has started is not in service before it knows what was acknowledged meanwhile."""

import asyncio
import re
import signal
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from node.observe.health import READY_LEADERLESS_TIMEOUTS
from tests.cluster.harness import Cluster, running_cluster
from tests.ports import free_base_port

pytestmark = pytest.mark.slowest

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
        await cluster.until_ready(left)
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


async def command(cluster: Cluster, name: str, order: str, **arguments: object) -> None:
    async with cluster.http.post(f"{cluster.url(name)}/commands/{order}", json=arguments) as answer:
        assert answer.status == 200, await answer.text()


async def test_a_node_that_started_is_not_ready_until_a_quorum_told_it_what_was_committed(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, "--heartbeat-ms", "50", "--election-timeout-ms", "1000-2000") as cluster:
        leader = await cluster.leader()
        late = next(name for name in cluster.nodes if name != leader)
        cluster.signal(late, signal.SIGKILL)
        # It hears the leader, and the leader does not hear what it asks
        await command(cluster, leader, "cut_link", peer=late, direction="in", seconds=60)
        await cluster.start_node(late)

        async def follows() -> bool:
            status = await cluster.status(late)
            return bool(status and status["leader"] == leader)

        await cluster.until(follows, f"{late} follows {leader}")
        for _ in range(10):
            code, said = await readyz(cluster, late)
            assert (code, "what was committed when the node started" in said) == (503, True), said
            await asyncio.sleep(POLL_SECONDS)
        await command(cluster, leader, "recover")

        async def ready() -> bool:
            return (await readyz(cluster, late))[0] == 200

        await cluster.until(ready, f"{late} is ready")


IDLE_SECONDS = 2.5
LOOP_AGE_SECONDS_MAX = 2.0
START_SECONDS_MAX = 20.0


async def test_a_node_that_has_nothing_to_do_but_wait_for_its_birth_is_alive(tmp_path: Path) -> None:
    port = free_base_port(2)
    words = ("--name", "n1", "--seeds", f"n1=127.0.0.1:{port + 1}", "--port", str(port), "--wait-in-initial")
    command = (sys.executable, "-m", "node.cli", "serve", *words, "--data-dir", str(tmp_path / "data"))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as http:
            began = time.monotonic()
            while not await answers(http, url):
                assert time.monotonic() - began < START_SECONDS_MAX
                await asyncio.sleep(POLL_SECONDS)
            await asyncio.sleep(IDLE_SECONDS)  # that nothing happens has no event
            async with http.get(f"{url}/metrics") as answer:
                found = re.search(r"^raft_loop_age_seconds (\S+)", await answer.text(), re.MULTILINE)
            assert found
            assert float(found[1]) < LOOP_AGE_SECONDS_MAX, "after a minute of this it would be restarted"
    finally:
        process.kill()
        await process.wait()


async def answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/livez") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
