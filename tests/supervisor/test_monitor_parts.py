"""The monitor before nodes that misbehave, readers that do not read, and ports that are taken."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from chaos.listeners import listen_no_more
from node.supervisor import doorway, output, overview, streams
from node.supervisor.child import ProcessView
from node.supervisor.control import Answer
from node.supervisor.doorway import open_door
from node.supervisor.layout import NodeEntry, SupervisorError
from node.supervisor.monitor import REQUESTS_MAX, Monitor
from tests.supervisor.orders import Orders

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WAIT_SECONDS = 20.0
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class Node:
    """A server that does with each request what a test says, and remembers what it was sent."""

    def __init__(self, name: str, behave: Serve, has_status: bool = True) -> None:
        self.name, self._behave, self._has_status = name, behave, has_status
        self.requests: list[str] = []
        self.last_ids: list[str] = []
        self.written_bytes = 0
        self.gone = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()

    async def start(self) -> NodeEntry:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return NodeEntry(self.name, f"http://127.0.0.1:{port}", "127.0.0.1:1", "", "")

    async def stop(self) -> None:
        await listen_no_more(self._server)
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def pour(self, writer: asyncio.StreamWriter) -> None:
        """Events as fast as they are taken; counts what was taken."""
        writer.write(OK)
        event = b'id: boot.1.1\ndata: {"text": "%s"}\n\n' % (b"x" * 1000)
        while True:
            writer.write(event)
            await writer.drain()
            self.written_bytes += len(event)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head.split(" HTTP")[0])
            self.last_ids += [line[15:] for line in head.splitlines() if line.startswith("Last-Event-ID: ")]
            if head.startswith("GET /status ") and self._has_status:
                words = b'{"name":"%s","role":"leader","term":1}' % self.name.encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(words) + words)
            else:
                await self._behave(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.gone.set()
        finally:
            self._open.discard(task)
            writer.close()


@asynccontextmanager
async def monitored(*nodes: Node, dead: tuple[str, ...] = ()) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """(the monitor's base, a client)."""
    entries = tuple([await node.start() for node in nodes])
    door = open_door(0, entries)
    assert door is not None

    def process(name: str) -> ProcessView:
        return ProcessView(None, "ended", 3, "ended with exit code 3") if name in dead else ProcessView(7, "running")

    monitor = Monitor(door, lambda: entries, process, Orders(Answer(False, "no")))
    await monitor.open()
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT_SECONDS)) as http:
            yield door.url.rstrip("/"), http
    finally:
        await monitor.close()
        for node in nodes:
            await node.stop()
        await asyncio.sleep(0.01)  # let transports close


