"""What a write does to the versions, and what it answers: in slices, at one revision, all of it or nothing.

Why it exists: here is what the store's writes mean. Whether an answer is made depends on whether somebody waits for
it; what is written, and whether it is refused, must not.

`now` is the store's revision before the write; what the write writes gets the next one. While it is under way,
readers read at `now` and see none of it; the write's own later reads see its earlier writes.
"""

from collections.abc import Iterator

from node.raft.types import Entry
from node.statemachine.auth import Auth
from node.statemachine.auth_writes import AuthWrite
from node.statemachine.authorizing import authorizing
from node.statemachine.comparing import holding
from node.statemachine.leases import Leases
from node.statemachine.leasing import lease_not_found, leasing
from node.statemachine.ranges import end_of, ranging
from node.statemachine.transactions import refusal_of_operations, refusing
from node.statemachine.untracked import untracked
from node.statemachine.versions import Versions
from node.statemachine.work import KEYS_SEEN_PER_UNIT, Meter, Slices
from node.statemachine.writes import (
    Branches,
    Compact,
    Compacted,
    CompactResult,
    DeleteRange,
    DeleteResult,
    FutureRevision,
    KeyValue,
    Nested,
    Operation,
    Put,
    PutResult,
    Range,
    ReadError,
    Refused,
    Response,
    Result,
    StoreWrite,
    Txn,
    TxnResult,
)

OUTERMOST = -1
"""Where other transactions have their place in `nested`."""


def doing(
    versions: Versions, leases: Leases, auth: Auth, write: StoreWrite, entry: Entry, meter: Meter, wanted: bool
) -> Slices[Result | None]:
    """Do `write`, whose turn in the log it is: that of `entry`. The result, if it is `wanted`; None otherwise."""
    if isinstance(write, AuthWrite):
        return authorizing(auth, write, entry, versions.last, meter)
    if isinstance(write, Put):
        return put(versions, leases, write, wanted)
    if isinstance(write, Compact):
        return _compact(versions, write.revision)
    if isinstance(write, Txn):
        now, compacted = versions.last, versions.compacted
        return (yield from transacting(versions, leases, write, now, compacted, meter, wanted, True))
    if isinstance(write, DeleteRange):
        refusal = refusal_of_operations((write,))
        return refusal or (
            yield from _deleting(versions, leases, write, versions.last, versions.last + 1, meter, wanted)
        )
    return (yield from leasing(versions, leases, write, entry, meter))


def put(versions: Versions, leases: Leases, write: Put, wanted: bool) -> PutResult | Refused | None:
    """Do a put that is a write by itself."""
    refusal = refusal_of_operations((write,)) or _no_lease(leases, write) or _nothing_to_keep(versions, write)
    if refusal is not None:
        return refusal
    return _put(versions, leases, write, versions.last + 1, wanted)


def transacting(
    versions: Versions, leases: Leases, txn: Txn, now: int, compacted: int, meter: Meter, wanted: bool, may_write: bool
) -> Slices[Result | None]:
    """Do `txn`. `compacted`: revisions below it cannot be read. Raises `ValueError` where it writes and may not."""
    refusal = yield from refusing(txn, meter)
    if refusal is not None:
        return refusal
    taken = yield from _branches_taken(versions, txn, now, meter)
    for operation in _leaves(taken, txn):
        impossible = _impossible(versions, leases, operation, now, compacted)
        if impossible is not None:
            return impossible
        if not (may_write or isinstance(operation, Range)):
            raise ValueError("this transaction writes")
        meter.left -= 1
        if meter.left <= 0:
            yield
    return (yield from _Doing(versions, leases, txn, taken, now, meter, wanted).branch(txn, OUTERMOST))


def unreadable(revision: int, now: int, compacted: int) -> ReadError | None:
    """Why `revision` (0: now) cannot be read; None where it can."""
    if revision > now:
        return FutureRevision(revision, now)
    if revision and revision < compacted:
        return Compacted(revision, compacted)
    return None


class _Doing:
    """The part of a transaction that cannot fail any more."""

    def __init__(
        self,
        versions: Versions,
        leases: Leases,
        txn: Txn,
        taken: dict[int, bool],
        now: int,
        meter: Meter,
        wanted: bool,
    ) -> None:
        self._versions = versions
        self._leases = leases
        self._nested = txn.nested
        self._taken = taken
        self._now = now
        self._next = now + 1
        self._meter = meter
        self._wanted = wanted

    def branch(self, tree: Txn | Branches, index: int) -> Slices[TxnResult | None]:
        """Do the branch that was taken; as deep as the transaction."""
        responses: list[Response | None] = []
        for operation in tree.success if self._taken[index] else tree.failure:
            if isinstance(operation, Nested):
                responses.append((yield from self.branch(self._nested[operation.index], operation.index)))
            else:
                responses.append((yield from self._operate(operation)))
            self._meter.left -= 1
            if self._meter.left <= 0:
                yield
        if not self._wanted:
            return None
        return TxnResult(self._now, self._taken[index], tuple(r for r in responses if r is not None))

    def _operate(self, operation: Put | DeleteRange | Range) -> Slices[Response | None]:
        if isinstance(operation, Range):
            if not self._wanted:
                return None
            return (yield from ranging(self._versions, operation, self._now, self._meter))
        if isinstance(operation, Put):
            self._now = self._next
            return _put(self._versions, self._leases, operation, self._next, self._wanted)
        now, following = self._now, self._next
        deleted = yield from _deleting(
            self._versions, self._leases, operation, now, following, self._meter, self._wanted
        )
        self._now = self._versions.last
        return deleted


