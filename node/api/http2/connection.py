"""One client's connection in HTTP/2: frames in, frames out, streams between, and what a client may not do.

Why it exists: an `asyncio.Protocol` on the node's own loop and port; one read holds many requests and one write many
answers, without a task for any of them. Work comes in through the same gate as HTTP/1.1's. It must not know what a
request asks: `serve` gives each stream its receiver.

What a client's windows do not admit waits in its stream; what its socket does not take stops us from reading it.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from node.api.clients import UNREAD_SECONDS_MAX, Clients
from node.api.gate import Gate
from node.api.http2 import floods, frames
from node.api.http2.blocks import BLOCK_BYTES_MAX, LIST_BYTES_MAX, Blocks
from node.api.http2.counts import Counts
from node.api.http2.fields import Head
from node.api.http2.floods import Flooded, Floods
from node.api.http2.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES_MAX,
    HEAD_BYTES,
    PREFACE,
    PRIORITIZED,
    WINDOW_DEFAULT,
    WINDOW_MAX,
    ConnectionFault,
    ErrorCode,
    Setting,
    StreamFault,
    Type,
)
from node.api.http2.stream import Receiver, Stream

STREAMS_MAX = 1024
"""Of one connection at a time; as many as each may hold requests of a crowd, and few enough to be looked through."""

STREAM_WINDOW = 256 * 1024
CONNECTION_WINDOW = 1024 * 1024
"""What a client may send before we have looked at it."""

HELD_BYTES_MAX = 1024 * 1024
"""Of answers that a client's windows do not admit. Above it new requests are refused."""

REQUESTS_PER_PIECE_MAX = 64
FRAMES_PER_PIECE_MAX = 512
"""Of one read; the rest of it comes in when it is its turn again."""

CONTINUATIONS_MAX = 16
"""Frames that go on with one header block."""

CUT_REMEMBERED_MAX = 1024
"""Streams that ended before their request did: what still comes of them is no fault of their client's."""

BODY_SECONDS_MAX = 60.0
"""How long a request may take to come."""

PUMP_BYTES_MAX = 256 * 1024
"""Of all streams in one turn of the loop."""

_OUR_SETTINGS = frames.settings(
    {
        Setting.MAX_CONCURRENT_STREAMS: STREAMS_MAX,
        Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
        Setting.MAX_HEADER_LIST_SIZE: LIST_BYTES_MAX,
    }
) + frames.window_update(0, CONNECTION_WINDOW - WINDOW_DEFAULT)

_LOG = logging.getLogger("node.api")


Serve = Callable[[Stream, Head], Receiver | None]


class Serving(NamedTuple):
    """What all connections of a node share. `serve` gives a stream its receiver, or answers it at once."""

    serve: Serve
    counts: Counts
    gate: Gate | None
    clients: Clients | None
    ended: Callable[["Http2Connection"], None]


