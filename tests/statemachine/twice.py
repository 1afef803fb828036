"""What a transaction would write twice, found the plain way: what each branch writes is joined, from the inside out."""

from collections.abc import Sequence

from node.statemachine.writes import Branches, DeleteRange, Nested, Operation, Put, Txn

Deletes = list[tuple[bytes, bytes]]


class _WrittenTwiceError(Exception):
    pass


def written_twice(txn: Txn) -> bool:
    """Whether it is refused."""
    try:
        for branch in (txn.success, txn.failure):
            _written(branch, txn.nested)
    except _WrittenTwiceError:
        return True
    return False


def _written(branch: Sequence[Operation], nested: Sequence[Branches]) -> tuple[set[bytes], Deletes]:
    """Keys that `branch` puts and intervals that it deletes."""
    deletes = [(o.key, o.range_end or o.key + b"\0") for o in branch if isinstance(o, DeleteRange)]
    puts: set[bytes] = set()
    for operation in branch:
        if isinstance(operation, Nested):
            inner = nested[operation.index]
            succeeding, succeeding_deletes = _written(inner.success, nested)
            failing, failing_deletes = _written(inner.failure, nested)
            _claim(succeeding | failing, puts, deletes)  # only one of the two is done: both may write the same key
            deletes += succeeding_deletes + failing_deletes
    for operation in branch:
        if isinstance(operation, Put):
            _claim({operation.key}, puts, deletes)
    return puts, deletes


def _claim(keys: set[bytes], puts: set[bytes], deletes: Deletes) -> None:
    if not puts.isdisjoint(keys) or any(begin <= key < end for key in keys for begin, end in deletes):
        raise _WrittenTwiceError
    puts |= keys
