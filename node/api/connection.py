"""One client's connection: the framework's, with the express lane in front and errors in JSON; or HTTP/2's.

Why it exists: what the framework answers by itself must look like the rest of this API, and what the express lane
takes must never meet what the framework has under way. Both get what comes through one gate. It must not know a route.

A client may close its sending side once it has asked: what it asked for whole is answered before the connection ends.

The lane is open only while the framework is at rest and stands between two requests; one piece that is not exactly
one whole request gives the connection to the framework for good. What begins with HTTP/2's preface is handed on at
once: one port serves both.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from node.addresses import NOBODY
from node.api.answers import Problem
from node.api.clients import UNREAD_SECONDS_MAX, Clients, abort_soon, head_too_long, is_tls, too_slow
from node.api.express import Express, rendered
from node.api.framework import FrameworkConnection, FrameworkServer, answer_as_http_1_1
from node.api.gate import Gate
from node.api.http2.connections import BEGINNING, Http2
from node.api.inputs import REQUEST_LINE_BYTES_MAX
from node.api.unparsed import unparsed

ENDING_SECONDS_MAX = 0.25
"""How long a request that was cut short has to end."""

HELD_BYTES_MAX = 256 * 1024
"""What a client may send ahead of an answer or of its turn; the socket is not read meanwhile, so it is one read at
most."""

HEAD_BYTES_MAX = REQUEST_LINE_BYTES_MAX + 32 * 1024
"""Of a request's line and headers; the framework bounds each of them alone, and 64 of the longest would be 512 KiB for
each connection that never ends its headers."""

_LOG = logging.getLogger("node.api")


class Server(FrameworkServer):
    """Makes the connections. `tasks`: those of all connections; `express` None: no express lane; `gate` None: all
    comes in at once; `clients` None: any number may come. `retiring`: each connection ends with its next answer, which
    says so. `accepted`: connections since the start. `http2` None: HTTP/1.1 alone."""

    tasks: "set[asyncio.Task[None]]"
    express: Express | None = None
    gate: Gate | None = None
    clients: Clients | None = None
    http2: Http2 | None = None
    retiring = False
    accepted = 0

    def __call__(self) -> web.RequestHandler:
        return self.of(NOBODY)

    def of(self, whose: str) -> "Connection":
        """A connection of theirs: its socket cannot be asked later, for it may be lost before it is looked at."""
        self.accepted += 1
        connection = self.made(Connection)
        connection.whose = whose
        return connection


class Connection(FrameworkConnection):
    """See the module."""

    __slots__ = (
        "_aligned",
        "_answered",
        "_answering",
        "_asked",
        "_at_end",
        "_body",
        "_clients",
        "_express",
        "_first",
        "_fresh",
        "_gate",
        "_head_bytes",
        "_held",
        "_last",
        "_queued",
        "_room",
        "_tls",
        "client_ended",
        "request_began",
        "whose",
    )

    def __init__(self, manager: Server, *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(manager, loop=loop, **options)
        self._express = manager.express
        self._gate = manager.gate
        self._clients = manager.clients
        self._fresh = manager.http2 is not None
        """Whether nothing has come that tells HTTP/2 from HTTP/1.1."""
        self._first = b""
        self._aligned = True
        """Whether all that came so far were whole requests."""
        self._answering = False
        """Whether a request of the express lane waits for its answer."""
        self._answered: asyncio.Future[None] | None = None
        self._queued = False
        """Whether what is held waits at the gate."""
        self._held = b""
        self._at_end: Callable[[], object] | None = None
        self._body: StreamReader | None = None
        """Of the last request that the framework began."""
        self._last: StreamReader | None = None
        """The body of the last one that came, which may not have begun: what comes is of a head once this is whole."""
        self._tls = False
        self.whose = NOBODY
        self._asked = False
        """Whether it ever sent a request whose headers were whole."""
        self._room = 0
        """Bytes that its request may hold of a body; see `node.api.bodies`."""
        self._head_bytes = 0
        """Of a request whose headers are not whole, since the last one whose were."""
        self.client_ended = False
        """Whether the client sends no more. It may be gone, or wait for its answers: nobody can tell."""
        self.request_began = 0.0
        """When the framework's last request began, by the loop's clock."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._tls = is_tls(transport)
        if self._clients is not None:
            self._clients.opened(self, self.whose)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._clients is not None:
            self._clients.closed(self)
        if exc is not None and not isinstance(
            exc, ConnectionError
        ):  # a way that timed out, say: it is lost all the same
            exc = ConnectionResetError(str(exc))
        super().connection_lost(exc)
        if self._at_end is not None:
            self._at_end()

    async def start(self) -> None:
        if self.server is None:
            return  # it was handed on before its task began
        server, task = self.server, asyncio.current_task()
        if task is not None and isinstance(server, Server):
            server.tasks.add(task)
            task.add_done_callback(server.tasks.discard)
        await super().start()
        self.force_close()  # for its limit: the framework waits for ever until its last answer is taken

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        if self._answering:
            self.take_no_more()
            self._answered = self.loop.create_future()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._answered, timeout)
        with suppress(TimeoutError):  # the framework itself would take the time twice
            async with asyncio.timeout(None if timeout is None else timeout + ENDING_SECONDS_MAX):
                await super().shutdown(timeout)
        self.force_close()

    # --- what `Clients` asks ------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way, nor known to be on its way, and every answer was taken: else it would keep
        its descriptor although it was closed."""
        under_way = self._answering or self._queued or self._held
        return self.waits_for_request and not (under_way or self._unsent_bytes)

    @property
    def head_is_missing(self) -> bool:
        """Whether no request ever came, not even its headers."""
        return not (self._asked or self._queued or self._held)

    def never_asked(self) -> None:
        """End it, and say why to whoever has begun to speak."""
        self._end_with(too_slow())

    def _end_with(self, words: bytes) -> None:
        """It asked for nothing that could be answered."""
        transport = self.transport
        self._asked = True  # once is enough
        if transport is None or transport.is_closing():
            return
        transport.write(words)
        if self._tls or not transport.can_write_eof():
            self.force_close()
            return
        self.take_no_more()
        transport.write_eof()  # a socket with unread bytes would end with a reset, which may overtake the answer
        self.loop.call_later(ENDING_SECONDS_MAX, self.force_close)

    @property
    def unread_bytes(self) -> int:
        """How much of its answers the client has not taken, where that is too much to go on."""
        return self._unsent_bytes if self.answers_are_stuck else 0

    @property
    def _unsent_bytes(self) -> int:
        return self.transport.get_write_buffer_size() if self.transport is not None else 0

    def make_room(self) -> None:
        """End it for another's sake, as it is idle: its descriptor is to be free one turn later."""
        self.force_close()
        abort_soon(self.loop, self.transport if self._tls else None)

    def force_close(self) -> None:
        """End it once what waits to be sent is sent; a client that takes nothing is not waited for longer than that."""
        if self.transport is not None and self._unsent_bytes:
            self.loop.call_later(UNREAD_SECONDS_MAX, self.transport.abort)
        super().force_close()

    def abort(self) -> None:
        """End it now, with whatever waits to be sent."""
        if self.transport is not None:
            self.transport.abort()

    def tend(self, now: float) -> None:
        """There is nothing inside."""

    # --- the client's end ---------------------------------------------------------------------------------------

    def eof_received(self) -> bool:  # type: ignore[override]  # the framework's keeps nothing open
        """The client sends no more. Whether the connection stays open: for the answers to what it asked for whole.
        Otherwise it ends at once, for its descriptor is another client's."""
        self.client_ended = True
        if self._at_end is not None:
            self._at_end()
        if not self._tls and (self._answering or self._queued or self._serves_on()):
            return True
        self._give_up()  # with TLS nothing more can be said once the other side has ended it
        return False

    def _serves_on(self) -> bool:
        """Nothing more comes: whether there is something left to answer. A request that was cut short, or whose
        answer was given before its body came, is not."""
        return (self._body is None or self._body.is_eof()) and self.serves_on()

    def when_client_ends(self, call: Callable[[], object]) -> None:
        """Call it then, and when the connection is lost. For an answer that waits for something to say."""
        self._at_end = call

    def request_begins(self, body: StreamReader) -> None:
        """The framework has begun with the next request."""
        self.request_began = self.loop.time()
        self._asked = True
        self._body = body
        if self.client_ended and not self._serves_on():
            self._give_up()

    def _give_up(self) -> None:
        """End it; who reads the rest of a request that was cut short learns now that none comes, for the framework
        takes a read on a connection that is closed for a mistake of ours. Where the answer was given before, it is the
        framework that reads, and it takes an error for a mistake of ours as well."""
        if self._body is not None and not self._body.is_eof():
            if self.request_is_under_way:
                self._body.set_exception(ConnectionResetError("the client left in the middle of its request"))
            else:
                self._body.feed_eof()
        self.force_close()

    # --- what comes in ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Also called by the framework itself, without data."""
        if data and self._fresh:
            data = self._hand_on(data)
            if not data:
                return
        gate = self._gate
        if not data:
            self._feed(data)
        elif self._answering or self._queued:
            self._hold(data)
        elif gate is None:
            self._take(data)
        elif gate.is_open():
            began = gate.clock()
            gate.came_in(self._take(data), began, len(data), data.count(b"\n"))
        else:
            self._hold(data)
            self._queued = True
            gate.wait(self._come_in, self.whose)

    def _hand_on(self, data: bytes) -> bytes:
        """Of what came first what is for HTTP/1.1. What begins as HTTP/2 does is another's from now on; what is too
        short to tell waits for more."""
        data = self._first + data
        self._first = b""
        if len(data) < len(BEGINNING) and BEGINNING.startswith(data):
            self._first = data
            return b""
        self._fresh = False
        server, transport = self.server, self.transport
        if not (data.startswith(BEGINNING) and isinstance(server, Server) and server.http2 and transport is not None):
            return data
        self.let_go()
        server.http2.begin(transport, data, self._clients, self)
        return b""

    def _come_in(self) -> None:
        """It is our turn at the gate."""
        gate, held = self._gate, self._held
        self._queued, self._held = False, b""
        if gate is None or self.transport is None:
            return
        began = gate.clock()
        gate.came_in(self._take(held), began, len(held), held.count(b"\n"))
        if not self._answering:
            self.let_in()

    def _take(self, data: bytes) -> bool:
        """Whether the express lane has it; otherwise the framework has."""
        express = self._express
        if self._aligned and express is not None and self._take_express(express, data):
            return True
        self._feed(data)
        return False

    def _feed(self, data: bytes) -> None:
        """Give it to the framework, which holds a head until it is whole, also that of the next request while one is
        under way: up to a bound."""
        waiting = self.requests_waiting
        self._see_last()
        is_of_head = self.takes_heads and (self._last is None or self._last.is_eof())
        super().data_received(data)
        if self.requests_waiting > waiting:
            self._head_bytes = 0
            self._see_last()
        elif is_of_head and not self.ends:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse_head()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """As the framework does it, which looks now at what came after a request that asked for another protocol."""
        finished = await super().finish_response(request, resp, start_time)
        self._see_last()
        return finished

    def _see_last(self) -> None:
        if self.requests_waiting:
            self._last = self.last_waiting

    def _refuse_head(self) -> None:
        if self.waits_for_request:
            self._end_with(head_too_long(HEAD_BYTES_MAX))
        else:
            self.take_no_more()  # nothing can be said before the answer that is under way has ended

    def _take_express(self, express: Express, data: bytes) -> bool:
        found = express.read(data)
        if found is None:
            self._aligned = False
            return False
        verdict, body = found
        if verdict.handler is None or self._retiring or express.closed() or not self._at_rest:
            return False
        self._answering = self._asked = True
        self.keep_open()
        if verdict.take(body, self._answer):
            return True
        self._answering = False
        return False

    @property
    def _retiring(self) -> bool:
        return isinstance(self.server, Server) and self.server.retiring

    @property
    def _at_rest(self) -> bool:
        """Whether the framework waits for a request, and the client takes its answers."""
        return self.waits_for_request and not (self.answers_are_stuck or self.ends)

    def _hold(self, data: bytes) -> None:
        """What comes before its turn waits; at its limit the client is one that no server has to serve."""
        self._held += data
        if self.transport is None or len(self._held) > HELD_BYTES_MAX:
            self.force_close()
        else:
            self.hold_back()

    def _answer(self, status: int, body: bytes) -> None:
        self._answering = False
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        ends = self._retiring or (self.client_ended and not self._held)
        transport.write(rendered(status, body, ends))
        if self._gate is not None:
            self._gate.answered(len(body))
        if ends:
            self.force_close()
            return
        self.keep_open()
        self.let_in()
        if self._held:
            held, self._held = self._held, b""
            self.data_received(held)

    # --- long bodies -------------------------------------------------------------------------------------------

    async def room_for(self, size: int) -> None:
        """Wait until a body of so many bytes may be read; raises `Problem`."""
        if self._clients is not None and not self._room:
            self._room = await self._clients.bodies.room(self.whose, size)

    def answered(self) -> None:
        """Its request is over: what it held of a body is others'."""
        if self._clients is not None and self._room:
            held, self._room = self._room, 0
            self._clients.bodies.give_back(self.whose, held)

    # --- errors ------------------------------------------------------------------------------------------------

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError) and (self.transport is None or self.transport.is_closing()):
            raise exc  # the client has left, which is its right: nobody is to be answered, and nothing is to be logged
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        if isinstance(exc, HttpProcessingError):
            answer_as_http_1_1(request)  # what cannot be parsed is HTTP/0.9 to the framework
            answer = unparsed(exc, message or "").answer()
        else:
            _LOG.error("the server failed before a handler ran", exc_info=exc)
            answer = Problem(status, "internal", "this node made a mistake; its log says which").answer()
        answer.force_close()
        return answer


async def room_for_body(request: web.BaseRequest, size: int) -> None:
    """Wait until this request's body, of at most so many bytes, may be read; raises `Problem` where that lasts."""
    if isinstance(request.protocol, Connection):
        await request.protocol.room_for(size)


def client_is_gone(request: web.BaseRequest) -> bool:
    """Whether an answer without end has to end: its client is gone, or sends no more and may be."""
    connection = request.protocol
    return request.transport is None or (isinstance(connection, Connection) and connection.client_ended)
