"""Keys of one prefix that take turns, the oldest first: what etcd's locks and elections are made of.

Why it exists: a lock and an election differ in names alone. Each key belongs to a lease, is made once, and its turn has
come when no key of the prefix is older (by creation revision, so it is fair). Who waits looks at one key alone, the
newest of those that are older, so that a key that goes wakes one waiter. All of it is said in calls that clients have
as well. It must not keep any state: what a node forgets when it ends are its waiters, whose clients ask another one.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple, Protocol, cast

from node.addresses import ASKING
from node.api.etcd.calls import EtcdCalls
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.lease_calls import LeaseCalls
from node.api.etcd.schema import ENUMS
from node.statemachine.writes import KeyValue, RangeResult, TxnResult, prefix_end
from node.watching.events import Response
from node.watching.hub import WatchHub
from node.watching.shares import EXHAUSTED
from node.watching.stream import WatchStream

OWN_TTL_S = 60
"""Of the lease that is granted where a client names none. Nobody keeps it alive, as in etcd."""

WAITING_MAX = 10_000
"""Calls that wait on one node, for a turn or for news of an election; a task and a watch each."""

TAKE_BYTES = 64 * 1024

_CREATE = ENUMS["CompareTarget"]["CREATE"]
_BY_CREATION = ENUMS["SortTarget"]["CREATE"]
_DESCEND = ENUMS["SortOrder"]["DESCEND"]

Operation = Mapping[str, Any]


class Revised(Protocol):
    """An answer as of a revision, which its header tells."""

    @property
    def revision(self) -> int: ...


class Turn(NamedTuple):
    """A key that takes its turn. `first`: whether no older key was there when it was made. `was_there`: its version,
    where it had been made before. `revision`: of the call's answer."""

    key: bytes
    lease: int
    create_revision: int
    revision: int
    first: bool
    was_there: KeyValue | None


