"""Etcd's Election service: one of those who campaign leads, until it resigns or its lease ends; then the next one does.

Why it exists: as `lock_calls`. A leader has a value to tell, which may change, and anybody may watch who leads.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.schema import Message
from node.api.etcd.turns import Turns, created
from node.statemachine.writes import KeyValue, prefix_end

NOT_LEADER = "election: not leader"
NO_LEADER = "election: no leader"
MISSING_LEADER = '"leader" field must be provided'


class Leader(msgspec.Struct, frozen=True, gc=False):
    """Who leads: `key` is there while it does, and was created at `rev`, its fencing token."""

    name: bytes
    key: bytes
    rev: int
    lease: int


class Campaigned(msgspec.Struct, frozen=True):
    """`leader` leads now."""

    revision: int
    leader: Leader


class Told(msgspec.Struct, frozen=True):
    """Who leads, and what it says."""

    revision: int
    kv: KeyValue


class Proclaimed(msgspec.Struct, frozen=True, gc=False):
    """Done; so of what resigned."""

    revision: int


class ElectionCalls:
    """See the module. Whoever is cancelled while it campaigns leaves the queue."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    async def campaign(self, message: Message, message_bytes: int) -> Campaigned:
        """A CampaignRequest: returns when it leads. With the same lease again, the value is proclaimed."""
        name, value = message.get("name", b""), message.get("value", b"")
        turn = await self._turns.begin(name, message.get("lease", 0), value, message_bytes)
        leader = Leader(name, turn.key, turn.create_revision, turn.lease)
        if turn.was_there is not None and turn.was_there.value != value:
            try:
                await self._say(leader, value, message_bytes)
            except BaseException:
                self._turns.leave(turn)
                raise
        if not turn.first:
            await self._turns.wait(name, turn)
        return Campaigned(turn.revision, leader)

    async def proclaim(self, message: Message, message_bytes: int) -> Proclaimed:
        """A ProclaimRequest: a new value of who leads."""
        return Proclaimed(await self._say(_leader_of(message), message.get("value", b""), message_bytes))

    async def resign(self, message: Message, _message_bytes: int) -> Proclaimed:
        """A ResignRequest: the next one leads."""
        leader = _leader_of(message)
        return Proclaimed(await self._turns.resign(leader.key, leader.rev))

    async def leader(self, message: Message, _message_bytes: int) -> Told:
        """A LeaderRequest."""
        now = await self._turns.first_of(message.get("name", b""))
        if not now.kvs:
            raise EtcdError(Code.UNKNOWN, NO_LEADER)
        return Told(now.revision, now.kvs[0])

    async def observe(self, message: Message) -> AsyncGenerator[Told, None]:
        """A LeaderRequest: whoever leads, one after the other, and what they say, without end. What is overwritten
        before it is seen may be left out."""
        name = message.get("name", b"")
        while True:
            now = await self._turns.first_of(name)
            told = Told(now.revision, now.kvs[0]) if now.kvs else await self._first(name, now.revision)
            if told is None:
                continue
            yield told
            async with aclosing(self._of_one(told)) as news:
                async for later in news:
                    yield later

    async def _first(self, name: bytes, revision: int) -> Told | None:
        """Who comes when nobody is there; None: look again."""
        prefix = name + b"/"
        async with self._turns.following(prefix, prefix_end(prefix), revision + 1) as news:
            async for response in news:
                for event in response.events:
                    if not event.is_delete:
                        return Told(event.kv.mod_revision, event.kv)
                if response.canceled:
                    return None
        return None

    async def _of_one(self, told: Told) -> AsyncGenerator[Told, None]:
        """What that one says, until it is gone."""
        async with self._turns.following(told.kv.key, b"", told.revision + 1) as news:
            async for response in news:
                for event in response.events:
                    if event.is_delete:
                        return
                    yield Told(response.revision, event.kv)
                if response.canceled:
                    return

    async def _say(self, leader: Leader, value: bytes, message_bytes: int) -> int:
        put = {"request_put": {"key": leader.key, "value": value, "lease": leader.lease}}
        result = await self._turns.txn(created(leader.key, leader.rev), [put], [], message_bytes)
        if not result.succeeded:
            raise EtcdError(Code.UNKNOWN, NOT_LEADER)
        return result.revision


def _leader_of(message: Message) -> Leader:
    leader = message.get("leader")
    if leader is None:
        raise EtcdError(Code.UNKNOWN, MISSING_LEADER)
    return Leader(leader.get("name", b""), leader.get("key", b""), leader.get("rev", 0), leader.get("lease", 0))
