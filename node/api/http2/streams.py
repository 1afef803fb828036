"""The streams of one connection: which are open, what the client's windows admit of their answers, and in which order.

Why it exists: what holds for one stream is `stream.py`'s, what comes in is `receiving.py`'s; this is between them. It
must not know a socket.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from node.api.http2 import frames
from node.api.http2.counts import Counts
from node.api.http2.fields import Head
from node.api.http2.floods import Floods
from node.api.http2.frames import WINDOW_DEFAULT, WINDOW_MAX, ConnectionFault, ErrorCode, StreamFault
from node.api.http2.shares import Share
from node.api.http2.stream import Receiver, Stream

STREAMS_MAX = 1024
"""Of one connection at a time; as many as each may hold requests of a crowd, and few enough to be looked through."""

STREAM_WINDOW = 64 * 1024
"""What a client may send of one before we have looked at it: a message that is not long."""

HELD_BYTES_MAX = 1024 * 1024
"""Of answers that a client's windows do not admit. Above it new requests are refused."""

CUT_REMEMBERED_MAX = 1024
"""Streams that ended before their request did: what still comes of them is no fault of their client's."""

PUMP_BYTES_MAX = 256 * 1024
"""Of all streams in one turn of the loop."""

BODY_SECONDS_MAX = 60.0
"""How long a request may take to come."""

UNTAKEN_SECONDS_MAX = 30.0
"""How long a client's windows may admit nothing of an answer that waits."""

Serve = Callable[[Stream, Head], Receiver | None]
"""Gives a stream its receiver; None: it was answered at once."""


class Output(Protocol):
    """Where frames go."""

    @property
    def blocked(self) -> bool:
        """Whether the socket takes nothing now."""

    def write(self, data: bytes) -> None: ...
    def pump_soon(self) -> None:
        """Ask the streams in a turn to come for what may go."""

    def streams_ended(self) -> None:
        """The last one that was open."""


class Shared(NamedTuple):
    """What the streams of all connections of a node share; `share`, those of one client. `now`: the loop's clock."""

    serve: Serve
    counts: Counts
    now: Callable[[], float]
    share: Share


