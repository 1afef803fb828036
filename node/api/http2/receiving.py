"""What a client sends, frame by frame: each is judged as RFC 9113 has it, and does what it says.

Why it exists: it is where a client's faults are found, each with the code that the protocol has for it. It must not
know a socket, or what a request asks.
"""

from collections.abc import Callable

from node.api.http2 import floods, frames
from node.api.http2.blocks import BLOCK_BYTES_MAX, Blocks
from node.api.http2.floods import Floods
from node.api.http2.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES_MAX,
    HEAD_BYTES,
    PREFACE,
    PRIORITIZED,
    WINDOW_MAX,
    ConnectionFault,
    ErrorCode,
    StreamFault,
    Type,
)
from node.api.http2.stream import Stream
from node.api.http2.streams import STREAM_WINDOW, Streams

CONNECTION_WINDOW = 1024 * 1024
"""What a client may send of all streams before we have looked at it."""

REQUESTS_PER_PIECE_MAX = 68
"""Of one read; two such pieces are what the gate lets in in a turn."""

FRAMES_PER_PIECE_MAX = 512
"""Of one read; the rest of it comes in when it is its turn again."""

FIELDS_PER_PIECE_MAX = 700
"""Of one read; header fields that are read and not remembered, some 5 µs each. One block has 500 of them at most."""

MESSAGES_PER_PIECE_MAX = 128
"""Of one read; messages of bodies that have many, some 12 µs each: a watch is created by seven bytes."""

CONTINUATIONS_MAX = 16
"""Frames that go on with one header block."""


