"""The calls of etcd's maintenance API, but for status: alarms, hashes, a copy of the whole state, a hand-over.

Why it exists: tools that look after an etcd ask for these. Where this store works in another way the answer says what
is true here: space comes back by itself, so there is nothing to defragment, and an alarm ends when there is room. It
must not know JSON or HTTP.
"""

import zlib
from collections.abc import Sequence
from typing import cast

import msgspec

from node.api.etcd import errors
from node.api.etcd.calls import EtcdCalls, Header, ReadableStore, answered
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.identity import member_number
from node.api.etcd.schema import ENUMS, Message
from node.api.slices import Slices, Steps
from node.runtime.ports import Backup, NodeHandle, ReadFailed
from node.statemachine.writes import KeyValue, Range, RangeResult, Result

BYTES_PER_WORK = 4096
"""Bytes that are hashed at the price of a unit."""

TRANSFER_US_MAX = 5_000_000
"""How long a hand-over may take."""

_GET, _ACTIVATE = ENUMS["AlarmAction"]["GET"], ENUMS["AlarmAction"]["ACTIVATE"]
_CORRUPT = ENUMS["AlarmType"]["CORRUPT"]
_NO_COMPACTION = -1
"""What etcd says of a store that was never compacted."""


class AlarmAnswer(msgspec.Struct, frozen=True):
    """`full`: the member by whose word the store is full; 0: there is room."""

    header: Header
    full: int


class HashAnswer(msgspec.Struct, frozen=True):
    """Of all keys that live at `revision`: equal on all members."""

    header: Header
    hash: int
    compact_revision: int
    revision: int


class Nothing(msgspec.Struct, frozen=True):
    """It was done, and there is nothing to say."""


class MaintenanceCalls:
    """`calls`: the other calls of the same node, which know the header and the quota."""

    def __init__(self, handle: NodeHandle, store: ReadableStore, calls: EtcdCalls, slices: Slices) -> None:
        self._handle, self._store, self._calls, self._slices = handle, store, calls, slices

    async def alarm(self, message: Message, _message_bytes: int) -> AlarmAnswer:
        """An AlarmRequest. The only alarm is that of a full store, which nobody sets and which ends by itself."""
        users = self._calls.users
        await (users.require_somebody if message.get("action", _GET) == _GET else users.require_root)()
        if message.get("action", _GET) == _ACTIVATE:
            raise EtcdError(Code.UNIMPLEMENTED, "etcdserver: no alarm of this cluster can be set by hand")
        header = self._calls.header(self._store.revision)
        shown = message.get("action", _GET) == _GET and message.get("alarm", 0) != _CORRUPT
        return AlarmAnswer(header, header.member_id if shown and self._calls.quota.exceeded else 0)

    async def defragment(self, _message: Message, _message_bytes: int) -> Nothing:
        """A DefragmentRequest: what a compaction freed is free."""
        await self._require_root()
        return Nothing()

    async def hash(self, message: Message, message_bytes: int) -> HashAnswer:
        """A HashRequest: of the present."""
        return await self.hash_kv({**message, "revision": 0}, message_bytes)

    async def hash_kv(self, message: Message, _message_bytes: int) -> HashAnswer:
        """A HashKVRequest. As in etcd, of what this member has, without asking the others."""
        await self._require_root()
        revision = max(0, message.get("revision", 0))
        wanted = Range(b"\0", b"\0", revision)
        now, compacted = self._store.revision, self._store.compact_revision
        result = answered(cast(Result, await self._slices.read(self._store.begin_read(wanted))))
        kvs = cast(RangeResult, result).kvs
        found = await self._slices.finish(hashing(kvs))
        return HashAnswer(self._calls.header(now), found, compacted or _NO_COMPACTION, revision or now)

    async def snapshot(self, _message: Message, _message_bytes: int) -> Backup:
        """A SnapshotRequest: the file of `/backup`, to be closed."""
        await self._require_root()
        backup = await self._handle.backup()
        if isinstance(backup, ReadFailed):
            raise EtcdError(Code.UNAVAILABLE, f"etcdserver: {backup.reason}")
        try:
            await self._require_root()  # this node may have learned only now that there are users
        except EtcdError:
            backup.close()
            raise
        return backup

    async def move_leader(self, message: Message, _message_bytes: int) -> Nothing:
        """A MoveLeaderRequest, to be asked of the leader."""
        await self._calls.users.settled()
        await self._require_root()
        core = self._handle.status().core
        if core.leader != core.name:
            raise EtcdError(Code.FAILED_PRECONDITION, errors.NOT_LEADER)
        wanted = message.get("targetID", 0)
        target = next((member.name for member in core.voters if member_number(member) == wanted), "")
        if not target:
            raise EtcdError(Code.FAILED_PRECONDITION, errors.BAD_TRANSFEREE)
        if target != core.name:
            await self._transfer(target)
        return Nothing()

    async def _require_root(self) -> None:
        await self._calls.users.require_root()

    async def _transfer(self, target: str) -> None:
        outcome = await self._handle.command("transfer_leadership", {"target": target}, TRANSFER_US_MAX)
        if outcome.code == "ok":
            return
        code = {"refused": Code.FAILED_PRECONDITION, "unknown": Code.DEADLINE_EXCEEDED}.get(outcome.code)
        raise EtcdError(code or Code.UNAVAILABLE, f"etcdserver: {outcome.message}")


def hashing(kvs: Sequence[KeyValue]) -> Steps[int]:
    """CRC-32 of keys, values and revisions, in order."""
    found = 0
    for kv in kvs:
        found = zlib.crc32(msgspec.msgpack.encode(kv), found)
        yield 1 + (len(kv.key) + len(kv.value)) // BYTES_PER_WORK
    return found
