"""A node that is no seed beside a real cluster: it says what it waits for, disturbs nobody, and ends when asked."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.harness import CALM, POLL_SECONDS, WAIT_SECONDS, Cluster, running_cluster
from tests.ports import free_base_port

pytestmark = pytest.mark.slow

END_SECONDS = 15


class Outsider:
    """`raft-node serve` of a name that is no seed."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, log: Path) -> None:
        self.process, self.url, self.log = process, url, log

    async def until_said(self, *texts: str) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not all(text in self.log.read_text() for text in texts):  # noqa: ASYNC110 - another process's file
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"not within {WAIT_SECONDS} s: {texts}\n{self.log.read_text()[-2000:]}") from None


@asynccontextmanager
async def running_outsider(cluster: Cluster, name: str = "N2") -> AsyncIterator[Outsider]:
    base = free_base_port(2)
    log = cluster.folder / "outsider.log"
    seeds = ",".join(f"{seed}={node['peer']}" for seed, node in cluster.nodes.items())
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "node.cli", "serve", "--name", name, "--seeds", seeds),
            *("--data-dir", str(cluster.folder / "outsider"), "--port", str(base), "--peer-port", str(base + 1)),
            stderr=stderr,
        )
    try:
        yield Outsider(process, f"http://127.0.0.1:{base}", log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.slowest
async def test_a_node_that_is_no_seed_waits_says_so_and_disturbs_nobody(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, *CALM) as cluster:
        await cluster.all_applied()
        before = await cluster.statuses()
        async with running_outsider(cluster) as outsider:
            await outsider.until_said("started", "did you mean n2?")
            await cluster.until(lambda: _all_show(cluster, "N2"), "every member shows who asks to be let in")
            status = await _get(cluster, f"{outsider.url}/status")
            assert (status["role"], status["vote"], status["last_index"]) == ("initial", "", 0)
            assert "they answer, and know no node of this name: it waits until they let it in" in status["waiting_for"]
            assert [(peer["name"], peer["link_up"]) for peer in status["peers"]] == [
                (name, True) for name in ("n1", "n2", "n3")
            ]
            view = await _get(cluster, f"{outsider.url}/cluster")
            assert [(row["name"], row["state"]) for row in view["nodes"]] == [
                ("N2", "reachable"), ("n1", "unknown"), ("n2", "unknown"), ("n3", "unknown"),
            ]  # fmt: skip
            async with cluster.http.get(f"{outsider.url}/readyz") as answer:
                assert (answer.status, "none of the seeds" in await answer.text()) == (503, True)
            async with cluster.http.get(f"{outsider.url}/livez") as answer:
                assert answer.status == 200
            async with cluster.http.put(f"{outsider.url}/kv/x", data=b"1") as answer:
                assert answer.status == 503
            async with cluster.http.put(f"{cluster.url('n1')}/kv/x", data=b"1") as answer:
                assert answer.status == 200
            for name in cluster.nodes:
                view = await _get(cluster, f"{cluster.url(name)}/cluster")
                assert [row["name"] for row in view["nodes"]] == ["n1", "n2", "n3"]
            outsider.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(outsider.process.wait(), END_SECONDS) == 0
        after = await cluster.statuses()
        assert {n: (s["boot"], s["term"], s["leader"]) for n, s in after.items()} == {
            n: (s["boot"], s["term"], s["leader"]) for n, s in before.items()
        }


async def _get(cluster: Cluster, url: str) -> Any:
    timeout = aiohttp.ClientTimeout(total=10)
    async with cluster.http.get(url, timeout=timeout) as answer:
        return await answer.json()


async def _all_show(cluster: Cluster, name: str) -> bool:
    """Whether every member says that `name` asks to be let in."""
    found = [await _get(cluster, f"{cluster.url(node)}/members") for node in cluster.nodes]
    return all(name in [one["name"] for one in members["applicants"]] for members in found)
