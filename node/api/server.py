"""The HTTP application of one node, and the server round it.

Why it exists: `app.py` wires a node with two calls, `build_app` and `ApiRunner`. The runner sets what the framework
leaves wide or small: long request lines for long keys, bodies as they are, and JSON even for what never becomes a
request. It must not know where the handle comes from.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol, cast

from aiohttp import web

from node.access.entrance import Access
from node.addresses import ASKING, NOBODY
from node.api.answers import Problem, malformed
from node.api.backup import BackupApi
from node.api.clients import CLIENTS_MAX, Clients
from node.api.commands import CommandsApi
from node.api.connection import ENDING_SECONDS_MAX, Connection, Server
from node.api.entry import make_entry
from node.api.etcd.calls import ReadableStore
from node.api.etcd.lease_calls import LeaseStore
from node.api.etcd.routes import EtcdApi
from node.api.etcd.users import Users
from node.api.events import EventsApi
from node.api.express import Express
from node.api.following import Following
from node.api.framework import FrameworkRunner, FrameworkSite, answer_as_http_1_1, http_major, remade
from node.api.gate import Gate
from node.api.guard import from_aiohttp, make_guard
from node.api.http2.connections import Http2
from node.api.inputs import REQUEST_LINE_BYTES_MAX
from node.api.kv import KeyValueApi, StoreView
from node.api.kv_watch import KeyWatch
from node.api.listening import Listener, bound_sockets
from node.api.members import MembersApi
from node.api.openapi import openapi
from node.api.operations import OperationsApi, index
from node.api.outage import make_outage
from node.api.quota import Quota
from node.api.sessions import SessionsApi
from node.api.slices import Slices
from node.api.streaming import RETIRING
from node.observe.metrics import Metrics
from node.observe.stats import Stats
from node.observe.trace import Trace
from node.runtime.ports import NodeHandle
from node.statemachine.writes import VALUE_BYTES_MAX
from node.tls.doorway import Doorway
from node.watching.hub import WatchHub
from node.watching.port import WatchedStore

HEADERS_MAX = 64
KEEPALIVE_SECONDS = 100.0
"""Of an idle connection: longer than proxies keep theirs (Go's, as Traefik, 90 s; nginx 60 s). Who asks next must be
who ends it, else a write meets the end on its way, and a proxy may not repeat it."""

LINGERING_SECONDS = 2.0
"""How long a body that nobody wants is read before the connection is closed."""

SHUTDOWN_SECONDS_MAX = 5.0
"""How long requests that run have to end when the server stops."""

ACCEPTING_SECONDS_MAX = 1.0
"""How long the connections that clients have opened already are taken before no more are; part of the drain."""

ACCEPTING_QUIET_TURNS = 4
"""Turns of the loop without a new connection after which none waits: one takes it, the next ones read its request."""

SHAKING_LOOK_SECONDS = 0.005
"""Between two looks at handshakes under way, which take round trips."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Store(StoreView, ReadableStore, LeaseStore, WatchedStore, Protocol):
    """What the whole API sees of the store."""


def build_app(
    handle: NodeHandle,
    store: Store,
    trace: Trace,
    metrics: Metrics,
    *,
    allowed_hosts: Collection[str] = (),
    events: EventsApi | None = None,
    streams_max: int | None = None,
    with_index: bool = True,
    stats: Stats | None = None,
    faults_enabled: bool = False,
    failing: Callable[[], bool] | None = None,
    quota: Quota | None = None,
    hub: WatchHub | None = None,
    slices: Slices | None = None,
    access: Access | None = None,
    users: Users | None = None,
) -> web.Application:
    """All routes of a node. Call it inside a running event loop.

    `allowed_hosts`: names, without ports, that `Host` may be beside IP literals and localhost. `events` replaces the
    usual event streams, of which there are `streams_max` at a time. `with_index` False leaves `/` to the caller.
    `stats` None: no `/stats`. `failing`: whether a simulated failure keeps clients out now (`/kv`, `/sessions`, `/v3`).
    `quota` None: the store may grow without a limit. `hub` None: one of its own, which somebody must tell of writes.
    `slices` None: nobody else has long work. `access` None: everything is open.
    `users` None: of its own; `access` must know the same.
    """
    middlewares = [make_guard(allowed_hosts), make_entry(access or Access())]
    if failing is not None:
        middlewares.append(make_outage(failing))
    app = web.Application(middlewares=middlewares, client_max_size=VALUE_BYTES_MAX)
    slices = slices or Slices()
    streams = events or EventsApi(trace, streams_max=streams_max, slices=slices)
    hub, following = hub or WatchHub(store), Following(slices)
    users = users or Users(handle, store)
    etcd = EtcdApi(handle, store, metrics, lambda: trace.term, slices, quota, hub, following, users)
    app.router.add_routes(
        KeyValueApi(handle, store, metrics, slices, quota, KeyWatch(hub, following, users), users).routes()
    )
    app.router.add_routes(SessionsApi(handle, metrics, users).routes())
    app.router.add_routes(etcd.routes())
    app.router.add_routes(OperationsApi(handle, metrics, stats, slices).routes())
    app.router.add_routes(MembersApi(handle).routes())
    app.router.add_routes(BackupApi(handle, users).routes())
    app.router.add_routes(CommandsApi(handle, faults_enabled, users).routes())
    app.router.add_routes(streams.routes())
    app.router.add_get("/openapi.json", openapi)
    if with_index:
        app.router.add_get("/", index)
    app.on_shutdown.append(streams.stop)
    app.on_shutdown.append(following.stop)
    return app


class ApiRunner(FrameworkRunner):
    """An `AppRunner` with this project's limits; used as any other: `setup()`, then `listen`, then `cleanup()`.

    `express` None: no express lane. `gate` None: all requests come in at once. `clients` None: as many connections as
    a node takes that may open files without number. `http2` None: HTTP/1.1 alone. `doorway` None: no TLS.
    """

    def __init__(
        self,
        app: web.Application,
        express: Express | None = None,
        *,
        gate: Gate | None = None,
        clients: Clients | None = None,
        http2: Http2 | None = None,
        doorway: Doorway | None = None,
        drain_seconds_max: float = SHUTDOWN_SECONDS_MAX,
    ) -> None:
        super().__init__(
            app,
            access_log=None,
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=LINGERING_SECONDS,
            shutdown_timeout=drain_seconds_max,
            max_line_size=REQUEST_LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
        )
        self.clients = clients or Clients(CLIENTS_MAX, asyncio.get_running_loop())
        self.serve_with = self._our_server
        self._express = express
        self._gate = gate
        self._http2 = http2
        self._doorway = doorway
        self._connection_tasks: set[asyncio.Task[None]] = set()
        self._retiring = False

    async def listen(self, host: str, port: int) -> None:
        """Take connections to that address, after `setup()`. Raises OSError where it is not to be had."""
        await self.listen_on(await bound_sockets(host, port), f"http://{host}:{port}")

    async def listen_on(self, sockets: list[socket.socket], name: str) -> None:
        """The same on sockets that are bound already; they are closed with the server."""

        def made(to: web.Server) -> Listener:
            return Listener(sockets, cast(Server, to).of, self.clients, self._doorway)

        await FrameworkSite(self, name, made).start()

    def retire_connections(self) -> None:
        """From now on every answer says `Connection: close` and ends its connection: clients that keep theirs open
        come again elsewhere, before this server stops. Requests are taken as ever."""
        self._retiring = True
        if self._http2 is not None:
            self._http2.retire()
        if isinstance(self.server, Server):
            self.server.retiring = True

    async def cleanup(self) -> None:
        """Stop serving; when it returns, no task of a connection is left."""
        if isinstance(self.server, Server):
            took_s = await _accept_all(self.server, self._doorway)
            self.shutdown_seconds = max(0.0, self.shutdown_seconds - took_s)
        http2 = asyncio.ensure_future(self._end_http2(self.shutdown_seconds))
        await super().cleanup()
        await http2
        left = set(self._connection_tasks)
        for task in left:  # the framework does not wait for those it cancels, and leaves those of lost connections
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=ENDING_SECONDS_MAX)

    async def _end_http2(self, seconds_max: float) -> None:
        if self._http2 is not None:
            await self._http2.shut_down(seconds_max)

    def _our_server(self, made: web.Server) -> Server:
        handler = _outermost(made.request_handler, lambda: self._retiring, self._gate)
        server = remade(Server, made, handler)
        server.tasks = self._connection_tasks
        server.express = self._express
        server.gate = self._gate
        server.clients = self.clients
        server.http2 = self._http2
        return server


