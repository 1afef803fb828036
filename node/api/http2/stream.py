"""One stream: a request and its answer, which goes out as the client's windows admit it.

Why it exists: what waits for a window stands here, in order, and nowhere else; whoever answers sees only this. It must
not know a socket.
"""

from collections import deque
from typing import Protocol

from node.api.http2 import frames
from node.api.http2.frames import END_HEADERS, END_STREAM, FRAME_BYTES_MAX, ErrorCode, Type
from node.api.http2.shares import Share

QUEUED_BYTES_LOW = 16 * 1024
"""When no more than this waits, whoever makes a long answer is asked for more."""

PUT_BYTES_MAX = 64 * 1024
"""Of what is given to a stream, so much is written at once; the rest in its turn, among the other streams."""

_LAST_HEADERS = END_HEADERS | END_STREAM


class Receiver(Protocol):
    """Who serves a stream. Nothing of it is called after `gone`."""

    @property
    def endless(self) -> bool:
        """Whether it may stay open as long as its client likes: neither its body nor its answer has a time limit."""

    @property
    def patient(self) -> bool:
        """Whether it may wait for what other clients do, for ever: not for one that may be gone."""

    def data(self, piece: bytes) -> None:
        """A piece of the body."""

    def whole(self) -> None:
        """No more of the body comes."""

    def drained(self) -> None:
        """Little waits to be sent: there is room for more."""

    def stop(self) -> None:
        """The node is stopping: end what is endless, with an answer that says so."""

    def gone(self) -> None:
        """The client has cancelled, or the connection is lost: no answer is wanted any more."""


class Sender(Protocol):
    """What a stream needs of its connection."""

    send_window: int
    share: Share

    @property
    def blocked(self) -> bool:
        """Whether the socket takes nothing now."""

    def write(self, data: bytes) -> None: ...
    def sent(self) -> None:
        """One more frame of an answer went out, to which the client may react: by a ping, by a larger window."""

    def admit(self, stream: "Stream", size: int) -> None:
        """Its client may send so much of it from now on."""

    def hold(self, stream: "Stream", size: int) -> None:
        """So many more bytes wait (or fewer)."""

    def left(self, stream: "Stream") -> None:
        """Something of it was not written at once. That may be for want of a turn, not of a window: nobody else asks
        then."""

    def ended(self, stream: "Stream") -> None:
        """Its last frame was written, or it was reset."""


