"""The JSON door to etcd's calls: a body becomes a message, an answer becomes JSON, an error its HTTP status.

Why it exists: clients of etcd's gateway speak JSON over HTTP, and this is all that knows it. It must not know what a
call does; whatever another door would have to do, too, belongs into `calls`.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from node.api.answers import JSON_HEADERS, Problem, json_answer, json_body
from node.api.etcd.bodies import read_body
from node.api.etcd.calls import Answered, EtcdCalls, StatusAnswer
from node.api.etcd.decoding import decoding
from node.api.etcd.errors import Code, EtcdError, invalid
from node.api.etcd.member_calls import MembersAnswer
from node.api.etcd.quick import UNCOUNTED_BYTES_MAX
from node.api.etcd.rendering import is_small, members_body, parts_of, status_body, whole
from node.api.etcd.requests import MESSAGE_BYTES_MAX, may_be_too_long, too_long
from node.api.etcd.schema import Message
from node.api.etcd.sizes import measuring
from node.api.inputs import session_of
from node.api.once import Numbers
from node.api.slices import Slices
from node.api.streaming import answer_in_pieces, in_pieces

T = TypeVar("T")
Call = Callable[[Message, int], Awaitable[T]]
WriteCall = Callable[[Message, int, Numbers], Awaitable[Answered]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HTTP_STATUS = {
    Code.CANCELLED: 408,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}
"""As the gateway has it, but for what it does not say itself: a body that did not arrive, of which nothing was done, is
no 504, for that is an unknown outcome."""


def error_answer(error: EtcdError) -> web.Response:
    """An error in etcd's form."""
    return json_answer({"code": int(error.code), "message": error.message}, HTTP_STATUS[error.code])


class JsonDoor:
    """Makes handlers of calls."""

    def __init__(self, calls: EtcdCalls, slices: Slices) -> None:
        self._calls = calls
        self._slices = slices

    def keys(self, message: str, call: Call[Answered]) -> Handler:
        """Of a call on keys. `message`: the name of what it takes, see `schema`."""

        return self.handler(message, call, self._render)

    def writes(self, message: str, call: WriteCall) -> Handler:
        """The same of one that may write, in a session where the request's headers name one."""
        return self.in_session(
            lambda numbers: self.handler(message, lambda found, size: call(found, size, numbers), self._render)
        )

    def in_session(self, handler_of: Callable[[Numbers], Handler]) -> Handler:
        """Of what writes: `handler_of` makes the handler of one request, from the numbers in its headers."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                numbers = session_of(request)
            except Problem as problem:
                return error_answer(invalid(f"etcdserver: {problem}"))
            return await handler_of(numbers)(request)

        return handle

    async def _render(self, request: web.Request, answer: Answered) -> web.StreamResponse:
        header = self._calls.header(answer.revision)
        if is_small(answer):
            return web.Response(body=whole(answer, header), headers=JSON_HEADERS)
        return await answer_in_pieces(request, in_pieces(parts_of(answer, header)), self._slices, JSON_HEADERS)

    def status(self) -> Handler:
        """Of `calls.status`."""

        async def render(_request: web.Request, answer: StatusAnswer) -> web.StreamResponse:
            return web.Response(body=status_body(answer), headers=JSON_HEADERS)

        return self.handler("StatusRequest", self._calls.status, render)

    def members(self, message: str, call: Call[MembersAnswer]) -> Handler:
        """Of a call on members."""

        async def render(_request: web.Request, answer: MembersAnswer) -> web.StreamResponse:
            return web.Response(body=members_body(answer), headers=JSON_HEADERS)

        return self.handler(message, call, render)

    def small(self, answer: Answered) -> bytes:
        """The body that answers a put or the range of one key, where `is_small`."""
        return whole(answer, self._calls.header(answer.revision))

    async def in_its_turn(self, answer: Answered) -> bytes:
        """The same of one long value, in a slice of its own."""
        await self._slices.next()
        return self.small(answer)

    def error(self, error: EtcdError) -> tuple[int, bytes]:
        """HTTP status and body."""
        return HTTP_STATUS[error.code], json_body({"code": int(error.code), "message": error.message})

    def plain(self, name: str, call: Call[T], body_of: Callable[[T], bytes]) -> Handler:
        """Of a call whose answer is small. `name`: of what it takes, see `schema`."""

        async def render(_request: web.Request, answer: T) -> web.StreamResponse:
            return web.Response(body=body_of(answer), headers=JSON_HEADERS)

        return self.handler(name, call, render)

    def handler(
        self, name: str, call: Call[T], render: Callable[[web.Request, T], Awaitable[web.StreamResponse]]
    ) -> Handler:
        """Of any call; `render` makes its answer."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                body = await read_body(request)
                message, message_bytes = await self._message(body, name)
                return await render(request, await call(message, message_bytes))
            except EtcdError as error:
                return error_answer(error)

        return handle

    async def _message(self, body: bytes, name: str) -> tuple[Message, int]:
        """The message and how long it is, or its body where that is shorter than every limit: no message is longer
        than its JSON, so most are not measured."""
        size = len(body)
        if size > UNCOUNTED_BYTES_MAX:
            await self._slices.next()
        message = await self._slices.finish(decoding(body, name))
        if may_be_too_long(size):
            size = await self._slices.finish(measuring(message, name))
            if size > MESSAGE_BYTES_MAX:
                raise too_long(size)
        return message, size