async def hang_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Take the request and end the connection: it may have been carried out."""


async def never_answer(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def say_hello(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


async def read_until(answer: aiohttp.ClientResponse, mark: bytes) -> bytes:
    """The body up to `mark`, and what came with it."""
    got = b""
    while mark not in got:
        piece = await answer.content.readany()
        assert piece, got
        got += piece
    return got


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_write_that_may_have_been_done_is_sent_to_nobody_else_and_is_of_unknown_outcome(method: str) -> None:
    first, second = Node("n1", hang_up), Node("n2", hang_up)
    async with monitored(first, second) as (base, http), http.request(method, f"{base}/kv/k") as answer:
        assert (answer.status, (await answer.json())["error"]) == (504, "unknown outcome")
    assert [r for node in (first, second) for r in node.requests if "/kv/" in r] == [f"{method} /kv/k"]


async def test_a_read_whose_node_dies_is_asked_of_another() -> None:
    first, second = Node("n1", hang_up), Node("n2", say_hello)
    async with monitored(first, second) as (base, http), http.get(f"{base}/kv/k") as answer:
        assert (answer.status, await answer.read()) == (200, b"hello")
    assert "GET /kv/k" in first.requests


async def test_a_write_goes_round_nodes_that_are_not_there_and_says_when_nobody_is() -> None:
    gone, second = Node("n1", hang_up), Node("n2", say_hello)
    async with monitored(gone, second) as (base, http):
        await gone.stop()
        async with http.put(f"{base}/kv/k", data=b"v") as answer:
            assert answer.status == 200
        async with http.put(f"{base}/nodes/n1/kv/k", data=b"v") as answer:
            assert (answer.status, (await answer.json())["message"]) == (
                502, "n1 (process 7) takes no connections; nothing was sent to it",
            )  # fmt: skip
        await second.stop()
        async with http.put(f"{base}/kv/k", data=b"v") as answer:
            assert (answer.status, (await answer.json())["error"]) == (503, "no-node")
            assert "Retry-After" in answer.headers


@pytest.mark.slowest
async def test_a_node_that_never_answers_is_waited_for_a_bounded_time() -> None:
    async with monitored(Node("n1", never_answer)) as (base, http):
        for method, path, code, error in (
            ("GET", "/nodes/n1/log", 502, "timeout"),
            ("POST", "/nodes/n1/commands/x?timeout_ms=1", 504, "unknown outcome"),
        ):
            async with http.request(method, base + path) as answer:
                assert (answer.status, (await answer.json())["error"]) == (code, error)


async def test_the_view_of_all_waits_for_no_slow_node_and_asks_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "STATUS_TIMEOUT_SECONDS", WAIT_SECONDS)
    slow, quick = Node("n1", never_answer, has_status=False), Node("n2", hang_up)
    loop = asyncio.get_running_loop()
    async with monitored(slow, quick) as (base, http):
        begin = loop.time()
        for _ in range(3):
            async with http.get(f"{base}/cluster") as answer:
                first, second = (await answer.json())["nodes"]
            assert (first["state"], first["status"], first["age_ms"]) == ("unknown", None, None)
            assert (second["state"], second["status"]["role"]) == ("reachable", "leader")
        assert loop.time() - begin < WAIT_SECONDS / 2
    assert len(slow.requests) == 1


async def test_an_answer_beyond_the_limit_is_not_taken_in() -> None:
    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    node = Node("n1", babble)
    async with monitored(node) as (base, http), http.get(f"{base}/nodes/n1/log") as answer:
        assert (answer.status, (await answer.json())["error"]) == (502, "too-large")
        await asyncio.wait_for(node.gone.wait(), WAIT_SECONDS)


@pytest.mark.slowest
@pytest.mark.parametrize("path", ["/events", "/nodes/n1/events"])
async def test_a_reader_that_never_reads_holds_the_node_back_and_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Nothing is piled up in between: the node cannot write on, and is left when the reader is given up."""
    monkeypatch.setattr(streams, "WRITE_SECONDS_MAX", 1.5)

    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await node.pour(writer)

    node = Node("n1", pour)
    async with monitored(node) as (base, _):
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            deaf.setblocking(False)
            host, _, port = base.removeprefix("http://").partition(":")
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, (host, int(port)))
            await loop.sock_sendall(deaf, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            taken = -1
            async with asyncio.timeout(WAIT_SECONDS):
                while not node.written_bytes or taken != node.written_bytes:  # until it stands still
                    taken = node.written_bytes
                    await asyncio.sleep(0.3)
            assert taken < 16 * 1024 * 1024
            await asyncio.wait_for(node.gone.wait(), WAIT_SECONDS)


async def test_a_reader_that_leaves_ends_its_streams_to_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LEFT_CHECK_SECONDS", 0.1)

    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await reader.read()
        left.set()

    left = asyncio.Event()
    async with monitored(Node("n1", be_silent)) as (base, http):
        for path in ("/nodes/n1/events", "/events"):
            left.clear()
            async with http.get(base + path) as answer:
                assert answer.status == 200
                await asyncio.sleep(0.1)
                answer.close()
            await asyncio.wait_for(left.wait(), WAIT_SECONDS)


async def test_streams_have_a_limit_which_is_told_and_does_not_touch_other_requests() -> None:
    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await reader.read()

    node = Node("n1", be_silent)
    async with monitored(node) as (base, _), aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        held: list[aiohttp.ClientResponse] = []
        for path, limit in (("/nodes/n1/events", streams.STREAMS_MAX), ("/events", streams.MERGED_STREAMS_MAX)):
            held += [await http.get(base + path) for _ in range(limit)]
            assert {answer.status for answer in held} == {200}
            async with http.get(base + path) as answer:
                assert (answer.status, (await answer.json())["error"]) == (503, "overloaded")
        async with http.get(f"{base}/cluster") as answer:
            assert answer.status == 200
        for answer in held:
            answer.close()
    assert streams.STREAMS_MAX + streams.MERGED_STREAMS_MAX < REQUESTS_MAX


async def test_what_a_node_leaves_unnamed_is_named_in_the_merged_stream() -> None:
    async def lose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            OK + b'retry: 1\n\n: still here\n\nevent: lost\ndata: {"transitions":2}\n\nid: b.3.0\ndata: {}\n\n'
        )
        await reader.read()

    resumed = {"Last-Event-ID": "n2:b.7.7,gone:b.1.1"}
    nodes = Node("n1", lose), Node("n2", hang_up)
    async with monitored(*nodes, dead=("n2",)) as (base, http), http.get(f"{base}/events", headers=resumed) as answer:
        got = await read_until(answer, b"data: {}\n\n")
    assert b'event: node\ndata: {"node":"n1","connected":true}\n\n' in got
    assert b'event: lost\ndata: {"node":"n1","transitions":2}\n\n' in got
    assert b"id: n1:b.3.0,n2:b.7.7\ndata: {}\n\n" in got


async def test_a_node_whose_stream_breaks_is_followed_on_from_its_last_event() -> None:
    async def tell_one(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"id: b.%d.0\ndata: {}\n\n" % len(node.requests))

    node = Node("n1", tell_one)
    resumed = {"Last-Event-ID": "n1:b.0.0"}
    async with monitored(node) as (base, http), http.get(f"{base}/events", headers=resumed) as answer:
        got = await read_until(answer, b"id: n1:b.3.0")
    assert node.last_ids[:3] == ["b.0.0", "b.1.0", "b.2.0"]
    assert got.count(b'{"node":"n1","connected":false}') >= 2


