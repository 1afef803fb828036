"""One client's connection in HTTP/2: what comes from its socket, what goes to it, and how it ends.

Why it exists: an `asyncio.Protocol` on the node's own loop and port; one read holds many requests and one write many
answers, without a task for any of them. Work comes in through the same gate as HTTP/1.1's. It must not know a frame's
meaning or what a request asks.

What a client's windows do not admit waits in its stream; what its socket does not take stops us from reading it.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from node.addresses import ASKING
from node.api.clients import HALF_CLOSED_SECONDS, UNREAD_SECONDS_MAX, Clients, abort_soon, is_tls
from node.api.gate import Gate
from node.api.http2 import frames
from node.api.http2.blocks import LIST_BYTES_MAX
from node.api.http2.floods import Flooded, Floods
from node.api.http2.frames import WINDOW_DEFAULT, ConnectionFault, ErrorCode, Setting
from node.api.http2.receiving import CONNECTION_WINDOW, Receiving
from node.api.http2.streams import STREAM_WINDOW, STREAMS_MAX, Shared, Streams

LINGERING_SECONDS_MAX = 0.5
"""How long what a client goes on to send is passed over once its connection was ended for what it did."""

_OUR_SETTINGS = frames.settings(
    {
        Setting.MAX_CONCURRENT_STREAMS: STREAMS_MAX,
        Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
        Setting.MAX_HEADER_LIST_SIZE: LIST_BYTES_MAX,
    }
) + frames.window_update(0, CONNECTION_WINDOW - WINDOW_DEFAULT)


class Serving(NamedTuple):
    """What all connections of a node, or of one client, have in common. `gate` None: all comes in at once. `ended` is
    told of each."""

    shared: Shared
    gate: Gate | None
    clients: Clients | None
    ended: Callable[["Http2Connection"], None]


class Http2Connection(asyncio.Protocol):
    """See the module. It takes over a transport with what has come already: `begin`."""

    def __init__(self, serving: Serving, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        shared, self._gate, self._clients, self._on_ended = serving
        self._counts = shared.counts
        self._transport = transport
        self._tls = is_tls(transport)
        self._share = shared.share
        self._loop = loop
        allowances = Floods()
        self._streams = Streams(shared, self, allowances)
        self._receiving = Receiving(self._streams, allowances, shared.now)
        self._queued = False
        """Whether what came waits at the gate."""
        self._out: list[bytes] = []
        self._flushing = False
        self._pumping = False
        self._full = False
        """Whether the socket takes nothing now."""
        self._said_all = False
        """Whether the client sends no more."""
        self._closing = False
        self._ended = False
        """Whether the last of ours was written."""

    def begin(self, data: bytes) -> None:
        """Speak, and take what has come."""
        self._counts.connections += 1
        self.write(_OUR_SETTINGS)
        self.data_received(data)

    # --- what `Clients` asks ---------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no stream is open."""
        return not (len(self._streams) or self._queued)

    @property
    def idle_since(self) -> float:
        """When the last stream ended."""
        return self._streams.idle_since

    @property
    def head_is_missing(self) -> bool:
        """Never: a client of gRPC connects before it asks, and may stay so. It is idle, and makes room."""
        return False

    @property
    def body_is_missing(self) -> bool:
        """Never of the whole connection: see `tend`."""
        return False

    @property
    def request_began(self) -> float:
        """Not asked for."""
        return self.idle_since

    @property
    def unread_bytes(self) -> int:
        """What the client's socket does not take, where that is too much to go on."""
        return self._transport.get_write_buffer_size() if self._full or self._closing else 0

    def tend(self, now: float) -> None:
        """See `Clients`."""
        self._streams.tend(now)
        self._flush()

    def force_close(self) -> None:
        """End it now; what is sent already arrives."""
        self._close(ErrorCode.NO_ERROR, "")

    def never_asked(self) -> None:
        """Not asked for."""
        self.force_close()

    def make_room(self) -> None:
        """As `force_close`, for another's sake: its descriptor is to be free one turn later."""
        self.force_close()
        abort_soon(self._loop, self._transport if self._tls else None)

    def abort(self) -> None:
        """End it, with whatever waits."""
        self._transport.abort()

    # --- the node is stopping --------------------------------------------------------------------------------

    def retire(self) -> None:
        """Take no new streams; end with the last one that is open."""
        if not (self._receiving.retiring or self._closing):
            self._receiving.retiring = True
            self.write(frames.goaway(self._streams.last, ErrorCode.NO_ERROR))
            self._end_if_done()

    def stop_endless(self) -> None:
        """End the streams that would stay open as long as their clients like."""
        self._streams.stop_endless()

    # --- the transport ---------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._receiving.add(data)
        if self._queued:
            return
        gate = self._gate
        if self._share.crowded:
            self._wait_for_share()
        elif gate is None or gate.is_open():
            self._take()
        else:
            self._wait()

    def eof_received(self) -> bool:
        """The client sends no more: what it asked for whole is answered."""
        self._receiving.retiring = True
        self._said_all = True
        self._streams.lose(keep_whole=True)
        self._pump()
        if len(self._streams) and not (self._closing or self._tls):
            self._loop.call_later(HALF_CLOSED_SECONDS, self._streams.lose_patient)
            return True
        self._closing = True  # with TLS nothing more can be said once the other side has ended it
        return False

    def connection_lost(self, exc: BaseException | None) -> None:  # noqa: ARG002  # every loss is alike here
        self._closing = True
        self._share.leave(self._wait)
        self._counts.connections -= 1
        if self._clients is not None:
            self._clients.closed(self)
        self._streams.lose()
        self._out.clear()
        self._on_ended(self)

    def pause_writing(self) -> None:
        self._full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        if not (self._queued or self._closing):
            self._transport.resume_reading()
        self._pump()

    # --- the gate --------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        self._queued = True
        self._transport.pause_reading()
        if self._gate is not None:
            self._gate.wait(self._come_in, self._share.whose)
        else:
            self._loop.call_soon(self._come_in)

    def _wait_for_share(self) -> None:
        self._queued = True
        self._counts.waited += 1
        self._transport.pause_reading()
        self._share.wait(self._wait)

    def _come_in(self) -> None:
        self._queued = False
        if self._closing:
            return
        if self._share.crowded:
            self._wait_for_share()
            return
        self._take()
        if not (self._queued or self._full or self._closing):
            self._transport.resume_reading()

    def _take(self) -> None:
        ASKING.set(self._share.whose)
        gate, receiving, streams = self._gate, self._receiving, self._streams
        began = gate.clock() if gate is not None else 0.0
        size, begun, before = receiving.waiting_bytes, streams.begun, receiving.work
        try:
            whole = receiving.consume()
        except ConnectionFault as fault:
            self._counts.fault(fault.kind if isinstance(fault, Flooded) else fault.code.name.lower().replace("_", "-"))
            self._close(fault.code, str(fault), lingering=True)
            whole = True
        if gate is not None:
            work = receiving.work - before
            gate.frames_came_in(streams.begun - begun, began, size - receiving.waiting_bytes, work)
        self._pump()
        if not whole and not self._closing:
            self._wait()
        self._end_if_done()

    # --- what goes out ---------------------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """See `Output`."""
        return self._full or self._closing

    def write(self, data: bytes) -> None:
        """It leaves with all else of this turn."""
        self._out.append(data)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def streams_ended(self) -> None:
        """See `Output`."""
        self._end_if_done()

    def _pump(self) -> None:
        more = self._streams.pump()
        if self._said_all and not more and not self.blocked:
            self._streams.lose_waiting()
        self._flush()
        if more:
            self.pump_soon()

    def pump_soon(self) -> None:
        """See `Output`."""
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump_on)

    def _pump_on(self) -> None:
        self._pumping = False
        if not self._closing:
            self._pump()

    def _flush(self) -> None:
        self._flushing = False
        if self._ended or self._transport.is_closing():
            self._out.clear()
        elif self._out:
            data = b"".join(self._out)
            self._out.clear()
            self._transport.write(data)
            if self._gate is not None:
                self._gate.answered(len(data))

    # --- the end ---------------------------------------------------------------------------------------------

    def _end_if_done(self) -> None:
        if self._receiving.retiring and not len(self._streams) and not self._closing:
            self._closing = True
            self._loop.call_soon(self._end, True)

    def _close(self, code: ErrorCode, why: str, lingering: bool = False) -> None:
        if not self._closing:
            self._closing = True
            self._out.append(frames.goaway(self._streams.last, code, why))
            self._end(lingering)

    def _end(self, lingering: bool) -> None:
        """`lingering`: more may come for a moment, and is passed over. A socket with unread bytes ends with a reset,
        which may overtake what its client was told."""
        self._flush()
        self._ended = True
        self._streams.lose()
        if lingering and self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
            self._transport.resume_reading()
            self._loop.call_later(LINGERING_SECONDS_MAX, self._transport.abort)
            return
        if self._transport.get_write_buffer_size():
            self._loop.call_later(UNREAD_SECONDS_MAX, self._transport.abort)
        self._transport.close()