class Http2Connection(asyncio.Protocol):
    """See the module. It takes over a transport with what has come already: `begin`."""

    def __init__(self, serving: Serving, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._serve, self._counts, self._gate, self._clients, self._on_ended = serving
        self._transport = transport
        self._loop = loop
        self._buffer = b""
        self._queued = False
        """Whether what is in the buffer waits at the gate."""
        self._preface = False
        self._settled = False
        """Whether the client's first SETTINGS came."""
        self._blocks = Blocks()
        self._floods = Floods()
        self._streams: dict[int, Stream] = {}
        self._last = 0
        """The highest stream that a client opened."""
        self._cut: dict[int, None] = {}
        self._open_block: tuple[int, int, bytearray, int] | None = None
        """A header block that goes on: its stream, flags, what came, and in how many frames."""
        self.send_window = WINDOW_DEFAULT
        self._stream_window = WINDOW_DEFAULT
        self._received = 0
        """Since the connection's window was opened again."""
        self._waiting: dict[Stream, None] = {}
        """Streams with something queued."""
        self._held = 0
        self._out: list[bytes] = []
        self._flushing = False
        self._pumping = False
        self._full = False
        """Whether the socket takes nothing now."""
        self._closing = False
        self._retiring = False
        self._begun = 0
        self.idle_since = loop.time()

    def begin(self, data: bytes) -> None:
        """Speak, and take what has come."""
        self._counts.connections += 1
        if self._clients is not None:
            self._clients.opened(self)
        self.write(_OUR_SETTINGS)
        self.data_received(data)

    # --- what `Clients` asks ---------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no stream is open."""
        return not (self._streams or self._queued)

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
        """Called every few seconds: break off what takes too long to come, or to be taken."""
        for stream in list(self._streams.values()):
            receiver = stream.receiver
            if receiver is not None and receiver.endless:
                continue
            if not stream.client_done and now - stream.began >= BODY_SECONDS_MAX:
                self._break_off(stream, ErrorCode.CANCEL)
            elif stream.waits and now - stream.moved >= UNREAD_SECONDS_MAX:
                self._break_off(stream, ErrorCode.ENHANCE_YOUR_CALM)
        self._flush()

    def force_close(self) -> None:
        """End it now; what is sent already arrives."""
        self._close(ErrorCode.NO_ERROR, "")

    def abort(self) -> None:
        """End it, with whatever waits."""
        self._transport.abort()

    def retire(self) -> None:
        """Take no new streams; end with the last one that is open."""
        if not (self._retiring or self._closing):
            self._retiring = True
            self.write(frames.goaway(self._last, ErrorCode.NO_ERROR))
            self._end_if_done()

    def end_endless(self) -> None:
        """End the streams that would stay open as long as their clients like: their clients go on elsewhere."""
        for stream in list(self._streams.values()):
            if stream.receiver is not None and stream.receiver.endless:
                stream.receiver.stop()

    # --- the transport ---------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if self._queued or self._closing:
            return
        gate = self._gate
        if gate is None or gate.is_open():
            self._take()
        else:
            self._wait(gate)

    def eof_received(self) -> bool:
        """The client sends no more: what it asked for whole is answered."""
        for stream in list(self._streams.values()):
            if not stream.client_done or stream.receiver is None or stream.receiver.endless:
                self._forget(stream)
                stream.lost()
        self._retiring = True
        if self._streams and not self._closing:
            return True
        self._closing = True
        return False

    def connection_lost(self, exc: BaseException | None) -> None:  # noqa: ARG002  # every loss is alike here
        self._closing = True
        self._counts.connections -= 1
        if self._clients is not None:
            self._clients.closed(self)
        for stream in list(self._streams.values()):
            self._forget(stream)
            stream.lost()
        self._waiting.clear()
        self._buffer = b""
        self._out.clear()
        self._on_ended(self)

    def pause_writing(self) -> None:
        self._full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        if not self._queued and not self._closing:
            self._transport.resume_reading()
        self._pump()

    # --- the gate --------------------------------------------------------------------------------------------

    def _wait(self, gate: Gate) -> None:
        self._queued = True
        self._transport.pause_reading()
        gate.wait(self._come_in)

    def _come_in(self) -> None:
        self._queued = False
        if self._closing:
            return
        self._take()
        if not (self._queued or self._full or self._closing):
            self._transport.resume_reading()

    def _take(self) -> None:
        gate = self._gate
        began = gate.clock() if gate is not None else 0.0
        size, self._begun = len(self._buffer), 0
        try:
            whole = self._consume()
        except ConnectionFault as fault:
            self._counts.fault(fault.kind if isinstance(fault, Flooded) else fault.code.name.lower())
            self._close(fault.code, str(fault))
            whole = True
        if gate is not None:
            gate.frames_came_in(self._begun, began, size - len(self._buffer))
        self._flush()
        if not whole:
            if gate is not None:
                self._wait(gate)
            else:
                self._queued = True
                self._transport.pause_reading()
                self._loop.call_soon(self._come_in)

    # --- frames ----------------------------------------------------------------------------------------------

    def _consume(self) -> bool:
        """Take whole frames from the buffer; False: more are there, for the next turn."""
        data, at, end, taken = self._buffer, 0, len(self._buffer), 0
        try:
            if not self._preface:
                if end < len(PREFACE):
                    if not PREFACE.startswith(data):
                        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "this is no HTTP/2")
                    return True
                if not data.startswith(PREFACE):
                    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "this is no HTTP/2")
                self._preface, at = True, len(PREFACE)
            while end - at >= HEAD_BYTES:
                high, low, kind, flags, number = frames.read_head(data, at)
                size = high << 16 | low
                if size > FRAME_BYTES_MAX:
                    raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame is longer than 16384 bytes")
                start = at + HEAD_BYTES
                if end - start < size:
                    return True
                if taken >= FRAMES_PER_PIECE_MAX or self._begun >= REQUESTS_PER_PIECE_MAX:
                    return False
                taken += 1
                at = start + size
                self._frame(kind, flags, number & 0x7FFFFFFF, data[start:at])
                if self._closing:
                    return True
            return True
        finally:
            self._buffer = b"" if self._closing else data[at:]

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._open_block is not None and (kind != Type.CONTINUATION or number != self._open_block[0]):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block was interrupted")
        if not self._settled:
            if kind != Type.SETTINGS or flags & ACK:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is no SETTINGS")
            self._settled = True
        try:
            if kind == Type.HEADERS:
                self._on_headers(flags, number, payload)
            elif kind == Type.DATA:
                self._on_data(flags, number, payload)
            else:
                handler = _HANDLERS.get(kind)
                if handler is None:
                    self._floods.spend(floods.IDLE, self._loop.time())
                else:
                    handler(self, flags, number, payload)
        except StreamFault as fault:
            self._stream_fault(number, fault)

    def _stream_fault(self, number: int, fault: StreamFault) -> None:
        self._floods.spend(floods.RESETS, self._loop.time())
        self._counts.faults["stream"] = self._counts.faults.get("stream", 0) + 1
        stream = self._streams.get(number)
        if stream is None:
            self._remember_cut(number)
            self.write(frames.rst_stream(number, fault.code))
        else:
            self._break_off(stream, fault.code)

    def _on_headers(self, flags: int, number: int, payload: bytes) -> None:
        if flags & (frames.PADDED | PRIORITIZED):
            payload = frames.unpadded(flags, payload)
        depends_on_itself = False
        if flags & PRIORITIZED:
            if len(payload) < 5:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a priority is cut short")
            depends_on_itself = frames.read_long(payload[:4]) == number
            payload = payload[5:]
        if not number & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a stream of a client has an odd number")
        if flags & END_HEADERS:
            self._on_block(flags, number, payload)
        else:
            self._open_block = (number, flags, bytearray(payload), 0)
            self._check_block(len(payload), 0)
        if depends_on_itself:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a stream depends on itself")

    def _on_continuation(self, flags: int, number: int, payload: bytes) -> None:
        if self._open_block is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "there is no header block to go on with")
        _, before, block, count = self._open_block
        block += payload
        self._check_block(len(block), count + 1)
        if flags & END_HEADERS:
            self._open_block = None
            self._on_block(before, number, bytes(block))
        else:
            self._open_block = (number, before, block, count + 1)

    def _check_block(self, size: int, continuations: int) -> None:
        if size > BLOCK_BYTES_MAX or continuations > CONTINUATIONS_MAX:
            self._counts.fault("continuations")
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block is too long")

    def _on_block(self, flags: int, number: int, block: bytes) -> None:
        if number > self._last:
            self._open(flags, number, block)
            return
        stream = self._streams.get(number)
        if stream is None:
            if number not in self._cut:
                raise ConnectionFault(ErrorCode.STREAM_CLOSED, "headers came for a stream that is closed")
            self._blocks.skip(block)
            return
        if stream.client_done:
            self._blocks.skip(block)
            raise StreamFault(ErrorCode.STREAM_CLOSED, "headers came after the end of their stream")
        self._blocks.trailers(block)
        if not flags & END_STREAM:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "trailers do not end their stream")
        self._body_ended(stream)

    def _open(self, flags: int, number: int, block: bytes) -> None:
        if self._retiring:
            self._blocks.skip(block)  # GOAWAY has said that it will not be looked at
            return
        self._last = number
        head = self._blocks.head(block)
        counts = self._counts
        if len(self._streams) >= STREAMS_MAX or self._held > HELD_BYTES_MAX or counts.full:
            counts.refused += 1
            raise StreamFault(ErrorCode.REFUSED_STREAM, "too many requests at once")
        now = self._loop.time()
        stream = self._streams[number] = Stream(number, self, self._stream_window, STREAM_WINDOW, now)
        stream.body_left = head.length
        counts.streams += 1
        counts.requests += 1
        self._begun += 1
        receiver = self._serve(stream, head)
        if not stream.done:
            stream.receiver = receiver
        if flags & END_STREAM:
            self._body_ended(stream)

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        if not number:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "data came without a stream")
        size = len(payload)
        self._received += size
        if self._received > CONNECTION_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more came than the window admits")
        if self._received >= CONNECTION_WINDOW // 2:
            self.write(frames.window_update(0, self._received))
            self._received = 0
        if flags & frames.PADDED:
            payload = frames.unpadded(flags, payload)
        stream = self._streams.get(number)
        if stream is None:
            self._data_of_closed(number)
            return
        if stream.client_done:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "data came after the end of its stream")
        stream.receive_window -= size
        if stream.receive_window < 0:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "more came than the window admits")
        if not payload and not flags & END_STREAM:
            self._floods.spend(floods.IDLE, self._loop.time())
        if stream.body_left is not None:
            stream.body_left -= len(payload)
            if stream.body_left < 0:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "the body is longer than content-length says")
        if payload and stream.receiver is not None:
            stream.receiver.data(payload)
        if flags & END_STREAM:
            self._body_ended(stream)
        elif stream.receive_window < STREAM_WINDOW // 2 and not stream.done:
            self.write(frames.window_update(number, STREAM_WINDOW - stream.receive_window))
            stream.receive_window = STREAM_WINDOW

    def _data_of_closed(self, number: int) -> None:
        if number > self._last:
            if self._retiring:
                return
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "data came for a stream that is idle")
        if number not in self._cut:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "data came for a stream that is closed")
        self._floods.spend(floods.IDLE, self._loop.time())

    def _body_ended(self, stream: Stream) -> None:
        if stream.body_left:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "the body is shorter than content-length says")
        stream.client_done = True
        if stream.receiver is not None:
            stream.receiver.whole()

    def _on_priority(self, _flags: int, number: int, payload: bytes) -> None:
        if not number:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a priority came without a stream")
        if len(payload) != 5:
            raise StreamFault(ErrorCode.FRAME_SIZE_ERROR, "a priority has five bytes")
        if frames.read_long(payload[:4]) == number:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a stream depends on itself")
        self._floods.spend(floods.IDLE, self._loop.time())

    def _on_reset(self, _flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a reset has four bytes")
        if not number or (number > self._last and not self._retiring):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a reset came for a stream that is idle")
        self._floods.spend(floods.RESETS, self._loop.time())
        stream = self._streams.get(number)
        if stream is not None:
            self._forget(stream)
            stream.lost()
            self._end_if_done()

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS came for a stream")
        if len(payload) % 6 or (flags & ACK and payload):
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS have six bytes each")
        self._floods.spend(floods.SETTINGS, self._loop.time())
        if flags & ACK:
            return
        window = frames.read_settings(payload).window
        self.write(frames.SETTINGS_ACK)
        if window is not None:
            more = window - self._stream_window
            self._stream_window = window
            for stream in self._streams.values():
                stream.send_window += more
                if stream.send_window > WINDOW_MAX:
                    raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window is too large")
            self._pump()

    def _on_push_promise(self, _flags: int, _number: int, _payload: bytes) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client pushes nothing")

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a ping came for a stream")
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a ping has eight bytes")
        self._floods.spend(floods.PINGS, self._loop.time())
        if not flags & ACK:
            self.write(frames.frame(Type.PING, ACK, 0, payload))

    def _on_goaway(self, _flags: int, number: int, _payload: bytes) -> None:
        if number:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY came for a stream")
        self._retiring = True
        self._end_if_done()

    def _on_window_update(self, _flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a window update has four bytes")
        more = frames.read_long(payload)
        if not number:
            if not more:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a window grows by nothing")
            self.send_window += more
            if self.send_window > WINDOW_MAX:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the window is too large")
        else:
            if number > self._last and not self._retiring:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a window of an idle stream grows")
            stream = self._streams.get(number)
            if stream is not None:
                if not more:
                    raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a window grows by nothing")
                stream.send_window += more
                if stream.send_window > WINDOW_MAX:
                    raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window is too large")
        self._floods.spend(floods.IDLE, self._loop.time())
        self._pump()

    # --- streams ---------------------------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Whether the socket takes nothing now."""
        return self._full or self._closing

    def hold(self, stream: Stream, size: int) -> None:
        """So many more bytes of it wait, or fewer."""
        self._held += size
        self._counts.held_bytes += size
        if size > 0:
            if stream not in self._waiting:
                stream.moved = self._loop.time()
                self._waiting[stream] = None
        elif not stream.waits:
            self._waiting.pop(stream, None)

    def ended(self, stream: Stream) -> None:
        """Nothing more of it is sent."""
        self._floods.sent(1)
        self._forget(stream)
        if not stream.client_done:
            self._remember_cut(stream.id)
            self.write(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))
        self._end_if_done()

    def _break_off(self, stream: Stream, code: ErrorCode) -> None:
        receiver = stream.receiver
        self._remember_cut(stream.id)
        stream.reset(code)
        if receiver is not None:
            receiver.gone()

    def _forget(self, stream: Stream) -> None:
        if self._streams.pop(stream.id, None) is not None:
            self._counts.streams -= 1
            self._waiting.pop(stream, None)
            if not self._streams:
                self.idle_since = self._loop.time()

    def _remember_cut(self, number: int) -> None:
        self._cut[number] = None
        if len(self._cut) > CUT_REMEMBERED_MAX:
            del self._cut[next(iter(self._cut))]

    def _pump(self) -> None:
        """Write what may go now: a frame of each stream, and again."""
        left = PUMP_BYTES_MAX
        while self._waiting and left > 0 and self.send_window > 0 and not self.blocked:
            moved = 0
            for stream in list(self._waiting):
                written = stream.pump(1)
                if written:
                    stream.moved = self._loop.time()
                    self._floods.sent(1)
                    moved += written
                    if stream.wants_more and stream.receiver is not None:
                        stream.receiver.drained()
            left -= moved
            if not moved:
                break
        self._flush()
        if left <= 0 and not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump_on)

    def _pump_on(self) -> None:
        self._pumping = False
        if not self._closing:
            self._pump()

    # --- what goes out ---------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """It leaves with all else of this turn."""
        self._out.append(data)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._out and not self._transport.is_closing():
            data = b"".join(self._out)
            self._out.clear()
            self._transport.write(data)
            if self._gate is not None:
                self._gate.answered(len(data))

    def _end_if_done(self) -> None:
        if self._retiring and not self._streams and not self._closing:
            self._closing = True
            self._loop.call_soon(self._end)

    def _close(self, code: ErrorCode, why: str) -> None:
        if self._closing:
            return
        self._closing = True
        self._out.append(frames.goaway(self._last, code, why))
        self._end()

    def _end(self) -> None:
        self._flush()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(UNREAD_SECONDS_MAX, self._transport.abort)
        self._transport.close()


_HANDLERS: dict[int, Callable[[Http2Connection, int, int, bytes], None]] = {
    Type.PRIORITY: Http2Connection._on_priority,
    Type.RST_STREAM: Http2Connection._on_reset,
    Type.SETTINGS: Http2Connection._on_settings,
    Type.PUSH_PROMISE: Http2Connection._on_push_promise,
    Type.PING: Http2Connection._on_ping,
    Type.GOAWAY: Http2Connection._on_goaway,
    Type.WINDOW_UPDATE: Http2Connection._on_window_update,
    Type.CONTINUATION: Http2Connection._on_continuation,
}