class Streams:
    """See the module. `send_window`: what the client takes of all together now. `last`: the highest that it opened."""

    def __init__(self, shared: Shared, output: Output, allowances: Floods) -> None:
        self._serve, self._counts, self._now, self.share = shared
        self._output = output
        self._floods = allowances
        self._open: dict[int, Stream] = {}
        self._cut: dict[int, None] = {}
        self._waiting: dict[Stream, None] = {}
        """With something queued."""
        self._held = 0
        self._stream_window = WINDOW_DEFAULT
        self.send_window = WINDOW_DEFAULT
        self.last = 0
        self.begun = 0
        """Requests since the connection began."""
        self.idle_since = self._now()

    def __len__(self) -> int:
        return len(self._open)

    def get(self, number: int) -> Stream | None:
        """The stream, if it is open."""
        return self._open.get(number)

    def was_cut(self, number: int) -> bool:
        """Whether it ended before its client had said all."""
        return number in self._cut

    # --- what the client does --------------------------------------------------------------------------------

    def begin(self, number: int, head: Head) -> Stream:
        """A request came; raises `StreamFault` where there is no room."""
        counts = self._counts
        if len(self._open) >= STREAMS_MAX or self._held > HELD_BYTES_MAX or counts.busy:
            counts.refused += 1
            raise StreamFault(ErrorCode.REFUSED_STREAM, "too many requests at once")
        stream = self._open[number] = Stream(number, self, self._stream_window, STREAM_WINDOW, self._now())
        stream.body_left = head.length
        counts.streams += 1
        counts.requests += 1
        self.share.requests += 1
        self.begun += 1
        receiver = self._serve(stream, head)
        if not stream.done:
            stream.receiver = receiver
        return stream

    def cancel(self, number: int) -> None:
        """The client wants no answer."""
        stream = self._open.get(number)
        if stream is not None:
            self._forget(stream)
            stream.lost()

    def break_off(self, number: int, code: ErrorCode) -> None:
        """For what the client did, or took too long to do."""
        self._remember_cut(number)
        stream = self._open.get(number)
        if stream is None:
            self._output.write(frames.rst_stream(number, code))
            return
        receiver = stream.receiver
        stream.reset(code)
        if receiver is not None:
            receiver.gone()

    def fault(self, number: int, code: ErrorCode) -> None:
        """It is broken off for what its client did."""
        if code != ErrorCode.REFUSED_STREAM:
            self._counts.fault(f"stream-{code.name.lower().replace('_', '-')}")
        self.break_off(number, code)

    def resize(self, window: int) -> None:
        """The client takes so much of each stream that is not begun, and so much more or less of the others."""
        more, self._stream_window = window - self._stream_window, window
        for stream in self._open.values():
            stream.send_window += more
            if stream.send_window > WINDOW_MAX:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window is too large")

    def lose(self, keep_whole: bool = False) -> None:
        """The client is gone. `keep_whole`: it may still take answers to what it asked for whole."""
        for stream in list(self._open.values()):
            receiver = stream.receiver
            if not (keep_whole and stream.client_done and receiver is not None and not receiver.endless):
                self._forget(stream)
                stream.lost()

    def lose_patient(self) -> None:
        """The client has sent no more for a while: nobody waits for others on its behalf."""
        for stream in list(self._open.values()):
            if stream.receiver is not None and stream.receiver.patient:
                self._forget(stream)
                stream.lost()

    def lose_waiting(self) -> None:
        """No window grows any more: what waits for one is not sent."""
        for stream in list(self._waiting):
            self._forget(stream)
            stream.lost()

    # --- time ------------------------------------------------------------------------------------------------

    def tend(self, now: float) -> None:
        """Break off what takes too long to come, or to be taken."""
        for stream in list(self._open.values()):
            if stream.receiver is not None and stream.receiver.endless:
                continue
            if not (stream.client_done or stream.is_answered) and now - stream.began >= BODY_SECONDS_MAX:
                self._counts.fault("slow-request")
                self.break_off(stream.id, ErrorCode.CANCEL)
            elif stream.waits and now - stream.moved >= UNTAKEN_SECONDS_MAX:
                self._counts.fault("answer-not-taken")
                self.break_off(stream.id, ErrorCode.CANCEL)

    def stop_endless(self) -> None:
        """The node is stopping: their clients go on elsewhere."""
        for stream in list(self._open.values()):
            if stream.receiver is not None and stream.receiver.endless:
                stream.receiver.stop()

    # --- what goes out ---------------------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """See `Output`."""
        return self._output.blocked

    def write(self, data: bytes) -> None:
        """See `Output`."""
        self._output.write(data)

    def sent(self) -> None:
        """See `Sender`."""
        self._floods.sent(1)

    def admit(self, stream: Stream, size: int) -> None:
        """Its client may send so much of it from now on, all in all."""
        stream.held_back = False
        if size > stream.receive_window:
            self._output.write(frames.window_update(stream.id, size - stream.receive_window))
            stream.receive_window = size

    def hold(self, stream: Stream, size: int) -> None:
        """So many more bytes of it wait, or fewer."""
        self._held += size
        self.share.hold(size)
        if not stream.waits:
            self._waiting.pop(stream, None)
        elif stream not in self._waiting:
            stream.moved = self._now()
            self._waiting[stream] = None

    def left(self, stream: Stream) -> None:
        """See `Sender`."""
        if stream.is_answered:
            stream.moved = self._now()  # its client has its time for the end, also where it took nothing for long
        self._output.pump_soon()

    def ended(self, stream: Stream) -> None:
        """Nothing more of it is sent."""
        self._floods.sent(1)
        self._forget(stream)
        if not stream.client_done:
            self._remember_cut(stream.id)
            self._output.write(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))

    def pump(self) -> bool:
        """Write what may go now: a frame of each stream, and again. Whether more may go in a later turn."""
        left = PUMP_BYTES_MAX
        while self._waiting and left > 0 and not self.blocked:
            moved = 0
            for stream in list(self._waiting):
                written = stream.pump(1)
                if written:
                    moved += written
                    stream.moved = self._now()
                    if stream.has_room_again() and stream.receiver is not None:
                        stream.receiver.drained()
            left -= moved
            if not moved:
                return False
        return left <= 0

    def _forget(self, stream: Stream) -> None:
        if self._open.pop(stream.id, None) is not None:
            self._counts.streams -= 1
            self.share.requests -= 1
            self._waiting.pop(stream, None)
            if not self._open:
                self.idle_since = self._now()
                self._output.streams_ended()

    def _remember_cut(self, number: int) -> None:
        self._cut[number] = None
        if len(self._cut) > CUT_REMEMBERED_MAX:
            del self._cut[next(iter(self._cut))]
