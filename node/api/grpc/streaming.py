"""One call that streams: messages in as they come, answers out as its client takes them; it has no task.

Why it exists: watches and keep-alives live for hours, and there are many. What is queued for a client that does not
read is for its handler to bound: `send` says when it is enough. It must not know what a message means.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from node.access.principals import ANYBODY, CURRENT, Principal
from node.api.etcd.errors import INVALID_TOKEN, NOW_IN_FORCE, Code, EtcdError
from node.api.etcd.schema import Message
from node.api.grpc import status
from node.api.grpc.methods import Call, StreamHandler, StreamMethod
from node.api.grpc.status import HEAD, OK, PREFIX_BYTES, prefixed
from node.api.grpc.unary import MISTAKE, TOO_MANY, Around, check_plain
from node.api.grpc.wire import decoded_quickly
from node.api.http2.shares import Share
from node.api.http2.stream import Stream
from node.api.http2.streams import STREAM_WINDOW
from node.api.streaming import WRITE_SECONDS_MAX, Broken

STREAM_MESSAGE_BYTES_MAX = 64 * 1024
"""Of one message of a stream: a watch names two keys at most."""

MESSAGES_AT_ONCE_MAX = 64
"""Of one stream; the others that came with them are taken in slices, and its client may send no more meanwhile."""

STOPPING = EtcdError(Code.UNAVAILABLE, "etcdserver: server stopped")
"""Clients go on with another node."""

REVOKED = EtcdError(Code.UNAUTHENTICATED, "nobody has this token any more: it was taken out of this node's tokens_file")

NOT_THE_SAME = EtcdError(Code.UNAUTHENTICATED, INVALID_TOKEN)
"""Of a user of the cluster: the password was changed, or there is no such user any more."""

STRANGER = EtcdError(Code.UNAVAILABLE, NOW_IN_FORCE)
"""Of whoever had to say nothing of themselves. By this code etcd's clients open it anew, and log in if they can."""

_LOG = logging.getLogger("node.api")


