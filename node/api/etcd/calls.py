"""The calls of etcd's v3 API: a decoded message in, a value out, or an `EtcdError`.

Why it exists: this is what etcd's API does, whatever it is spoken in. A door (JSON or gRPC) decodes a message
into a dict of `schema`'s fields, calls, and writes down the answer. Nothing here may know JSON, HTTP or a protocol's
bytes. A write whose outcome is not known is DEADLINE_EXCEEDED, never UNAVAILABLE, because the latter may be repeated.
It must not retry, and not read the store before the barrier.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol, cast

import msgspec

from node.api.etcd import errors
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.identity import cluster_number, member_number
from node.api.etcd.refusals import refused, unavailable
from node.api.etcd.requests import (
    check_write_size,
    compact_of,
    delete_of,
    is_serializable,
    only_reads,
    put_of,
    range_of,
    txn_of,
)
from node.api.etcd.schema import Message
from node.api.etcd.users import AuthStore, Users
from node.api.once import NO_SESSION, Numbers, OwnCluster, count_of, encoded
from node.api.quota import Quota, grows
from node.api.slices import ReadJob, Slices
from node.observe.metrics import Metrics
from node.raft.types import Member
from node.runtime.ports import Done, DoneUntold, NodeHandle, Outcome, ReadFailed, Unknown
from node.statemachine.auth_writes import AuthResult
from node.statemachine.permitting import user_empty
from node.statemachine.writes import (
    Compacted,
    CompactResult,
    DeleteRange,
    DeleteResult,
    FutureRevision,
    KeyValue,
    LeaseResult,
    Put,
    PutResult,
    Range,
    RangeResult,
    ReadError,
    Refused,
    Registered,
    Result,
    StoreWrite,
    Txn,
    TxnResult,
    Untold,
)

_LOG = logging.getLogger("node.api")

Answered = PutResult | DeleteResult | RangeResult | TxnResult | CompactResult
"""What a call on keys returns; the header of its answer is `Header.of` its revision."""


class ReadableStore(AuthStore, Protocol):
    """What this API sees of the store. `KeyValueStore` satisfies it. `read` only for one key: it does not pause."""

    @property
    def revision(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def compact_revision(self) -> int: ...
    def changed(self, revision: int) -> Sequence[bytes]: ...
    def version(self, key: bytes, revision: int) -> KeyValue | None: ...
    def read(self, wanted: Range) -> RangeResult | ReadError: ...
    def begin_read(self, wanted: Range) -> ReadJob: ...
    def begin_read_txn(self, txn: Txn) -> ReadJob: ...


class Header(msgspec.Struct, frozen=True, gc=False):
    """What every answer begins with. Ids as in `identity`; `cluster_id` 0: not born; `revision` 0: none is told."""

    cluster_id: int
    member_id: int
    revision: int
    raft_term: int


class StatusAnswer(msgspec.Struct, frozen=True):
    """This member: `leader` is an id, 0 where nobody leads; sizes are bytes; the rest is indexes and the term."""

    header: Header
    leader: int
    store_bytes: int
    quota_bytes: int
    full: bool
    commit: int
    applied: int
    term: int
    is_learner: bool


class EtcdCalls:
    """`term`: the node's current one. `message_bytes` of a call: how long its message is in etcd's own encoding, or
    something longer that is not over the limit either. `numbers`: of the client's session, for what writes."""

    def __init__(
        self,
        handle: NodeHandle,
        store: ReadableStore,
        metrics: Metrics,
        term: Callable[[], int],
        slices: Slices,
        quota: Quota,
        users: Users | None = None,
    ) -> None:
        self.quota = quota
        self.users = users or Users(handle, store)
        self._handle = handle
        self._cluster = OwnCluster(handle)
        self._store = store
        self._metrics = metrics
        self._term = term
        self._slices = slices
        self._ids: tuple[int, int] | None = None

    async def range(self, message: Message, _message_bytes: int) -> Answered:
        """A RangeRequest."""
        wanted = range_of(message)
        if wanted.revision < 0:
            wanted = msgspec.structs.replace(wanted, revision=0)  # outside a transaction any negative one is "now"
        await self.barrier(message.get("serializable", False))
        await self.users.require_read(wanted.key, wanted.range_end)
        if not wanted.range_end:
            return answered(self._store.read(wanted))
        return answered(cast(Result, await self._slices.read(self._store.begin_read(wanted))))

    async def put(self, message: Message, message_bytes: int, numbers: Numbers = NO_SESSION) -> Answered:
        """A PutRequest."""
        return await self._write(self.checked_put(message, message_bytes), numbers)

    def checked_put(self, message: Message, message_bytes: int) -> Put:
        """The write of a PutRequest, if it may be proposed."""
        put = put_of(message)
        check_write_size(message_bytes)
        self.require_room()
        return put

    async def delete_range(self, message: Message, message_bytes: int, numbers: Numbers = NO_SESSION) -> Answered:
        """A DeleteRangeRequest."""
        return await self._write(self.checked_delete(message, message_bytes), numbers)

    def checked_delete(self, message: Message, message_bytes: int) -> DeleteRange:
        """The write of a DeleteRangeRequest, if it may be proposed."""
        delete = delete_of(message)
        check_write_size(message_bytes)
        return delete

    async def txn(self, message: Message, message_bytes: int, numbers: Numbers = NO_SESSION) -> Answered:
        """A TxnRequest."""
        txn = await self._slices.finish(txn_of(message))
        if only_reads(txn):
            await self.barrier(is_serializable(message))
            await self.users.require_read_txn(txn)
            return answered(cast(Result, await self._slices.read(self._store.begin_read_txn(txn))))
        self.check_txn(txn, message_bytes)
        return await self._write(txn, numbers)

    def check_txn(self, txn: Txn, message_bytes: int) -> None:
        """Whether a transaction that writes may be proposed."""
        check_write_size(message_bytes)
        if self.quota.exceeded and grows(txn):
            self.require_room()

    async def compact(self, message: Message, _message_bytes: int, numbers: Numbers = NO_SESSION) -> Answered:
        """A CompactionRequest."""
        compact = compact_of(message)
        await self.users.settled()  # it is not judged again where it is applied
        await self.users.require_somebody()
        if compact is None:
            raise EtcdError(Code.OUT_OF_RANGE, errors.COMPACTED)
        return await self._write(compact, numbers)

    async def status(self, _message: Message, _message_bytes: int) -> StatusAnswer:
        """A StatusRequest."""
        await self.users.require_root()
        core = self._handle.status().core
        leader = next((member for member in core.voters if member.name == core.leader), None)
        return StatusAnswer(
            self.header(self._store.revision),
            0 if leader is None else member_number(leader),
            max(1, self._store.size_bytes),  # etcdctl divides by it
            self.quota.bytes_max,
            self.quota.exceeded,
            core.commit,
            core.applied,
            core.term,
            core.name in {member.name for member in core.learners},
        )

    async def health(self, serializable: bool) -> str:
        """Why no linearizable read is possible (`serializable`: why this node does not answer); empty: one is."""
        if serializable:
            return ""
        if not self._handle.status().core.leader:
            return "RAFT NO LEADER"  # at once: who asks for health does not want to wait until it is better
        failed = await self._handle.read_barrier(None)
        if failed is None:
            return ""
        return "RAFT NO LEADER" if failed.code == "no-leader" else f"QGET ERROR:{failed.reason}"

    @property
    def revision(self) -> int:
        """The store's, for answers that are about something else."""
        return self._store.revision

    def header(self, revision: int) -> Header:
        """The header of an answer, now."""
        cluster, member = self._ids or self._find_ids()
        return Header(cluster, member, revision, self._term())

    def _find_ids(self) -> tuple[int, int]:
        core = self._handle.status().core
        ids = cluster_number(core.cluster_id), member_number(Member(core.name, core.incarnation))
        if ids[0]:  # it is born: neither changes any more
            self._ids = ids
        return ids

    async def barrier(self, serializable: bool = False) -> None:
        """Wait until the store may be read; raises `EtcdError` where it may not."""
        if serializable:
            self._metrics.read("stale")
            return
        self.check_barrier(await self._handle.read_barrier(None))

    def check_barrier(self, failed: ReadFailed | None) -> None:
        """Count a barrier; raises `EtcdError` where it failed."""
        self._metrics.read("linearizable" if failed is None else failed.code)
        if failed is not None:
            raise EtcdError(Code.UNAVAILABLE, unavailable(failed))

    def require_room(self) -> None:
        """Nothing that grows is proposed while the store is full."""
        if self.quota.exceeded:
            self._metrics.proposal("store-full")
            raise EtcdError(Code.RESOURCE_EXHAUSTED, errors.NO_SPACE)

    async def _write(self, command: StoreWrite, numbers: Numbers) -> Answered:
        return self.written(await self.propose(command, numbers))

    async def propose(self, command: StoreWrite, numbers: Numbers, *, for_asker: bool = True) -> Outcome:
        """What became of a write; raises `EtcdError` where its session is of another cluster. `for_asker` False: it is
        the node's, whoever asks."""
        foreign = self._cluster.refusal(numbers)
        if foreign is not None:
            self._metrics.proposal(foreign.code)
            answered(foreign)
        try:
            data = encoded(command, numbers)
            if for_asker:
                data = await self.users.marked(data)
            return await self._handle.propose(data, None, numbers.session, numbers.sequence)
        except EtcdError:
            raise
        except Exception:
            _LOG.exception("a write failed in the node")
            return Unknown("this node made a mistake while it wrote; its log says which")

    def written(self, outcome: Outcome) -> Answered:
        """The answer to a write of keys, or an `EtcdError`."""
        return answered(self.result_of(outcome))

    def result_of(self, outcome: Outcome) -> Result:
        """What the store said, or an `EtcdError` that says what became of the write."""
        if isinstance(outcome, Done):
            result = cast(Result, outcome.result)
            self._metrics.proposal(count_of(result))
            if result == user_empty():  # this node did not know of users when it proposed it
                raise EtcdError(Code.UNAVAILABLE, errors.MEANWHILE_IN_FORCE)
            return result
        if isinstance(outcome, DoneUntold):
            self._metrics.proposal("done-untold")
            raise EtcdError(Code.DEADLINE_EXCEEDED, f"etcdserver: the write was done, but {outcome.reason}")
        if isinstance(outcome, Unknown):
            self._metrics.proposal("unknown")
            reason = f"etcdserver: it is unknown whether this was done: {outcome.reason}"
            raise EtcdError(Code.DEADLINE_EXCEEDED, reason)
        self._metrics.proposal(outcome.code)
        if outcome.code == "log-full":  # not etcd's sentence for a full store: to delete keys is refused, too
            raise EtcdError(Code.RESOURCE_EXHAUSTED, f"etcdserver: {outcome.reason}")
        if outcome.code == "too-large":
            raise errors.invalid(errors.TOO_LARGE)
        raise EtcdError(Code.UNAVAILABLE, unavailable(outcome))


def answered(result: Result) -> Answered:
    """The result of a command or a read, where it is none of those that are errors to a client."""
    if isinstance(result, Compacted):
        raise EtcdError(Code.OUT_OF_RANGE, errors.COMPACTED)
    if isinstance(result, FutureRevision):
        raise EtcdError(Code.OUT_OF_RANGE, errors.FUTURE_REVISION)
    if isinstance(result, Refused):
        raise refused(result)
    if isinstance(result, Untold):
        reason = "etcdserver: the write was done, but its answer was too long to be kept"
        raise EtcdError(Code.DEADLINE_EXCEEDED, reason)
    if isinstance(result, Registered):
        raise EtcdError(Code.INTERNAL, "etcdserver: a session was registered instead")
    if isinstance(result, LeaseResult | AuthResult):
        raise EtcdError(Code.INTERNAL, "etcdserver: this answer is none about keys")
    return result
