"""The real carrier against strangers, slow and broken peers, and time."""

import asyncio
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from msgspec.structs import replace

from node.raft.messages import Lane
from node.transport import inbound
from node.transport.dialling import LINK_PATH, DialFailed, Dialler
from node.transport.framework import DialledSocket
from node.transport.packing import frames_of
from node.transport.port import GOODBYE, LOST, REFUSED
from node.transport.settings import LinkSettings
from node.transport.websocket import WebSocketCarrier
from tests.conformance.carrier_suite import Record

WAIT_S = 5.0
QUICK = LinkSettings(
    dial_timeout_s=WAIT_S,
    redial_min_s=0.01,
    redial_max_s=0.05,
    handshake_timeout_s=0.15,
    half_open_max=4,
    frame_bytes_max=1000,
)


class Addresses:
    """A resolver that answers, fails or hangs as the test says."""

    def __init__(self, **addresses: list[tuple[str, int]]) -> None:
        self.addresses = addresses

    async def resolve(self, name: str) -> list[tuple[str, int]]:
        if name not in self.addresses:
            raise OSError(f"{name} is nowhere")
        if not self.addresses[name]:
            await asyncio.sleep(60)
        return self.addresses[name]


class Bench:
    """Starts carriers, ends them all, and waits for what they record."""

    def __init__(self) -> None:
        self._carriers: list[WebSocketCarrier] = []
        self._changed = asyncio.Event()

    async def carrier(
        self,
        name: str,
        addresses: dict[str, list[tuple[str, int]]] | None = None,
        peers: tuple[str, ...] = (),
        settings: LinkSettings = QUICK,
        receiver: Any = None,
    ) -> tuple[WebSocketCarrier, Record]:
        record = receiver or Record(self._changed.set)
        carrier = WebSocketCarrier(
            name=name,
            peers=peers or tuple(addresses or ()),
            host="127.0.0.1",
            port=0,
            resolver=Addresses(**(addresses or {})),
            receiver=record,
            chance=Random(3),
            settings=settings,
        )
        await carrier.start()
        self._carriers.append(carrier)
        return carrier, record

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def close(self) -> None:
        for carrier in self._carriers:
            await carrier.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def link_url(carrier: WebSocketCarrier, **changes: str) -> str:
    query = {"from": "b", "to": "a", "lane": "control", **changes}
    return f"http://127.0.0.1:{carrier.bound_port}{LINK_PATH}?" + "&".join(f"{k}={v}" for k, v in query.items())


