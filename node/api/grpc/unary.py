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
from node.api.answers import Problem
from node.api.bodies import NO_LOG_ROOM
from node.api.etcd.calls import Answered, Header
from node.api.etcd.errors import TOO_MANY_REQUESTS, Code, EtcdError
from node.api.etcd.rendering import is_small
from node.api.etcd.requests import MESSAGE_BYTES_MAX, too_long
from node.api.grpc import answers, status
from node.api.grpc.methods import Find, KeysMethod, PlainMethod
from node.api.grpc.status import HEAD, OK, PREFIX_BYTES, prefixed
from node.api.grpc.wire import decoded_quickly, decoding
from node.api.http2.counts import Counts
from node.api.http2.frames import FRAME_BYTES_MAX, ErrorCode
from node.api.http2.stream import Stream
from node.api.http2.streams import STREAM_WINDOW
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
    def spawn(self, work: Coroutine[Any, Any, None], whose: str) -> asyncio.Task[None]: ...


class UnaryCall:
    """A `Receiver`."""

    __slots__ = (
        "_around",
        "_asking",
        "_begun",
        "_body",
        "_held",
        "_limit",
        "_long",
        "_method",
        "_needs_leader",
        "_over",
        "_principal",
        "_quick",
        "_room",
        "_share",
        "_short",
        "_stream",
        "_task",
        "_timeout_us",
        "_told",
        "_traceparent",
    )

    endless = False

    @property
    def patient(self) -> bool:
        """See `Receiver`."""
        return isinstance(self._method, PlainMethod) and self._method.patient

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
        self._share = stream.share
        self._body: list[bytes] = []
        self._held = 0
        self._limit = 0
        """How long the body is, by what its message says of itself; 0: nobody has looked."""
        self._asking: asyncio.Task[None] | None = None
        """Waits for room for a long message."""
        self._short = self._long = 0
        """Bytes of its client's shares that it has: while its message is under way."""
        self._quick = False
        """Whether it is one of its client's quick calls that are under way."""
        self._begun = False
        """Whether what it asks for may be done, whatever becomes of its client."""
        self._over = False
        """Whether it was broken off: what still comes is not looked at."""
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None

    # --- what comes ------------------------------------------------------------------------------------------

    def data(self, piece: bytes) -> None:
        """See `Receiver`."""
        if self._over:
            return
        self._body.append(piece)
        size = len(piece)
        self._held += size
        if not self._share.hold(size):
            self._refuse()
        elif self._limit:
            if self._held > self._limit:
                self._break_off(NOT_ONE_MESSAGE)
        elif self._held >= FRAME_BYTES_MAX:
            self._look_ahead()

    def whole(self) -> None:
        """See `Receiver`."""
        if self._over or self._asking is not None:
            return  # it goes on when there is room
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._let_go()
        if not self._long:
            if not self._share.take_short(len(body)):
                self._refuse()
                return
            self._short = len(body)
        before = CURRENT.set(self._principal)
        traced = PARENT.set(self._traceparent) if self._traceparent else None
        try:
            self._begin(_message_of(body))
        except EtcdError as error:
            self._give_back()
            self._fail(error)
        except Exception:
            _LOG.exception("a call of gRPC failed in the node")
            self._give_back()
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
        self._drop()
        self._tell("left")
        if self._task is not None:
            self._task.cancel()

    # --- its client's share ----------------------------------------------------------------------------------

    def _look_ahead(self) -> None:
        """More comes than is looked at for nothing: how long will it be? What does not fit into a stream's window has
        to have room before it may go on."""
        size = int.from_bytes(b"".join(self._body)[1:PREFIX_BYTES], "big")
        self._limit = PREFIX_BYTES + size
        if size > MESSAGE_BYTES_MAX:
            self._break_off(too_long(size))
        elif self._limit > STREAM_WINDOW:
            taken = self._share.take_room(size)
            if taken is not None:
                self._long = taken
                self._stream.admit(self._limit - self._held)
            else:
                self._stream.held_back = True
                self._asking = self._around.spawn(self._ask(size), self._share.whose)

    async def _ask(self, size: int) -> None:
        try:
            self._long = await self._share.room(size)
        except Problem as problem:
            self._asking = None
            if problem.status == NO_LOG_ROOM:
                self._break_off(EtcdError(Code.RESOURCE_EXHAUSTED, f"etcdserver: {problem}"))
            else:
                self._refuse()
            return
        self._asking = None
        self._stream.admit(self._limit - self._held)
        if self._stream.client_done:
            self.whole()

    def _refuse(self) -> None:
        self._share.refused()
        self._break_off(TOO_MANY)

    def _break_off(self, error: EtcdError) -> None:
        self._over = True
        self._drop()
        self._fail(error)

    def _drop(self) -> None:
        """Nothing of it is done that was not begun."""
        self._let_go()
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        if not self._begun:
            self._give_back()

    def _let_go(self) -> None:
        self._share.hold(-self._held)
        self._held = 0
        self._body = []

    def _give_back(self, _task: asyncio.Task[None] | None = None) -> None:
        """What was asked for is done, or will not be."""
        short, long, self._short, self._long = self._short, self._long, 0, 0
        self._share.give_back(short, long)
        self._give_back_quick()

    def _give_back_quick(self) -> None:
        if self._quick:
            self._quick = False
            self._share.done()

    # --- what is done ----------------------------------------------------------------------------------------

    def _begin(self, payload: bytes) -> None:
        refusal = self._around.refusal(self._needs_leader)
        if refusal is not None:
            raise refusal
        method = self._method
        if isinstance(method, KeysMethod) and method.quick is not None:
            message = decoded_quickly(payload, method.request)
            wait_us = self._around.wait_us(self._timeout_us)
            self._begun = self._quick = True
            self._share.under_way += 1
            if message is not None and method.quick(message, len(payload), wait_us, self._reply):
                return
            self._give_back_quick()
        self._task = self._around.spawn(self._work(payload), self._share.whose)
        self._task.add_done_callback(self._give_back)
        self._begun = True

    def _reply(self, find: Find) -> None:
        """The outcome of a quick call is known."""
        self._give_back()
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
            self._task = self._around.spawn(self._answer_long(found), self._share.whose)

    async def _work(self, payload: bytes) -> None:
        try:
            seconds = None if self._timeout_us is None else self._timeout_us / 1e6
            async with asyncio.timeout(seconds):
                message = await self._around.slices.finish(decoding(payload, self._method.request))
                found = await self._method.call(message, len(payload))
            self._give_back()
            if isinstance(self._method, PlainMethod):
                self._answer(self._method.encode(found))
            elif is_small(found):
                self._answer(answers.small(found, self._around.header(found.revision)))
            else:
                await self._answer_long(found)
        except EtcdError as error:
            self._fail(error)
        except TimeoutError:
            self._fail(status.DEADLINE)
        except Exception:
            _LOG.exception("a call of gRPC failed in the node")
            self._fail(MISTAKE)

    async def _answer_long(self, found: Answered) -> None:
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
TOO_MANY = EtcdError(Code.RESOURCE_EXHAUSTED, TOO_MANY_REQUESTS)
NOT_ONE_MESSAGE = EtcdError(Code.INTERNAL, "grpc: the request does not hold one whole message")


def _message_of(body: bytes) -> bytes:
    """The one message of a body; raises `EtcdError`."""
    size = int.from_bytes(body[1:PREFIX_BYTES], "big")
    if len(body) < PREFIX_BYTES:
        raise EtcdError(Code.INTERNAL, "grpc: the request holds no message")
    if size > MESSAGE_BYTES_MAX:
        raise too_long(size)
    check_plain(body[0])
    if len(body) != PREFIX_BYTES + size:
        raise NOT_ONE_MESSAGE
    return body[PREFIX_BYTES:]


def check_plain(flag: int) -> None:
    """Whether a message is not compressed; raises `EtcdError`."""
    if flag:
        raise EtcdError(Code.UNIMPLEMENTED, "grpc: this server takes no compressed messages")