class StreamCall:
    """A `Receiver`, and a `Call` to its handler."""

    __slots__ = (
        "_around",
        "_begun",
        "_body",
        "_ended",
        "_handler",
        "_held",
        "_method",
        "_principal",
        "_stream",
        "_timer",
        "_told",
        "_waits",
        "_whole",
        "needs_leader",
        "over",
    )

    patient = False

    def __init__(
        self,
        around: Around,
        stream: Stream,
        method: StreamMethod,
        timeout_us: int | None,
        needs_leader: bool,
        principal: Principal,
        told: Callable[[str], None] | None = None,
    ) -> None:
        self.needs_leader = needs_leader
        self._principal = principal
        self._told = told
        self.over: Callable[[], None] = lambda: None
        """Called when it is."""
        self._around = around
        self._stream = stream
        self._method = method
        self._body = b""
        self._held = 0
        """Bytes of it that are held, as its client's."""
        self._begun = False
        self._ended = False
        self._waits = False
        """Whether whole messages wait for a slice."""
        self._whole = False
        """Whether nothing more comes."""
        self._handler: StreamHandler | None = None
        self._timer: asyncio.TimerHandle | None = None
        if timeout_us is not None:
            self._timer = asyncio.get_running_loop().call_later(timeout_us / 1e6, self._too_late)

    @property
    def endless(self) -> bool:
        """See `Receiver`. Not once it has ended: what its client does not take then is not kept for ever."""
        return not self._ended

    # --- what its handler does -------------------------------------------------------------------------------

    @property
    def share(self) -> Share:
        """See `Call`."""
        return self._stream.share

    def send(self, *messages: bytes) -> bool:
        """See `Call`."""
        if self._stream.done:
            return False
        self._begin()
        self._stream.send(b"".join(map(prefixed, messages)))
        return self._stream.wants_more

    def end(self, error: EtcdError | None = None) -> None:
        """See `Call`."""
        self._settle()
        self._handler = None
        self._tell("OK" if error is None else error.code.name)
        if error is None:
            self._begin()
            self._stream.end(OK)
        else:
            self._stream.end(status.trailers(error) if self._begun else status.only_trailers(error))

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._stream.begin(HEAD)

    # --- what comes ------------------------------------------------------------------------------------------

    def data(self, piece: bytes) -> None:
        """See `Receiver`. What comes after its end opens nothing anew: the client hears of it once it takes the last
        answers."""
        if self._ended:
            return
        body = self._body + piece if self._body else piece
        if self._waits:
            self._guarded(lambda: self._keep(body))
        else:
            self._guarded(lambda: self._read(body))

    def whole(self) -> None:
        """See `Receiver`."""
        self._whole = True
        if not (self._waits or self._ended):
            self._guarded(self._half_close)

    def _go_on(self) -> None:
        """It is its turn again."""
        if self._ended:
            return
        self._waits = False
        self._guarded(lambda: self._read(self._body))
        if self._waits or self._ended:
            return
        self._stream.admit(STREAM_WINDOW)
        if self._whole:
            self._guarded(self._half_close)

    def _half_close(self) -> None:
        if self._body:
            raise EtcdError(Code.INTERNAL, "grpc: the last message is cut short")
        if self._handler is None:
            self._open()
        if self._handler is not None:
            self._handler.half_closed()

    def drained(self) -> None:
        """See `Receiver`."""
        if self._handler is not None:
            self._guarded(self._handler.drained)

    def gone(self) -> None:
        """See `Receiver`."""
        self._settle()
        self._tell("left")
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.gone()

    def stop(self) -> None:
        """See `Receiver`."""
        self._fail(STOPPING)

    def revoke(self) -> None:
        """Whoever opened it may not any more."""
        if self._principal is ANYBODY:
            self._fail(STRANGER)
        else:
            self._fail(REVOKED if type(self._principal) is Principal else NOT_THE_SAME)

    def _read(self, body: bytes) -> None:
        at, most = 0, self._stream.messages + MESSAGES_AT_ONCE_MAX
        while len(body) - at >= PREFIX_BYTES and not (self._ended or self._stream.done):
            size = int.from_bytes(body[at + 1 : at + PREFIX_BYTES], "big")
            if size > STREAM_MESSAGE_BYTES_MAX:
                sentence = f"grpc: received message larger than max ({size} vs. {STREAM_MESSAGE_BYTES_MAX})"
                raise EtcdError(Code.RESOURCE_EXHAUSTED, sentence)
            check_plain(body[at])
            end = at + PREFIX_BYTES + size
            if len(body) < end:
                break
            if self._stream.messages == most:
                self._waits = self._stream.held_back = True
                break
            self._stream.messages += 1
            self._message(body[at + PREFIX_BYTES : end])
            at = end
        self._keep(body[at:])
        if self._waits and not self._ended:
            self._around.slices.call_next(self._go_on)

    def _keep(self, body: bytes) -> None:
        self._body = b"" if self._ended else body
        if self._body or self._held:
            self._hold(len(self._body))

    def _hold(self, size: int) -> None:
        more, self._held = size - self._held, size
        if not self._stream.share.hold(more) and more > 0:
            self._stream.share.refused()
            raise TOO_MANY

    def _message(self, payload: bytes) -> None:
        message = decoded_quickly(payload, self._method.request)
        if message is None:
            raise EtcdError(Code.RESOURCE_EXHAUSTED, "etcdserver: a message of a stream has too many fields")
        if self._handler is None:
            self._open()
        if self._handler is not None:
            self._handler.message(message)

    def _open(self) -> None:
        refusal = self._around.stream_refusal(self.needs_leader)
        if refusal is not None:
            raise refusal
        handler = self._method.open(self)
        if not self._ended:
            self._handler = handler

    def _guarded(self, action: Callable[[], None]) -> None:
        """What fails ends the call, and its handler learns of it."""
        before = CURRENT.set(self._principal)
        try:
            action()
            return
        except EtcdError as error:
            failed = error
        except Exception:
            _LOG.exception("a stream of gRPC failed in the node")
            failed = MISTAKE
        finally:
            CURRENT.reset(before)
        self._fail(failed)

    def _fail(self, error: EtcdError) -> None:
        handler = self._handler
        self.end(error)
        if handler is not None:
            handler.gone()

    def _tell(self, outcome: str) -> None:
        """Once."""
        told, self._told = self._told, None
        if told is not None:
            told(outcome)

    def _too_late(self) -> None:
        self._fail(status.DEADLINE)

    def _settle(self) -> None:
        self._ended = True
        self._body = b""
        self._hold(0)
        self.over()
        if self._timer is not None:
            self._timer.cancel()


class GeneratedStream:
    """A `StreamHandler` for one message and many answers that are waited for: of a file, say. `answers` makes them,
    for `seconds_max` (None: as long as the client stays)."""

    def __init__(
        self,
        call: Call,
        around: Around,
        answers: Callable[[Message], AsyncGenerator[bytes, None]],
        seconds_max: float | None,
    ) -> None:
        self._call = call
        self._around = around
        self._answers = answers
        self._seconds_max = seconds_max
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None

    def message(self, message: Message) -> None:
        """See `StreamHandler`."""
        if self._task is not None:
            raise EtcdError(Code.INTERNAL, "grpc: this method takes one message")
        self._task = self._around.spawn(self._run(message), self._call.share.whose)

    def half_closed(self) -> None:
        """See `StreamHandler`."""
        if self._task is None:
            raise EtcdError(Code.INTERNAL, "grpc: the request holds no message")

    def drained(self) -> None:
        """See `StreamHandler`."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def gone(self) -> None:
        """See `StreamHandler`."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self._seconds_max):
                async with aclosing(self._answers(message)) as answers:
                    async for answer in answers:
                        if not self._call.send(answer):
                            await self._taken()
            self._call.end()
        except EtcdError as error:
            self._call.end(error)
        except (TimeoutError, Broken):
            self._call.end(EtcdError(Code.UNAVAILABLE, "etcdserver: the answer broke off"))
        except Exception:
            _LOG.exception("a stream of gRPC failed in the node")
            self._call.end(MISTAKE)

    async def _taken(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(WRITE_SECONDS_MAX):
            await self._room
