"""Connections of clients: the longest idle one makes room, nobody busy does, and who never ends is given up."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from aiohttp import web

from node.api import clients as limits
from node.api.clients import BODY_SECONDS_MAX, HEAD_SECONDS_MAX, IDLE_SECONDS_MIN, UNREAD_SECONDS_MAX, Clients
from node.api.connection import HEAD_BYTES_MAX, Connection
from node.api.http2.connections import BEGINNING, Http2
from node.api.http2.counts import Counts
from node.api.listening import bound_sockets
from node.api.server import ApiRunner
from tests.api.test_express import Client, connected

GET = b"GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n"

LONG_BYTES = 1024 * 1024
LARGE_BYTES = 16 * 1024
"""Less than what a connection holds for a client before it counts as stuck."""


class One:
    """A connection as `Clients` sees it."""

    def __init__(self, idle_since: float, is_idle: bool = True) -> None:
        self.idle_since = idle_since
        self.is_idle = is_idle
        self.head_is_missing = False
        self.body_is_missing = False
        self.request_began = 0.0
        self.unread_bytes = 0
        self.closed = False
        self.aborted = False
        self.tended = 0.0

    def force_close(self) -> None:
        self.closed = True

    def make_room(self) -> None:
        self.force_close()

    def never_asked(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def tend(self, now: float) -> None:
        self.tended = now


class Clock:
    """Stands for a loop: a clock, and the timer that was asked for."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: object) -> "Clock":
        return self

    def cancel(self) -> None:
        return None


def filled(clock: Clock, *ones: One) -> Clients:
    made = Clients(len(ones), clock)  # type: ignore[arg-type]
    for one in ones:
        assert made.admit()
        made.opened(one)
    return made


def test_the_longest_idle_connection_makes_room() -> None:
    clock = Clock()
    ones = [One(990.0), One(980.0), One(985.0)]
    clients = filled(clock, *ones)
    assert clients.admit()
    assert [one.closed for one in ones] == [False, True, False]
    assert (clients.made_room, clients.refused, clients.count) == (1, 0, 3)


def test_nobody_busy_or_just_answered_makes_room() -> None:
    clock = Clock()
    ones = [One(900.0, is_idle=False), One(clock.now - IDLE_SECONDS_MIN / 2)]
    clients = filled(clock, *ones)
    assert not clients.admit()
    assert not any(one.closed for one in ones)
    assert clients.refused == 1
    clock.now += IDLE_SECONDS_MIN
    assert clients.admit()
    assert ones[1].closed


def test_every_connection_is_looked_at_in_time_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOOKS_MAX", 4)
    ones = [One(900.0, is_idle=False) for _ in range(9)] + [One(900.0)]
    clients = filled(Clock(), *ones)
    assert [clients.admit() for _ in range(3)] == [False, False, True]
    assert ones[9].closed


def test_one_client_has_three_quarters_and_then_its_own_idle_ones_make_room() -> None:
    clock = Clock()
    clients = Clients(8, clock)  # type: ignore[arg-type]
    crowd = [One(900.0 + number, is_idle=number == 5) for number in range(6)]
    other = One(100.0)
    for one, owner in [(other, "b"), *((one, "a") for one in crowd)]:
        assert clients.admit(owner)
        clients.opened(one, owner)
    assert clients.admit("a"), "its own idle one makes room"
    assert (crowd[5].closed, other.closed) == (True, False)
    assert not clients.admit("a"), "none of its own is idle"
    assert (clients.refused, clients.over_share, clients.made_room) == (1, 1, 1)
    assert clients.admit("c")
    clients.gone("a")
    assert clients.admit("a")
    clients.closed(crowd[0])
    assert clients.admit("b")


