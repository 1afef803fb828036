"""The calls of etcd's lease API: grant, revoke, keep alive, time to live, list.

Why it exists: beside `calls`, for leases; every door (JSON, gRPC) translates to these. A keep-alive goes through the
log as a write does, so a node that leads no more can never say that a lease lives on. It must not know JSON or HTTP.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import msgspec

from node.api.etcd import errors
from node.api.etcd.calls import EtcdCalls, answered
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.schema import Message
from node.api.once import NO_SESSION, Numbers
from node.api.slices import ReadJob, Slices
from node.statemachine.leases import TTL_S_MAX
from node.statemachine.writes import (
    LeaseGrant,
    LeaseGranted,
    LeaseKeepAlive,
    LeaseKept,
    LeaseNumbers,
    LeaseRevoke,
    LeaseRevoked,
    LeaseView,
    Result,
    StoreWrite,
)

KEYS_AT_ONCE = 256
"""Keys of a lease that are judged in one slice."""


class LeaseStore(Protocol):
    """What is asked of the store beside writes."""

    def begin_read_lease(self, number: int, *, keys: bool) -> ReadJob: ...
    def begin_read_leases(self) -> ReadJob: ...


class TimeToLive(msgspec.Struct, frozen=True):
    """`ttl_s`: whole seconds that are left; -1: there is no such lease. `granted_s`: what a keep-alive gives it."""

    revision: int
    id: int
    ttl_s: int
    granted_s: int
    keys: tuple[bytes, ...]


class LeaseCalls:
    """`log_time_us`: log time now, as this node knows it."""

    def __init__(
        self,
        calls: EtcdCalls,
        store: LeaseStore,
        slices: Slices,
        log_time_us: Callable[[], int],
    ) -> None:
        self._calls = calls
        self._store = store
        self._slices = slices
        self._log_time_us = log_time_us

    async def grant(self, message: Message, _message_bytes: int, numbers: Numbers = NO_SESSION) -> LeaseGranted:
        """A LeaseGrantRequest. Where no number is chosen, the store makes one from the entry."""
        ttl_s = message.get("TTL", 0)
        if ttl_s > TTL_S_MAX:
            raise EtcdError(Code.OUT_OF_RANGE, errors.TTL_TOO_LARGE)
        self._calls.require_room()
        return cast(LeaseGranted, await self._write(LeaseGrant(message.get("ID", 0), ttl_s), numbers))

    async def revoke(self, message: Message, _message_bytes: int, numbers: Numbers = NO_SESSION) -> LeaseRevoked:
        """A LeaseRevokeRequest."""
        return cast(LeaseRevoked, await self._write(LeaseRevoke(message.get("ID", 0)), numbers))

    async def keep_alive(self, message: Message, _message_bytes: int) -> LeaseKept:
        """A LeaseKeepAliveRequest; one of many in a stream. `ttl_s` 0: there is no such lease (any more)."""
        return cast(LeaseKept, await self._write(LeaseKeepAlive(message.get("ID", 0)), NO_SESSION))

    async def time_to_live(self, message: Message, _message_bytes: int) -> TimeToLive:
        """A LeaseTimeToLiveRequest."""
        await self._calls.barrier()
        await self._calls.users.require_somebody()
        job = self._store.begin_read_lease(message.get("ID", 0), keys=message.get("keys", False))
        view = cast(LeaseView, await self._slices.read(job))
        await self._require_keys(view.keys)
        if view.ttl_s < 0:
            return TimeToLive(view.revision, view.id, -1, 0, ())
        left_us = max(0, view.expiry_us - self._log_time_us())
        return TimeToLive(view.revision, view.id, left_us // 1_000_000, view.ttl_s, view.keys)

    async def leases(self, _message: Message, _message_bytes: int) -> LeaseNumbers:
        """A LeaseLeasesRequest: all, the one that ends first coming first."""
        await self._calls.barrier()
        await self._calls.users.require_somebody()
        return cast(LeaseNumbers, await self._slices.read(self._store.begin_read_leases()))

    async def _require_keys(self, keys: Sequence[bytes]) -> None:
        """Whoever may not read all keys of a lease is not told which they are."""
        users = self._calls.users
        if not users.in_force:
            return
        asker = await users.asker()
        for at, key in enumerate(keys):
            if at % KEYS_AT_ONCE == 0:
                await self._slices.next()
            users.check_read(asker, key)

    async def _write(self, write: StoreWrite, numbers: Numbers) -> Result:
        """What the store said, where that is no error."""
        result = self._calls.result_of(await self._calls.propose(write, numbers))
        if isinstance(result, LeaseGranted | LeaseRevoked | LeaseKept):
            return result
        return answered(result)
