"""The private names of aiohttp that the server leans on, each with what leans on it, and in no other module of `api`.

Why it exists: the express lane, the bound on connections and a clean end need to know what the framework's connection
does, which it says under private names alone. A new version of it may rename any of them: `LEANT_ON` lets a test say
which one and what breaks, and `pyproject.toml` admits no version that was not tried. It must not decide anything.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar, cast

from aiohttp import HttpVersion11, StreamReader, web

CONNECTION_NAMES = {
    "_manager": "what a connection asks its server",
    "_loop": "every clock and future here",
    "_waiter": "whether the framework waits for a request",
    "_messages": "whether requests wait in the framework, and whether the last of them came whole",
    "_current_request": "whether a request is under way, and whether its body is there",
    "_paused": "whether a client takes its answers",
    "_close": "taking no more requests",
    "_force_close": "whether the connection ends",
    "_keepalive": "the time limit of idle connections",
    "_keepalive_timeout": "the time limit of idle connections",
    "_keepalive_handle": "the time limit of idle connections",
    "_next_keepalive_close_time": "since when a connection is idle",
    "_reading_paused": "holding a client back until it is its turn",
    "_buffer_paused": "holding a client back until it is its turn, and whether what comes is looked at at once",
    "_upgraded": "whether what comes is looked at as requests",
}
"""Attributes of `web.RequestHandler` after its construction."""

CONNECTION_METHODS = {
    "_process_keepalive": "the time limit of idle connections",
    "_resume_transport_reading": "holding a client back until it is its turn",
}
SERVER_NAMES = {"_loop": "making our server of the framework's", "_kwargs": "making our server of the framework's"}
RUNNER_METHODS = {"_make_server": "putting our server in the place of the framework's"}
RUNNER_NAMES = {"_shutdown_timeout": "the time that requests have to end"}
SITE_NAMES = {"_server": "listening on sockets of our own"}
REQUEST_NAMES = {"_version": "answering what claims another version of HTTP"}

S = TypeVar("S", bound=web.Server)
C = TypeVar("C", bound=web.RequestHandler)


class Listening(Protocol):
    """What a site has to close, and where it listens."""

    @property
    def sockets(self) -> Any: ...
    def close(self) -> None: ...


class FrameworkConnection(web.RequestHandler):
    """The framework's connection, with names for what it does."""

    __slots__ = ("_held_back",)

    def __init__(self, manager: web.Server, *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(manager, loop=loop, **options)
        self._held_back = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it is on."""
        return self._loop

    @property
    def server(self) -> web.Server | None:
        """Whose it is; None once it is lost."""
        return self._manager

    @property
    def waits_for_request(self) -> bool:
        """Whether the framework has nothing to do here."""
        return self._waiter is not None and not self._waiter.done() and not self._messages

    @property
    def requests_waiting(self) -> int:
        """How many came whole, or but for their bodies, and were not begun."""
        return len(self._messages)

    @property
    def last_waiting(self) -> StreamReader | None:
        """The body of the last one of them."""
        return self._messages[-1][1] if self._messages else None

    @property
    def takes_heads(self) -> bool:
        """Whether what comes is looked at as requests, and at once."""
        return not (self._upgraded or self._buffer_paused)

    @property
    def answers_are_stuck(self) -> bool:
        """Whether the client takes no answers now."""
        return self._paused

    @property
    def ends(self) -> bool:
        """Whether it takes no more requests."""
        return self._close or self._force_close

    @property
    def idle_since(self) -> float:
        """When it was opened or gave its last answer, by the loop's clock; for one that waits for a request."""
        return self._next_keepalive_close_time - self._keepalive_timeout

    @property
    def body_is_missing(self) -> bool:
        """Whether a request is under way whose body has not come."""
        return self._current_request is not None and not self._current_request.content.is_eof()

    @property
    def request_is_under_way(self) -> bool:
        """Whether somebody answers a request now. After the answer the framework itself reads what is left of it."""
        return self._current_request is not None

    def take_no_more(self) -> None:
        """Ignore what comes from now on; what is under way goes on."""
        self._close = True

    def serves_on(self) -> bool:
        """Nothing more comes: whether a request that came whole is left to answer. One that was cut short is not
        begun; after the last one no more are taken."""
        waiting = self._messages
        if waiting and not waiting[-1][1].is_eof():
            if len(waiting) == 1 and self._waiter is not None:
                return False  # nothing else was asked, and the framework is about to take it
            waiting.pop()
        if not waiting:
            self.take_no_more()
        return bool(waiting) or self._waiter is None

    def hold_back(self) -> None:
        """Do not read the socket until `let_in`, also where the framework wants to."""
        self._held_back = True
        if self.transport is not None:
            self.transport.pause_reading()

    def let_in(self) -> None:
        """Read on, where the framework wants to."""
        if not self._held_back:
            return
        self._held_back = False
        if not (self._reading_paused or self._buffer_paused):
            super()._resume_transport_reading()

    def _resume_transport_reading(self) -> None:
        if not self._held_back:
            super()._resume_transport_reading()

    def let_go(self) -> None:
        """End, but leave the transport open: it is another's."""
        self.transport = None  # else it would be closed
        web.RequestHandler.connection_lost(self, None)

    def keep_open(self) -> None:
        """As the framework does after an answer: the connection may now be idle for a while."""
        close_time = self._loop.time() + self._keepalive_timeout
        self._next_keepalive_close_time = close_time
        self._keepalive = True
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(close_time, self._process_keepalive)


class FrameworkServer(web.Server):
    """The framework's server, for one that makes connections of its own kind in `__call__`."""

    def made(self, kind: Callable[..., C]) -> C:
        """A connection of that kind, with this server's settings."""
        return kind(self, loop=self._loop, **self._kwargs)


class FrameworkRunner(web.AppRunner):
    """The framework's runner, with our server in it: `serve_with` is given the framework's and returns ours."""

    serve_with: Callable[[web.Server], web.Server]

    @property
    def shutdown_seconds(self) -> float:
        """How long requests that run have to end when the server stops."""
        return self._shutdown_timeout

    @shutdown_seconds.setter
    def shutdown_seconds(self, seconds: float) -> None:
        self._shutdown_timeout = seconds

    async def _make_server(self) -> web.Server:
        return self.serve_with(await super()._make_server())


class FrameworkSite(web.BaseSite):
    """A site whose listener is made by `listen`, of the framework's server."""

    def __init__(self, runner: web.AppRunner, name: str, listen: Callable[[web.Server], Listening]) -> None:
        super().__init__(runner)
        self._own_name = name
        self._listen = listen

    @property
    def name(self) -> str:
        """Where it listens."""
        return self._own_name

    async def start(self) -> None:
        """Listen. Raises OSError where the address is not to be had."""
        await super().start()
        self._server = cast(asyncio.AbstractServer, self._listen(cast(web.Server, self._runner.server)))


def remade(kind: type[S], made: web.Server, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> S:
    """A server of our own `kind` with the settings of `made`, and `handler` round its requests."""
    return kind(handler, request_factory=made.request_factory, loop=made._loop, **made._kwargs)


def http_major(request: web.BaseRequest) -> int:
    """The major version that the request claims, before anything here has relied on it."""
    return request._version.major


def answer_as_http_1_1(request: web.BaseRequest) -> None:
    """Let the answer say HTTP/1.1; before `version` is looked at, which is kept."""
    request._version = HttpVersion11