class Stream:
    """See the module. `send_window`: what the client takes of it now."""

    __slots__ = (
        "_enough",
        "_last_queued",
        "_queue",
        "_sender",
        "began",
        "body_left",
        "client_done",
        "done",
        "held_back",
        "id",
        "messages",
        "moved",
        "queued_bytes",
        "receive_window",
        "receiver",
        "send_window",
    )

    def __init__(self, number: int, sender: Sender, send_window: int, receive_window: int, now: float) -> None:
        self.id = number
        self._sender = sender
        self.send_window = send_window
        self.receive_window = receive_window
        self.receiver: Receiver | None = None
        self.began = now
        self.moved = now
        """When something of its answer went out last."""
        self.client_done = False
        """Whether its body is whole."""
        self.messages = 0
        """Of a body that has many: how many were taken so far."""
        self.held_back = False
        """Whether its client may send no more than it may already: what comes waits for room."""
        self.done = False
        """Whether its answer is, or it was reset."""
        self.body_left: int | None = None
        """What must come still, where the client said it."""
        self.queued_bytes = 0
        self._enough = False
        """Whether its receiver was told to send no more."""
        self._last_queued = False
        self._queue: deque[tuple[int, int, bytes]] = deque()

    # --- answering -------------------------------------------------------------------------------------------

    def answer(self, head: bytes, body: bytes, trailers: bytes) -> None:
        """The whole of it; blocks are header blocks."""
        size = len(body)
        if self._admitted(size):
            number = self.id
            self._sender.write(
                frames.head(1, END_HEADERS, number, len(head))
                + head
                + frames.head(0, 0, number, size)
                + body
                + frames.head(1, _LAST_HEADERS, number, len(trailers))
                + trailers
            )
            self._finish()
            return
        self.begin(head)
        self.send(body)
        self.end(trailers)

    def begin(self, head: bytes) -> None:
        """The header block before the first piece."""
        self._put(Type.HEADERS, END_HEADERS, head)

    def send(self, piece: bytes) -> None:
        """Of the body, any length."""
        if self._admitted(len(piece)):
            self._sender.write(frames.head(Type.DATA, 0, self.id, len(piece)) + piece)
            self._sender.sent()
        elif piece:
            self._put(Type.DATA, 0, piece)

    def end(self, trailers: bytes) -> None:
        """The header block after the last piece, or the only one."""
        self._put(Type.HEADERS, _LAST_HEADERS, trailers)

    def end_with(self, piece: bytes) -> None:
        """The last piece, without trailers."""
        self._put(Type.DATA, END_STREAM, piece)

    def reset(self, code: ErrorCode) -> None:
        """Break it off."""
        if not self.done:
            self._sender.write(frames.rst_stream(self.id, code))
            self._drop()
            self.client_done = True  # what still comes is not looked at
            self._finish()

    @property
    def share(self) -> Share:
        """What its client has."""
        return self._sender.share

    def admit(self, size: int) -> None:
        """There is room for so much more of its body."""
        if not self.done:
            self._sender.admit(self, size)

    # --- the connection --------------------------------------------------------------------------------------

    def lost(self) -> None:
        """Its client has cancelled it, or is gone."""
        if not self.done:
            self.done = True
            self._drop()
            receiver, self.receiver = self.receiver, None
            if receiver is not None:
                receiver.gone()

    def pump(self, bytes_max: int) -> int:
        """Write what windows admit, about `bytes_max` bytes at most; how many it was."""
        sender, queue, written = self._sender, self._queue, 0
        while queue and not sender.blocked and written < bytes_max:
            kind, flags, payload = queue[0]
            size = len(payload)
            if kind == Type.DATA and size:
                room = min(self.send_window, sender.send_window, FRAME_BYTES_MAX)
                if room <= 0:
                    break
                if size > room:
                    queue[0] = (kind, flags, payload[room:])
                    payload, flags, size = payload[:room], 0, room
                else:
                    queue.popleft()
                self.send_window -= size
                sender.send_window -= size
            else:
                queue.popleft()
            sender.write(frames.head(kind, flags, self.id, size) + payload)
            sender.sent()
            written += size + frames.HEAD_BYTES
            self._hold(-size)
            if flags & END_STREAM:
                self._finish()
        return written

    @property
    def waits(self) -> bool:
        """Whether something is queued."""
        return bool(self._queue)

    @property
    def is_answered(self) -> bool:
        """Whether the last of its answer waits to be sent."""
        return self._last_queued

    @property
    def wants_more(self) -> bool:
        """Whether its receiver may send more."""
        return not (self.done or self._last_queued or self._enough)

    def has_room_again(self) -> bool:
        """Whether its receiver, who was told to send no more, may go on; asked once."""
        if not self._enough or self.queued_bytes > QUEUED_BYTES_LOW:
            return False
        self._enough = False
        return self.wants_more

    def _admitted(self, size: int) -> bool:
        """Whether one frame of so many bytes may leave at once; then the windows are smaller by them."""
        sender = self._sender
        if self._queue or self.done or sender.blocked:
            return False
        if not 0 < size <= min(FRAME_BYTES_MAX, self.send_window, sender.send_window):
            return False
        self.send_window -= size
        sender.send_window -= size
        return True

    def _put(self, kind: int, flags: int, payload: bytes) -> None:
        if self.done or self._last_queued:
            return
        self._last_queued = bool(flags & END_STREAM)
        if kind == Type.DATA and len(payload) > FRAME_BYTES_MAX:
            whole, size = payload, len(payload)
            last = (size - 1) // FRAME_BYTES_MAX * FRAME_BYTES_MAX
            for at in range(0, last, FRAME_BYTES_MAX):
                self._queue.append((kind, 0, whole[at : at + FRAME_BYTES_MAX]))
            self._hold(last)
            payload = whole[last:]
        self._queue.append((kind, flags, payload))
        self._hold(len(payload))
        self.pump(PUT_BYTES_MAX)
        if self._queue:
            self._sender.left(self)
        self._enough = self.queued_bytes > QUEUED_BYTES_LOW

    def _hold(self, size: int) -> None:
        self.queued_bytes += size
        self._sender.hold(self, size)

    def _drop(self) -> None:
        self._queue.clear()
        self._hold(-self.queued_bytes)

    def _finish(self) -> None:
        self.done = True
        self.receiver = None
        self._sender.ended(self)
