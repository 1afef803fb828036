"""Live events through the monitor: one node's stream passed on as it is, or those of all nodes as one; and watches.

Why it exists: the page has one server, and a dead node must not end everybody's stream. Nothing is kept here: a
reader that is slow holds the nodes back, whose rings forget the oldest and say how many, so a stream costs a bounded
amount whoever reads it. It must not outlive the monitor.

The merged stream names the node in what nodes leave out (`lost`, `sampled`), adds `event: node` where a node's stream
begins or breaks, and its ids hold the position in every node's stream, so that a reader resumes each where it was.
Between nodes, events come in the order of arrival; `time_us` says when they happened.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import NamedTuple

import aiohttp
import msgspec
from aiohttp import web
from yarl import URL

from node.api.answers import Problem, malformed, try_again
from node.api.connection import client_is_gone
from node.supervisor.child import ProcessView
from node.supervisor.forward import LOOK_SECONDS_MAX, Forwarder
from node.supervisor.layout import NodeEntry
from node.supervisor.watch import STATUS_TIMEOUT_SECONDS, UNREACHABLE, read_bounded

STREAMS_MAX = 32
"""Streams at a time, of one node each: of its events, or a watch."""
MERGED_STREAMS_MAX = 8
"""Merged streams at a time; each reads all nodes."""
QUEUE_EVENTS_MAX = 256
"""Events of a merged stream on their way; when it is full, nodes are not read."""
WRITE_SECONDS_MAX = 30.0
"""A reader that takes nothing for so long is cut off; it may resume."""
SILENCE_SECONDS_MAX = 45.0
"""A node says something every 15 seconds; one that does not is stopped or gone."""
LEFT_CHECK_SECONDS = 1.0
"""How soon it is noticed that a reader left while nothing happens."""
COMMENT_INTERVAL_SECONDS = 15.0
RECONNECT_SECONDS_MIN, RECONNECT_SECONDS_MAX = 0.1, 1.0
REFUSAL_BYTES_MAX = 64 * 1024
CURSORS_CHARACTERS_MAX = 4096

_CURSOR = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Block(NamedTuple):
    """One server-sent event. `event`: its name, empty for an ordinary one; `cursor`: its id, where it has one."""

    node: str
    event: bytes
    cursor: str
    data: bytes


class Streams:
    """Handlers' work for `/nodes/{name}/events`, `/events` and `/kv/?watch=1`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        forwarder: Forwarder,
        process: Callable[[str], ProcessView],
    ) -> None:
        self._session, self._forwarder, self._process = session, forwarder, process
        self._open = {"one": 0, "merged": 0}

    async def relay(self, request: web.Request, entry: NodeEntry, query: str) -> web.StreamResponse:
        """One node's stream, byte for byte, until either end leaves."""
        with self._slot("one", STREAMS_MAX):
            upstream = await self._subscribe(entry, _events(query), request.headers.get("Last-Event-ID", ""))
            return await self._pass_on(request, entry, upstream)

    async def watch(self, request: web.Request, entries: Sequence[NodeEntry], target: str) -> web.StreamResponse:
        """Changes of keys, likewise, through the first of `entries` that takes the watch; it asks nobody twice."""
        with self._slot("one", STREAMS_MAX):
            for left, entry in zip(reversed(range(len(entries))), entries, strict=True):
                try:
                    upstream = await self._subscribe(entry, target, request.headers.get("Last-Event-ID", ""))
                except Problem:
                    if not left:
                        raise
                    continue
                if upstream.status == 503 and left:
                    upstream.close()
                    continue
                return await self._pass_on(request, entry, upstream)
            raise try_again("no-node", "no node of the cluster takes requests")

    async def _pass_on(
        self, request: web.Request, entry: NodeEntry, upstream: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        try:
            if upstream.status != 200:
                return await _refused(entry.name, upstream)
            response = await _begin(request)
            with contextlib.suppress(*UNREACHABLE):  # the node's end is the stream's: readers come again
                await self._copy(request, response, upstream)
            return response
        finally:
            upstream.close()

    async def merged(
        self, request: web.Request, entries: Callable[[], tuple[NodeEntry, ...]], rate: int, cursors: dict[str, str]
    ) -> web.StreamResponse:
        """All nodes' transitions, those of nodes that come later included, and with `rate` so many messages per second,
        until the reader leaves."""
        with self._slot("merged", MERGED_STREAMS_MAX):
            response = await _begin(request)
            queue: asyncio.Queue[Block] = asyncio.Queue(QUEUE_EVENTS_MAX)
            query = f"messages=1&rate={max(1, rate // len(entries()))}" if rate else ""
            tasks: dict[str, asyncio.Task[None]] = {}

            def keep_up() -> None:
                """A task for each node that is there, and for no other."""
                there = {entry.name: entry for entry in entries()}
                for name in tasks.keys() - there.keys():
                    tasks.pop(name).cancel()
                for name in there.keys() - tasks.keys():
                    follow = self._follow(there[name], query, cursors.get(name, ""), queue)
                    tasks[name] = asyncio.create_task(follow, name=f"merge {name}")

            try:
                with contextlib.suppress(ConnectionError, TimeoutError):
                    known = {entry.name: cursors.get(entry.name, "") for entry in entries()}
                    await self._pump(request, response, queue, known, keep_up)
            finally:
                for task in tasks.values():
                    task.cancel()
                await asyncio.gather(*tasks.values(), return_exceptions=True)
            return response

    @contextlib.contextmanager
    def _slot(self, kind: str, limit: int) -> Iterator[None]:
        if self._open[kind] >= limit:
            raise try_again("overloaded", f"{limit} event streams are open already")
        self._open[kind] += 1
        try:
            yield
        finally:
            self._open[kind] -= 1

    async def _subscribe(self, entry: NodeEntry, target: str, last_id: str) -> aiohttp.ClientResponse:
        if self._process(entry.name).state == "ended":
            raise self._forwarder.not_sent(entry.name)
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=STATUS_TIMEOUT_SECONDS, sock_read=SILENCE_SECONDS_MAX)
        url = URL(entry.url + target, encoded=True)
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                return await self._session.get(url, headers=headers, timeout=timeout, allow_redirects=False)
        except UNREACHABLE:
            raise self._forwarder.not_sent(entry.name) from None

    async def _copy(self, request: web.Request, response: web.StreamResponse, upstream: aiohttp.ClientResponse) -> None:
        while True:
            piece: bytes | None = None
            try:
                async with asyncio.timeout(LEFT_CHECK_SECONDS):
                    piece = await upstream.content.readany()
            except aiohttp.SocketTimeoutError:
                return
            except TimeoutError:
                pass  # only to look whether the reader is still there
            if piece == b"":
                return
            if piece:
                await self._write(request, response, piece)
            if client_is_gone(request):
                return

    async def _pump(
        self,
        request: web.Request,
        response: web.StreamResponse,
        queue: "asyncio.Queue[Block]",
        cursors: dict[str, str],
        keep_up: Callable[[], None],
    ) -> None:
        """`keep_up` is called again and again."""
        loop = asyncio.get_running_loop()
        await self._write(request, response, b"retry: 1000\n\n")
        written = loop.time()
        while True:
            keep_up()
            blocks: list[Block] = []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEFT_CHECK_SECONDS):
                    blocks.append(await queue.get())
            while not queue.empty():
                blocks.append(queue.get_nowait())
            said = b"".join(_render(block, cursors) for block in blocks)
            if not said and loop.time() - written > COMMENT_INTERVAL_SECONDS:
                said = b": still here\n\n"
            if said:
                await self._write(request, response, said)
                written = loop.time()
            if client_is_gone(request):
                return

    async def _write(self, request: web.Request, response: web.StreamResponse, data: bytes) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS_MAX):
                await response.write(data)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
            raise

    async def _follow(self, entry: NodeEntry, query: str, cursor: str, queue: "asyncio.Queue[Block]") -> None:
        """One node's part of a merged stream: as long as it lasts, through the node's deaths and returns."""
        wait = RECONNECT_SECONDS_MIN
        while True:
            with contextlib.suppress(Problem):
                upstream = await self._subscribe(entry, _events(query), cursor)
                try:
                    if upstream.status == 200:
                        wait = RECONNECT_SECONDS_MIN
                        cursor = await self._drain(entry.name, upstream, cursor, queue)
                    elif upstream.status == 400:
                        cursor = ""  # not a position of that node's stream: from its beginning
                finally:
                    upstream.close()
            await asyncio.sleep(wait)
            wait = min(wait * 2, RECONNECT_SECONDS_MAX)

    async def _drain(
        self, name: str, upstream: aiohttp.ClientResponse, cursor: str, queue: "asyncio.Queue[Block]"
    ) -> str:
        """Queue what a node's stream says until it ends; the position reached."""
        await queue.put(_told(name, connected=True))
        with contextlib.suppress(*UNREACHABLE, ValueError):
            async with contextlib.aclosing(_blocks(name, upstream.content)) as blocks:
                async for block in blocks:
                    cursor = block.cursor or cursor
                    await queue.put(block)
        await queue.put(_told(name, connected=False))
        return cursor