async def _accept_all(server: Server, doorway: Doorway | None) -> float:
    """Take what waits to be accepted, or at the gate: as the listener closes, the kernel would reset it with the
    request that it may have sent, and its client could not know that nothing was done. The seconds that it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    seen, quiet = server.accepted, 0
    while quiet < ACCEPTING_QUIET_TURNS and loop.time() < began + ACCEPTING_SECONDS_MAX:
        await asyncio.sleep(0)
        still = server.accepted == seen and (server.gate is None or not server.gate.waiting)
        if doorway is not None and doorway.shaking:
            still = False
            await asyncio.sleep(SHAKING_LOOK_SECONDS)
        quiet = quiet + 1 if still else 0
        seen = server.accepted
    return loop.time() - began


def _outermost(handle: Handler, retiring: Callable[[], bool], gate: Gate | None) -> Handler:
    """Round routing and the middlewares: what fails before the guard runs is an answer in JSON, too, and the last
    answers of a connection that retires say so."""

    async def judged(request: web.BaseRequest, whose: str) -> web.StreamResponse:
        RETIRING.set(retiring)
        ASKING.set(whose)
        try:
            _check_line(request)
            return await handle(request)
        except Problem as problem:
            return problem.answer()
        except web.HTTPException as error:
            return from_aiohttp(error)

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol if isinstance(request.protocol, Connection) else None
        if connection is not None:
            connection.request_begins(request.content)
        try:
            whose = connection.whose if connection is not None else NOBODY
            judging = judged(request, whose)
            answer = await (judging if gate is None else gate.handle(judging, whose))
        finally:
            if connection is not None:
                connection.answered()
        if retiring() or (connection is not None and connection.ends):
            answer.force_close()
        return answer

    return handler


def _check_line(request: web.BaseRequest) -> None:
    """Refuse what the framework lets in and then stumbles over."""
    if http_major(request) != 1:
        answer_as_http_1_1(request)
        raise Problem(505, "http-version", "this server speaks HTTP/1.1 and HTTP/1.0")
    if not request.raw_path.isascii():
        raise malformed("target", "the request target holds bytes beyond ASCII; percent-encode them")
    expect = request.headers.get("Expect")
    if expect is not None and expect.lower() != "100-continue":
        raise Problem(417, "expectation-failed", "Expect can only be 100-continue")
