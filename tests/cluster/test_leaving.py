"""SIGTERM, with real processes under load: no client notices, everything is answered, and it ends in time."""

import asyncio
import base64
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from node.settings import LEAVE_BESIDE_MS
from tests.cluster.harness import CALM, Cluster, running_cluster

pytestmark = pytest.mark.slowest

PATIENT_MS = 3000
PATIENT = ("--heartbeat-ms", "50", "--election-timeout-ms", f"{PATIENT_MS}-{PATIENT_MS + 1000}")
"""An election nobody asked for costs so much that no stall of a busy machine looks like one."""
WAIT_MS = 700
WRITERS = 24
PAUSE_S = 0.01
"""Between a writer's writes: the machine is not what is tested."""


class Writer:
    """Writes one key after the other, through the framework's route and the express lane in turn. Repeats only what
    answered 503 or refused the connection; goes elsewhere when an answer ends its connection."""

    def __init__(self, name: str, urls: list[str]) -> None:
        self.name, self.urls = name, list(urls)
        self.acknowledged: dict[str, str] = {}
        self.wrong: list[str] = []
        self.retries = 0
        self.longest_s = 0.0
        self.closed: set[str] = set()
        """Nodes that ended a connection with an answer."""
        self.stopping = False

    async def run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
            number = 0
            while not self.stopping:
                number += 1
                began = time.monotonic()
                await self._write(http, f"{self.name}-{number}", f"value {number}", express=bool(number % 2))
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                await asyncio.sleep(PAUSE_S)

    async def _write(self, http: aiohttp.ClientSession, key: str, value: str, express: bool) -> None:
        while True:
            url = self.urls[0]
            try:
                status, last = await (_put_etcd if express else _put_plain)(http, url, key, value)
            except aiohttp.ClientConnectorError:
                status, last = 503, True
            except (aiohttp.ClientError, TimeoutError) as error:
                self.wrong.append(f"{key} at {url}: {type(error).__name__} {error}")
                return
            if last:
                self.closed.add(url)
                self.urls.append(self.urls.pop(0))
            if status == 200:
                self.acknowledged[key] = value
                return
            if status != 503:
                self.wrong.append(f"{key} at {url}: {status}")
                return
            self.retries += 1
            await asyncio.sleep(0.01)


async def _put_plain(http: aiohttp.ClientSession, url: str, key: str, value: str) -> tuple[int, bool]:
    async with http.put(f"{url}/kv/{key}", data=value) as answer:
        await answer.read()
        return answer.status, answer.headers.get("Connection") == "close"


async def _put_etcd(http: aiohttp.ClientSession, url: str, key: str, value: str) -> tuple[int, bool]:
    body = {name: base64.b64encode(text.encode()).decode() for name, text in (("key", key), ("value", value))}
    async with http.post(f"{url}/v3/kv/put", data=json.dumps(body)) as answer:
        await answer.read()
        return answer.status, answer.headers.get("Connection") == "close"


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setenv("RAFT_LEAVE_WAIT_MS", str(WAIT_MS))
    monkeypatch.setenv("RAFT_REQUEST_TIMEOUT_MS", "5000")
    async with running_cluster(tmp_path, 3, *PATIENT) as cluster:
        yield cluster


async def asked(cluster: Cluster, url: str, path: str) -> tuple[int, str, str]:
    """(status, Connection header, body), over a connection of its own."""
    async with aiohttp.ClientSession() as http, http.get(url + path) as answer:
        return answer.status, answer.headers.get("Connection", ""), await answer.text()


async def ended(pid: int, within_s: float) -> float:
    """Wait for the end of a process; seconds it took."""
    began = time.monotonic()
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() - began < within_s, f"process {pid} still runs after {within_s} s"
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def everything(cluster: Cluster) -> dict[str, str]:
    """All keys with their values."""
    url = f"{cluster.url(await cluster.leader())}/v3/kv/range"
    async with cluster.http.post(url, data=json.dumps({"key": "AA==", "range_end": "AA=="})) as answer:
        found = (await answer.json(content_type=None)).get("kvs", [])
    return {base64.b64decode(one["key"]).decode(): base64.b64decode(one["value"]).decode() for one in found}


