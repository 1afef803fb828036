"""`/events`: the live trace as server-sent events.

Why it exists: dashboards and people watch a node through it. Each stream is one reader of the trace's rings and
buffers nothing of its own: one that reads slowly loses the oldest and is told how many, one that does not read at
all is cut off, and none outlives the server.
"""

import asyncio

import msgspec
from aiohttp import web

from node.api.answers import malformed, try_again
from node.api.connection import Connection, client_is_gone
from node.api.inputs import Query, target_of
from node.api.slices import Slices
from node.observe.events import to_line
from node.observe.trace import Batch, Reader, Trace

STREAMS_MAX = 64
"""Streams at a time."""

EVENTS_PER_WRITE_MAX = 256

COMMENT_INTERVAL_SECONDS = 15.0
"""A comment after so much silence, so that both ends notice a dead connection."""

WRITE_SECONDS_MAX = 30.0
"""A reader that takes nothing for so long is cut off; it may resume."""

MESSAGES_PAUSE_SECONDS = 0.05
"""Between two writes of a stream with messages: thousands a second go out in few pieces."""

SAMPLED_PAUSE_SECONDS = 0.1
"""Between two writes of a sampled stream: a page that shows ten messages per second needs no more."""

RATE_MAX = 1000
"""Messages a second that a sampled stream may ask for."""

SHUTDOWN_SECONDS_MAX = 0.5
"""How long streams have to end by themselves."""

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


class EventsApi:
    """The handler of `/events` and the life of its streams."""

    def __init__(
        self,
        trace: Trace,
        comment_interval_seconds: float = COMMENT_INTERVAL_SECONDS,
        write_seconds_max: float = WRITE_SECONDS_MAX,
        streams_max: int | None = None,
        slices: Slices | None = None,
    ) -> None:
        self._trace = trace
        self._slices = slices or Slices()
        self._comment_interval_seconds = comment_interval_seconds
        self._write_seconds_max = write_seconds_max
        self._streams_max = STREAMS_MAX if streams_max is None else streams_max
        self._streams: dict[asyncio.Task[object], Reader] = {}
        self._stopping = False

    @property
    def open_streams(self) -> int:
        """Streams that are being served."""
        return len(self._streams)

    def routes(self) -> list[web.RouteDef]:
        """For the router."""
        return [web.get("/events", self.events, allow_head=False)]

    async def stop(self, _app: web.Application | None = None) -> None:
        """End every stream; an `on_shutdown` handler."""
        self._stopping = True
        streams = dict(self._streams)
        for reader in streams.values():
            reader.wake()
        if streams:
            _, stuck = await asyncio.wait(streams, timeout=SHUTDOWN_SECONDS_MAX)
            for stream in stuck:
                stream.cancel()

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Stream until the client leaves or the server stops; who closed its sending side gets what there is now."""
        reader, rate = self._reader(request)
        if len(self._streams) >= self._streams_max:
            raise try_again("overloaded", f"{self._streams_max} event streams are open already")
        if self._stopping:
            raise try_again("stopping", "this node is stopping")
        response = web.StreamResponse(headers=_HEADERS)
        response.force_close()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a handler runs in a task")
        self._streams[task] = reader
        if isinstance(request.protocol, Connection):
            request.protocol.when_client_ends(reader.wake)
        try:
            await response.prepare(request)
            await self._pump(request, response, reader, rate)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            del self._streams[task]
        return response

    def _reader(self, request: web.Request) -> tuple[Reader, int]:
        """The reader, and how many messages per second it takes (0: all)."""
        query = Query(target_of(request)[2], ("messages", "rate"))
        rate = query.number("rate", 0, 1, RATE_MAX)
        messages = query.number("messages", 0, 0, 1) == 1
        last = request.headers.get("Last-Event-ID", "")
        after = self._trace.parse_cursor(last) if last else None
        if last and after is None:
            raise malformed("Last-Event-ID", "Last-Event-ID is none of this stream's ids")
        return self._trace.reader(messages, after), rate if messages else 0

    async def _pump(self, request: web.Request, response: web.StreamResponse, reader: Reader, rate: int) -> None:
        await self._write(response, b"retry: 1000\n\n")
        allowance = _Allowance(rate)
        pause = SAMPLED_PAUSE_SECONDS if rate else MESSAGES_PAUSE_SECONDS
        while not self._stopping and request.transport is not None:
            await self._slices.next()  # 64 streams that are woken by one event are 64 turns
            batch = allowance.take(reader) if rate else reader.take(EVENTS_PER_WRITE_MAX)
            found = batch.events or batch.lost_transitions or batch.lost_messages or batch.left_out
            if found:
                await self._write(response, self._render(batch))
            if client_is_gone(request):
                return
            if found:
                if reader.wants_messages:
                    await asyncio.sleep(pause)
                continue
            try:
                async with asyncio.timeout(self._comment_interval_seconds):
                    await reader.wait()
            except TimeoutError:
                await self._write(response, b": still here\n\n")

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(self._write_seconds_max):
            await response.write(data)

    def _render(self, batch: Batch) -> bytes:
        parts = []
        if batch.lost_transitions or batch.lost_messages:
            lost = {"transitions": batch.lost_transitions, "messages": batch.lost_messages}
            parts.append(b"event: lost\ndata: " + msgspec.json.encode(lost) + b"\n\n")
        for cursor, event in batch.events:
            parts.append(b"id: %s\ndata: %s\n\n" % (self._trace.cursor_text(cursor).encode(), to_line(event)))
        if batch.left_out:
            parts.append(b'event: sampled\ndata: {"left_out":%d}\n\n' % batch.left_out)
        return b"".join(parts)


class _Allowance:
    """How many messages a sampled stream may still show: `rate` a second, and never more than a pause's worth saved."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._most = max(1.0, rate * SAMPLED_PAUSE_SECONDS)
        self._left = self._most
        self._at = asyncio.get_running_loop().time()

    def take(self, reader: Reader) -> Batch:
        """The next sample of `reader`."""
        now = asyncio.get_running_loop().time()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        batch = reader.sample(EVENTS_PER_WRITE_MAX, int(self._left))
        self._left -= sum(event.kind == "message" for _, event in batch.events)
        return batch
