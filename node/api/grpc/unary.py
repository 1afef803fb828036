"""One call that takes one message and answers with one: from the last piece of its body to its answer.

Why it exists: most calls. The busiest of them are answered from within the turn in which their outcome is known,
without a task; the others, and long answers, have a task that waits at the gate as any handler does. It must not know
what a call means.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from node.access.principals import CURRENT, Principal
from node.api.etcd.calls import Answered, Header
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.rendering import is_small
from node.api.etcd.requests import MESSAGE_BYTES_MAX, too_long
from node.api.grpc import answers, status
from node.api.grpc.methods import Find, KeysMethod, PlainMethod
from node.api.grpc.status import HEAD, OK, PREFIX_BYTES, prefixed
from node.api.grpc.wire import decoded_quickly, decoding
from node.api.http2.counts import Counts
from node.api.http2.frames import ErrorCode
from node.api.http2.stream import Stream
from node.api.slices import Slices
from node.api.streaming import ANSWER_SECONDS_MAX, PIECE_BYTES, WRITE_SECONDS_MAX
from node.tracing.context import PARENT

_LOG = logging.getLogger("node.api")


class Around(Protocol):
    """What a call needs of the door."""

    counts: Counts
    slices: Slices

    def refusal(self, needs_leader: bool) -> EtcdError | None: ...
    def stream_refusal(self, needs_leader: bool) -> EtcdError | None: ...
    def header(self, revision: int) -> Header: ...
    def wait_us(self, timeout_us: int | None) -> int | None: ...
    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...


class UnaryCall:
    """A `Receiver`."""

    __slots__ = (
        "_around",
        "_body",
        "_held",
        "_method",
        "_needs_leader",
        "_principal",
        "_room",
        "_stream",
        "_task",
        "_timeout_us",
        "_told",
        "_traceparent",
    )

    endless = False

    def __init__(
        self,
        around: Around,
        stream: Stream,
        method: KeysMethod | PlainMethod,
        timeout_us: int | None,
        needs_leader: bool,
        principal: Principal,
        traceparent: str = "",
        told: Callable[[str], None] | None = None,
    ) -> None:
        self._around = around
        self._stream = stream
        self._method = method
        self._timeout_us = timeout_us
        self._needs_leader = needs_leader
        self._principal = principal
        self._traceparent = traceparent
        self._told = told
        self._body: list[bytes] = []
        self._held = 0
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None

    # --- what comes ------------------------------------------------------------------------------------------

    def data(self, piece: bytes) -> None:
        """See `Receiver`."""
        self._body.append(piece)
        self._held += len(piece)
        self._around.counts.held_bytes += len(piece)
        if self._held > MESSAGE_BYTES_MAX + PREFIX_BYTES:
            size = int.from_bytes(b"".join(self._body)[1:PREFIX_BYTES], "big")
            self._let_go()
            self._fail(too_long(size))

    def whole(self) -> None:
        """See `Receiver`."""
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._let_go()
        before = CURRENT.set(self._principal)
        traced = PARENT.set(self._traceparent) if self._traceparent else None
        try:
            self._begin(_message_of(body))
        except EtcdError as error:
            self._fail(error)
        except Exception:
            _LOG.exception("a call of gRPC failed in the node")
            self._fail(MISTAKE)
        finally:
            CURRENT.reset(before)
            if traced is not None:
                PARENT.reset(traced)

    def drained(self) -> None:
        """See `Receiver`."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def stop(self) -> None:
        """See `Receiver`."""

    def gone(self) -> None:
        """See `Receiver`."""
        self._let_go()
        self._tell("left")
        if self._task is not None:
            self._task.cancel()

    def _let_go(self) -> None:
        self._around.counts.held_bytes -= self._held
        self._held = 0
        self._body = []

    # --- what is done ----------------------------------------------------------------------------------------

    def _begin(self, payload: bytes) -> None:
        refusal = self._around.refusal(self._needs_leader)
        if refusal is not None:
            raise refusal
        method = self._method
        if isinstance(method, KeysMethod) and method.quick is not None:
            message = decoded_quickly(payload, method.request)
            wait_us = self._around.wait_us(self._timeout_us)
            if message is not None and method.quick(message, len(payload), wait_us, self._reply):
                return
        self._task = self._around.spawn(self._work(payload))

    def _reply(self, find: Find) -> None:
        """The outcome of a quick call is known."""
        if self._stream.done:
            return
        try:
            found = find()
        except EtcdError as error:
            self._fail(error)
            return
        if is_small(found):
            self._answer(answers.small(found, self._around.header(found.revision)))
        else:
            self._task = self._around.spawn(self._long(found))

    async def _work(self, payload: bytes) -> None:
        try:
            seconds = None if self._timeout_us is None else self._timeout_us / 1e6
            async with asyncio.timeout(seconds):
                message = await self._around.slices.finish(decoding(payload, self._method.request))
                found = await self._method.call(message, len(payload))
            if isinstance(self._method, PlainMethod):
                self._answer(self._method.encode(found))
            elif is_small(found):
                self._answer(answers.small(found, self._around.header(found.revision)))
            else:
                await self._long(found)
        except EtcdError as error:
            self._fail(error)
        except TimeoutError:
            self._fail(status.DEADLINE)
        except Exception:
            _LOG.exception("a call of gRPC failed in the node")
            self._fail(MISTAKE)

    async def _long(self, found: Answered) -> None:
        """A slice for each piece, as the client takes them."""
        around, stream = self._around, self._stream
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                size, parts = await around.slices.finish(answers.laying(found, around.header(found.revision)))
                stream.begin(HEAD)
                stream.send(b"\x00" + size.to_bytes(4, "big"))
                for piece in answers.pieces(parts, PIECE_BYTES):
                    stream.send(piece)
                    await self._taken()
                    await around.slices.next()
            stream.end(OK)
            self._tell("OK")
        except TimeoutError:
            self._tell("left")
            stream.reset(ErrorCode.ENHANCE_YOUR_CALM)

    async def _taken(self) -> None:
        """Until the client has taken nearly all."""
        if self._stream.wants_more:
            return
        self._room = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(WRITE_SECONDS_MAX):
            await self._room

    def _answer(self, message: bytes) -> None:
        self._stream.answer(HEAD, prefixed(message), OK)
        self._tell("OK")

    def _fail(self, error: EtcdError) -> None:
        self._stream.end(status.only_trailers(error))
        self._tell(error.code.name)

    def _tell(self, outcome: str) -> None:
        """Once."""
        told, self._told = self._told, None
        if told is not None:
            told(outcome)


MISTAKE = EtcdError(Code.INTERNAL, "this node made a mistake; its log says which")


def _message_of(body: bytes) -> bytes:
    """The one message of a body; raises `EtcdError`."""
    size = int.from_bytes(body[1:PREFIX_BYTES], "big")
    if len(body) < PREFIX_BYTES:
        raise EtcdError(Code.INTERNAL, "grpc: the request holds no message")
    if size > MESSAGE_BYTES_MAX:
        raise too_long(size)
    check_plain(body[0])
    if len(body) != PREFIX_BYTES + size:
        raise EtcdError(Code.INTERNAL, "grpc: the request does not hold one whole message")
    return body[PREFIX_BYTES:]


def check_plain(flag: int) -> None:
    """Whether a message is not compressed; raises `EtcdError`."""
    if flag:
        raise EtcdError(Code.UNIMPLEMENTED, "grpc: this server takes no compressed messages")