class _End:
    """The peer's end of a link, as the system has it."""

    def __init__(self, request: web.Request) -> None:
        assert request.transport is not None
        self._socket = socket.socket(fileno=os.dup(request.transport.get_extra_info("socket").fileno()))

    @property
    def waiting_bytes(self) -> int:
        """What has come and was not read."""
        try:
            return len(self._socket.recv(65536, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return 0

    def break_off(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


@asynccontextmanager
async def _links_that_nobody_reads(bench: Bench) -> AsyncIterator[tuple[WebSocketCarrier, Record, dict[str, _End]]]:
    """The carrier of a, what it is told, and b's ends by lane, whose application reads only when the loop turns."""
    ends: dict[str, _End] = {}

    async def take(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        ends[request.query["lane"]] = _End(request)
        await websocket.receive()
        return websocket

    app = web.Application()
    app.router.add_get(LINK_PATH, take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    a, record = await bench.carrier("a", {"b": [runner.addresses[0][:2]]})
    await bench.until(lambda: len(record.outbound) == 2)
    yield a, record, ends
    for end in ends.values():
        end.close()
    await a.close()
    await runner.cleanup()


def pack(*frames: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(frame)) + frame for frame in frames)


async def closed_after(reader: asyncio.StreamReader) -> float:
    """Seconds until the other side closed the connection."""
    started = time.monotonic()
    async with asyncio.timeout(WAIT_S):
        try:
            while await reader.read(1000):
                pass
        except ConnectionError:
            pass
    return time.monotonic() - started


class TestStrangers:
    @pytest.mark.parametrize(
        ("changes", "headers", "sentence"),
        [
            ({"from": "x"}, {}, "no member as far as a knows"),
            ({"from": "a"}, {}, "no member as far as a knows"),
            ({"to": "c"}, {}, "this is a: the dialler looks for another node"),
            ({"lane": "fast"}, {}, "neither control nor bulk"),
            ({}, {"Origin": "http://evil.example"}, "links between the nodes"),
            ({}, {"Upgrade": "h2c"}, "a link is a WebSocket"),
        ],
    )
    async def test_who_is_not_a_peer_is_refused_with_the_reason(
        self, bench: Bench, http: aiohttp.ClientSession, changes: dict[str, str], headers: dict[str, str], sentence: str
    ) -> None:
        carrier, record = await bench.carrier("a", peers=("b",))
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", **headers}
        async with http.get(link_url(carrier, **changes), headers=upgrade) as answer:
            assert answer.status == 403
            assert sentence in await answer.text()
            assert answer.headers["Raft-Link-Refused"] in await answer.text()
        assert record.inbound == []

    @pytest.mark.parametrize("head", [b"\x82\x80", b"\x89\x80", b"\x8a\x80"], ids=["nothing", "pings", "pongs"])
    async def test_messages_without_content_hold_nobody_up(
        self, bench: Bench, http: aiohttp.ClientSession, head: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`receive` does not give way while messages wait, and a read of the socket may hold forty thousand."""
        turn, taken, loop, do = [0], Counter[int](), asyncio.get_running_loop(), inbound.Acceptor._do

        def count_turns() -> None:
            turn[0] += 1
            if turn[0] > 0:
                loop.call_soon(count_turns)

        async def counted(self: inbound.Acceptor, link: inbound.InboundLink, message: aiohttp.WSMessage) -> None:
            taken[turn[0]] += 1
            await do(self, link, message)

        monkeypatch.setattr(inbound.Acceptor, "_do", counted)
        carrier, _ = await bench.carrier("a", peers=("b",))
        async with http.ws_connect(link_url(carrier), autoping=False) as websocket:
            loop.call_soon(count_turns)
            assert websocket._writer.transport is not None
            websocket._writer.transport.write((head + bytes(4)) * 2000)
            async with asyncio.timeout(WAIT_S):
                while taken.total() < 2000:  # noqa: ASYNC110 - each turn is counted
                    await asyncio.sleep(0)
            turn[0] = -1 << 30
        assert max(taken.values()) <= inbound.TAKEN_BYTES_MAX / inbound.MESSAGE_BYTES + 1

    async def test_another_path_is_refused(self, bench: Bench, http: aiohttp.ClientSession) -> None:
        carrier, _ = await bench.carrier("a", peers=("b",))
        async with http.post(f"http://127.0.0.1:{carrier.bound_port}/kv/x", data=b"y" * 100_000) as answer:
            assert answer.status == 403

    async def test_garbage_is_closed_and_harms_nobody(self, bench: Bench, http: aiohttp.ClientSession) -> None:
        carrier, record = await bench.carrier("a", peers=("b",))
        for garbage in (b"\x00\xff" * 500, b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"x" * 100_000, b"\r\n" * 1000):
            reader, writer = await asyncio.open_connection("127.0.0.1", carrier.bound_port)
            writer.write(garbage)
            await closed_after(reader)
            writer.close()
        async with http.ws_connect(link_url(carrier)) as link:
            await link.send_bytes(pack(b"still here"))
            await bench.until(lambda: record.frames == [("b", Lane.CONTROL, b"still here")])

    @pytest.mark.parametrize("said", [b"", b"GET /raft-link?from=b HTTP/1.1\r\nX: "])
    async def test_a_connection_that_never_says_who_it_is_is_closed(self, bench: Bench, said: bytes) -> None:
        carrier, _ = await bench.carrier("a", peers=("b",))
        reader, writer = await asyncio.open_connection("127.0.0.1", carrier.bound_port)
        writer.write(said)
        await closed_after(reader)
        writer.close()

    async def test_a_link_that_never_says_hello_is_closed(self, bench: Bench, http: aiohttp.ClientSession) -> None:
        carrier, record = await bench.carrier("a", peers=("b",))
        async with http.ws_connect(link_url(carrier)) as link:
            await bench.until(lambda: record.inbound[-1:] == [("b", Lane.CONTROL, False, "connection lost")])
            assert (await link.receive()).type is not aiohttp.WSMsgType.BINARY

    async def test_the_number_of_unknown_connections_is_bounded(self, bench: Bench) -> None:
        carrier, _ = await bench.carrier("a", peers=("b",), settings=LinkSettings(half_open_max=4))
        open_ones = [await asyncio.open_connection("127.0.0.1", carrier.bound_port) for _ in range(4)]
        reader, writer = await asyncio.open_connection("127.0.0.1", carrier.bound_port)
        assert await closed_after(reader) < 1
        writer.close()
        open_ones[0][1].close()
        await open_ones[0][1].wait_closed()
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", carrier.bound_port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(1)
        for _, open_writer in (*open_ones[1:], (reader, writer)):
            open_writer.close()


class TestBrokenPeers:
    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            (pack(bytes(1001)), "a frame of 1001 bytes is over the limit of 1000"),
            (b"\x00\x00\x00\x05abc", "a pack ends within a frame"),
            (bytes(10_000_000), "connection lost"),
            ("text", "text came"),
        ],
    )
    async def test_a_broken_message_closes_only_its_link(
        self, bench: Bench, http: aiohttp.ClientSession, message: bytes | str, reason: str
    ) -> None:
        # A link that says nothing is half open for so long only, and ten megabytes take their time on a busy machine.
        patient = replace(QUICK, handshake_timeout_s=10 * WAIT_S)
        carrier, record = await bench.carrier("a", peers=("b",), settings=patient)
        async with http.ws_connect(link_url(carrier)) as good, http.ws_connect(link_url(carrier, lane="bulk")) as bad:
            with suppress(ConnectionError):  # ten megabytes are refused while they are sent
                await (bad.send_str(message) if isinstance(message, str) else bad.send_bytes(message))
            await bench.until(lambda: len(record.inbound) == 3)
            assert record.inbound[-1][:3] == ("b", Lane.BULK, False)
            if reason != "connection lost":
                assert record.inbound[-1][3] == reason
            await good.send_bytes(pack(b"fine"))
            await bench.until(lambda: record.frames == [("b", Lane.CONTROL, b"fine")])

    async def test_a_peer_whose_machine_is_gone_is_dropped(self, bench: Bench, http: aiohttp.ClientSession) -> None:
        settings = LinkSettings(inbound_silence_s=0.2)
        carrier, record = await bench.carrier("a", peers=("b",), settings=settings)
        async with http.ws_connect(link_url(carrier)) as link:
            await link.send_bytes(pack(b"last words"))
            await bench.until(lambda: len(record.inbound) == 2)
        assert record.inbound[-1][3] == "silence: nothing came within 0.2 s"

    async def test_a_receiver_that_fails_is_reported_not_swallowed(
        self, bench: Bench, http: aiohttp.ClientSession
    ) -> None:
        class Failing(Record):
            def on_frame(self, peer: str, lane: Lane, frame: bytes) -> str | None:
                raise RuntimeError("broken invariant")

        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        done = asyncio.Event()
        carrier, record = await bench.carrier("a", peers=("b",), receiver=Failing(done.set))
        async with http.ws_connect(link_url(carrier)) as link:
            await link.send_bytes(pack(b"x"))
            async with asyncio.timeout(WAIT_S):
                while len(record.inbound) < 2:
                    done.clear()
                    await done.wait()
        assert [str(context["exception"]) for context in reported] == ["broken invariant"]


class TestNarrowNetworks:
    @pytest.mark.parametrize(
        "frame_bytes", [20_000, 32_760, 40_000, 65_532, 200_000, pytest.param(1_048_576, marks=pytest.mark.slowest)]
    )
    async def test_what_the_network_does_not_take_at_once_costs_no_link(self, bench: Bench, frame_bytes: int) -> None:
        """On loopback the system takes a megabyte at once, over a real network some ten kilobytes."""
        b, heard = await bench.carrier("b", peers=("a",), settings=LinkSettings())
        a, record = await bench.carrier("a", {"b": [("127.0.0.1", b.bound_port)]}, settings=LinkSettings())
        await bench.until(lambda: len(record.outbound) == len(heard.inbound) == 2)
        link: Any = a._links.get("b", Lane.BULK)
        link._socket.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        assert a.send("b", Lane.CONTROL, b"hello")  # else that link is half open
        await bench.until(lambda: bool(heard.frames))
        heard.frames.clear()
        frames = [os.urandom(frame_bytes) for _ in range(6)]
        for number, frame in enumerate(frames, 1):
            assert a.send("b", Lane.BULK, frame)
            a.flush()
            if number % 2 == 0:  # two meet in the queue, and what comes next meets an empty one
                await bench.until(lambda number=number: len(heard.frames) == number)  # type: ignore[misc]
        assert [frame for _, _, frame in heard.frames] == frames
        assert (len(record.outbound), len(heard.inbound)) == (2, 2), record.outbound


class TestDialling:
    async def test_the_next_address_is_tried_where_one_refuses(self, bench: Bench, unused_tcp_port: int) -> None:
        b, _ = await bench.carrier("b", peers=("a",))
        addresses = [("127.0.0.1", unused_tcp_port), ("127.0.0.1", b.bound_port)]
        _, record = await bench.carrier("a", {"b": addresses})
        await bench.until(lambda: len(record.outbound) == 2)
        assert all(up for _, _, up, _ in record.outbound)

    async def test_a_name_that_is_nowhere_is_told_and_asked_again(self, bench: Bench) -> None:
        addresses: dict[str, list[tuple[str, int]]] = {}
        a, record = await bench.carrier("a", addresses, peers=("b",))
        await bench.until(lambda: len(record.outbound) == 2)
        assert {reason for _, _, _, reason in record.outbound} == {"b is nowhere"}
        b, _ = await bench.carrier("b", peers=("a",))
        _resolver(a).addresses["b"] = [("127.0.0.1", b.bound_port)]
        await bench.until(lambda: all(a.outbound_up("b", lane) for lane in Lane))

    async def test_a_name_service_that_hangs_is_not_waited_for(self, bench: Bench) -> None:
        _, record = await bench.carrier("a", {"b": []}, settings=replace(QUICK, dial_timeout_s=0.2))
        await bench.until(lambda: len(record.outbound) == 2)
        assert {reason for _, _, _, reason in record.outbound} == {"the name b was not resolved within 0.2 s"}

    async def test_another_node_at_the_address_is_told_as_such(self, bench: Bench) -> None:
        c, heard = await bench.carrier("c", peers=("a",))
        _, record = await bench.carrier("a", {"b": [("127.0.0.1", c.bound_port)]})
        await bench.until(lambda: len(record.outbound) == 2)
        assert {reason for _, _, _, reason in record.outbound} == {
            "the peer's port answered HTTP 403 instead of opening a link: "
            "this is c: the dialler looks for another node, so its address list is wrong"
        }
        assert heard.inbound == []

    async def test_a_peer_that_dials_is_dialled_without_sitting_out_the_pause(
        self, bench: Bench, unused_tcp_port: int
    ) -> None:
        patient = LinkSettings(redial_min_s=60, redial_max_s=60)
        b, record_b = await bench.carrier("b", {"a": [("127.0.0.1", unused_tcp_port)]}, settings=patient)
        await bench.until(lambda: {reason for _, _, _, reason in record_b.outbound} == {REFUSED})
        await asyncio.sleep(0.01)
        a, _ = await bench.carrier("a", peers=("b",))
        _resolver(b).addresses["a"] = [("127.0.0.1", a.bound_port)]
        _resolver(a).addresses["b"] = [("127.0.0.1", b.bound_port)]
        await bench.until(lambda: all(b.outbound_up("a", lane) for lane in Lane))


def _resolver(carrier: WebSocketCarrier) -> Addresses:
    resolver = carrier._resolver
    assert isinstance(resolver, Addresses)
    return resolver


class TestLinksInTime:
    async def test_an_old_link_says_goodbye_and_is_dialled_anew_and_loses_nothing(self, bench: Bench) -> None:
        ageing = LinkSettings(age_max_s=0.1, redial_min_s=0.005)
        b, heard = await bench.carrier("b", peers=("a",))
        a, record = await bench.carrier("a", {"b": [("127.0.0.1", b.bound_port)]}, settings=ageing)
        sent: list[bytes] = []

        def ends() -> list[str]:
            return [reason for _, lane, up, reason in heard.inbound if lane is Lane.CONTROL and not up]

        async with asyncio.timeout(30):
            while len(sent) < 50 or len(ends()) < 2:
                number = b"%d" % len(sent)
                if a.send("b", Lane.CONTROL, number):
                    sent.append(number)
                await asyncio.sleep(0.004)
        await bench.until(lambda: heard.of(Lane.CONTROL) == sent)
        assert set(ends()) == {GOODBYE}
        assert set(record.reasons("b", Lane.CONTROL)) == {"the link reached its age limit"}

    async def test_a_process_that_was_stopped_itself_judges_nobody(self, bench: Bench) -> None:
        strict = LinkSettings(ping_interval_s=0.05, pong_timeout_s=0.15)
        b, heard = await bench.carrier("b", peers=("a",), settings=LinkSettings(inbound_silence_s=0.3))
        a, record = await bench.carrier("a", {"b": [("127.0.0.1", b.bound_port)]}, settings=strict)
        await bench.until(lambda: len(record.outbound) == 2)
        time.sleep(0.4)  # noqa: ASYNC251  the whole process stands still, as under SIGSTOP
        await asyncio.sleep(0.2)
        assert [change[2] for change in (*record.outbound, *heard.inbound)] == [True] * 4
        assert a.send("b", Lane.CONTROL, b"x")

    async def test_closing_does_not_wait_for_a_peer_that_reads_nothing(self, bench: Bench) -> None:
        hung = web.Application()
        release = asyncio.Event()

        async def never_read(request: web.Request) -> web.WebSocketResponse:
            websocket = web.WebSocketResponse()
            await websocket.prepare(request)
            await release.wait()
            return websocket

        hung.router.add_get(LINK_PATH, never_read)
        runner = web.AppRunner(hung, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        a, record = await bench.carrier("a", {"b": [runner.addresses[0][:2]]}, settings=LinkSettings())
        await bench.until(lambda: len(record.outbound) == 2)
        refused = 0  # the kernel takes some, and now and then some more
        for _ in range(200):
            refused += not a.send("b", Lane.BULK, bytes(1024 * 1024))
            await asyncio.sleep(0)
        assert refused > 50
        started = time.monotonic()
        await a.close()
        assert time.monotonic() - started < 2
        assert not a.send("b", Lane.BULK, b"x")
        release.set()
        await runner.cleanup()

    async def test_frames_of_one_turn_travel_together_uncompressed_and_at_once(self, bench: Bench) -> None:
        packs: list[bytes] = []
        extensions: list[str | None] = []
        came = asyncio.Event()

        async def collect(request: web.Request) -> web.WebSocketResponse:
            extensions.append(request.headers.get("Sec-WebSocket-Extensions"))
            websocket = web.WebSocketResponse()
            await websocket.prepare(request)
            async for message in websocket:
                packs.append(message.data)
                came.set()
            return websocket

        app = web.Application()
        app.router.add_get(LINK_PATH, collect)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        a, record = await bench.carrier("a", {"b": [runner.addresses[0][:2]]})
        await bench.until(lambda: len(record.outbound) == 2)
        frames = [b"%d" % number for number in range(200)]
        assert all(a.send("b", Lane.CONTROL, frame) for frame in frames)
        async with asyncio.timeout(WAIT_S):
            await came.wait()
        assert [list(frames_of(pack)) for pack in packs] == [frames]
        assert extensions == [None, None]
        await a.close()
        await runner.cleanup()

    async def test_what_is_let_go_is_with_the_peers_system_before_the_loop_turns(self, bench: Bench) -> None:
        async with _links_that_nobody_reads(bench) as (a, _, ends):
            a.send("b", Lane.CONTROL, b"1")
            a.send("b", Lane.CONTROL, b"2")
            assert not ends["control"].waiting_bytes
            a.flush()
            one_message = 2 + 4 + len(pack(b"1", b"2"))
            """Head, mask and pack."""
            assert ends["control"].waiting_bytes == one_message
            a.flush()
            assert ends["control"].waiting_bytes == one_message
            assert not ends["bulk"].waiting_bytes

    async def test_a_link_that_broke_unnoticed_is_down_when_something_is_let_go(self, bench: Bench) -> None:
        async with _links_that_nobody_reads(bench) as (a, record, ends):
            ends["control"].break_off()
            for _ in range(100):  # the first is answered with a reset, and the second fails
                if not a.outbound_up("b", Lane.CONTROL):
                    break
                assert a.send("b", Lane.CONTROL, b"x"), "the loop has not turned, so a has not seen the end"
                a.flush()
            assert ("b", Lane.CONTROL, False, LOST) in record.outbound
            assert a.outbound_up("b", Lane.BULK)

    async def test_a_framework_that_waits_where_nothing_is_in_the_way_costs_the_link_and_no_more(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with _links_that_nobody_reads(bench) as (a, record, _):

            async def waits(_socket: DialledSocket, _data: bytes) -> None:
                await asyncio.sleep(60)

            monkeypatch.setattr(DialledSocket, "send_bytes", waits)
            assert a.send("b", Lane.CONTROL, b"1")
            a.flush()
            assert ("b", Lane.CONTROL, False, LOST) in record.outbound
            assert a.outbound_up("b", Lane.BULK)

    async def test_an_address_that_is_taken_is_an_oserror_and_leaves_nothing(self, bench: Bench) -> None:
        a, _ = await bench.carrier("a", peers=("b",))
        second = WebSocketCarrier(
            name="a2",
            peers=("b",),
            host="127.0.0.1",
            port=a.bound_port,
            resolver=Addresses(),
            receiver=Record(lambda: None),
            chance=Random(1),
        )
        with pytest.raises(OSError, match="in use"):
            await second.start()
        await second.close()


async def test_a_dial_that_is_refused_after_a_loss_makes_no_web_socket_of_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    unused: Any = None
    dialler = Dialler("a", "b", Lane.CONTROL, unused, Addresses(b=[("127.0.0.1", port)]), QUICK)
    with pytest.raises(DialFailed, match=f"^{REFUSED}$"):
        await dialler.dial(after_loss=True)