async def test_closing_ends_streams_and_requests_that_wait_at_once() -> None:
    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await reader.read()

    async def put(url: str) -> None:
        async with http.put(url, data=b"v") as answer:
            answer.raise_for_status()

    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as http:
        async with monitored(Node("n1", be_silent), Node("n2", never_answer)) as (base, _):
            held = [await http.get(base + path) for path in ("/events", "/nodes/n1/events")]
            waiting = asyncio.create_task(put(f"{base}/nodes/n2/kv/k"))
            await asyncio.sleep(0.2)
            begin = loop.time()
        assert loop.time() - begin < 4.0  # it would be 5 and more
        for answer in held:
            async with asyncio.timeout(WAIT_SECONDS):
                with suppress(aiohttp.ClientError):
                    await answer.read()
            answer.close()
        with pytest.raises(aiohttp.ClientError):
            await waiting
    await asyncio.sleep(0.01)


# The port


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_usual_port_that_is_taken_gives_the_next_and_a_nodes_own_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with taken_port() as port:
        monkeypatch.setattr(doorway, "MONITOR_PORT", port)
        node = NodeEntry("n1", f"http://127.0.0.1:{port + 1}", "127.0.0.1:1", "", "")
        door = open_door(None, (node,))
        assert door is not None
        door.close()
        assert port + 1 < door.port < port + doorway.PORTS_TRIED_MAX
        assert door.url == f"http://127.0.0.1:{door.port}/"
        monkeypatch.setattr(doorway, "PORTS_TRIED_MAX", 2)
        assert open_door(None, (node,)) is None


def test_two_clusters_that_start_at_once_get_a_port_each(monkeypatch: pytest.MonkeyPatch) -> None:
    with taken_port() as port:
        monkeypatch.setattr(doorway, "MONITOR_PORT", port)
        doors = [open_door(None, ()), open_door(None, ())]  # both before either serves
    ports = {door.port for door in doors if door}
    for door in doors:
        if door:
            door.close()
    assert len(ports) == 2


def test_a_named_port_that_is_taken_is_refused_with_its_cure() -> None:
    with taken_port() as port, pytest.raises(SupervisorError, match=rf"Port {port} .* is in use: choose another"):
        open_door(port, ())
    with pytest.raises(SupervisorError, match="Port 9101 is a node's own"):
        open_door(9101, (NodeEntry("n1", "http://127.0.0.1:8101", "127.0.0.1:9101", "", ""),))


# The end of a file


def test_only_the_end_of_a_file_is_read_and_only_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "node.log"
    log.write_bytes(b"".join(b"line %04d\n" % number for number in range(1000)) + b"the last, unfinished \xff")
    monkeypatch.setattr(output, "SCANNED_BYTES_MAX", 99)
    found = output.tail(log, 500)
    assert found.lines == [
        *(f"line {n:04d}" for n in range(993, 1000)),
        "the last, unfinished \N{REPLACEMENT CHARACTER}",
    ]
    assert (found.whole, found.bytes) == (False, log.stat().st_size)
    assert output.tail(log, 2, "LINE").lines == ["line 0998", "line 0999"]


def test_short_files_missing_files_and_long_lines(tmp_path: Path) -> None:
    assert output.tail(tmp_path / "none", 5) == output.Output([], True, 0)
    log = tmp_path / "node.log"
    log.write_text("a\n" + "b" * 5000 + "\n\n")
    found = output.tail(log, 5)
    assert [len(line) for line in found.lines] == [1, output.LINE_CHARACTERS_MAX, 0]
    assert found.whole
    assert not output.tail(log, 2).whole


async def test_one_more_node_and_one_less_are_the_supervisors_to_decide() -> None:
    """What it says is passed on, and a refusal is 409 with its sentence."""
    entry = NodeEntry("n4", "http://127.0.0.1:1", "127.0.0.1:2", "", "/dev/null")
    orders, there = Orders(Answer(True, "n4 was started", 7, "n4")), [entry]
    door = open_door(0, (entry,))
    assert door is not None
    monitor = Monitor(door, lambda: tuple(there), lambda _: ProcessView(7, "running"), orders)
    await monitor.open()
    try:
        async with aiohttp.ClientSession(door.url) as http:
            async with http.post("/nodes") as answer:
                assert (answer.status, (await answer.json())["node"]) == (200, "n4")
            orders.answer = Answer(False, "n4 is a member still")
            async with http.post("/nodes/n4/retire") as answer:
                assert (answer.status, (await answer.json())["message"]) == (409, "n4 is a member still")
            there.clear()
            async with http.post("/nodes/n4/retire") as answer:
                assert (answer.status, (await answer.json())["error"]) == (404, "unknown-node")
            async with http.post("/nodes", headers={"Origin": "http://elsewhere.example"}) as answer:
                assert answer.status == 403
        assert orders.told == [("add", ""), ("retire", "n4")]
    finally:
        await monitor.close()
        await asyncio.sleep(0.01)  # let transports close
