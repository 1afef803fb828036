"""The key-value store that the log drives: revisions, transactions, reads of the past, as etcd has them.

Why it exists: it is the meaning of the log. Equal entries give equal state and equal results, for ever: no clock,
no chance, no iteration over sets. It must not raise on account of what an entry holds: the entry is committed, so
refusing it is a result like any other.

The store's revision begins at 1; each command that changes something adds 1, whatever the number of keys.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from node.raft.types import Entry, EntryKind
from node.statemachine.commands import (
    Branches,
    Command,
    Compact,
    Compacted,
    CompactResult,
    Compare,
    DeleteRange,
    DeleteResult,
    FutureRevision,
    KeyValue,
    Nested,
    Operation,
    Put,
    PutResult,
    Range,
    RangeResult,
    ReadError,
    Refused,
    Relation,
    Response,
    Result,
    SortOrder,
    SortTarget,
    Target,
    Txn,
    TxnResult,
    decode_command,
    decode_result,
    encode_result,
    fits,
)
from node.statemachine.transactions import refusal_of, refusal_of_operations
from node.statemachine.versions import Versions

FIRST_REVISION = 1

_Comparable = TypeVar("_Comparable", int, bytes)

_SORT_KEYS: dict[SortTarget, Callable[[KeyValue], Any]] = {
    SortTarget.KEY: attrgetter("key"),
    SortTarget.VERSION: attrgetter("version"),
    SortTarget.CREATE: attrgetter("create_revision"),
    SortTarget.MOD: attrgetter("mod_revision"),
    SortTarget.VALUE: attrgetter("value"),
}


class KeyValueStore:
    """Satisfies `node.runtime.ports.StateMachine`; its reading half is what the API sees."""

    def __init__(self) -> None:
        self._versions = Versions()
        self._revision = FIRST_REVISION

    @property
    def revision(self) -> int:
        """The revision of the last change; 1 when there was none."""
        return self._revision

    @property
    def compact_revision(self) -> int:
        """The oldest readable revision; 0 when nothing was compacted."""
        return max(0, self._versions.compacted)

    @property
    def key_count(self) -> int:
        """Living keys."""
        return self._versions.count(b"", None)

    def digest(self) -> str:
        """A hash (hex) of everything readable, for comparing nodes in tests; takes time in the size of the store."""
        return self._versions.digest(self._revision)

    def apply(self, entries: Sequence[Entry]) -> list[Result | None]:
        """Take committed entries in order, each exactly once; one `Result` per COMMAND entry, else None."""
        results = [self._apply(entry) for entry in entries]
        self._versions.purge()
        return results

    def encode_result(self, result: object, bytes_max: int) -> bytes | None:
        """See `StateMachine`. Each key counts for more than its bytes: that is what it costs to decode one."""
        if not fits(result, bytes_max):
            return None
        data = encode_result(result)
        return data if len(data) <= bytes_max else None

    def decode_result(self, data: bytes) -> Result:
        """See `StateMachine`."""
        return decode_result(data)

    def get(self, key: bytes, revision: int = 0) -> KeyValue | ReadError | None:
        """The version of `key` at `revision` (0: now), None where there is none."""
        if not revision:
            return self._versions.newest(key)
        return self._unreadable(revision) or self._versions.at(key, revision)

    def range(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        revision: int = 0,
        limit: int = 0,
        keys_only: bool = False,
        count_only: bool = False,
    ) -> RangeResult | ReadError:
        """Keys in [key, range_end) at `revision` (0: now), in order. `range_end` empty: `key` alone; b"\\0": all
        from `key` on. `limit` 0: all. Reading a past revision walks the whole range even with a limit, to count."""
        return self._unreadable(revision) or self._read(Range(key, range_end, revision, limit, keys_only, count_only))

    def read(self, wanted: Range) -> RangeResult | ReadError:
        """What `wanted` describes, now."""
        return self._unreadable(wanted.revision) or self._read(wanted)

    def read_txn(self, txn: Txn) -> Result:
        """The result of a transaction that only reads, without putting it through the log."""
        return self._transact(txn)

    def _read(self, wanted: Range) -> RangeResult:
        end, limit = _end_of(wanted), max(0, wanted.limit)
        everything = wanted.sort_order is not SortOrder.NONE or _filters(wanted)
        fetched = None if everything or not limit else min(limit, sys.maxsize - 1) + 1
        if wanted.revision <= 0 or wanted.revision == self._revision:
            count = self._versions.count(wanted.key, end)
            kvs = [] if wanted.count_only else list(islice(self._versions.present(wanted.key, end), fetched))
        else:
            past = list(self._versions.past(wanted.key, end, wanted.revision))
            count = len(past)
            kvs = [] if wanted.count_only else past[:fetched]
        if _filters(wanted):
            kvs = [kv for kv in kvs if _passes(kv, wanted)]
        if wanted.sort_order is SortOrder.DESCEND or wanted.sort_target is not SortTarget.KEY:
            kvs.sort(key=_SORT_KEYS[wanted.sort_target], reverse=wanted.sort_order is SortOrder.DESCEND)
        more = bool(limit) and len(kvs) > limit
        if more:
            del kvs[limit:]
        if wanted.keys_only:
            kvs = [msgspec.structs.replace(kv, value=b"") for kv in kvs]
        return RangeResult(self._revision, tuple(kvs), count, more)

    def _unreadable(self, revision: int) -> ReadError | None:
        if revision > self._revision:
            return FutureRevision(revision, self._revision)
        if revision and revision < self._versions.compacted:
            return Compacted(revision, self._versions.compacted)
        return None

    def _apply(self, entry: Entry) -> Result | None:
        if entry.kind is not EntryKind.COMMAND:
            return None
        try:
            command = decode_command(entry.data)
        except msgspec.MsgspecError as error:
            return Refused("malformed", f"entry {entry.index} holds no command: {error}")
        return self._do(command)

    def _do(self, command: Command) -> Result:
        if isinstance(command, Txn):
            return self._transact(command)
        if isinstance(command, Compact):
            return self._compact(command.revision)
        refusal = refusal_of_operations((command,)) or _no_lease(command) or self._impossible(command)
        if refusal is not None:
            return refusal
        result = self._operate(command, self._revision + 1)
        self._advance(result)
        return result

    def _transact(self, txn: Txn) -> Result:
        refusal = refusal_of(txn)
        if refusal is not None:
            return refusal
        taken = self._take(txn)
        for operation in _leaves(taken, txn):
            impossible = self._impossible(operation)
            if impossible is not None:
                return impossible
        return self._run(txn, txn, taken, self._revision + 1)

    def _take(self, txn: Txn) -> dict[int, bool]:
        """Of each transaction that will be done, by its place in `nested` (the outermost: -1), whether it succeeds."""
        taken: dict[int, bool] = {}
        waiting: list[tuple[int, Txn | Branches]] = [(-1, txn)]
        while waiting:
            index, tree = waiting.pop()
            taken[index] = succeeded = all(self._holds(compare) for compare in tree.compare)
            for operation in tree.success if succeeded else tree.failure:
                if isinstance(operation, Nested):
                    waiting.append((operation.index, txn.nested[operation.index]))
        return taken

    def _run(self, tree: Txn | Branches, txn: Txn, taken: dict[int, bool], revision: int, index: int = -1) -> TxnResult:
        """Do the branch that was taken; as deep as the transaction."""
        responses: list[Response] = []
        for operation in tree.success if taken[index] else tree.failure:
            if isinstance(operation, Nested):
                inner = txn.nested[operation.index]
                responses.append(self._run(inner, txn, taken, revision, operation.index))
                continue
            response = self._operate(operation, revision)
            self._advance(response)
            responses.append(response)
        return TxnResult(self._revision, taken[index], tuple(responses))

    def _operate(self, operation: Put | DeleteRange | Range, revision: int) -> PutResult | DeleteResult | RangeResult:
        """Do one possible operation; what it writes gets `revision`."""
        if isinstance(operation, Put):
            before = self._versions.newest(operation.key)
            value = before.value if operation.ignore_value and before is not None else operation.value
            lease = before.lease if operation.ignore_lease and before is not None else operation.lease
            self._versions.put(operation.key, value, lease, revision)
            return PutResult(revision, before if operation.prev_kv else None)
        if isinstance(operation, Range):
            return self._read(operation)
        doomed = tuple(self._versions.present(operation.key, _end_of(operation)))
        for kv in doomed:
            self._versions.delete(kv.key, revision)
        return DeleteResult(revision if doomed else self._revision, len(doomed), doomed if operation.prev_kv else ())

    def _advance(self, result: PutResult | DeleteResult | RangeResult) -> None:
        """The store's revision after `result`: only what writes has a later one."""
        self._revision = max(self._revision, result.revision)

    def _impossible(self, operation: Operation) -> Refused | ReadError | None:
        """Why the present state rules this operation out."""
        if isinstance(operation, Put):
            if (operation.ignore_value or operation.ignore_lease) and self._versions.newest(operation.key) is None:
                return Refused("key-not-found", "there is no such key, so there is nothing of it to keep")
            return _no_lease(operation)
        if isinstance(operation, Range):
            return self._unreadable(operation.revision)
        return None

    def _compact(self, revision: int) -> Result:
        if revision > self._revision:
            return FutureRevision(revision, self._revision)
        if revision <= self._versions.compacted:
            return Compacted(revision, self._versions.compacted)
        self._versions.compact(revision)
        return CompactResult(self._revision)

    def _holds(self, compare: Compare) -> bool:
        if not compare.range_end:
            return _relates(self._versions.newest(compare.key), compare)
        found = list(self._versions.present(compare.key, _end_of(compare)))
        return all(_relates(kv, compare) for kv in found) if found else _relates(None, compare)


