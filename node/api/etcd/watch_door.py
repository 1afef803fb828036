"""`POST /v3/watch`: a body of one or more messages, answered by a line of JSON for each thing that there is to say.

Why it exists: etcd's gateway has it so, `{"result": ...}` in each line. A body is read whole before anything is said:
HTTP/1.1 gives no client more. It must not know what a watch is told.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from aiohttp import web

from node.api.answers import STREAM_HEADERS, json_text
from node.api.etcd.bodies import read_body
from node.api.etcd.calls import Header
from node.api.etcd.decoding import decoding
from node.api.etcd.errors import Code, EtcdError, invalid
from node.api.etcd.json_door import error_answer
from node.api.etcd.rendering import header_text, kv_text
from node.api.etcd.requests import too_long
from node.api.etcd.schema import Message
from node.api.etcd.watch_calls import WatchCalls
from node.api.following import Following
from node.api.slices import Slices
from node.watching.events import Event, Response
from node.watching.stream import WatchStream

BODY_BYTES_MAX = 64 * 1024
"""A longer body asks for more than anybody watches over one connection."""

MESSAGES_MAX = 512
"""Of one body; they are asked for in one turn, some 12 µs each."""

_NOTHING = "etcdserver: this body asks for no watch: send a create_request"
_MARKS = re.compile(rb'[{}\[\]]|"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A string that never ends is stepped over once: to look for its end at every quote in it took half a minute."""


class WatchDoor:
    """The route's handler."""

    def __init__(
        self, calls: WatchCalls, header: Callable[[int], Header], slices: Slices, following: Following
    ) -> None:
        self._calls = calls
        self._slices = slices
        self._following = following
        self._words = _Lines(header)

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """Stream until the client leaves; as `hasleader` asks, until there is no leader for too long."""
        try:
            messages = await self._messages(request)
            refusal = self._following.refusal()
            if refusal is not None:
                raise EtcdError(Code.UNAVAILABLE, f"etcdserver: {refusal[1]}")
            needs_leader = request.headers.get("Grpc-Metadata-hasleader") == "true"

            def begin(on_ready: Callable[[], None]) -> WatchStream:
                stream = self._calls.open(on_ready, needs_leader=needs_leader)
                for message in messages:
                    self._calls.ask(stream, message)
                return stream

            response = web.StreamResponse(headers=STREAM_HEADERS)
            if request.version >= (1, 1):
                response.enable_chunked_encoding()
            return await self._following.serve(request, response, begin, self._words)
        except EtcdError as error:
            return error_answer(error)

    async def _messages(self, request: web.Request) -> list[Message]:
        body = await read_body(request)
        if len(body) > BODY_BYTES_MAX:
            raise too_long(len(body))
        parts = list(islice(one_by_one(body), MESSAGES_MAX + 1))
        if len(parts) > MESSAGES_MAX:
            raise invalid(f"etcdserver: this body asks for more than {MESSAGES_MAX} watches")
        messages = [await self._slices.finish(decoding(part, "WatchRequest")) for part in parts]
        if not any(message.get("create_request") is not None for message in messages):
            raise invalid(_NOTHING)
        return messages


def one_by_one(body: bytes) -> Iterator[bytes]:
    """The messages of a body, which follow each other; what is none goes on whole, to be refused in its words."""
    begin = depth = 0
    for mark in _MARKS.finditer(body):
        kind = mark.group()[:1]
        if kind in b"{[":
            depth += 1
        elif kind in b"}]":
            depth -= 1
            if depth <= 0:
                yield body[begin : mark.end()]
                begin, depth = mark.end(), 0
    if body[begin:].strip():
        yield body[begin:]


class _Lines:
    """A line for each response, as the gateway writes it."""

    silence_seconds: float | None = None

    def __init__(self, header: Callable[[int], Header]) -> None:
        self._header = header

    def parts(self, said: Iterable[Response]) -> Iterator[bytes]:
        for response in said:
            text = f'{{"result":{{"header":{{{header_text(self._header(response.revision))}}}{_about(response)}'
            yield text.encode()
            separator = b',"events":['
            for event in response.events:
                yield separator + event_json(event, with_previous=response.with_previous)
                separator = b","
            yield b"]}}\n" if response.events else b"}}\n"

    def silence(self, _stream: WatchStream) -> bytes:
        return b""

    def end(self, reason: str) -> bytes:
        return b'{"error":%s}\n' % json_text({"code": int(Code.UNAVAILABLE), "message": reason})


def _about(response: Response) -> str:
    return "".join(
        (
            f',"watch_id":"{response.watch_id}"' if response.watch_id else "",
            ',"created":true' if response.created else "",
            ',"canceled":true' if response.canceled else "",
            f',"compact_revision":"{response.compact_revision}"' if response.compact_revision else "",
            f',"cancel_reason":{json_text(response.cancel_reason).decode()}' if response.cancel_reason else "",
            ',"fragment":true' if response.fragment else "",
        )
    )


def event_json(event: Event, *, with_previous: bool) -> bytes:
    """An event, which is written once for all who want it."""
    made = event.json_with_previous if with_previous else event.json
    if made is None:
        kv = event.kv
        if event.is_delete:
            key = b64encode(kv.key).decode()
            text = f'{{"type":"DELETE","kv":{{"key":"{key}","mod_revision":"{kv.mod_revision}"}}'
        else:
            text = f'{{"kv":{kv_text(kv)}'
        if with_previous and event.previous is not None:
            made = f'{text},"prev_kv":{kv_text(event.previous)}}}'.encode()
        else:
            made = f"{text}}}".encode()
        if with_previous:
            event.json_with_previous = made
        else:
            event.json = made
    return made
