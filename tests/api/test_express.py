"""The express lane: what it takes, what it leaves to the framework, and that both answer alike."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from aiohttp import web

from node.api.etcd.express import EtcdExpress
from node.api.etcd.routes import EtcdApi
from node.api.express import BODY_BYTES_MAX, Answer, Express
from node.api.server import ApiRunner, build_app
from node.observe.metrics import Metrics
from node.observe.trace import Trace
from node.raft.types import Entry, EntryKind
from node.runtime.ports import Done, NotProposed, Outcome, ReadFailed
from node.statemachine.writes import Put, encode_write
from tests.api.double import ScriptedNode

HEAD = "POST /lane HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
PUT = b'{"key":"a2V5","value":"dmFsdWU="}'


class Lane:
    """A handler that answers when the test says so."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.answers: list[Answer] = []
        self.at_once = True
        self.came = asyncio.Event()

    def take(self, body: bytes, answer: Answer) -> bool:
        if body == b"not this":
            return False
        self.bodies.append(body)
        self.came.set()
        if self.at_once:
            answer(200, b"lane:" + body)
        else:
            self.answers.append(answer)
        return True


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> tuple[int, bytes]:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head[9:12]), await self.reader.readexactly(length)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self.writer.write(request)
        return await self.answer()


def request(body: bytes, more: str = "") -> bytes:
    return (HEAD.format(len(body)) + more + "\r\n").encode() + body


async def usual(request: web.Request) -> web.Response:
    return web.Response(body=b"usual:" + await request.read())


@asynccontextmanager
async def serving(express: Express, app: web.Application | None = None) -> AsyncIterator[tuple[ApiRunner, int]]:
    if app is None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", usual)
    runner = ApiRunner(app, express)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner, runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])


@pytest.fixture
async def lane() -> Lane:
    return Lane()


@pytest.fixture
async def client(lane: Lane) -> AsyncIterator[Client]:
    async with serving(Express({"/lane": lane.take}, ())) as (_, port), connected(port) as client:
        await client.ask(b"POST /other HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")  # it is at rest now
        yield client


async def test_an_ordinary_request_is_taken_again_and_again(client: Client, lane: Lane) -> None:
    for body in (b"one", b"two", b""):
        assert await client.ask(request(body)) == (200, b"lane:" + body)
    assert lane.bodies == [b"one", b"two", b""]


@pytest.mark.parametrize(
    "unusual",
    [
        request(b"x", "Origin: http://127.0.0.1:1\r\n"),
        request(b"x", "Expect: 100-continue\r\n").replace(b"Expect: 100-continue", b"If-Match: 1"),
        request(b"x", "Connection: close\r\n"),
        request(b"x", "Content-Length: 1\r\n").replace(b"Content-Length: 1\r\n", b"Accept: */*\r\naccept: */*\r\n", 1),
        request(b"x").replace(b"POST /lane", b"PUT /lane"),
        request(b"x").replace(b"/lane", b"/lane?a=1"),
        request(b"x").replace(b"/lane", b"http://127.0.0.1:1/lane"),
        b"POST /lane HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        request(b"x" * (BODY_BYTES_MAX + 1)),
    ],
    ids=["origin", "other-header", "close", "twice", "method", "query", "absolute", "chunked", "long"],
)
async def test_an_unusual_request_goes_the_usual_way(client: Client, lane: Lane, unusual: bytes) -> None:
    _, body = await client.ask(unusual)
    assert body.startswith(b"usual:") or b"error" in body
    assert lane.bodies == []


async def test_a_foreign_host_never_reaches_the_lane(client: Client, lane: Lane) -> None:
    _, body = await client.ask(request(b"x").replace(b"127.0.0.1:1", b"evil.example"))
    assert body == b"usual:x"  # where the guard refuses it: there is none in this application
    assert lane.bodies == []


async def test_what_a_handler_does_not_take_goes_the_usual_way_and_the_lane_stays_open(
    client: Client, lane: Lane
) -> None:
    assert await client.ask(request(b"not this")) == (200, b"usual:not this")
    await asyncio.sleep(0.02)  # the framework is at rest again
    assert await client.ask(request(b"this")) == (200, b"lane:this")
    assert lane.bodies == [b"this"]


