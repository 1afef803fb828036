"""Etcd's Lock and Election services in JSON.

Why it exists: beside `json_door`. These calls wait, for as long as their clients stay. It must not know what they
do.
"""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from aiohttp import web

from node.api.answers import STREAM_HEADERS, json_text
from node.api.clients import HALF_CLOSED_SECONDS
from node.api.connection import Connection, client_is_gone
from node.api.etcd.calls import EtcdCalls
from node.api.etcd.election_calls import Campaigned, ElectionCalls, Told
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.json_door import Call, Handler, JsonDoor, error_answer
from node.api.etcd.lock_calls import LockCalls, Locked
from node.api.etcd.rendering import header_text, kv_text
from node.api.etcd.schema import Message
from node.api.etcd.turns import Revised
from node.api.streaming import WRITE_SECONDS_MAX

T = TypeVar("T")


class TurnsDoor:
    """Makes handlers of calls."""

    def __init__(self, calls: EtcdCalls, door: JsonDoor, locks: LockCalls, elections: ElectionCalls) -> None:
        self._calls = calls
        self._door = door
        self._locks = locks
        self._elections = elections

    def routes(self) -> dict[str, Handler]:
        """By path, all of them POST."""
        locks, elections = self._locks, self._elections
        return {
            "/v3/lock/lock": self._waiting("LockRequest", locks.lock, self._locked),
            "/v3/lock/unlock": self._door.plain("UnlockRequest", locks.unlock, self._done),
            "/v3/election/campaign": self._waiting("CampaignRequest", elections.campaign, self._campaigned),
            "/v3/election/proclaim": self._door.plain("ProclaimRequest", elections.proclaim, self._done),
            "/v3/election/resign": self._door.plain("ResignRequest", elections.resign, self._done),
            "/v3/election/leader": self._door.plain("LeaderRequest", elections.leader, self._told),
            "/v3/election/observe": self._door.handler("LeaderRequest", self._observing, self._observe),
        }

    def _waiting(self, name: str, call: Call[T], body_of: Callable[[T], bytes]) -> Handler:
        """Of a call that is given up when its client goes."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await _while_client_stays(request, self._door.plain(name, call, body_of)(request))

        return handle

    def _head(self, revision: int) -> str:
        return f'{{"header":{{{header_text(self._calls.header(revision))}}}'

    def _done(self, answer: Revised) -> bytes:
        return f"{self._head(answer.revision)}}}\n".encode()

    def _locked(self, answer: Locked) -> bytes:
        return f'{self._head(answer.revision)},"key":"{_base64(answer.key)}"}}\n'.encode()

    def _campaigned(self, answer: Campaigned) -> bytes:
        leader = answer.leader
        name = f'"name":"{_base64(leader.name)}",' if leader.name else ""
        text = f'{{{name}"key":"{_base64(leader.key)}","rev":"{leader.rev}","lease":"{leader.lease}"}}'
        return f'{self._head(answer.revision)},"leader":{text}}}\n'.encode()

    def _told(self, answer: Told) -> bytes:
        return f'{self._head(answer.revision)},"kv":{kv_text(answer.kv)}}}\n'.encode()

    async def _observing(self, message: Message, _message_bytes: int) -> Message:
        """What is observed is asked for while it is answered."""
        return message

    async def _observe(self, request: web.Request, message: Message) -> web.StreamResponse:
        """A line for each, until the client leaves."""
        response = web.StreamResponse(headers=STREAM_HEADERS)
        response.force_close()
        if request.version >= (1, 1):
            response.enable_chunked_encoding()

        told_any: list[bool] = []

        async def tell() -> web.StreamResponse:
            await response.prepare(request)
            try:
                async with aclosing(self._elections.observe(message)) as news:
                    async for told in news:
                        told_any.append(True)
                        await _write(response, b'{"result":' + self._told(told)[:-1] + b"}\n")
            except EtcdError as error:
                said = {"code": int(error.code), "message": error.message, "details": []}
                await _write(response, b'{"error":%s}\n' % json_text(said))
            except (ConnectionError, TimeoutError):
                if request.transport is not None:
                    request.transport.abort()
            except asyncio.CancelledError:  # the client sends no more: all that there was, it has
                if request.transport is None or request.transport.is_closing():
                    raise
            return response

        return await _while_client_stays(request, tell(), lambda: bool(told_any))


async def _write(response: web.StreamResponse, line: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS_MAX):
        await response.write(line)


async def _while_client_stays(
    request: web.Request, work: Awaitable[web.StreamResponse], has_all: Callable[[], bool] = bool
) -> web.StreamResponse:
    """Its answer; what still waits is given up when the client goes. One that only sends no more waits for what comes
    soon, as everywhere, unless it `has_all` that there is."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def ended() -> None:
        if request.transport is None or request.transport.is_closing() or has_all():
            task.cancel()
        else:
            loop.call_later(HALF_CLOSED_SECONDS, task.cancel)

    if isinstance(request.protocol, Connection):
        request.protocol.when_client_ends(ended)
    if client_is_gone(request):  # it went before it was listened to
        ended()
    try:
        return await task
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        return error_answer(EtcdError(Code.CANCELLED, "context canceled"))
    finally:
        task.cancel()


def _base64(value: bytes) -> str:
    return b64encode(value).decode()
