"""A client that closes its sending side once it has asked: it is answered, on every route of both servers, and then its
connection ends. One that asked for nothing, or not for the whole of it, is not waited for."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from aiohttp import web

from node.api.etcd.express import EtcdExpress
from node.api.etcd.routes import EtcdApi
from node.api.events import EventsApi
from node.api.express import Express
from node.api.server import ApiRunner, build_app
from node.observe.metrics import Metrics
from node.observe.trace import Trace
from node.statemachine.writes import LeaseGrant, Put
from node.supervisor import monitor as monitoring
from node.supervisor.child import ProcessView
from node.supervisor.control import Answer
from node.supervisor.doorway import open_door
from node.supervisor.layout import NodeEntry
from tests.api.double import ScriptedNode
from tests.api.test_express import Lane, Node
from tests.supervisor.orders import Orders

SECONDS_MAX = 5.0
PUT = b'{"key":"a2V5","value":"dmFsdWU="}'
LARGE = b"x" * 900_000
ONCE = {("DELETE", "/kv/k"), ("DELETE", "/nodes/n1/kv/k"), ("POST", "/v3/kv/compaction")}
"""The second time, these are refused."""
ENDLESS = ("/events", "/nodes/n1/events")
OBSERVING = ("POST", "/v3/election/observe")
QUEUES = ("/v3/lock/lock", "/v3/election/campaign")
"""With one lease they are asked for twice, without any they would wait for each other."""
LEASE = 5


class Serving:
    """A server, what it serves, and the node behind it."""

    def __init__(self, runner: ApiRunner, node: ScriptedNode) -> None:
        self.runner, self.node = runner, node
        self.port = int(runner.addresses[0][1])

    def routes(self) -> list[tuple[str, str]]:
        """(method, path) of every route, with values for what stands in braces."""
        found = set()
        for route in self.runner.app.router.routes():
            resource = route.resource
            assert resource is not None
            path = re.sub(r"\{[^}]*\}", "k", resource.canonical.replace("{name}", "n1", 1))
            found |= {(method, path) for method in (("GET", "POST") if route.method == "*" else (route.method,))}
        return sorted(found)


@asynccontextmanager
async def node_server() -> AsyncIterator[Serving]:
    """The API of a node as `app.py` puts it together, the express lane included."""
    node, trace = Node(), Trace("n1", "boot-1", lambda: 1)
    node.do(Put(b"k", b"v"), Put(b"large", LARGE), LeaseGrant(LEASE, 600))
    metrics = Metrics(node.status, trace, node.loop_age_us, node.store)
    lane = EtcdExpress(EtcdApi(node, node.store, metrics, lambda: 1), node, node.store, metrics)
    app = build_app(node, node.store, trace, metrics, events=EventsApi(trace))
    runner = ApiRunner(app, Express(lane.routes(), ()))
    await runner.setup()
    try:
        await runner.listen("127.0.0.1", 0)
        yield Serving(runner, node)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def monitor_server() -> AsyncIterator[Serving]:
    """The monitor of `raft-node cluster` before one such node."""
    async with node_server() as behind:
        entries = (NodeEntry("n1", f"http://127.0.0.1:{behind.port}", "127.0.0.1:1", "", "/dev/null"),)
        door = open_door(0, entries)
        assert door is not None
        monitor = monitoring.Monitor(
            door, lambda: entries, lambda _: ProcessView(7, "running"), Orders(Answer(True, "started", 7))
        )
        await monitor.open()
        try:
            yield Serving(monitor._runner, behind.node)
        finally:
            await monitor.close()


SERVERS = {"node": node_server, "monitor": monitor_server}
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture(autouse=True)
def nothing_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.ERROR] == []


@pytest.fixture(params=[pytest.param("asyncio", marks=pytest.mark.slowest), "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Awaitable[None]], None]]:
    """Runs a test on the loop that production has, and on the standard one."""

    async def bounded(test: Awaitable[None]) -> None:
        async with asyncio.timeout(60):
            await test

    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield lambda test: runner.run(bounded(test))


async def asked(port: int, request: bytes, half_close: bool = True) -> bytes:
    """All that the server says until it ends the connection. The FIN comes in the moment of the request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        if half_close:
            writer.write_eof()
        async with asyncio.timeout(SECONDS_MAX):
            return await reader.read()
    finally:
        writer.close()


