"""Answers without end that tell a client what it watches: one task for each, which sleeps until there is something.

Why it exists: the doors that do so differ in their words alone. A client that reads slowly is waited for, and its watch
reads on from the history; one that takes nothing is cut off. It must not know what is watched, or how it is written.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from aiohttp import web

from node.api.connection import Connection, client_is_gone
from node.api.slices import SLICE_WORK_MAX, SMALL_WORK_MAX, Slices
from node.api.streaming import PIECE_BYTES, WRITE_SECONDS_MAX, in_pieces
from node.watching.events import Response
from node.watching.stream import WatchStream

FOLLOWERS_MAX = 1_024
"""Such answers at a time: each has a connection and a task, some 30 KiB. gRPC has many watches on one connection."""

SHUTDOWN_SECONDS_MAX = 0.5
"""How long they have to end by themselves."""


class Words(Protocol):
    """How a door says it."""

    silence_seconds: float | None
    """After so long `silence` is said; None: never."""

    def parts(self, said: Iterable[Response]) -> Iterator[bytes]:
        """All that was said, in small parts."""

    def silence(self, stream: WatchStream) -> bytes:
        """So that both ends notice a dead connection. It may ask the stream for something to say instead."""

    def end(self, reason: str) -> bytes:
        """Why no more comes."""


class Following:
    """All such answers of one node."""

    def __init__(self, slices: Slices, followers_max: int = FOLLOWERS_MAX) -> None:
        self._slices = slices
        self._followers_max = followers_max
        self._followers: dict[asyncio.Task[object], asyncio.Event] = {}
        self._stopping = False

    def refusal(self) -> tuple[str, str] | None:
        """Why no more can be served now: a code and a sentence; None: one more can."""
        if self._stopping:
            return "stopping", "this node is stopping"
        if len(self._followers) >= self._followers_max:
            return "overloaded", f"{self._followers_max} clients watch over HTTP already"
        return None

    async def stop(self, _app: web.Application | None = None) -> None:
        """End every one; an `on_shutdown` handler."""
        self._stopping = True
        followers = dict(self._followers)
        for ready in followers.values():
            ready.set()
        if followers:
            _, stuck = await asyncio.wait(followers, timeout=SHUTDOWN_SECONDS_MAX)
            for task in stuck:
                task.cancel()

    async def serve(
        self,
        request: web.Request,
        response: web.StreamResponse,
        begin: Callable[[Callable[[], None]], WatchStream],
        words: Words,
    ) -> web.StreamResponse:
        """Stream until the client leaves, the stream ends or the node does. `begin(on_ready)` makes the stream; ask
        `refusal` first."""
        ready = asyncio.Event()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a handler runs in a task")
        stream = begin(ready.set)
        self._followers[task] = ready
        response.force_close()
        if isinstance(request.protocol, Connection):
            request.protocol.when_client_ends(ready.set)
        try:
            await response.prepare(request)
            await self._pump(request, response, stream, ready, words)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            del self._followers[task]
            stream.close()
        return response

    async def _pump(
        self,
        request: web.Request,
        response: web.StreamResponse,
        stream: WatchStream,
        ready: asyncio.Event,
        words: Words,
    ) -> None:
        while True:
            ready.clear()
            await self._tell(response, stream, words)
            if stream.ended or self._stopping:
                await _write(response, words.end(stream.ended or "etcdserver: server stopped"))
                return
            if request.transport is None or client_is_gone(request):
                return
            try:
                async with asyncio.timeout(words.silence_seconds):
                    await ready.wait()
            except TimeoutError:
                said = words.silence(stream)
                if said:
                    await _write(response, said)

    async def _tell(self, response: web.StreamResponse, stream: WatchStream, words: Words) -> None:
        """All that there is now: the usual event at once, what is more in slices."""
        await self._slices.begin()
        said = stream.take(PIECE_BYTES, SMALL_WORK_MAX)
        while True:
            for piece in in_pieces(words.parts(said)):
                await _write(response, piece)
                if len(piece) >= PIECE_BYTES:
                    await self._slices.next()
            if not stream.more or self._stopping:
                return
            await self._slices.next()
            said = stream.take(PIECE_BYTES, SLICE_WORK_MAX)


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS_MAX):
        await response.write(piece)
