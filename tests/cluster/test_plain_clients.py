"""What a client sees that asks once, on a connection of its own, and repeats nothing, while real nodes come and go."""

import asyncio
import base64
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from tests.cluster.harness import Cluster, running_cluster

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(300)]

LEAVE_WAIT_S, LAG_S = 3.0, 0.3
"""A node that leaves serves on for so long; those who send it requests learn of it after the second."""
WAIT_S = 2.0
"""How long requests wait for a leader."""
PAUSE_S = 0.03
FLAGS = ("--heartbeat-ms", "50", "--election-timeout-ms", "300-600")
KEY = base64.b64encode(b"k").decode()


class Asked(NamedTuple):
    """One request: `status` 0: no answer, with `why`. `ended_s` on the clock of `time.monotonic`."""

    node: str
    what: str
    status: int
    why: str
    took_s: float
    ended_s: float


class Plain:
    """Asks every node that is `served`, in turn, each kind of request by a task of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self.served = list(cluster.nodes)
        self.asked: list[Asked] = []
        self._urls = {name: cluster.url(name) for name in cluster.nodes}
        self._written = 0

    async def once(self, node: str, what: str) -> Asked:
        """One request over one connection."""
        url, began = self._urls[node], time.monotonic()
        self._written += 1
        value = str(self._written)
        put = json.dumps({"key": KEY, "value": base64.b64encode(value.encode()).decode()})
        method, path, body = {
            "get": ("GET", "/kv/k", None),
            "put": ("PUT", "/kv/k", value),
            "v3 get": ("POST", "/v3/kv/range", json.dumps({"key": KEY})),
            "v3 put": ("POST", "/v3/kv/put", put),
        }[what]
        status, why = 0, ""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
                http.request(method, url + path, data=body) as answer,
            ):
                status, why = answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            why = f"{type(error).__name__} {error}"
        now = time.monotonic()
        self.asked.append(Asked(node, what, status, why[:200], now - began, now))
        return self.asked[-1]

    async def _go_on(self, what: str) -> None:
        number = 0
        while True:
            number += 1
            await self.once(self.served[number % len(self.served)], what)
            await asyncio.sleep(PAUSE_S)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Meanwhile."""
        await self.once(self.served[0], "put")
        tasks = [asyncio.create_task(self._go_on(what)) for what in ("get", "put", "v3 get", "v3 put")]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def round(self) -> None:
        """Until everything that is under way now was answered."""
        began = time.monotonic()
        kinds = {"get", "put", "v3 get", "v3 put"}
        while {one.what for one in self.asked if one.ended_s - one.took_s > began} < kinds:  # noqa: ASYNC110 - of four tasks
            await asyncio.sleep(PAUSE_S)

    def not_answered(self) -> list[Asked]:
        """All but what was done."""
        return [asked for asked in self.asked if asked.status != 200]

    def figures(self) -> str:
        """For people."""
        slow = max(self.asked, key=lambda asked: asked.took_s)
        return (
            f"{len(self.asked)} requests, the longest {slow.took_s:.3f} s ({slow.what} at {slow.node}: {slow.status})"
        )


@asynccontextmanager
async def three(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setenv("RAFT_LEAVE_WAIT_MS", str(int(LEAVE_WAIT_S * 1000)))
    monkeypatch.setenv("RAFT_LEADERLESS_WAIT_MS", str(int(WAIT_S * 1000)))
    async with running_cluster(folder, 3, *FLAGS) as cluster:
        await cluster.until_ready()
        yield cluster


async def test_no_request_fails_in_a_rolling_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with three(tmp_path, monkeypatch) as cluster:
        plain = Plain(cluster)
        async with plain.asking():
            for node in sorted(cluster.nodes):
                pid = cluster.nodes[node]["pid"]
                cluster.signal(node, signal.SIGTERM)
                await asyncio.sleep(LAG_S)
                plain.served.remove(node)

                async def gone(node: str = node, pid: int = pid) -> bool:
                    return bool(cluster.nodes[node]["pid"] != pid)

                await cluster.until(gone, f"{node} ended")
                if not cluster.nodes[node]["pid"]:
                    await cluster.start_node(node)
                await cluster.until_ready(node)
                plain.served.append(node)
        print(plain.figures())
        assert plain.not_answered() == []


async def test_a_killed_leader_costs_the_survivors_clients_a_wait_and_no_503(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three(tmp_path, monkeypatch) as cluster:
        plain = Plain(cluster)
        async with plain.asking():
            for ending in (signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL):  # the second: a machine that vanishes
                leader = await cluster.leader()
                plain.served.remove(leader)  # what was sent to it is lost with it
                began = time.monotonic()
                cluster.signal(leader, ending)
                await cluster.leader(not_one_of=(leader,))
                await plain.round()
                late = [asked for asked in plain.asked if asked.ended_s > began]
                print(f"{ending.name} of {leader}: longest {max(asked.took_s for asked in late):.3f} s of {len(late)}")
                if ending is signal.SIGSTOP:
                    cluster.signal(leader, signal.SIGKILL)
                await cluster.start_node(leader)
                await cluster.until_ready(leader)
                plain.served.append(leader)
        print(plain.figures(), plain.not_answered())
        failed = [asked for asked in plain.not_answered() if asked.status]
        assert not [asked for asked in failed if asked.status != 504], "504: it was on its way to the one that died"
        assert all("put" in asked.what for asked in failed), "a read is asked of the next leader"


@pytest.mark.longest
async def test_without_a_quorum_clients_wait_then_hear_so_at_once_and_go_on_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three(tmp_path, monkeypatch) as cluster:
        plain = Plain(cluster)
        await plain.once(plain.served[0], "put")
        leader = await cluster.leader()
        (left, *others) = [name for name in cluster.nodes if name != leader]
        for name in (leader, *others):
            cluster.signal(name, signal.SIGKILL)

        async def leaderless() -> bool:
            return not ((await cluster.status(left)) or {"leader": "?"})["leader"]

        await cluster.until(leaderless, "the last one knows no leader")
        first = await asyncio.gather(*(plain.once(left, what) for what in ("get", "put", "v3 get", "v3 put")))
        print(*first, sep="\n")
        assert [asked.status for asked in first] == [503] * 4
        assert all(WAIT_S / 2 < asked.took_s < WAIT_S + 1 for asked in first)
        then = await asyncio.gather(*(plain.once(left, what) for what in ("get", "put", "v3 get", "v3 put")))
        print(*then, sep="\n")
        assert [asked.status for asked in then] == [503] * 4
        assert all(asked.took_s < WAIT_S / 2 for asked in then)
        await cluster.start_node(others[0])
        while (asked := await plain.once(left, "v3 put")).status != 200:  # pytest's timeout ends it
            assert asked.status == 503
            await asyncio.sleep(PAUSE_S)
        print(plain.figures())
        assert (await plain.once(left, "get")).status == 200