def _put(versions: Versions, leases: Leases, operation: Put, revision: int, wanted: bool) -> PutResult | None:
    value, lease = operation.value, operation.lease
    if operation.ignore_value or operation.ignore_lease:
        kept = versions.at(operation.key, revision)
        if kept is not None:
            value = kept.value if operation.ignore_value else value
            lease = kept.lease if operation.ignore_lease else lease
    before = versions.put(operation.key, value, lease, revision)
    previous = before.lease if before is not None else 0
    if previous != lease:
        if previous:
            leases.detach(previous, operation.key)
        if lease:
            leases.attach(lease, operation.key)
    return PutResult(revision, before if operation.prev_kv else None) if wanted else None


def _deleting(
    versions: Versions, leases: Leases, operation: DeleteRange, now: int, revision: int, meter: Meter, wanted: bool
) -> Slices[DeleteResult | None]:
    """Delete, at `revision`; where there is nothing to delete the revision stays `now`."""
    deleted = 0
    previous: list[KeyValue] = untracked([])
    start: bytes | None = operation.key
    end = end_of(operation)
    while start is not None:
        doomed, start, seen = versions.delete(start, end, revision, max(1, meter.left))
        deleted += len(doomed)
        if leases.has_keys:
            for kv in doomed:
                if kv.lease:
                    leases.detach(kv.lease, kv.key)
        if wanted and operation.prev_kv:
            previous += doomed
        meter.left -= 1 + len(doomed) + seen // KEYS_SEEN_PER_UNIT
        if meter.left <= 0:
            yield
    return DeleteResult(revision if deleted else now, deleted, untracked(tuple(previous))) if wanted else None


def _branches_taken(versions: Versions, txn: Txn, now: int, meter: Meter) -> Slices[dict[int, bool]]:
    """Of each transaction that will be done, by its place in `nested`, whether it succeeds."""
    taken: dict[int, bool] = {}
    waiting: list[tuple[int, Txn | Branches]] = [(OUTERMOST, txn)]
    while waiting:
        index, tree = waiting.pop()
        succeeds = True
        for compare in tree.compare:
            succeeds = yield from holding(versions, compare, now, meter)
            if meter.left <= 0:
                yield
            if not succeeds:
                break
        taken[index] = succeeds
        branch = tree.success if succeeds else tree.failure
        waiting += [(o.index, txn.nested[o.index]) for o in branch if isinstance(o, Nested)]
        meter.left -= 1 + len(branch) // KEYS_SEEN_PER_UNIT
        if meter.left <= 0:
            yield
    return taken


def _leaves(taken: dict[int, bool], txn: Txn) -> Iterator[Put | DeleteRange | Range]:
    """What will be done, in order, without the nested transactions themselves."""
    waiting: list[Operation] = list(reversed(txn.success if taken[OUTERMOST] else txn.failure))
    while waiting:
        operation = waiting.pop()
        if isinstance(operation, Nested):
            tree = txn.nested[operation.index]
            waiting.extend(reversed(tree.success if taken[operation.index] else tree.failure))
        else:
            yield operation


def _impossible(
    versions: Versions, leases: Leases, operation: Put | DeleteRange | Range, now: int, compacted: int
) -> Refused | ReadError | None:
    """Why the present state rules this operation out."""
    if isinstance(operation, Put):
        return _nothing_to_keep(versions, operation) or _no_lease(leases, operation)
    if isinstance(operation, Range):
        return unreadable(operation.revision, now, compacted)
    return None


def _nothing_to_keep(versions: Versions, operation: Put) -> Refused | None:
    if (operation.ignore_value or operation.ignore_lease) and versions.at(operation.key, versions.last) is None:
        return Refused("key-not-found", "there is no such key, so there is nothing of it to keep")
    return None


def _no_lease(leases: Leases, operation: Put) -> Refused | None:
    """Of a put alone etcd looks at the lease first, inside a transaction at the key."""
    if operation.lease and operation.lease not in leases:
        return lease_not_found(operation.lease)
    return None


def _compact(versions: Versions, revision: int) -> Result:
    if revision > versions.last:
        return FutureRevision(revision, versions.last)
    if revision <= versions.compacted:
        return Compacted(revision, versions.compacted)
    versions.compact(revision)
    return CompactResult(versions.last)
