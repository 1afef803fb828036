"""A TCP relay between two carriers on loopback that can be cut, stalled and killed like a network.

Why it exists: what a carrier does about silence, cuts and dead peers can only be shown on real sockets with
something between them that swallows, holds and resets. One relay is one direction: what one node dials at another.
"""

import asyncio
import socket

from node.raft.messages import Lane

HELD_BYTES_MAX = 64 * 1024


class _End(asyncio.Protocol):
    """One end of a relayed connection; what comes in here goes out at `other`."""

    def __init__(self, relay: "Relay", other: "_End | None") -> None:
        self.transport: asyncio.Transport | None = None
        self.lane: Lane | None = None
        self.held = bytearray()
        self.other = other
        self._relay = relay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._relay.ends.append(self)
        if self.other is not None:  # this is the onward end, and the dialler waited for it
            self.other.other = self
            self.other.flow()

    def data_received(self, data: bytes) -> None:
        self.held += data
        if self.lane is None and self.other is None:
            self.lane = Lane.BULK if b"lane=bulk" in data or b"bulk.lane" in data else Lane.CONTROL
            self._relay.connect_onward(self)
        self.flow()

    def flow(self) -> None:
        """Pass on what is held, unless this direction is stopped."""
        if self.other is None or self.other.transport is None or self.lane in self._relay.stopped:
            if len(self.held) > HELD_BYTES_MAX and self.transport is not None:
                self.transport.pause_reading()
        elif self.held:
            self.other.transport.write(bytes(self.held))
            self.held.clear()
            if self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self.lane in self._relay.stopped:
            self.held.clear()  # the end of a connection is lost in the cut as well: the other side is not told
        elif self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class Relay:
    """Listens on a port of its own and passes connections on to `target_port`, lane by lane."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.stopped: dict[Lane | None, None] = {}
        self.ends: list[_End] = []
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listen; after `stop_listening`, at the same port again."""
        listener = socket.create_server(("127.0.0.1", self.port))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        self.port = listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self, None), sock=listener)

    def hold(self, lane: Lane) -> None:
        """Pass nothing of this lane on, not even the end of a connection."""
        self.stopped[lane] = None

    def let_go(self, lane: Lane) -> None:
        self.stopped.pop(lane, None)
        for end in self.ends:
            if end.lane is lane:
                end.flow()

    def connect_onward(self, end: _End) -> None:
        self._tasks.append(asyncio.create_task(self._connect_onward(end)))

    async def _connect_onward(self, end: _End) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _End(self, end), "127.0.0.1", self._target_port)
        except OSError:
            if end.transport is not None:
                end.transport.abort()

    @property
    def listens(self) -> bool:
        return self._server is not None and self._server.is_serving()

    def stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()

    def lose_connections(self) -> None:
        for end in self.ends:
            if end.transport is not None:
                end.transport.abort()

    async def close(self) -> None:
        self.stop_listening()
        self.lose_connections()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