def test_a_client_with_its_share_changes_its_connections_so_often_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OWN_ROOMS_PER_SECOND_MAX", 2)
    clock = Clock()
    clients = Clients(8, clock)  # type: ignore[arg-type]
    for _ in range(6):
        assert clients.admit("a")
        clients.opened(One(900.0), "a")
    assert [clients.admit("a") for _ in range(4)] == [True, True, False, False]
    clock.now += 1
    assert clients.admit("a")


def test_a_connection_that_goes_on_as_another_kind_is_counted_once() -> None:
    clients = Clients(4, Clock())  # type: ignore[arg-type]
    first, then = One(0, False), One(0, False)
    assert clients.admit("a")
    clients.opened(first, "a")
    assert clients.admit("a"), "another is just coming, and will leave without a word"
    clients.handed_on(first, then)
    clients.gone("a")
    assert (clients.count, clients._of["a"]) == (1, 1)
    clients.closed(then)
    assert (clients.count, dict(clients._of), dict(clients._coming)) == (0, {}, {})


def test_a_first_request_that_never_comes_is_given_up() -> None:
    clock = Clock()
    slow, asked = One(clock.now), One(clock.now)
    clients = filled(clock, slow, asked)
    slow.head_is_missing = True
    clock.now += HEAD_SECONDS_MAX - 1
    clients._sweep()
    assert not slow.closed
    clock.now += 1
    clients._sweep()
    assert (slow.closed, asked.closed) == (True, False)
    assert clients.given_up == {"headers": 1, "body": 0, "unread": 0}


def test_one_that_did_not_arrive_leaves_its_place() -> None:
    clients = filled(Clock(), One(1000.0))
    clients.closed(next(iter(clients._open)))
    assert clients.admit()
    assert not clients.admit()
    clients.gone()
    assert clients.admit()


def test_a_body_that_never_ends_and_an_answer_that_nobody_takes_are_given_up() -> None:
    clock = Clock()
    slow, deaf, honest = One(0, False), One(0, False), One(0, False)
    clients = filled(clock, slow, deaf, honest)
    slow.body_is_missing, slow.request_began = True, clock.now
    honest.body_is_missing, honest.request_began = True, clock.now + BODY_SECONDS_MAX - 1
    deaf.unread_bytes = 100_000
    clients._sweep()
    deaf.unread_bytes = 50_000  # it took some
    clock.now += UNREAD_SECONDS_MAX - 1
    clients._sweep()
    assert not deaf.aborted
    clock.now += BODY_SECONDS_MAX - UNREAD_SECONDS_MAX + 1
    clients._sweep()
    assert (slow.aborted, deaf.aborted, honest.aborted) == (True, True, False)


# --- real connections -------------------------------------------------------------------------------------------


class Slow:
    """A server with few places, some of whose answers wait."""

    def __init__(self, runner: ApiRunner) -> None:
        self.runner = runner
        self.port = runner.addresses[0][1]
        self.released = asyncio.Event()
        self.waiting = 0


@asynccontextmanager
async def serving(most: int) -> AsyncIterator[Slow]:
    app = web.Application(client_max_size=LONG_BYTES)
    made: list[Slow] = []

    async def quick(_request: web.Request) -> web.Response:
        return web.Response(text="quick")

    async def large(_request: web.Request) -> web.Response:
        return web.Response(body=bytes(LARGE_BYTES))

    async def wait(_request: web.Request) -> web.Response:
        made[0].waiting += 1
        await made[0].released.wait()
        return web.Response(text="waited")

    async def take(request: web.Request) -> web.Response:
        return web.Response(text=f"{len(await request.read())} taken")

    app.router.add_put("/take", take)
    app.router.add_get("/quick", quick)
    app.router.add_get("/wait", wait)
    app.router.add_get("/large", large)
    http2 = Http2(lambda _stream, _head: None, Counts())
    runner = ApiRunner(app, clients=Clients(most, asyncio.get_running_loop()), http2=http2)
    await runner.setup()
    try:
        await runner.listen("127.0.0.1", 0)
        made.append(Slow(runner))
        yield made[0]
    finally:
        made[0].released.set()
        await runner.cleanup()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IDLE_SECONDS_MIN", 0.0)


