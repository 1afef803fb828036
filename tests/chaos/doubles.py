"""Stand-ins: a target of names and addresses, a node that answers as a test says, a scene, a journal in memory."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, cast

import aiohttp
from aiohttp import web

from chaos.faults.port import Scene
from chaos.listeners import listen_no_more
from chaos.model import FaultSpan, View
from chaos.systems.raftnode import RAFT_NODE
from chaos.targets.port import Target, UndoStep

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Addresses:
    """The part of a target that clients and observers use."""

    system = RAFT_NODE

    def __init__(self, urls: dict[str, str]) -> None:
        self._urls = urls

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(self._urls)

    def url(self, node: str) -> str:
        return self._urls[node]


def addresses(**urls: str) -> Target:
    return cast(Target, Addresses(urls))


@contextlib.asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    """The address of a server whose every request goes to `handler`."""
    runner = web.AppRunner(_app(handler), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _app(handler: Handler) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    return app


@contextlib.asynccontextmanager
async def raw(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]) -> AsyncIterator[str]:
    """The address of a server that does with a connection what a test says, then closes it."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        await listen_no_more(server)
        await server.wait_closed()


class Notes:
    """A journal in memory."""

    def __init__(self) -> None:
        self.open: list[UndoStep] = []

    def will_do(self, step: UndoStep) -> None:
        self.open.append(step)

    def undone(self, step: UndoStep) -> None:
        self.open = [one for one in self.open if one != step]


class _Near(Scene):
    async def look(self, node: str) -> View | None:
        return cast(View | None, cast(Any, self.target).now.get(node))


def scene_of(
    cluster: Any, duration_s: float = 1.0, spans: Sequence[FaultSpan] = (), allow_quorum_loss: bool = False
) -> Scene:
    """A fault's surroundings where `cluster` is target and samples at once; asked itself, a node says `cluster.now`."""
    return _Near(
        run="r",
        target=cluster,
        session=cast(aiohttp.ClientSession, None),
        clock=cluster.clock,
        views=cluster,
        journal=cast(Any, None),
        rng=random.Random(1),
        say=print,
        duration_s=duration_s,
        limit_s=1.0,
        spans=spans,
        allow_quorum_loss=allow_quorum_loss,
    )
