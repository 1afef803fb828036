"""Whether a transaction can be done at all, judged by itself: its shape, and that no key is written twice.

Why it exists: the API asks before it proposes, the store asks again before it applies; both must agree, for ever.
The rules are etcd's, with what is peculiar in them: a delete of "every key from here on" never counts as writing a
key that is also put, and of two nested transactions only the later one's puts are held against the earlier one's
deletes. It must not look at the state.
"""

from collections.abc import Iterator, Sequence

from sortedcontainers import SortedDict

from node.statemachine.commands import (
    COMMAND_BYTES_MAX,
    TXN_DEPTH_MAX,
    TXN_OPERATIONS_MAX,
    Branches,
    Compare,
    DeleteRange,
    Nested,
    Operation,
    Put,
    Refused,
    Target,
    Txn,
)

Tree = Txn | Branches


def refusal_of(txn: Txn) -> Refused | None:
    """Why `txn` can never be done; None where it can."""
    trees: tuple[Tree, ...] = (txn, *txn.nested)
    for tree in trees:
        if max(len(tree.compare), len(tree.success), len(tree.failure)) > TXN_OPERATIONS_MAX:
            return Refused("too-many-operations", f"a transaction has at most {TXN_OPERATIONS_MAX} of a kind")
    if not _is_a_tree(trees):
        return Refused("malformed", "each nested transaction stands in exactly one earlier one, and not too deep")
    for tree in trees:
        refusal = _malformed_compare(tree.compare) or refusal_of_operations((*tree.success, *tree.failure))
        if refusal is not None:
            return refusal
    return duplicate_key(txn)


def refusal_of_operations(operations: Sequence[Operation]) -> Refused | None:
    """Why one of these can never be done."""
    for operation in operations:
        if isinstance(operation, Nested):
            continue
        if not operation.key:
            return Refused("empty-key", "a key has at least one byte")
        size_bytes = len(operation.key) + (len(operation.value) if isinstance(operation, Put) else 0)
        if size_bytes > COMMAND_BYTES_MAX:
            return Refused("too-large", f"a key and its value have at most {COMMAND_BYTES_MAX} bytes")
    return None


def duplicate_key(txn: Txn) -> Refused | None:
    """Why `txn`, which is a tree, writes a key twice; None where it does not."""
    try:
        for branch in (txn.success, txn.failure):
            _written(branch, txn.nested)
    except _WrittenTwiceError:
        return Refused("duplicate-key", "a transaction writes a key at most once")
    return None


class _WrittenTwiceError(Exception):
    pass


class _Intervals:
    """A union of half-open intervals of keys."""

    def __init__(self) -> None:
        self._ends: SortedDict[bytes, bytes] = SortedDict()

    def add(self, begin: bytes, end: bytes) -> None:
        """Join [begin, end); nothing where it is empty."""
        if begin >= end:
            return
        at = self._ends.bisect_right(begin) - 1
        if at >= 0 and self._ends.peekitem(at)[1] >= begin:
            begin, previous = self._ends.popitem(at)
            end = max(end, previous)
        at = self._ends.bisect_left(begin)
        while at < len(self._ends) and self._ends.peekitem(at)[0] <= end:
            end = max(end, self._ends.popitem(at)[1])
        self._ends[begin] = end

    def join(self, other: "_Intervals") -> None:
        for begin, end in other._ends.items():
            self.add(begin, end)

    def __contains__(self, key: bytes) -> bool:
        at = self._ends.bisect_right(key) - 1
        return at >= 0 and key < self._ends.peekitem(at)[1]


def _written(branch: Sequence[Operation], nested: Sequence[Branches]) -> tuple[set[bytes], _Intervals]:
    """Keys that `branch` puts and intervals that it deletes; raises `_WrittenTwiceError`."""
    deletes = _Intervals()
    for operation in branch:
        if isinstance(operation, DeleteRange):
            deletes.add(operation.key, operation.range_end or operation.key + b"\0")
    puts: set[bytes] = set()
    for operation in branch:
        if isinstance(operation, Nested):
            inner = nested[operation.index]
            succeeding, succeeding_deletes = _written(inner.success, nested)
            failing, failing_deletes = _written(inner.failure, nested)
            both = succeeding | failing  # only one of the two branches is done: they may write the same key
            _claim(both, puts, deletes)
            deletes.join(succeeding_deletes)
            deletes.join(failing_deletes)
    for operation in branch:
        if isinstance(operation, Put):
            _claim({operation.key}, puts, deletes)
    return puts, deletes


def _claim(keys: set[bytes], puts: set[bytes], deletes: _Intervals) -> None:
    if not puts.isdisjoint(keys) or any(key in deletes for key in keys):
        raise _WrittenTwiceError
    puts |= keys


def _references(tree: Tree) -> Iterator[int]:
    for operation in (*tree.success, *tree.failure):
        if isinstance(operation, Nested):
            yield operation.index


def _is_a_tree(trees: tuple[Tree, ...]) -> bool:
    """Whether each but the first is referred to once, by an earlier one, and none is too deep."""
    depths = [0] * len(trees)
    depths[0] = 1
    for position, tree in enumerate(trees):
        if not 0 < depths[position] <= TXN_DEPTH_MAX:
            return False
        for index in _references(tree):
            child = index + 1
            if not position < child < len(trees) or depths[child]:
                return False
            depths[child] = depths[position] + 1
    return True


def _malformed_compare(compares: tuple[Compare, ...]) -> Refused | None:
    for compare in compares:
        if not compare.key:
            return Refused("empty-key", "a key has at least one byte")
        if isinstance(compare.operand, bytes) is not (compare.target is Target.VALUE):
            return Refused("malformed", "a compare of VALUE takes bytes, every other one an integer")
    return None