@pytest.mark.parametrize("speaks", [b"", BEGINNING], ids=["HTTP/1.1", "HTTP/2"])
async def test_a_connection_that_is_reset_before_it_is_looked_at_gives_its_place_back(speaks: bytes) -> None:
    """As checks of balancers and scans are: its socket cannot say any more whose it was."""
    async with serving(40) as server:
        for _ in range(20):
            with socket.socket() as one:
                one.bind(("127.0.0.2", 0))
                one.connect(("127.0.0.1", server.port))
                one.sendall(speaks)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        clients = server.runner.clients
        async with connected(server.port) as other:
            assert await other.ask(GET) == (200, b"quick")
            async with asyncio.timeout(5):
                while clients.count > 1:  # noqa: ASYNC110 - the server has no event
                    await asyncio.sleep(0.005)
            assert "127.0.0.2" not in clients._of
            assert not clients._coming


async def test_more_clients_than_places_are_all_served_while_they_take_turns(at_once: None) -> None:
    async with serving(4) as server, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(server.port)) for _ in range(4)]
        for client in clients:
            assert await client.ask(GET) == (200, b"quick")
        for _ in range(20):
            newcomer = await stack.enter_async_context(connected(server.port))
            assert await newcomer.ask(GET) == (200, b"quick")
        assert server.runner.clients.count <= 4
        assert await clients[0].reader.read() == b"", "the one that was idle for longest was closed"


async def test_where_nobody_is_idle_a_new_client_is_told_to_try_again(at_once: None) -> None:
    async with serving(2) as server, AsyncExitStack() as stack:
        busy = [await stack.enter_async_context(connected(server.port)) for _ in range(2)]
        for client in busy:
            client.writer.write(GET.replace(b"quick", b"wait"))
        while server.waiting < 2:  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.005)
        async with connected(server.port) as refused:
            status, body = await refused.ask(GET)
            assert status == 503
            assert b'"overloaded"' in body
            assert await refused.reader.read() == b""
        server.released.set()
        for client in busy:
            assert await client.answer() == (200, b"waited")


async def test_a_client_that_never_ends_its_headers_is_idle(at_once: None) -> None:
    async with serving(1) as server, connected(server.port) as sloth, connected(server.port) as other:
        sloth.writer.write(GET[:20])
        await asyncio.sleep(0.02)
        answer = asyncio.ensure_future(Client(other.reader, other.writer).ask(GET))
        assert await answer == (200, b"quick")
        assert await sloth.reader.read() == b""


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
async def test_a_host_that_is_none_is_an_address_that_cannot_be_had(host: str) -> None:
    """Python raises UnicodeError for what no name can be, which nobody takes for a wrong setting."""
    with pytest.raises(OSError, match="not known"):
        await bound_sockets(host, 0)


