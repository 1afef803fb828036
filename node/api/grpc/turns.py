"""Etcd's Lock and Election services over gRPC.

Why it exists: as `services`, for calls that wait as long as their clients do. It must not know what they do.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from node.api.etcd.calls import EtcdCalls, Header
from node.api.etcd.election_calls import ElectionCalls
from node.api.etcd.lock_calls import LockCalls
from node.api.etcd.schema import Message
from node.api.etcd.turns import Revised
from node.api.grpc import news
from node.api.grpc.answers import header_bytes
from node.api.grpc.methods import Call, Methods, PlainMethod, StreamMethod
from node.api.grpc.streaming import GeneratedStream
from node.api.grpc.unary import Around

T = TypeVar("T", bound=Revised)


def turns(locks: LockCalls, elections: ElectionCalls, calls: EtcdCalls, around: Around) -> Methods:
    """Both services."""

    def plain(
        request: str,
        call: Callable[[Message, int], Awaitable[T]],
        encode: Callable[[T, Header], bytes],
        patient: bool = False,
    ) -> PlainMethod:
        async def written(message: Message, size: int) -> bytes:
            answer = await call(message, size)
            return encode(answer, calls.header(answer.revision))

        return PlainMethod(request, written, bytes, patient)

    def done(_answer: Revised, header: Header) -> bytes:
        return header_bytes(header)

    async def observed(message: Message) -> AsyncGenerator[bytes, None]:
        async with aclosing(elections.observe(message)) as found:
            async for told in found:
                yield news.told(told, calls.header(told.revision))

    def observe(call: Call) -> GeneratedStream:
        return GeneratedStream(call, around, observed, None)

    election = "/v3electionpb.Election/"
    return {
        "/v3lockpb.Lock/Lock": plain("LockRequest", locks.lock, news.locked, patient=True),
        "/v3lockpb.Lock/Unlock": plain("UnlockRequest", locks.unlock, done),
        f"{election}Campaign": plain("CampaignRequest", elections.campaign, news.campaigned, patient=True),
        f"{election}Proclaim": plain("ProclaimRequest", elections.proclaim, done),
        f"{election}Resign": plain("ResignRequest", elections.resign, done),
        f"{election}Leader": plain("LeaderRequest", elections.leader, news.told),
        f"{election}Observe": StreamMethod("LeaderRequest", observe),
    }