def _end_of(range_: Range | DeleteRange | Compare) -> bytes | None:
    """Where [key, end) ends: after the key itself without `range_end`, None for "every key from here on"."""
    if range_.range_end == b"\0":
        return None
    return range_.range_end or range_.key + b"\0"


def _relates(kv: KeyValue | None, compare: Compare) -> bool:
    if isinstance(compare.operand, bytes):
        return kv is not None and _compares(kv.value, compare.relation, compare.operand)
    return _compares(_number(kv, compare.target), compare.relation, compare.operand)


def _compares(actual: _Comparable, relation: Relation, operand: _Comparable) -> bool:
    if relation is Relation.EQUAL:
        return actual == operand
    if relation is Relation.NOT_EQUAL:
        return actual != operand
    return actual > operand if relation is Relation.GREATER else actual < operand


def _number(kv: KeyValue | None, target: Target) -> int:
    """What a key has of `target`: a missing one has 0 of everything."""
    if kv is None:
        return 0
    if target is Target.MOD_REVISION:
        return kv.mod_revision
    if target is Target.VERSION:
        return kv.version
    return kv.create_revision if target is Target.CREATE_REVISION else kv.lease


def _no_lease(operation: Operation) -> Refused | None:
    """Leases do not exist yet. Of a put alone etcd looks at the lease first, inside a transaction at the key."""
    if isinstance(operation, Put) and operation.lease:
        return Refused("lease-not-found", f"there is no lease {operation.lease}")
    return None


def _leaves(taken: dict[int, bool], txn: Txn) -> Iterator[Operation]:
    """What will be done, in order, without the nested transactions themselves."""
    waiting: list[Operation] = list(reversed(txn.success if taken[-1] else txn.failure))
    while waiting:
        operation = waiting.pop()
        if isinstance(operation, Nested):
            tree = txn.nested[operation.index]
            waiting.extend(reversed(tree.success if taken[operation.index] else tree.failure))
        else:
            yield operation


def _filters(wanted: Range) -> bool:
    return bool(
        wanted.min_mod_revision or wanted.max_mod_revision or wanted.min_create_revision or wanted.max_create_revision
    )


def _passes(kv: KeyValue, wanted: Range) -> bool:
    """Whether the filters let `kv` through; 0 is no filter."""
    if wanted.min_mod_revision and kv.mod_revision < wanted.min_mod_revision:
        return False
    if wanted.max_mod_revision and kv.mod_revision > wanted.max_mod_revision:
        return False
    if wanted.min_create_revision and kv.create_revision < wanted.min_create_revision:
        return False
    return not (wanted.max_create_revision and kv.create_revision > wanted.max_create_revision)