def asking(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def statuses(said: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", said)]


@pytest.mark.parametrize("server", SERVERS)
def test_every_route_answers_a_client_that_sends_no_more(server: str, run: Callable[[Awaitable[None]], None]) -> None:
    async def test() -> None:
        async with SERVERS[server]() as serving:
            routes = serving.routes()
            assert len(routes) > 20
            for method, path in routes:
                body = {"PUT": b"value", "POST": PUT if path.startswith("/v3/kv/put") else b"{}"}.get(method, b"")
                if path in QUEUES and method == "POST":
                    body = b'{"lease":%d}' % LEASE
                half = await asked(serving.port, asking(method, path, body))
                assert len(statuses(half)) == 1, (method, path, half)
                if path in ENDLESS or (method, path) == OBSERVING:
                    assert statuses(half) == [200]
                    assert half.endswith(b"0\r\n\r\n"), "the stream has an end"
                    continue
                whole = await asked(serving.port, asking(method, path, body, "Connection: close"), half_close=False)
                if (method, path) not in ONCE:
                    assert statuses(half) == statuses(whole), (method, path)

    run(test())


@pytest.mark.parametrize("server", SERVERS)
def test_a_write_that_takes_its_time_is_answered_and_then_the_connection_ends(
    server: str, run: Callable[[Awaitable[None]], None]
) -> None:
    async def test() -> None:
        async with SERVERS[server]() as serving:
            released, came = asyncio.Event(), asyncio.Event()
            propose = serving.node.propose

            async def slow(*arguments: Any) -> Any:
                came.set()
                await released.wait()
                return await propose(*arguments)

            serving.node.propose = slow  # type: ignore[method-assign, assignment]
            asking_ = asyncio.create_task(asked(serving.port, asking("PUT", "/kv/slow", b"value")))
            await came.wait()
            await asyncio.sleep(0.05)  # so that the end is seen before the answer
            released.set()
            said = await asking_
            assert statuses(said) == [200]
            assert b"Connection: close" in said
            assert serving.node.store.get(b"slow") is not None

    run(test())


def test_a_request_of_the_express_lane_that_takes_its_time_is_answered(
    run: Callable[[Awaitable[None]], None],
) -> None:
    async def test() -> None:
        lane = Lane()
        lane.at_once = False
        runner = ApiRunner(web.Application(), Express({"/v3/kv/put": lane.take}, ()))
        await runner.setup()
        await runner.listen("127.0.0.1", 0)
        try:
            # The lane is open from the second turn on, so the FIN does not come with the connection.
            reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
            await asyncio.sleep(0.05)
            writer.write(asking("POST", "/v3/kv/put", PUT))
            writer.write_eof()
            await lane.came.wait()
            await asyncio.sleep(0.05)
            lane.answers[0](200, b"written")
            async with asyncio.timeout(SECONDS_MAX):
                said = await reader.read()
            assert said.endswith(b"written")
            assert b"Connection: close" in said
            writer.close()
        finally:
            await runner.cleanup()

    run(test())


def test_requests_sent_ahead_are_all_answered_and_one_that_was_cut_is_not_begun(
    run: Callable[[Awaitable[None]], None],
) -> None:
    async def test() -> None:
        async with node_server() as serving:
            first, second = asking("PUT", "/kv/a", b"1"), asking("PUT", "/kv/b", b"2")
            for cut in (b"", asking("PUT", "/kv/c", b"3")[:-1], asking("PUT", "/kv/c", b"3")[:20]):
                said = await asked(serving.port, first + second + cut)
                assert statuses(said) == [200, 200]
            assert serving.node.store.get(b"c") is None

    run(test())


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /kv/k HT",
        asking("GET", "/kv/k")[:-2],
        asking("PUT", "/kv/c", b"123")[:-1],
        asking("PUT", "/nothing", b"123")[:-1],
        b"PUT /kv/c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
    ids=["nothing", "half a line", "half a head", "half a body", "half a body, answered already", "half a chunk"],
)
def test_whoever_asked_for_nothing_whole_is_let_go_at_once(
    sent: bytes, run: Callable[[Awaitable[None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.api.server.LINGERING_SECONDS", 60.0)  # so long the framework would read on

    async def test() -> None:
        async with node_server() as serving:
            for pause in (0.0, 0.05):
                reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
                writer.write(sent)
                await asyncio.sleep(pause)
                writer.write_eof()
                async with asyncio.timeout(SECONDS_MAX):
                    said = await reader.read()
                assert statuses(said) in ([], [404]), said
                writer.close()
            async with asyncio.timeout(SECONDS_MAX):
                while serving.runner.clients.count:  # noqa: ASYNC110 - the server has no event
                    await asyncio.sleep(0.005)
            assert serving.node.store.get(b"c") is None

    run(test())


def test_a_long_answer_arrives_whole(run: Callable[[Awaitable[None]], None]) -> None:
    async def test() -> None:
        async with node_server() as serving:
            said = await asked(serving.port, asking("GET", "/kv/large"))
            assert said.endswith(LARGE)

    run(test())


@pytest.mark.parametrize(("server", "path"), [("node", "/events"), ("monitor", "/events"), ("monitor", ENDLESS[1])])
def test_a_stream_whose_reader_leaves_or_sends_no_more_ends_soon(
    server: str, path: str, run: Callable[[Awaitable[None]], None]
) -> None:
    """Who left cannot be told from who sends no more, and streams are few."""

    async def test() -> None:
        async with SERVERS[server]() as serving:
            for leave in ("half", "whole"):
                reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
                writer.write(asking("GET", path))
                await reader.readuntil(b"retry: 1000\n\n")
                if leave == "half":
                    writer.write_eof()
                    async with asyncio.timeout(SECONDS_MAX):
                        assert (await reader.read()).endswith(b"0\r\n\r\n")
                writer.close()
                async with asyncio.timeout(SECONDS_MAX):
                    while serving.runner.clients.count:  # noqa: ASYNC110 - likewise
                        await asyncio.sleep(0.005)

    run(test())
