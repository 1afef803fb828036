"""The door: who is told apart, who waits for a turn, who gives way, and what a failed handshake says to both sides."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from node.tls.counts import TlsCounts
from node.tls.doorway import Accepts, Doorway
from node.tls.files import TlsFiles
from node.tls.renewal import Renewing
from tests.tls.certificates import Mounted, now, trusting

SECONDS_MAX = 10.0


class Echo(asyncio.Protocol):
    """Says what it heard."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Bench:
    """A door that is listened at."""

    def __init__(self, folder: Path, accepts: Accepts, coming_max: int = 4, seconds_max: float = 5.0) -> None:
        self.mounted = Mounted(folder)
        self.mounted.put("localhost", by=trustme.CA())
        self.loop = asyncio.get_running_loop()
        self.counts = TlsCounts(lambda _kind, _detail: None, self.loop.time)
        files = TlsFiles(self.mounted.cert, self.mounted.key, self.mounted.ca)
        renewing = Renewing("client", files, self.counts, lambda: now().timestamp())
        self.turn_is_wanted, self.turn_is_open = asyncio.Event(), asyncio.Event()
        self.turn_is_open.set()
        self.door = Doorway("client", accepts, renewing, self.counts, self._turn, coming_max, seconds_max)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.tasks: list[asyncio.Task[None]] = [asyncio.create_task(self._listen())]
        self.ended = asyncio.Event()

    async def _turn(self, _whose: str) -> None:
        self.turn_is_wanted.set()
        await self.turn_is_open.wait()

    async def _listen(self) -> None:
        while True:
            accepted, _ = await self.loop.sock_accept(self.listener)
            accepted.setblocking(False)
            self.tasks.append(asyncio.create_task(self._come_in(accepted)))

    async def _come_in(self, accepted: socket.socket) -> None:
        try:
            await self.door.connect(accepted, Echo)
        except (OSError, asyncio.CancelledError):
            accepted.close()
        finally:
            self.ended.set()

    async def until_refused(self, why: str, count: int = 1) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while self.counts.refused.get(("client", why), 0) < count:
                self.ended.clear()
                await self.ended.wait()

    async def says(self, context: ssl.SSLContext | None) -> bytes:
        """What a client hears of what it says."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname="localhost" if context else None
        )
        try:
            writer.write(b"hello")
            async with asyncio.timeout(SECONDS_MAX):
                return await reader.read(200)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        self.listener.close()
        await asyncio.sleep(0.05)  # transports close


@pytest.fixture
async def benches() -> AsyncIterator[list[Bench]]:
    made: list[Bench] = []
    yield made
    for bench in made:
        await bench.close()


async def test_both_are_told_apart_at_one_port(benches: list[Bench], tmp_path: Path) -> None:
    benches.append(bench := Bench(tmp_path, "both"))
    assert await bench.says(trusting(bench.mounted)) == b"hello"
    assert await bench.says(None) == b"hello"
    assert (bench.counts.handshakes, bench.counts.plain) == ({"client": 1}, {"client": 1})


async def test_where_only_tls_is_plain_text_gets_a_sentence(benches: list[Bench], tmp_path: Path) -> None:
    benches.append(bench := Bench(tmp_path, "tls"))
    assert b"use https://" in await bench.says(None)
    await bench.until_refused("plain")


async def test_a_client_hears_why_its_certificate_is_refused(benches: list[Bench], tmp_path: Path) -> None:
    benches.append(bench := Bench(tmp_path / "a", "tls"))
    other = Mounted(tmp_path / "b")
    other.put("somebody", by=trustme.CA())
    stranger = ssl.create_default_context(cafile=bench.mounted.ca)
    stranger.load_cert_chain(other.cert, other.key)
    with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
        await bench.says(stranger)
    await bench.until_refused("unknown-ca")


async def test_no_handshake_begins_before_its_turn(benches: list[Bench], tmp_path: Path) -> None:
    benches.append(bench := Bench(tmp_path, "tls"))
    bench.turn_is_open.clear()
    asking = asyncio.create_task(bench.says(trusting(bench.mounted)))
    await asyncio.wait_for(bench.turn_is_wanted.wait(), SECONDS_MAX)
    assert bench.door.shaking == 1
    assert not asking.done()
    assert not bench.counts.handshakes
    bench.turn_is_open.set()
    assert await asking == b"hello"


async def test_the_silent_give_way_to_those_who_come_and_run_out_of_time(benches: list[Bench], tmp_path: Path) -> None:
    benches.append(bench := Bench(tmp_path, "tls", coming_max=4, seconds_max=1.0))
    silent = [socket.create_connection(("127.0.0.1", bench.port)) for _ in range(6)]
    try:
        assert await bench.says(trusting(bench.mounted)) == b"hello"
        await bench.until_refused("gave-way", 3)
        await bench.until_refused("silent", 3)
    finally:
        for each in silent:
            each.close()


async def test_a_handshake_that_stops_in_the_middle_ends_in_time(benches: list[Bench], tmp_path: Path) -> None:
    benches.append(bench := Bench(tmp_path, "tls", seconds_max=0.3))
    with socket.create_connection(("127.0.0.1", bench.port)) as slow:
        slow.sendall(b"\x16\x03\x01")
        await bench.until_refused("silent")
    with socket.create_connection(("127.0.0.1", bench.port)) as garbage:
        garbage.sendall(b"\x16" * 100)
        await bench.until_refused("plain")


async def test_a_crowd_of_one_client_gives_way_to_itself(benches: list[Bench], tmp_path: Path) -> None:
    """Who came first is one of another client: it waits for its turn, and keeps its place."""
    benches.append(bench := Bench(tmp_path, "tls", coming_max=4))
    bench.turn_is_open.clear()
    asking = asyncio.create_task(bench.says(trusting(bench.mounted)))
    await asyncio.wait_for(bench.turn_is_wanted.wait(), SECONDS_MAX)
    crowd = [socket.create_connection(("127.0.0.1", bench.port), source_address=("127.0.0.2", 0)) for _ in range(9)]
    try:
        await bench.until_refused("gave-way", 6)
        bench.turn_is_open.set()
        assert await asking == b"hello"
        assert bench.counts.refused == {("client", "gave-way"): 6}
    finally:
        for each in crowd:
            each.close()