async def test_leaders_leave_under_load_and_no_client_sees_a_failure(cluster: Cluster) -> None:
    urls = {name: cluster.url(name) for name in cluster.nodes}
    writers = [Writer(f"w{number}", sorted(urls.values())) for number in range(WRITERS)]
    direct, forwarded = writers[: WRITERS // 2], writers[WRITERS // 2 :]
    tasks = [asyncio.create_task(writer.run()) for writer in writers]
    try:
        for _ in range(3):
            await asyncio.sleep(0.5)
            leader = await cluster.leader()
            pid = int(cluster.nodes[leader]["pid"])
            for writer in direct:
                writer.urls.sort(key=lambda url: url != urls[leader])
                writer.closed.discard(urls[leader])
            for writer in forwarded:
                writer.urls.sort(key=lambda url: url == urls[leader])
            await asyncio.sleep(0.1)
            cluster.signal(leader, signal.SIGTERM)
            successor = await cluster.leader((leader,))
            assert await ended(pid, 10) >= 0
            assert all(urls[leader] in writer.closed for writer in direct), "an answer retired each of them"
            assert successor != leader
            await cluster.start_node(leader)
            await cluster.all_known()
    finally:
        for writer in writers:
            writer.stopping = True
        await asyncio.gather(*tasks)
    assert [wrong for writer in writers for wrong in writer.wrong] == []
    acknowledged = {key: value for writer in writers for key, value in writer.acknowledged.items()}
    assert len(acknowledged) > 200
    stalls = max(writer.longest_s for writer in writers)
    print(f"{len(acknowledged)} writes, {sum(w.retries for w in writers)} retries, longest {stalls * 1000:.0f} ms")
    assert stalls < PATIENT_MS / 1000, "an election timeout would have shown"
    assert await everything(cluster) == acknowledged


async def test_a_leaving_node_is_not_ready_and_serves_and_forwards_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_ms = 3000  # all of this is asked meanwhile, on a busy machine, too
    monkeypatch.setenv("RAFT_LEAVE_WAIT_MS", str(wait_ms))
    async with running_cluster(tmp_path, 3, *CALM) as cluster:
        leader = await cluster.leader()
        url, pid = cluster.url(leader), int(cluster.nodes[leader]["pid"])
        await cluster.until_ready(leader)
        assert (await asked(cluster, url, "/readyz"))[:2] == (200, "")
        began = time.monotonic()
        cluster.signal(leader, signal.SIGTERM)
        await cluster.leader((leader,))
        status, connection, said = await asked(cluster, url, "/readyz")
        assert (status, connection, "leaving" in said) == (503, "close", True)
        assert (await asked(cluster, url, "/livez"))[:2] == (200, "close")
        assert json.loads((await asked(cluster, url, "/status"))[2])["leaving"] is True
        assert (await asked(cluster, url, "/nothing"))[:2] == (404, "close")
        for put in (_put_plain, _put_etcd):
            async with aiohttp.ClientSession() as http:
                assert await put(http, url, "late", "yet forwarded") == (200, True)
        await ended(pid, 10)
        assert time.monotonic() - began > wait_ms / 1000


async def test_a_second_signal_ends_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAFT_LEAVE_WAIT_MS", "60000")
    async with running_cluster(tmp_path, 3, *CALM) as cluster:
        for name in cluster.nodes:  # at the end of the test, each has heard the first
            pid = int(cluster.nodes[name]["pid"])
            cluster.signal(name, signal.SIGTERM)

            async def leaving(name: str = name) -> bool:
                status = await cluster.status(name)
                return bool(status and status["leaving"])

            await cluster.until(leaving, f"{name} leaves")
            cluster.signal(name, signal.SIGINT)
            await ended(pid, 10)


async def test_what_is_under_way_is_answered_before_the_end_and_the_end_comes_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_ms = 1000
    monkeypatch.setenv("RAFT_REQUEST_TIMEOUT_MS", str(request_ms))
    async with running_cluster(tmp_path, 3, *CALM) as cluster:
        leader = await cluster.leader()
        url, pid = cluster.url(leader), int(cluster.nodes[leader]["pid"])
        for name in cluster.nodes:
            if name != leader:
                cluster.signal(name, signal.SIGSTOP)

        async def slow(put: Any, key: str = "k") -> int:
            async with aiohttp.ClientSession() as http:
                return int((await put(http, url, key, "v"))[0])

        async def never_sent_whole() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(b"PUT /kv/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
            try:
                return await reader.read()
            finally:
                writer.close()

        waiting = [asyncio.create_task(slow(put)) for put in (_put_plain, _put_etcd)]
        waiting.append(asyncio.create_task(slow(_put_plain, "patient?timeout_ms=60000")))
        stuck = asyncio.create_task(never_sent_whole())
        await asyncio.sleep(0.2)
        cluster.signal(leader, signal.SIGTERM)
        took_s = await ended(pid, 15)
        assert await asyncio.gather(*waiting) == [504] * 3
        await stuck
        assert took_s < (request_ms + LEAVE_BESIDE_MS) / 1000


@pytest.mark.slowest
async def test_a_write_that_another_node_forwarded_is_answered_before_the_leader_ends(tmp_path: Path) -> None:
    late_ms = 2000
    async with running_cluster(tmp_path, 3, "--heartbeat-ms", "50", "--election-timeout-ms", "5000-6000") as cluster:
        leader = await cluster.leader()
        url, pid = cluster.url(leader), int(cluster.nodes[leader]["pid"])
        others = [name for name in cluster.nodes if name != leader]
        for name in others:  # the forwarded write comes so late, and so do the acknowledgements that commit it
            delay = {"peer": name, "direction": "in", "ms": late_ms, "seconds": 60}
            async with cluster.http.post(f"{url}/commands/delay_link", json=delay) as answer:
                assert answer.status == 200, await answer.text()
        async with aiohttp.ClientSession() as http:
            waiting = asyncio.create_task(_put_plain(http, cluster.url(others[0]), "forwarded", "v"))

            async def taken() -> bool:
                status = await cluster.status(leader)
                return bool(status and status["last_index"] > status["commit"])

            await cluster.until(taken, f"{leader} has the write in its log")
            cluster.signal(leader, signal.SIGTERM)
            assert (await waiting)[0] == 200
        await ended(pid, 15)
