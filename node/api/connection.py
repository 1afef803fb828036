"""One client's connection: the framework's, with the express lane in front and errors in JSON.

Why it exists: what the framework answers by itself must look like the rest of this API, and what the express lane
takes must never meet what the framework has under way. It must not know a route.

The lane is open only while the framework is at rest and stands between two requests; one piece that is not exactly
one whole request gives the connection to the framework for good.
"""

import asyncio
import logging
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http_exceptions import HttpProcessingError

from node.api.answers import Problem
from node.api.express import Express
from node.api.guard import forbidden

ENDING_SECONDS_MAX = 0.25
"""How long a request that was cut short has to end."""

HELD_BYTES_MAX = 256 * 1024
"""What a client may send ahead of an answer; the socket is not read meanwhile, so it is one read at most."""

_LOG = logging.getLogger("node.api")


class Server(web.Server):
    """Makes the connections. `tasks`: those of all connections; `express` None: no express lane. `retiring`: each
    connection ends with its next answer, which says so. `accepted`: connections since the start."""

    tasks: "set[asyncio.Task[None]]"
    express: Express | None = None
    retiring = False
    accepted = 0

    def __call__(self) -> web.RequestHandler:
        self.accepted += 1
        return Connection(self, loop=self._loop, **self._kwargs)


class Connection(web.RequestHandler):
    """See the module."""

    __slots__ = ("_aligned", "_answered", "_answering", "_express", "_held")

    def __init__(self, manager: Server, *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(manager, loop=loop, **options)
        self._express = manager.express
        self._aligned = True
        """Whether all that came so far were whole requests."""
        self._answering = False
        """Whether a request of the express lane waits for its answer."""
        self._answered: asyncio.Future[None] | None = None
        self._held = b""

    async def start(self) -> None:
        manager, task = self._manager, asyncio.current_task()
        if task is not None and isinstance(manager, Server):
            manager.tasks.add(task)
            task.add_done_callback(manager.tasks.discard)
        await super().start()

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        if self._answering:
            self._close = True  # nothing more is taken
            self._answered = self._loop.create_future()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._answered, timeout)
        with suppress(TimeoutError):  # the framework itself would take the time twice
            async with asyncio.timeout(None if timeout is None else timeout + ENDING_SECONDS_MAX):
                await super().shutdown(timeout)
        self.force_close()

    # --- the express lane --------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Also called by the framework itself, without data."""
        if self._answering:
            self._hold(data)
            return
        if data and self._aligned and self._express is not None and not self._take(self._express, data):
            return
        super().data_received(data)

    def _take(self, express: Express, data: bytes) -> bool:
        """False: the express lane has it."""
        found = express.read(data)
        if found is None:
            self._aligned = False
            return True
        verdict, body = found
        if verdict.handler is None or self._retiring or express.closed() or not self._at_rest:
            return True
        self._answering = True
        self._keep_open()
        if verdict.handler(body, self._answer):
            return False
        self._answering = False
        return True

    @property
    def _retiring(self) -> bool:
        return isinstance(self._manager, Server) and self._manager.retiring

    @property
    def _at_rest(self) -> bool:
        """Whether the framework waits for a request, and the client takes its answers."""
        waits = self._waiter is not None and not self._waiter.done() and not self._messages
        return waits and not (self._paused or self._close or self._force_close)

    def _hold(self, data: bytes) -> None:
        """What comes before the answer waits its turn; at its limit the client is one that no server has to serve."""
        self._held += data
        if self.transport is None or len(self._held) > HELD_BYTES_MAX:
            self.force_close()
        else:
            self.transport.pause_reading()

    def _answer(self, status: int, body: bytes) -> None:
        self._answering = False
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        last = b"Connection: close\r\n" if self._retiring else b""
        transport.write(_HEAD % (_STATUS_LINES[status], len(body), rfc822_formatted_time().encode(), last) + body)
        if last:
            self.force_close()
            return
        self._keep_open()
        if self._held:
            held, self._held = self._held, b""
            transport.resume_reading()
            self.data_received(held)

    def _keep_open(self) -> None:
        """As the framework does after an answer: the connection may now be idle for a while."""
        close_time = self._loop.time() + self._keepalive_timeout
        self._next_keepalive_close_time = close_time
        self._keepalive = True
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(close_time, self._process_keepalive)

    # --- errors ------------------------------------------------------------------------------------------------

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        if isinstance(exc, HttpProcessingError):
            request._version = HttpVersion11  # what cannot be parsed is HTTP/0.9 to the framework
            answer = _unparsed(message or "").answer()
        else:
            _LOG.error("the server failed before a handler ran", exc_info=exc)
            answer = Problem(status, "internal", "this node made a mistake; its log says which").answer()
        answer.force_close()
        return answer


_HEAD = (
    b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: %d\r\n"
    b"Date: %b\r\n%b\r\n"
)
_STATUS_LINES = {int(status): f"{int(status)} {status.phrase}".encode() for status in HTTPStatus}


def _unparsed(reason: str) -> Problem:
    """What is wrong with bytes that are no request; the parser's words are not repeated, they quote the input."""
    if "Host" in reason:
        return forbidden("Host must be, once, an IP address, localhost or a name that this node is configured for")
    return Problem(400, "malformed", "this is not an HTTP request, or one with a line or header that is too long")
