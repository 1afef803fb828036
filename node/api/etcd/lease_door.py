"""etcd's lease API in JSON: its routes, and how their answers are written.

Why it exists: beside `json_door`; a stream of keep-alives is here a body of one message or more, and a line of JSON for
each, as etcd's gateway has it. It must not know what a call does.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator

import msgspec
from aiohttp import web

from node.api.answers import JSON_HEADERS
from node.api.etcd.bodies import read_body
from node.api.etcd.calls import EtcdCalls
from node.api.etcd.decoding import decoding_exactly
from node.api.etcd.errors import EtcdError
from node.api.etcd.json_door import Handler, JsonDoor, error_answer
from node.api.etcd.lease_calls import LeaseCalls, TimeToLive
from node.api.etcd.rendering import header_text
from node.api.etcd.requests import too_long
from node.api.etcd.scanner import EndOfBodyError, scanning
from node.api.etcd.schema import Message
from node.api.slices import Slices, at_once
from node.api.streaming import answer_in_pieces, in_pieces
from node.statemachine.writes import LeaseGranted, LeaseKept, LeaseNumbers, LeaseRevoked

KEEP_ALIVES_MAX = 64
"""Messages of one request; what follows is left unread, as after a message that is none."""

STREAM_BYTES_MAX = 16 * 1024
"""Of a body with them: a millisecond to read."""


class LeaseDoor:
    """Makes handlers of calls."""

    def __init__(self, leases: LeaseCalls, calls: EtcdCalls, door: JsonDoor, slices: Slices) -> None:
        self._leases = leases
        self._calls = calls
        self._door = door
        self._slices = slices

    def routes(self) -> dict[str, Handler]:
        """By path, all of them POST. Three have two paths, as in etcd."""
        door, leases = self._door, self._leases
        revoke = door.in_session(
            lambda numbers: door.plain(
                "LeaseRevokeRequest", lambda found, size: leases.revoke(found, size, numbers), self._revoked
            )
        )
        time_to_live = door.handler("LeaseTimeToLiveRequest", leases.time_to_live, self._time_to_live)
        listing = door.handler("LeaseLeasesRequest", leases.leases, self._listed)
        return {
            "/v3/lease/grant": door.in_session(
                lambda numbers: door.plain(
                    "LeaseGrantRequest", lambda found, size: leases.grant(found, size, numbers), self._granted
                )
            ),
            "/v3/lease/revoke": revoke,
            "/v3/kv/lease/revoke": revoke,
            "/v3/lease/keepalive": self._keep_alive,
            "/v3/lease/timetolive": time_to_live,
            "/v3/kv/lease/timetolive": time_to_live,
            "/v3/lease/leases": listing,
            "/v3/kv/lease/leases": listing,
        }

    def _head(self, revision: int) -> str:
        return f'{{"header":{{{header_text(self._calls.header(revision))}}}'

    def _granted(self, answer: LeaseGranted) -> bytes:
        return f'{self._head(answer.revision)},"ID":"{answer.id}","TTL":"{answer.ttl_s}"}}\n'.encode()

    def _revoked(self, answer: LeaseRevoked) -> bytes:
        return f"{self._head(answer.revision)}}}\n".encode()

    async def _time_to_live(self, request: web.Request, answer: TimeToLive) -> web.StreamResponse:
        granted = f',"grantedTTL":"{answer.granted_s}"' if answer.granted_s else ""
        left = f',"TTL":"{answer.ttl_s}"' if answer.ttl_s else ""
        number = f',"ID":"{answer.id}"' if answer.id else ""
        head = f"{self._head(answer.revision)}{number}{left}{granted}"
        return await self._list(request, head, "keys", (f'"{b64encode(key).decode()}"' for key in answer.keys))

    async def _listed(self, request: web.Request, answer: LeaseNumbers) -> web.StreamResponse:
        rows = (f'{{"ID":"{number}"}}' for number in answer.ids)
        return await self._list(request, self._head(answer.revision), "leases", rows)

    async def _list(self, request: web.Request, head: str, name: str, rows: Iterable[str]) -> web.StreamResponse:
        pieces = in_pieces(part.encode() for part in _listing(head, name, rows))
        return await answer_in_pieces(request, pieces, self._slices, JSON_HEADERS)

    async def _keep_alive(self, request: web.Request) -> web.StreamResponse:
        """A line for each message of the body, until one cannot be read."""
        lines: list[bytes] = []
        try:
            body = await read_body(request)
            if len(body) > STREAM_BYTES_MAX:
                raise too_long(len(body))
            for message in messages_of(body):
                lines.append(self._kept(await self._leases.keep_alive(message, 0)))
        except EtcdError as error:
            if not lines:
                return error_answer(error)
            lines.append(_error_line(error))
        return web.Response(body=b"".join(lines), headers=JSON_HEADERS)

    def _kept(self, answer: LeaseKept) -> bytes:
        number = f',"ID":"{answer.id}"' if answer.id else ""
        left = f',"TTL":"{answer.ttl_s}"' if answer.ttl_s else ""
        return f'{{"result":{self._head(answer.revision)}{number}{left}}}}}\n'.encode()


def _listing(head: str, name: str, rows: Iterable[str]) -> Iterator[str]:
    """An object that begins with `head` and ends with a list, which is left out where it is empty."""
    separator = f'{head},"{name}":['
    empty = True
    for row in rows:
        yield separator + row
        separator, empty = ",", False
    yield f"{head}}}\n" if empty else "]}\n"


def messages_of(body: bytes) -> Iterator[Message]:
    """The messages that follow each other in a body, which is not long. What cannot be read ends them, as in etcd."""
    for _ in range(KEEP_ALIVES_MAX):
        try:
            tokens = at_once(scanning(body))
            message = at_once(decoding_exactly(body, "LeaseKeepAliveRequest"))
        except (EndOfBodyError, EtcdError):
            return
        yield message
        body = body[tokens.ends[-1] :]


def _error_line(error: EtcdError) -> bytes:
    return msgspec.json.encode({"error": {"code": int(error.code), "message": error.message, "details": []}}) + b"\n"
