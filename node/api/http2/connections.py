"""All HTTP/2 connections of a node: how one begins, and how all end.

Why it exists: the server for HTTP/1.1 hands on what begins with HTTP/2's preface, and stops both. It must not know
what is asked.
"""

import asyncio

from node.addresses import NOBODY
from node.api.clients import Clients, Owned
from node.api.gate import Gate
from node.api.http2.connection import Http2Connection, Serving
from node.api.http2.counts import Counts
from node.api.http2.frames import PREFACE
from node.api.http2.shares import Shares
from node.api.http2.streams import Serve, Shared

BEGINNING = PREFACE[:16]
"""No request of HTTP/1.1 begins so."""


class Http2:
    """`serve` gives each stream its receiver. `gate`, `clients` as for HTTP/1.1."""

    def __init__(self, serve: Serve, counts: Counts, gate: Gate | None = None) -> None:
        self._serve = serve
        self._counts = counts
        self._gate = gate
        self._shares = Shares(counts)
        self._open: dict[Http2Connection, None] = {}
        self._all_ended: asyncio.Future[None] | None = None
        self._retiring = False

    def begin(
        self, transport: asyncio.Transport, data: bytes, clients: Clients | None, before: Owned | None = None
    ) -> None:
        """Take over a transport, with what has come on it. `before`: the connection as which it was admitted."""
        loop = asyncio.get_running_loop()
        whose = NOBODY if before is None else before.whose
        share = self._shares.of(whose, None if clients is None else clients.bodies)
        serving = Serving(Shared(self._serve, self._counts, loop.time, share), self._gate, clients, self._ended)
        connection = Http2Connection(serving, transport, loop)
        self._open[connection] = None
        transport.set_protocol(connection)
        if clients is not None and before is not None:
            clients.handed_on(before, connection)
        connection.begin(data)
        if self._retiring:
            connection.retire()

    def retire(self) -> None:
        """Each connection ends once its streams have; no new ones are taken on it."""
        self._retiring = True
        for connection in list(self._open):
            connection.retire()

    async def shut_down(self, seconds_max: float) -> None:
        """Retire all, and end those that are not done by then. Streams without end are ended at once."""
        self.retire()
        for connection in list(self._open):
            connection.stop_endless()
        if self._open:
            self._all_ended = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._all_ended,), timeout=seconds_max)
        for connection in list(self._open):
            connection.abort()

    def _ended(self, connection: Http2Connection) -> None:
        self._open.pop(connection, None)
        if not self._open and self._all_ended is not None and not self._all_ended.done():
            self._all_ended.set_result(None)
