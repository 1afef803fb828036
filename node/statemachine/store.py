"""The key-value store that the log drives: revisions, transactions, reads of the past, as etcd has them.

Why it exists: it is the meaning of the log. Equal entries give equal state and equal results, for ever: no clock,
no chance, no iteration over sets. It must not raise on account of what an entry holds: the entry is committed, so
refusing it is a result like any other.

The store's revision begins at 1; each command that changes something adds 1, whatever the number of keys.
"""

from collections.abc import Sequence
from itertools import islice
from typing import TypeVar

import msgspec

from node.raft.types import Entry, EntryKind
from node.statemachine.commands import (
    KEY_BYTES_MAX,
    TXN_OPERATIONS_MAX,
    VALUE_BYTES_MAX,
    Command,
    Compact,
    Compacted,
    CompactResult,
    Compare,
    DeleteRange,
    DeleteResult,
    FutureRevision,
    KeyValue,
    Operation,
    Put,
    PutResult,
    Range,
    RangeResult,
    ReadError,
    Refused,
    Relation,
    Result,
    Target,
    Txn,
    TxnResult,
    decode_command,
    encode_result,
)
from node.statemachine.versions import Versions

FIRST_REVISION = 1

_Comparable = TypeVar("_Comparable", int, bytes)


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
        return self._versions.compacted

    @property
    def key_count(self) -> int:
        """Living keys."""
        return self._versions.count(b"", None)

    def digest(self) -> str:
        """A hash (hex) of everything readable, for comparing nodes in tests; takes time in the size of the store."""
        return self._versions.digest(self._revision)

    def apply(self, entries: Sequence[Entry]) -> list[bytes]:
        """Take committed entries in order, each exactly once; one encoded `Result` a COMMAND entry, else b""."""
        results = [self._apply(entry) for entry in entries]
        self._versions.purge()
        return results

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

    def _read(self, wanted: Range) -> RangeResult:
        end = _end_of(wanted)
        limit = wanted.limit or None
        if not wanted.revision or wanted.revision == self._revision:
            count = self._versions.count(wanted.key, end)
            kvs = () if wanted.count_only else tuple(islice(self._versions.present(wanted.key, end), limit))
        else:
            past = list(self._versions.past(wanted.key, end, wanted.revision))
            count = len(past)
            kvs = () if wanted.count_only else tuple(past[:limit])
        if wanted.keys_only:
            kvs = tuple(msgspec.structs.replace(kv, value=b"") for kv in kvs)
        return RangeResult(self._revision, kvs, count, not wanted.count_only and len(kvs) < count)

    def _unreadable(self, revision: int) -> ReadError | None:
        if revision > self._revision:
            return FutureRevision(revision, self._revision)
        if revision and revision < self._versions.compacted:
            return Compacted(revision, self._versions.compacted)
        return None

    def _apply(self, entry: Entry) -> bytes:
        if entry.kind is not EntryKind.COMMAND:
            return b""
        try:
            command = decode_command(entry.data)
        except msgspec.MsgspecError as error:
            return encode_result(Refused("malformed", f"entry {entry.index} holds no command: {error}"))
        return encode_result(self._do(command))

    def _do(self, command: Command) -> Result:
        if isinstance(command, Txn):
            return self._transact(command)
        if isinstance(command, Compact):
            return self._compact(command.revision)
        refusal = _refusal_of((command,)) or self._unreadable_in((command,))
        if refusal is not None:
            return refusal
        result = self._operate(command, self._revision + 1)
        if isinstance(result, PutResult) or (isinstance(result, DeleteResult) and result.deleted):
            self._revision += 1
        return result

    def _transact(self, txn: Txn) -> Result:
        if len(txn.compare) > TXN_OPERATIONS_MAX:
            return Refused("too-many-operations", f"a transaction has at most {TXN_OPERATIONS_MAX} compares")
        refusal = _refusal_of(txn.success) or _refusal_of(txn.failure) or _malformed_compare(txn.compare)
        if refusal is not None:
            return refusal
        succeeded = all(self._holds(compare) for compare in txn.compare)
        branch = txn.success if succeeded else txn.failure
        unreadable = self._unreadable_in(branch)
        if unreadable is not None:
            return unreadable
        revision = self._revision + 1
        responses = []
        for operation in branch:
            response = self._operate(operation, revision)
            responses.append(response)
            if isinstance(response, PutResult) or (isinstance(response, DeleteResult) and response.deleted):
                self._revision = revision
        return TxnResult(self._revision, succeeded, tuple(responses))

    def _operate(self, operation: Operation, revision: int) -> PutResult | DeleteResult | RangeResult:
        """Do one valid operation; what it writes gets `revision`."""
        if isinstance(operation, Put):
            previous = self._versions.put(operation.key, operation.value, operation.lease, revision)
            return PutResult(revision, previous if operation.prev_kv else None)
        if isinstance(operation, Range):
            return self._read(operation)
        doomed = tuple(self._versions.present(operation.key, _end_of(operation)))
        for kv in doomed:
            self._versions.delete(kv.key, revision)
        return DeleteResult(revision if doomed else self._revision, len(doomed), doomed if operation.prev_kv else ())

    def _unreadable_in(self, operations: tuple[Operation, ...]) -> ReadError | None:
        for operation in operations:
            if isinstance(operation, Range):
                refusal = self._unreadable(operation.revision)
                if refusal is not None:
                    return refusal
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


def _malformed_compare(compares: tuple[Compare, ...]) -> Refused | None:
    for compare in compares:
        if not compare.key:
            return Refused("empty-key", "a key has at least one byte")
        if isinstance(compare.operand, bytes) is not (compare.target is Target.VALUE):
            return Refused("malformed", "a compare of VALUE takes bytes, every other one an integer")
    return None


def _refusal_of(operations: tuple[Operation, ...]) -> Refused | None:
    """Why these operations cannot be one transaction's branch, judged by themselves alone."""
    if len(operations) > TXN_OPERATIONS_MAX:
        return Refused("too-many-operations", f"a branch has at most {TXN_OPERATIONS_MAX} operations")
    written: dict[bytes, None] = {}
    for operation in operations:
        if not operation.key:
            return Refused("empty-key", "a key has at least one byte")
        if len(operation.key) > KEY_BYTES_MAX:
            return Refused("too-large", f"a key has at most {KEY_BYTES_MAX} bytes")
        if isinstance(operation, Range) and (operation.limit < 0 or operation.revision < 0):
            return Refused("malformed", "limit and revision are not negative")
        if isinstance(operation, Put):
            if len(operation.value) > VALUE_BYTES_MAX:
                return Refused("too-large", f"a value has at most {VALUE_BYTES_MAX} bytes")
            if operation.lease:
                return Refused("lease-not-found", f"there is no lease {operation.lease}")
            if operation.key in written:
                return Refused("duplicate-key", "a transaction writes a key at most once")
            written[operation.key] = None
    if len(operations) > 1 and any(_deletes(op, key) for op in operations for key in written):
        return Refused("duplicate-key", "a transaction writes a key at most once")
    return None


def _deletes(operation: Operation, key: bytes) -> bool:
    if not isinstance(operation, DeleteRange):
        return False
    end = _end_of(operation)
    return operation.key <= key and (end is None or key < end)
