"""What each revision changed, found without the history that watches read: every committed entry is applied to a store
of its own, and what lives there before and after is compared, all of it.

Why it exists: watches are judged by it, so it must not ask the code that they rest on, neither for what a revision
changed nor for what lived at an earlier one. It must not judge.
"""

from collections.abc import Callable, Sequence

from node.raft.types import Entry, EntryKind
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import (
    Compact,
    DeleteRange,
    InSession,
    KeyValue,
    Put,
    RangeResult,
    Txn,
    TxnResult,
    Write,
    decode_write,
)


class TrueChanges:
    """`follow` what is committed, from the first entry on. Where several leases end with one entry, all that goes with
    them is said to go at the last of its revisions: who watches must not be judged by that."""

    def __init__(self) -> None:
        self.compacted = 0
        """The highest revision that was compacted."""
        self.living: dict[bytes, KeyValue] = {}
        """After the last entry."""
        self._store = KeyValueStore()
        self._entries = 0
        self._changes: dict[int, Sequence[KeyValue]] = {}
        self._versions: dict[bytes, list[KeyValue]] = {}

    @property
    def revision(self) -> int:
        """The last."""
        return self._store.revision

    def follow(self, committed: Sequence[Entry], taken: Callable[[], None] = lambda: None) -> None:
        """Take what is committed beyond what was; `taken` after each entry."""
        while self._entries < len(committed):
            entry = committed[self._entries]
            self._entries += 1
            results = self._store.apply([entry])
            if entry.kind is EntryKind.WRITE:
                write = decode_write(entry.data)
                self._compare(write, results[0])
            taken()

    def changes(self, revision: int) -> Sequence[KeyValue]:
        """All that it changed, in order."""
        return self._changes.get(revision, ())

    def before(self, key: bytes, revision: int) -> KeyValue | None:
        """What lived there until that revision changed it."""
        earlier = [kv for kv in self._versions.get(key, ()) if kv.mod_revision < revision]
        return earlier[-1] if earlier and earlier[-1].version else None

    def _compare(self, write: Write, result: object) -> None:
        if isinstance(write, Compact):
            self.compacted = max(self.compacted, self._store.compact_revision)
        found = self._store.range(b"\0", b"\0")
        assert isinstance(found, RangeResult)
        living = {kv.key: kv for kv in found.kvs}
        changed = [kv for kv in found.kvs if self.living.get(kv.key) != kv]
        changed += [KeyValue(key, b"", 0, self.revision, 0) for key in self.living if key not in living]
        operations = _operations(write, result)
        changed.sort(key=lambda kv: (_place(kv.key, operations), kv.key))
        for kv in changed:
            self._versions.setdefault(kv.key, []).append(kv)
            self._changes[kv.mod_revision] = [*self._changes.get(kv.mod_revision, ()), kv]
        self.living = living


def _operations(write: Write, result: object) -> Sequence[object]:
    """What was done, in order."""
    if isinstance(write, InSession):
        return _operations(decode_write(write.write), result)
    if isinstance(write, Txn):
        return write.success if isinstance(result, TxnResult) and result.succeeded else write.failure
    return (write,)


def _place(key: bytes, operations: Sequence[object]) -> int:
    """Of the operation that changed `key`; those of one range are in the order of their keys."""
    for at, operation in enumerate(operations):
        if isinstance(operation, Put) and operation.key == key:
            return at
        if isinstance(operation, DeleteRange):
            start, end = operation.key, operation.range_end
            if key == start if not end else key >= start and (end == b"\0" or key < end):
                return at
    return len(operations)