async def test_a_request_in_pieces_goes_the_usual_way_and_so_does_all_that_follows(client: Client, lane: Lane) -> None:
    whole = request(b"pieces")
    client.writer.write(whole[:-3])
    await asyncio.sleep(0.02)
    assert await client.ask(whole[-3:]) == (200, b"usual:pieces")
    assert await client.ask(request(b"later")) == (200, b"usual:later")
    assert lane.bodies == []


async def test_requests_sent_ahead_are_answered_in_their_order(client: Client, lane: Lane) -> None:
    lane.at_once = False
    client.writer.write(request(b"first"))
    await lane.came.wait()
    client.writer.write(request(b"second") + request(b"third"))
    await asyncio.sleep(0.02)
    assert lane.bodies == [b"first"]
    lane.answers[0](200, b"answer to first")
    assert await client.answer() == (200, b"answer to first")
    assert await client.answer() == (200, b"usual:second")
    assert await client.answer() == (200, b"usual:third")


async def test_an_answer_to_a_client_that_has_gone_is_dropped(lane: Lane) -> None:
    lane.at_once = False
    async with serving(Express({"/lane": lane.take}, ())) as (_, port):
        async with connected(port) as client:
            await client.ask(b"POST /other HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            client.writer.write(request(b"x"))
            await lane.came.wait()
        await asyncio.sleep(0.02)
        lane.answers[0](200, b"nobody hears this")


async def test_stopping_waits_for_an_answer_that_is_under_way(lane: Lane) -> None:
    lane.at_once = False
    async with serving(Express({"/lane": lane.take}, ())) as (runner, port), connected(port) as client:
        await client.ask(b"POST /other HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        client.writer.write(request(b"x"))
        await lane.came.wait()
        stopping = asyncio.create_task(runner.cleanup())
        await asyncio.sleep(0.02)
        assert not stopping.done()
        lane.answers[0](200, b"done")
        assert await client.answer() == (200, b"done")
        await stopping


async def test_a_closed_lane_takes_nothing(lane: Lane) -> None:
    closed = [True]
    express = Express({"/lane": lane.take}, (), lambda: closed[0])
    async with serving(express) as (_, port), connected(port) as client:
        assert await client.ask(request(b"x")) == (200, b"usual:x")
        closed[0] = False
        await asyncio.sleep(0.02)
        assert await client.ask(request(b"y")) == (200, b"lane:y")
    assert lane.bodies == [b"y"]


class Node(ScriptedNode):
    """Also answers by a call; `express` counts how often."""

    def __init__(self) -> None:
        super().__init__()
        self.express = 0

    def submit_write(self, write: bytes, timeout_us: int | None, reply: Callable[[Outcome], None]) -> None:
        self.express += 1
        if self.outcome is not None:
            reply(self.outcome)
        else:
            reply(Done(self.store.apply([Entry(1, 1, EntryKind.WRITE, write)])[0], 1, 1))

    def submit_read(self, timeout_us: int | None, reply: Callable[[ReadFailed | None], None]) -> None:
        self.express += 1
        reply(self.read_failure)


@pytest.mark.parametrize("failure", [None, "no-leader", "log-full"])
@pytest.mark.parametrize(
    ("path", "body", "taken"),
    [
        ("put", PUT, True),
        ("put", b'{"key": "a2V5", "value": "dmFsdWU="}\n', True),
        ("put", b'{"key":"a2V5"}', False),
        ("put", b'{"key":"a2V5","value":"dmFsdWU"}', False),
        ("put", b'{"key":"a2V5","value":"dm==dWU="}', False),
        ("put", b'{"key":"","value":"dmFsdWU="}', False),
        ("put", b'{"key":"a2V5","key":"a2V5","value":"dmFsdWU="}', False),
        ("put", b"{", False),
        ("range", b'{"key":"aGVyZQ=="}', True),
        ("range", b'{"key":"bm93aGVyZQ=="}', True),
        ("range", b'{"key":"aGVyZQ==","serializable":true}', None),
        ("range", b'{"key":"aGVyZQ==","range_end":"AA=="}', False),
    ],
)
async def test_both_ways_give_the_same_answer(path: str, body: bytes, taken: bool | None, failure: str | None) -> None:
    """`taken` None: taken, but without a question to the node."""
    answers = []
    for more in ("", "X-Unusual: 1\r\n"):
        node = Node()
        trace = Trace("n1", "boot", lambda: 0)
        metrics = Metrics(node.status, trace, node.loop_age_us, node.store)
        if failure is not None:
            node.outcome = NotProposed(failure, "no leader is known")
            node.read_failure = ReadFailed(failure, "no leader is known")
        api = EtcdApi(node, node.store, metrics, lambda: 7)
        express = Express(EtcdExpress(api, node, node.store, metrics).routes(), ())
        async with (
            serving(express, build_app(node, node.store, trace, metrics)) as (_, port),
            connected(port) as client,
        ):
            outcome, node.outcome = node.outcome, None
            await client.ask(_etcd("put", b'{"key":"aGVyZQ==","value":"eA=="}'))
            node.outcome, node.express = outcome, 0
            answers.append(await client.ask(_etcd(path, body, more)))
            assert node.express == (1 if taken and not more else 0)
            assert bool(metrics.reads) is (path == "range")
    assert answers[0][0] == answers[1][0]
    assert answers[0][1].replace(b'"raft_term":"7"', b'"raft_term":"0"') == answers[1][1]


async def test_long_values_that_are_read_together_are_answered_one_in_a_turn() -> None:
    node = Node()
    node.store.apply([Entry(1, 1, EntryKind.WRITE, encode_write(Put(b"here", bytes(1024 * 1024))))])
    metrics = Metrics(node.status, Trace("n1", "boot", lambda: 0), node.loop_age_us, node.store)
    lane = EtcdExpress(EtcdApi(node, node.store, metrics, lambda: 7), node, node.store, metrics)
    answers: list[tuple[int, bytes]] = []
    for _ in range(5):
        assert lane.range(b'{"key":"aGVyZQ=="}', lambda status, body: answers.append((status, body)))
    seen = [len(answers)]
    while len(answers) < 5:
        await asyncio.sleep(0)
        seen.append(len(answers))
        assert len(seen) < 50
    assert max(after - before for before, after in pairwise([0, *seen])) == 1
    assert len(set(answers)) == 1
    assert answers[0][0] == 200
    assert len(answers[0][1]) > 1024 * 1024


def _etcd(path: str, body: bytes, more: str = "") -> bytes:
    head = f"POST /v3/kv/{path} HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def heads_until_the_end(client: Client) -> list[bytes]:
    """The heads of all answers that come before the connection ends."""
    data = await asyncio.wait_for(client.reader.read(), 5)
    return [b"HTTP/1.1 " + one.partition(b"\r\n\r\n")[0] for one in data.split(b"HTTP/1.1 ")[1:]]


async def test_retiring_ends_each_connection_with_its_next_answer_on_both_ways(lane: Lane) -> None:
    express = Express({"/lane": lane.take}, ())
    async with serving(express) as (runner, port):
        lane.at_once = False
        async with connected(port) as waiting, connected(port) as idle, connected(port) as ordinary:
            assert (await waiting.ask(b"POST /other HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"))[
                0
            ] == 200
            waiting.writer.write(request(b"under way"))
            await asyncio.wait_for(lane.came.wait(), 5)
            assert (await ordinary.ask(request(b"1", "X-Other: 1\r\n")))[0] == 200
            runner.retire_connections()
            lane.answers.pop()(200, b"answered")
            (head,) = await heads_until_the_end(waiting)
            assert (head[:12], b"\r\nConnection: close" in head) == (b"HTTP/1.1 200", True)
            for one in (idle, ordinary):
                one.writer.write(request(b"2"))
                (head,) = await heads_until_the_end(one)
                assert (head[:12], b"\r\nConnection: close" in head) == (b"HTTP/1.1 200", True)
        async with connected(port) as late:  # still taken
            late.writer.write(request(b"3"))
            assert len(await heads_until_the_end(late)) == 1
