"""Floods of one client, against the leader: no election, and other clients are served, as fast as they must be.

What was measured is in docs/performance.md; with `-s` each case prints its own. Real processes on loopback; the flood
is one of its own, with an address of its own (127.0.0.2).
"""

import asyncio
import json
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.cluster.bare import Bare, bare_nodes
from tests.cluster.flooding import KINDS
from tests.cluster.secure import secure_nodes

pytestmark = pytest.mark.slowest

FLAGS = ("--election-timeout-ms", "1500-3000", "--max-log-bytes", "8GiB")
"""The flood, three nodes and whoever measures share two processors here, which may do much else: a process that gets no
time for a second says nothing of a flood. And a log that is full refuses everybody, whoever filled it: here it is seen
whether clients take turns."""
SECONDS = 8.0
PATIENCE_SECONDS = 10.0
"""Of other clients: it tells served from not served, also on a machine that does much else. That clients take turns is
held by tests/api, tests/tls."""
PAUSE_SECONDS = 0.02
KEYS_OF_READERS = 200

BEFORE_ALL = ("connections", "puts")
"""Of `make test-slow`; the others are of `make test-long`."""

BOUNDED_BY = {
    "connections": "raft_clients_closed_for_others_total",
    "bodies": "raft_bodies_waited_total",
    "streams": "",
    "puts": "raft_bodies_waited_total",
    "heads": "",
    "readers": "",
    "long_calls": "raft_bodies_waited_total",
    "short_calls": "raft_http2_waited_total",
}
"""What the leader must have counted; empty: nothing within so few seconds (their time limits are held by tests/api)."""


class Others:
    """Clients that came before, and ones that come new with each request: they write and read, one at a time."""

    def __init__(self, urls: list[str], tls: ssl.SSLContext | None = None) -> None:
        self.urls = urls
        self.tls = tls
        self.took: dict[str, list[float]] = {"kept": [], "new": []}
        self.outcomes: Counter[str] = Counter()

    async def run(self, kind: str) -> None:
        connector = aiohttp.TCPConnector(force_close=kind == "new", ssl=self.tls or True)
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        ) as http:
            for number in range(1_000_000):
                url = f"{self.urls[number % len(self.urls)]}/kv/{kind}"
                began = time.monotonic()
                try:
                    asked = http.put(url, data=b"%d" % number) if number % 2 else http.get(url)
                    async with asked as answer:
                        await answer.read()
                        self.outcomes["served" if answer.status in (200, 404) else str(answer.status)] += 1
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    self.outcomes[type(error).__name__] += 1
                self.took[kind].append(time.monotonic() - began)
                await asyncio.sleep(PAUSE_SECONDS)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.run(kind)) for kind in self.took]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def p99_ms(self) -> dict[str, int]:
        return {kind: round(1000 * sorted(took)[int(len(took) * 0.99)]) for kind, took in self.took.items()}


async def flooded(kind: str, port: int, others: Others) -> dict[str, int]:
    """What became of the flood, while `others` ask."""
    command = (sys.executable, "-m", "tests.cluster.flooding", kind, str(port), str(SECONDS))
    flood = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert flood.stdout is not None
        async with asyncio.timeout(60):
            assert await flood.stdout.readline() == b"ready\n"
            async with others.asking():
                became: dict[str, int] = json.loads(await flood.stdout.readline())
            await flood.wait()
        return became
    finally:
        if flood.returncode is None:
            flood.kill()
            await flood.wait()


async def held_against(kind: str, nodes: Bare, leader: str, urls: list[str], tls: ssl.SSLContext | None = None) -> None:
    """No election, and others are served, while there is such a flood."""
    calm, others = Others(urls, tls), Others(urls, tls)
    async with calm.asking():
        await asyncio.sleep(2)
    terms = {nodes.status(name)["term"] for name in nodes.ports}
    became = await flooded(kind, nodes.ports[leader], others)
    after = {nodes.status(name).get("term") for name in nodes.ports}
    print(f"\n{kind}: p99 {calm.p99_ms()} -> {others.p99_ms()} ms, {dict(others.outcomes)}; the flood: {became}")
    assert after == terms, "there was an election"
    assert set(others.outcomes) == {"served"}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind in BEFORE_ALL else pytest.mark.longest)
        for kind in KINDS
        if kind != "handshakes"
    ],
)
async def test_a_flood_from_one_client_causes_no_election_and_others_are_served(tmp_path: Path, kind: str) -> None:
    with bare_nodes(tmp_path, 3, *FLAGS) as nodes:
        leader = nodes.until(nodes.leader, "one leader")
        for number in range(KEYS_OF_READERS if kind == "readers" else 0):
            nodes.put(leader, f"large-{number}", bytes(8192))
        await held_against(kind, nodes, leader, [f"http://127.0.0.1:{port}" for port in nodes.ports.values()])
        counted = BOUNDED_BY[kind]
        assert not counted or nodes.metric(leader, counted) > 0


@pytest.mark.longest
async def test_handshakes_that_never_end_cause_no_election_and_others_are_served(tmp_path: Path) -> None:
    with secure_nodes(tmp_path) as nodes:
        for name in nodes.ports:
            nodes.start(name, [*nodes.flags(name, "tls", "tls", "tls"), *FLAGS])
        nodes.trust()
        leader = nodes.until(nodes.leader, "all nodes know a leader")
        urls = [f"https://127.0.0.1:{port}" for port in nodes.ports.values()]
        await held_against("handshakes", nodes, leader, urls, nodes.tls)
        assert nodes.refused(leader, "client", "gave-way") + nodes.refused(leader, "client", "silent") > 0