async def test_a_listener_that_is_out_of_descriptors_goes_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket.accept
    failures = [2]

    def accept(self: socket.socket) -> tuple[socket.socket, object]:
        if failures[0]:
            failures[0] -= 1
            raise OSError(24, "Too many open files")
        return real(self)

    monkeypatch.setattr("node.api.listening.PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(socket.socket, "accept", accept)
    async with serving(4) as server, connected(server.port) as client:
        assert await client.ask(GET) == (200, b"quick")
    assert failures == [0]


def _unsent(connection: Connection) -> int:
    return connection.transport.get_write_buffer_size() if connection.transport is not None else 0


async def _with_an_answer_that_is_not_taken(server: Slow, deaf: socket.socket) -> Connection:
    """Ask until an answer is on its way that the kernel does not take from us, and that is too short to wait for."""
    loop = asyncio.get_running_loop()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    await loop.sock_connect(deaf, ("127.0.0.1", server.port))
    while not server.runner.clients._open:  # noqa: ASYNC110 - the server has no event
        await asyncio.sleep(0.005)
    (connection,) = server.runner.clients._open
    assert isinstance(connection, Connection)
    while not _unsent(connection):
        await loop.sock_sendall(deaf, GET.replace(b"quick", b"large"))
        await asyncio.sleep(0.001)
    assert not connection.answers_are_stuck
    return connection


async def test_who_has_an_answer_to_take_makes_no_room_for_its_descriptor_stays(at_once: None) -> None:
    async with serving(1) as server:
        with socket.socket() as deaf:
            await _with_an_answer_that_is_not_taken(server, deaf)
            async with connected(server.port) as other:
                status, _ = await other.ask(GET)
            assert status == 503


@pytest.mark.parametrize("who", ["the server", "the client", "both agreed"])
async def test_a_connection_that_ends_while_its_answer_is_not_taken_does_end(
    monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    monkeypatch.setattr("node.api.connection.UNREAD_SECONDS_MAX", 0.05)
    async with serving(1) as server:
        with socket.socket() as deaf:
            connection = await _with_an_answer_that_is_not_taken(server, deaf)
            if who == "the server":
                connection.force_close()
            elif who == "the client":
                deaf.shutdown(socket.SHUT_WR)
            else:
                deaf.send(GET.replace(b"Host", b"Connection: close\r\nHost"))
            async with asyncio.timeout(5):
                while server.runner.clients.count:  # noqa: ASYNC110 - likewise
                    await asyncio.sleep(0.005)


@pytest.mark.parametrize("said", [b"", b"GET /quick HTTP/1.1\r\nHost: local"], ids=["nothing", "half"])
async def test_who_does_not_finish_its_headers_is_told_and_ended(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    async with serving(4) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with connected(server.port) as other:
            assert await other.ask(GET) == (200, b"quick")
            writer.write(said)
            loop = asyncio.get_running_loop()
            monkeypatch.setattr(loop, "time", lambda at=loop.time: at() + HEAD_SECONDS_MAX)
            async with asyncio.timeout(5):
                while server.runner.clients.count < 2:  # noqa: ASYNC110 - accepted in a turn to come
                    await asyncio.sleep(0.005)
                server.runner.clients._sweep()
                heard = await reader.read()
            assert heard.startswith(b"HTTP/1.1 408 ")
            assert b"the request did not arrive in time; nothing was done" in heard
            assert server.runner.clients.given_up["headers"] == 1
            assert await other.ask(GET) == (200, b"quick")
        writer.close()


@pytest.mark.parametrize("before", [b"", GET], ids=["at once", "after a request"])
async def test_headers_that_never_end_are_held_up_to_a_bound(before: bytes) -> None:
    """Each of them may be long, and there may be many: 512 KiB for each connection."""
    async with serving(4) as server, connected(server.port) as other:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        if before:
            writer.write(before)
            assert (await reader.readuntil(b"quick")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"GET /quick HTTP/1.1\r\nHost: localhost\r\n")
        sent, answered = 0, asyncio.create_task(reader.read())
        while not answered.done() and sent < 60:
            writer.write(b"x-%d: %b\r\n" % (sent, b"y" * 8000))
            sent += 1
            with suppress(ConnectionError):
                await writer.drain()
            await asyncio.sleep(0.001)
        async with asyncio.timeout(5):
            heard = await answered
        assert heard.startswith(b"HTTP/1.1 431 ")
        assert b"a request's line and headers are longer than %d bytes" % HEAD_BYTES_MAX in heard
        assert await other.ask(GET) == (200, b"quick")
        writer.close()


@pytest.mark.parametrize("queued", [b"", GET], ids=["at once", "after one that waits"])
async def test_headers_that_never_end_are_held_up_to_a_bound_while_a_request_is_under_way(queued: bytes) -> None:
    """The answer to what came before is given, and nothing else any more."""
    async with serving(4) as server, connected(server.port) as other:
        assert await other.ask(GET) == (200, b"quick")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET.replace(b"quick", b"wait"))
        while not server.waiting:  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.005)
        connection = next(one for one in server.runner.clients._open if not one.is_idle)
        assert isinstance(connection, Connection)
        writer.write(queued + b"GET /quick HTTP/1.1\r\nHost: localhost\r\n")
        sent = 0
        while not connection.ends and sent < 60:
            writer.write(b"x-%d: %b\r\n" % (sent, b"y" * 8000))
            sent += 1
            await writer.drain()
            await asyncio.sleep(0.001)
        assert 0 < sent * 8000 < HEAD_BYTES_MAX + 64 * 1024
        server.released.set()
        async with asyncio.timeout(5):
            heard = await reader.read()
        assert (heard.count(b"HTTP/1.1 200 "), heard.count(b"HTTP/1.1 ")) == (1, 1)
        assert await other.ask(GET) == (200, b"quick")
        writer.close()


@pytest.mark.parametrize("before", [b"", GET], ids=["at once", "after a request"])
async def test_a_body_that_comes_before_its_request_has_begun_is_no_head(before: bytes) -> None:
    """Whoever serves it is a task, which begins a turn later than its head comes."""
    put = b"PUT /take HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % LONG_BYTES
    async with serving(4) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        if before:
            writer.write(before)
            await reader.readuntil(b"quick")
        for _ in range(20):
            writer.write(put)
            await asyncio.sleep(0)
            writer.write(bytes(LONG_BYTES))
            async with asyncio.timeout(5):
                await reader.readuntil(b"%d taken" % LONG_BYTES)
        writer.close()


async def test_a_long_body_after_a_request_that_asked_for_another_protocol_is_no_head() -> None:
    """The framework looks at it only once that one is answered."""
    asking = GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    put = b"PUT /take HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % LONG_BYTES
    async with serving(4) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(asking + put + b"begun")
        async with asyncio.timeout(5):
            await reader.readuntil(b"quick")
            writer.write(bytes(LONG_BYTES - 5))
            await reader.readuntil(b"%d taken" % LONG_BYTES)
        writer.close()


def test_who_is_given_up_in_the_moment_in_which_it_is_opened_is_counted_once() -> None:
    clients = Clients(4, Clock())  # type: ignore[arg-type]
    for opens_first in (True, False):
        one = One(0, False)
        assert clients.admit("a")
        for opens in (opens_first, not opens_first):
            if opens:
                clients.opened(one, "a")
            else:
                clients.gone("a", one)
        clients.closed(one)
        assert (clients.count, dict(clients._of), dict(clients._coming)) == (0, {}, {})


async def test_many_requests_may_come_at_once_while_one_is_under_way() -> None:
    """Their heads are whole, however long all of them are together."""
    async with serving(4) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = GET.replace(b"\r\n\r\n", b"\r\nx-long: " + b"y" * 4000 + b"\r\n\r\n")
        writer.write(GET.replace(b"quick", b"wait"))
        while not server.waiting:  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.005)
        for _ in range(100):
            writer.write(head)
            await asyncio.sleep(0)
        server.released.set()
        async with asyncio.timeout(20):
            for _ in range(100):
                await reader.readuntil(b"quick")
        writer.close()


async def test_who_just_connected_is_not_the_one_that_was_idle_for_longest() -> None:
    """Its request is on its way."""
    async with serving(4) as server, connected(server.port) as early:
        assert await early.ask(GET) == (200, b"quick")
        async with connected(server.port):
            clients = server.runner.clients
            async with asyncio.timeout(5):
                while len(clients._open) < 2:  # noqa: ASYNC110 - accepted in a turn to come
                    await asyncio.sleep(0.005)
            first, late = clients._open
            assert late.idle_since > first.idle_since > asyncio.get_running_loop().time() - 5
