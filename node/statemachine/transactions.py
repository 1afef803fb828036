"""Whether a transaction can be done at all, judged by itself: its shape, and that no key is written twice.

Why it exists: the API asks before it proposes, the store asks again before it applies; both must agree, for ever. It
must not look at the state.
"""

from collections.abc import Iterator, Sequence

from node.statemachine.twice import writes_twice
from node.statemachine.work import Meter, Slices, at_once
from node.statemachine.writes import (
    TXN_DEPTH_MAX,
    TXN_OPERATIONS_MAX,
    WRITE_BYTES_MAX,
    Branches,
    Compare,
    Nested,
    Operation,
    Put,
    Refused,
    Target,
    Txn,
)

PARTS_PER_UNIT = 4
"""Compares and operations whose shape is judged for one unit."""

Tree = Txn | Branches


def refusing(txn: Txn, meter: Meter) -> Slices[Refused | None]:
    """Why `txn` can never be done; None where it can. In slices: it may be long."""
    for tree in _trees(txn):
        if max(len(tree.compare), len(tree.success), len(tree.failure)) > TXN_OPERATIONS_MAX:
            return Refused("too-many-operations", f"a transaction has at most {TXN_OPERATIONS_MAX} of a kind")
        meter.left -= 1
        if meter.left <= 0:
            yield
    if not (yield from _being_a_tree(txn, meter)):
        return Refused("malformed", "each nested transaction stands in exactly one earlier one, and not too deep")
    for tree in _trees(txn):
        refusal = _malformed_compare(tree.compare) or refusal_of_operations((*tree.success, *tree.failure))
        if refusal is not None:
            return refusal
        meter.left -= 1 + (len(tree.compare) + len(tree.success) + len(tree.failure)) // PARTS_PER_UNIT
        if meter.left <= 0:
            yield
    if (yield from writes_twice(txn, meter)):
        return Refused("duplicate-key", "a transaction writes a key at most once")
    return None


def refusal_of_operations(operations: Sequence[Operation]) -> Refused | None:
    """Why one of these can never be done."""
    for operation in operations:
        if isinstance(operation, Nested):
            continue
        if not operation.key:
            return Refused("empty-key", "a key has at least one byte")
        size_bytes = len(operation.key) + (len(operation.value) if isinstance(operation, Put) else 0)
        if size_bytes > WRITE_BYTES_MAX:
            return Refused("too-large", f"a key and its value have at most {WRITE_BYTES_MAX} bytes")
    return None


def duplicate_key(txn: Txn) -> Refused | None:
    """Why `txn`, which is a tree, writes a key twice; None where it does not. For short ones."""
    meter = Meter()
    twice = at_once(writes_twice(txn, meter), meter)
    return Refused("duplicate-key", "a transaction writes a key at most once") if twice else None


def _references(tree: Tree) -> Iterator[int]:
    for operation in (*tree.success, *tree.failure):
        if isinstance(operation, Nested):
            yield operation.index


def _trees(txn: Txn) -> Iterator[Tree]:
    """The outermost transaction and those inside it; not as a tuple: there may be many."""
    yield txn
    yield from txn.nested


def _being_a_tree(txn: Txn, meter: Meter) -> Slices[bool]:
    """Whether each but the first is referred to once, by an earlier one, and none is too deep."""
    depths = [0] * (1 + len(txn.nested))
    depths[0] = 1
    for position, tree in enumerate(_trees(txn)):
        if not 0 < depths[position] <= TXN_DEPTH_MAX:
            return False
        for index in _references(tree):
            child = index + 1
            if not position < child < len(depths) or depths[child]:
                return False
            depths[child] = depths[position] + 1
        meter.left -= 1 + (len(tree.success) + len(tree.failure)) // PARTS_PER_UNIT
        if meter.left <= 0:
            yield
    return True


def _malformed_compare(compares: tuple[Compare, ...]) -> Refused | None:
    for compare in compares:
        if not compare.key:
            return Refused("empty-key", "a key has at least one byte")
        if isinstance(compare.operand, bytes) is not (compare.target is Target.VALUE):
            return Refused("malformed", "a compare of VALUE takes bytes, every other one an integer")
    return None