class Turns:
    """See the module."""

    def __init__(self, calls: EtcdCalls, leases: LeaseCalls, hub: WatchHub) -> None:
        self._calls = calls
        self._leases = leases
        self._hub = hub
        self._waiting = 0
        self._leaving: set[asyncio.Task[None]] = set()

    async def begin(self, name: bytes, lease: int, value: bytes, message_bytes: int) -> Turn:
        """Make the key of that lease in the queue called `name`, unless it is there. `lease` 0: a new one.
        `message_bytes`: of the call that asks for it."""
        if not lease:
            with _as_unknown():
                lease = (await self._leases.grant({"TTL": OWN_TTL_S}, 0)).id
        prefix = name + b"/"
        key = prefix + f"{lease:x}".encode()
        oldest = {"request_range": {"key": prefix, "range_end": prefix_end(prefix), **_FIRST}}
        result = await self.txn(
            created(key, 0),
            [{"request_put": {"key": key, "value": value, "lease": lease}}, oldest],
            [{"request_range": {"key": key}}, oldest],
            message_bytes,
        )
        there = None if result.succeeded else found(result, 0)
        create_revision = result.revision if there is None else there.create_revision
        first = found(result, 1)
        is_first = first is None or first.create_revision == create_revision
        return Turn(key, lease, create_revision, result.revision, is_first, there)

    async def wait(self, name: bytes, turn: Turn) -> None:
        """Until no older key is in the queue. Whoever is cancelled meanwhile, or fails, leaves the queue."""
        prefix = name + b"/"
        try:
            while (before := await self._before(prefix, turn.create_revision)) is not None:
                kv, revision = before
                await self._until_deleted(kv.key, revision)
        except BaseException:
            self.leave(turn)
            raise

    def leave(self, turn: Turn) -> None:
        """Delete its key, in a task: whoever waited for it is not there any more. Where it fails the lease does it."""

        async def leave() -> None:
            try:
                await self.txn(created(turn.key, turn.create_revision), [_delete(turn.key)], [])
            except EtcdError:
                return

        task = asyncio.create_task(leave(), name="leave a queue")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def resign(self, key: bytes, create_revision: int) -> int:
        """Delete the key, if it is still the one that was created at that revision; the revision of the answer."""
        return (await self.txn(created(key, create_revision), [_delete(key)], [])).revision

    async def first_of(self, name: bytes) -> RangeResult:
        """The key whose turn it is; none: nobody waits."""
        prefix = name + b"/"
        message = {"key": prefix, "range_end": prefix_end(prefix), **_FIRST}
        return await self._range(message)

    async def key(self, key: bytes) -> RangeResult:
        """That key now."""
        return await self._range({"key": key})

    async def _range(self, message: Operation) -> RangeResult:
        with _as_unknown():
            return cast(RangeResult, await self._calls.range(dict(message), 0))

    async def delete(self, key: bytes, message_bytes: int) -> int:
        """Delete that key, if it is there; the revision of the answer."""
        with _as_unknown():
            return (await self._calls.delete_range({"key": key}, message_bytes)).revision

    async def txn(
        self, compare: Operation, success: list[Operation], failure: list[Operation], message_bytes: int = 0
    ) -> TxnResult:
        """A transaction of one compare."""
        message = {"compare": [compare], "success": success, "failure": failure}
        with _as_unknown():
            return cast(TxnResult, await self._calls.txn(message, message_bytes))

    async def _before(self, prefix: bytes, create_revision: int) -> tuple[KeyValue, int] | None:
        """The newest key that is older, and the revision at which it was there."""
        wanted = {
            "key": prefix,
            "range_end": prefix_end(prefix),
            "limit": 1,
            "sort_target": _BY_CREATION,
            "sort_order": _DESCEND,
            "max_create_revision": create_revision - 1,
        }
        result = await self._range(wanted)
        return (result.kvs[0], result.revision) if result.kvs else None

    async def _until_deleted(self, key: bytes, revision: int) -> None:
        async with self.following(key, b"", revision + 1, no_put=True) as news:
            async for response in news:
                if response.events or response.canceled:
                    return  # canceled: compacted meanwhile, so look again

    @asynccontextmanager
    async def following(
        self, start: bytes, end: bytes, revision: int, *, no_put: bool = False
    ) -> AsyncIterator[AsyncIterator[Response]]:
        """What a watch says. Raises `EtcdError` where too many wait, or where the node ends."""
        if self._waiting >= WAITING_MAX:
            raise EtcdError(Code.RESOURCE_EXHAUSTED, f"etcdserver: {WAITING_MAX} calls wait on this member already")
        ready = asyncio.Event()
        stream = WatchStream(self._hub, ready.set, whose=ASKING.get(), reason_to_end=self._calls.users.end_of_anybody())
        self._waiting += 1
        try:
            stream.create(start, end, revision, no_put=no_put)
            yield _said(stream, ready)
        finally:
            self._waiting -= 1
            stream.close()


async def _said(stream: WatchStream, ready: asyncio.Event) -> AsyncIterator[Response]:
    while not stream.ended:
        ready.clear()
        for response in stream.take(TAKE_BYTES):
            if response.watch_id == -1:
                raise EtcdError(Code.RESOURCE_EXHAUSTED, response.cancel_reason.removeprefix(EXHAUSTED))
            yield response
        if stream.more:
            await asyncio.sleep(0)
        elif not stream.ended:
            await ready.wait()
    raise EtcdError(Code.UNAVAILABLE, stream.ended)


_FIRST: Operation = {"limit": 1, "sort_target": _BY_CREATION, "sort_order": ENUMS["SortOrder"]["ASCEND"]}


def created(key: bytes, revision: int) -> Operation:
    """A compare that holds where `key` was created at that revision; 0: where it is not there."""
    return {"key": key, "target": _CREATE, "create_revision": revision}


def found(result: TxnResult, at: int) -> KeyValue | None:
    """The key that the range at that place of a transaction's answers found."""
    response = result.responses[at]
    return response.kvs[0] if isinstance(response, RangeResult) and response.kvs else None


@contextmanager
def _as_unknown() -> Iterator[None]:
    """What is wrong with a request, or with who asks, has no code of its own in these services, as in etcd; its
    sentence is the same."""
    try:
        yield
    except EtcdError as error:
        if error.code in (Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.PERMISSION_DENIED, Code.UNAUTHENTICATED):
            raise EtcdError(Code.UNKNOWN, error.message) from None
        raise


def _delete(key: bytes) -> Operation:
    return {"request_delete_range": {"key": key}}