def _events(query: str) -> str:
    return f"/events{'?' if query else ''}{query}"


async def _begin(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers=_HEADERS)
    response.force_close()
    await response.prepare(request)
    return response


async def _refused(name: str, upstream: aiohttp.ClientResponse) -> web.Response:
    try:
        async with asyncio.timeout(LOOK_SECONDS_MAX):
            body = await read_bounded(upstream, REFUSAL_BYTES_MAX)
    except (*UNREACHABLE, ValueError):
        raise Problem(502, "unreachable", f"{name} refused the stream and did not say why", node=name) from None
    return web.Response(body=body, status=upstream.status, headers={"Content-Type": "application/json"})


async def _blocks(node: str, content: aiohttp.StreamReader) -> AsyncGenerator[Block, None]:
    """The events of a node's stream; a line beyond the session's limit raises ValueError."""
    event, cursor, data = b"", "", b""
    async for line in content:
        name, _, value = line.rstrip(b"\r\n").partition(b":")
        match name:
            case b"event":
                event = value.strip()
            case b"id":
                cursor = value.strip().decode(errors="replace")
            case b"data":
                data = value.strip()
            case b"" if not value:
                if data:
                    yield Block(node, event, cursor, data)
                event, cursor, data = b"", "", b""


def _told(node: str, connected: bool) -> Block:
    return Block(node, b"node", "", msgspec.json.encode({"node": node, "connected": connected}))


def _render(block: Block, cursors: dict[str, str]) -> bytes:
    """As bytes; `cursors` moves on with it."""
    if block.cursor:
        cursors[block.node] = block.cursor
        position = ",".join(f"{name}:{cursor}" for name, cursor in cursors.items() if cursor)
        return b"id: %s\ndata: %s\n\n" % (position.encode(), block.data)
    data = block.data
    if block.event in (b"lost", b"sampled"):
        with contextlib.suppress(msgspec.MsgspecError, RecursionError):
            data = msgspec.json.encode({"node": block.node, **msgspec.json.decode(data, type=dict[str, object])})
    return b"event: %s\ndata: %s\n\n" % (block.event, data)


def parse_cursors(text: str) -> dict[str, str]:
    """Inverse of a merged stream's ids: each node's position by its name. Raises Problem (400) for anything else."""
    cursors: dict[str, str] = {}
    for part in text.split(",") if text else ():
        name, separator, cursor = part.partition(":")
        if len(text) > CURSORS_CHARACTERS_MAX or not separator or not name or not _CURSOR.fullmatch(cursor):
            raise malformed("Last-Event-ID", "Last-Event-ID is none of this stream's ids")
        cursors[name] = cursor
    return cursors
