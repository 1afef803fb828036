"""Three and five real processes, killed and stopped under load: nothing acknowledged is lost, nothing goes back."""

import asyncio
import signal
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.cluster.harness import Cluster, running_cluster
from tests.cluster.oracle import Load, Terms

pytestmark = pytest.mark.slow


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "kills", [pytest.param(2, marks=pytest.mark.slowest), pytest.param(10, marks=pytest.mark.longest)]
)
async def test_killing_the_leader_again_and_again_under_load_loses_nothing(tmp_path: Path, kills: int) -> None:
    async with running_cluster(tmp_path) as cluster, Terms(cluster) as terms, Load(cluster, 8) as load:
        last = 0
        for _ in range(kills):
            await load.more_acknowledged(100)
            killed = await cluster.leader()
            cluster.signal(killed, signal.SIGKILL)
            successor = await cluster.leader(not_one_of=(killed,))
            status = await cluster.status(successor)
            assert status is not None
            assert status["term"] > last, "a new leader has a new term"
            last = status["term"]
            await load.more_acknowledged(20)
            await cluster.start_node(killed)
        for writer in load.writers:
            writer.stopped = True
        await cluster.all_applied()
        await load.nothing_is_lost()
        assert not terms.fallen


@pytest.mark.slowest
async def test_a_paused_leader_never_answers_with_an_old_value(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster:
        paused = await cluster.leader()
        old_url, http = cluster.url(paused), cluster.http
        async with http.put(f"{old_url}/kv/x", data=b"old") as answer:
            assert answer.status == 200
        cluster.signal(paused, signal.SIGSTOP)
        successor = await cluster.leader(not_one_of=(paused,))
        async with http.put(f"{cluster.url(successor)}/kv/x", data=b"new") as answer:
            assert answer.status == 200
        # The request lies in the paused leader's buffer when it goes on, still believing that it leads.
        reads = [asyncio.create_task(_get(http, f"{old_url}/kv/x")) for _ in range(20)]
        await asyncio.sleep(0.1)  # the bytes are on their way; nothing can be awaited, the reader is stopped
        cluster.signal(paused, signal.SIGCONT)
        answers = await asyncio.gather(*reads)
        assert all(answer in ((200, b"new"), (503, None)) for answer in answers), answers
        stale = await _get(http, f"{old_url}/kv/x?consistency=stale")
        assert stale[0] == 200


async def test_killing_all_nodes_at_once_under_load_loses_nothing(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster, Terms(cluster) as terms:
        async with Load(cluster, 16) as load:
            await load.more_acknowledged(500)
            names = list(cluster.nodes)
            for name in names:
                cluster.signal(name, signal.SIGKILL)
        await asyncio.gather(*(cluster.start_node(name) for name in names))
        await cluster.leader()
        await cluster.all_applied()
        await load.nothing_is_lost()
        assert not terms.fallen


@pytest.mark.slowest
async def test_a_minority_refuses_writes_and_reads_but_serves_stale_ones(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as cluster:
        leader = await cluster.leader()
        survivors = [leader, next(name for name in cluster.nodes if name != leader)]
        async with cluster.http.put(f"{cluster.url(leader)}/kv/x", data=b"1") as answer:
            assert answer.status == 200
        await cluster.all_applied()
        for name in cluster.nodes:
            if name not in survivors:
                cluster.signal(name, signal.SIGKILL)
        for name in survivors:
            async with cluster.http.put(f"{cluster.url(name)}/kv/x?timeout_ms=800", data=b"2") as answer:
                # 504 from the leader before it noticed; afterwards nobody even proposes.
                assert answer.status in (503, 504), await answer.text()

        async def nobody_leads() -> bool:
            return all(status["role"] != "leader" for status in (await cluster.statuses()).values())

        await cluster.until(nobody_leads, "a leader without a quorum steps down")
        for name in survivors:
            async with cluster.http.put(f"{cluster.url(name)}/kv/x", data=b"3") as answer:
                assert answer.status == 503
                assert "Retry-After" in answer.headers
            assert (await _get(cluster.http, f"{cluster.url(name)}/kv/x?timeout_ms=500"))[0] == 503
            assert await _get(cluster.http, f"{cluster.url(name)}/kv/x?consistency=stale") == (200, b"1")
            await cluster.until(partial(_unready, cluster, name), f"{name} is not ready, three election timeouts later")
            async with cluster.http.get(f"{cluster.url(name)}/livez") as answer:
                assert answer.status == 200


async def _unready(cluster: Cluster, name: str) -> bool:
    async with cluster.http.get(f"{cluster.url(name)}/readyz") as answer:
        return answer.status == 503


@pytest.mark.slowest
async def test_data_survives_ctrl_c_and_the_next_start(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster:
        async with cluster.http.put(f"{cluster.url('n2')}/kv/x", data=b"kept") as answer:
            assert answer.status == 200
        before = await cluster.statuses()
        await cluster.stop()
        await cluster.start(3)
        after = await cluster.statuses()
        assert await _get(cluster.http, f"{cluster.url('n3')}/kv/x") == (200, b"kept")
        for name, status in after.items():
            assert status["cluster_id"] == before[name]["cluster_id"]
            assert status["incarnation"] == before[name]["incarnation"]
            assert status["term"] > before[name]["term"]


async def _get(http: aiohttp.ClientSession, url: str) -> tuple[int, bytes | None]:
    async with http.get(url) as answer:
        body = await answer.read()
        return answer.status, body if answer.status == 200 else None