class Receiving:
    """Of one connection. `retiring`: no new streams are taken any more, by our word or the client's."""

    def __init__(self, streams: Streams, allowances: Floods, now: Callable[[], float]) -> None:
        self._streams = streams
        self._floods = allowances
        self._now = now
        self._buffer = b""
        self._preface = False
        self._settled = False
        """Whether the client's first SETTINGS came."""
        self._blocks = Blocks()
        self.frames_taken = self.messages_taken = 0
        """Since the beginning."""
        self._open_block: tuple[int, int, bytearray, int] | None = None
        """A header block that goes on: its stream, flags, what came, and in how many frames."""
        self._received = 0
        """Since the connection's window was opened again."""
        self.retiring = False

    @property
    def work(self) -> int:
        """Frames, header fields that were read, and messages of bodies that have many, since the beginning, for their
        price: each takes some 4 µs, a message three times that."""
        return self.frames_taken + self._blocks.fields_read + 3 * self.messages_taken

    @property
    def waiting_bytes(self) -> int:
        """What came and was not looked at."""
        return len(self._buffer)

    def add(self, data: bytes) -> None:
        """It came."""
        self._buffer = self._buffer + data if self._buffer else data

    def consume(self) -> bool:
        """Take whole frames of what came; False: more are there, for the next turn. Raises `ConnectionFault`."""
        data, at, end, taken = self._buffer, 0, len(self._buffer), 0
        most = self._streams.begun + REQUESTS_PER_PIECE_MAX
        read_most = self._blocks.fields_read + FIELDS_PER_PIECE_MAX
        messages_most = self.messages_taken + MESSAGES_PER_PIECE_MAX
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
                if (
                    taken >= FRAMES_PER_PIECE_MAX
                    or self._streams.begun >= most
                    or self._blocks.fields_read >= read_most
                    or self.messages_taken >= messages_most
                ):
                    return False
                taken += 1
                self.frames_taken += 1
                at = start + size
                self._frame(kind, flags, number & 0x7FFFFFFF, data[start:at])
            return True
        finally:
            self._buffer = data[at:]

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
                    self._floods.spend(floods.IDLE, self._now())
                else:
                    handler(self, flags, number, payload)
        except StreamFault as fault:
            self._stream_fault(number, fault)

    def _stream_fault(self, number: int, fault: StreamFault) -> None:
        self._floods.spend(floods.RESETS, self._now())
        self._streams.fault(number, fault.code)

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
            raise floods.Flooded(floods.BLOCKS)

    def _on_block(self, flags: int, number: int, block: bytes) -> None:
        if number > self._streams.last:
            self._open(flags, number, block)
            return
        stream = self._streams.get(number)
        if stream is None:
            if not self._streams.was_cut(number):
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
        if self.retiring:
            self._blocks.skip(block)  # GOAWAY has said that it will not be looked at
            return
        self._streams.last = number
        stream = self._streams.begin(number, self._blocks.head(block))
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
            self._streams.write(frames.window_update(0, self._received))
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
            self._floods.spend(floods.IDLE, self._now())
        if stream.body_left is not None:
            stream.body_left -= len(payload)
            if stream.body_left < 0:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "the body is longer than content-length says")
        if payload and stream.receiver is not None:
            before = stream.messages
            stream.receiver.data(payload)
            self.messages_taken += stream.messages - before
        if flags & END_STREAM:
            self._body_ended(stream)
        elif stream.receive_window < STREAM_WINDOW // 2 and not (stream.done or stream.held_back):
            self._streams.write(frames.window_update(number, STREAM_WINDOW - stream.receive_window))
            stream.receive_window = STREAM_WINDOW

    def _data_of_closed(self, number: int) -> None:
        if number > self._streams.last:
            if self.retiring:
                return
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "data came for a stream that is idle")
        if not self._streams.was_cut(number):
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "data came for a stream that is closed")
        self._floods.spend(floods.IDLE, self._now())

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
        self._floods.spend(floods.IDLE, self._now())

    def _on_reset(self, _flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a reset has four bytes")
        if not number or (number > self._streams.last and not self.retiring):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a reset came for a stream that is idle")
        self._floods.spend(floods.RESETS, self._now())
        self._streams.cancel(number)

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS came for a stream")
        if len(payload) % 6 or (flags & ACK and payload):
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS have six bytes each")
        self._floods.spend(floods.SETTINGS, self._now())
        if flags & ACK:
            return
        window = frames.read_settings(payload).window
        self._streams.write(frames.SETTINGS_ACK)
        if window is not None:
            self._streams.resize(window)

    def _on_push_promise(self, _flags: int, _number: int, _payload: bytes) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client pushes nothing")

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a ping came for a stream")
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a ping has eight bytes")
        self._floods.spend(floods.PINGS, self._now())
        if not flags & ACK:
            self._streams.write(frames.frame(Type.PING, ACK, 0, payload))

    def _on_goaway(self, _flags: int, number: int, _payload: bytes) -> None:
        if number:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY came for a stream")
        self.retiring = True

    def _on_window_update(self, _flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a window update has four bytes")
        more = frames.read_long(payload)
        if not number:
            if not more:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a window grows by nothing")
            self._streams.send_window += more
            if self._streams.send_window > WINDOW_MAX:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the window is too large")
        else:
            if number > self._streams.last and not self.retiring:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a window of an idle stream grows")
            stream = self._streams.get(number)
            if stream is not None:
                if not more:
                    raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a window grows by nothing")
                stream.send_window += more
                if stream.send_window > WINDOW_MAX:
                    raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window is too large")
        self._floods.spend(floods.IDLE, self._now())


_HANDLERS: dict[int, Callable[[Receiving, int, int, bytes], None]] = {
    Type.PRIORITY: Receiving._on_priority,
    Type.RST_STREAM: Receiving._on_reset,
    Type.SETTINGS: Receiving._on_settings,
    Type.PUSH_PROMISE: Receiving._on_push_promise,
    Type.PING: Receiving._on_ping,
    Type.GOAWAY: Receiving._on_goaway,
    Type.WINDOW_UPDATE: Receiving._on_window_update,
    Type.CONTINUATION: Receiving._on_continuation,
}
