"""From a message to a command: etcd's checks, in etcd's order, then the same request in the store's own words.

Why it exists: what can be refused without looking at the state is refused here, before anything is proposed. It must
not read the store.
"""

from collections.abc import Sequence

from node.api.etcd.errors import (
    DUPLICATE_KEY,
    EMPTY_KEY,
    KEY_NOT_FOUND,
    LEASE_PROVIDED,
    SORT_OPTION,
    TOO_LARGE,
    TOO_MANY_OPERATIONS,
    VALUE_PROVIDED,
    Code,
    EtcdError,
    invalid,
)
from node.api.etcd.schema import Message
from node.api.slices import Steps
from node.statemachine.transactions import duplicate_key
from node.statemachine.writes import (
    TXN_OPERATIONS_MAX,
    WRITE_BYTES_MAX,
    Branches,
    Compact,
    Compare,
    DeleteRange,
    Nested,
    Operation,
    Put,
    Range,
    Relation,
    SortOrder,
    SortTarget,
    Target,
    Txn,
)

MESSAGE_BYTES_MAX = 2 * 1024 * 1024
"""A longer message is refused as the gateway's transport refuses it (429), whatever it asks for."""

ENVELOPE_BYTES = 18
"""What etcd adds to a write before it compares it with its limit of 1.5 MiB."""

OPERATIONS_MAX = 1024
"""Compares and operations of a whole transaction, both branches and nested ones included. etcd has no such limit, but
those of each branch and of the whole request: nested ones may hold a hundred thousand there."""

WORK_PER_OPERATION = 3

NESTED_OPERATIONS_MAX = 8448
"""The same, each counted once for every transaction that it stands in: what the search for duplicate keys costs. One
operation in each of 128 transactions inside each other, as many as etcd allows, comes to 8,256."""

_ALWAYS = Compare(b"\0", Target.VERSION, Relation.GREATER, -1)
_NEVER = Compare(b"\0", Target.VERSION, Relation.LESS, 0)


def too_long(size: int) -> EtcdError:
    """429, code 8."""
    message = f"grpc: received message larger than max ({size} vs. {MESSAGE_BYTES_MAX})"
    return EtcdError(Code.RESOURCE_EXHAUSTED, message)


def may_be_too_long(size: int) -> bool:
    """Whether a message of `size` bytes, or of less, has to be measured."""
    return size + ENVELOPE_BYTES > WRITE_BYTES_MAX


def check_write_size(message_bytes: int) -> None:
    """Refuse a write over etcd's limit of a request."""
    if may_be_too_long(message_bytes):
        raise invalid(TOO_LARGE)


def range_of(message: Message) -> Range:
    """A RangeRequest."""
    key = _key(message)
    order, target = message.get("sort_order", 0), message.get("sort_target", 0)
    if not (0 <= order < len(SortOrder) and 0 <= target < len(SortTarget)):
        raise invalid(SORT_OPTION)
    return Range(
        key,
        message.get("range_end", b""),
        message.get("revision", 0),
        message.get("limit", 0),
        message.get("keys_only", False),
        message.get("count_only", False),
        SortOrder(order),
        SortTarget(target),
        message.get("min_mod_revision", 0),
        message.get("max_mod_revision", 0),
        message.get("min_create_revision", 0),
        message.get("max_create_revision", 0),
    )


def put_of(message: Message) -> Put:
    """A PutRequest."""
    key, value, lease = _key(message), message.get("value", b""), message.get("lease", 0)
    ignore_value, ignore_lease = message.get("ignore_value", False), message.get("ignore_lease", False)
    if ignore_value and value:
        raise invalid(VALUE_PROVIDED)
    if ignore_lease and lease:
        raise invalid(LEASE_PROVIDED)
    return Put(key, value, lease, message.get("prev_kv", False), ignore_value, ignore_lease)


def delete_of(message: Message) -> DeleteRange:
    """A DeleteRangeRequest."""
    return DeleteRange(_key(message), message.get("range_end", b""), message.get("prev_kv", False))


def compact_of(message: Message) -> Compact | None:
    """A CompactionRequest; None for a revision that every store has compacted."""
    revision = message.get("revision", 0)
    return None if revision < 0 else Compact(revision)


def txn_of(message: Message) -> Steps[Txn]:
    """A TxnRequest: checked like etcd checks it, each nested one with what its parents leave of the operations."""
    building = _Building()
    outermost = building.branches(message, TXN_OPERATIONS_MAX, 1)
    yield building.operations * WORK_PER_OPERATION
    txn = Txn(outermost.compare, outermost.success, outermost.failure, tuple(building.nested))
    twice = duplicate_key(txn)
    yield building.nested_operations
    if twice is not None:
        raise invalid(DUPLICATE_KEY)
    return txn


def only_reads(txn: Txn) -> bool:
    """Whether no branch could write."""
    return not any(isinstance(operation, (Put, DeleteRange)) for operation in _operations(txn))


def is_serializable(message: Message) -> bool:
    """Whether every operation of a transaction is a range that asks for no barrier."""
    operations: Sequence[Message] = (*message.get("success", ()), *message.get("failure", ()))
    return all(operation.get("request_range", {}).get("serializable", False) for operation in operations)


def _operations(txn: Txn) -> Sequence[Operation]:
    found = [*txn.success, *txn.failure]
    for branches in txn.nested:
        found += (*branches.success, *branches.failure)
    return found


def _key(message: Message) -> bytes:
    key: bytes = message.get("key", b"")
    if not key:
        raise invalid(EMPTY_KEY)
    return key


class _Building:
    """A transaction that is being read; `nested`: its table of those inside."""

    def __init__(self) -> None:
        self.nested: list[Branches] = []
        self.operations = 0
        self.nested_operations = 0

    def branches(self, message: Message, operations_max: int, depth: int) -> Branches:
        """As deep as the transaction, which `operations_max` bounds."""
        compare, success, failure = (message.get(part, ()) for part in ("compare", "success", "failure"))
        operations = max(len(compare), len(success), len(failure))
        self._count(len(compare) + len(success) + len(failure), depth)
        if operations > operations_max:
            raise invalid(TOO_MANY_OPERATIONS)
        for item in compare:
            _key(item)
        left = operations_max - operations
        succeeding = tuple(self._operation(item, left, depth) for item in success)
        failing = tuple(self._operation(item, left, depth) for item in failure)
        return Branches(tuple(map(_compare, compare)), succeeding, failing)

    def _count(self, operations: int, depth: int) -> None:
        self.operations += operations
        self.nested_operations += operations * depth
        if self.operations > OPERATIONS_MAX or self.nested_operations > NESTED_OPERATIONS_MAX:
            raise invalid(TOO_MANY_OPERATIONS)

    def _operation(self, message: Message, operations_max: int, depth: int) -> Operation:
        for name, inner in message.items():
            if name == "request_range":
                return range_of(inner)
            if name == "request_put":
                return put_of(inner)
            if name == "request_delete_range":
                return delete_of(inner)
            index = len(self.nested)
            self.nested.append(Branches())  # its place: before those that stand in it
            self.nested[index] = self.branches(inner, operations_max, depth + 1)
            return Nested(index)
        raise invalid(KEY_NOT_FOUND)


_OPERAND_OF = {
    Target.VERSION: "version",
    Target.CREATE_REVISION: "create_revision",
    Target.MOD_REVISION: "mod_revision",
    Target.VALUE: "value",
    Target.LEASE: "lease",
}


def _compare(message: Message) -> Compare:
    """A Compare. To etcd a target it does not know is equal, and a relation that it does not know holds."""
    key, range_end = _key(message), message.get("range_end", b"")
    relation, target = message.get("result", 0), message.get("target", 0)
    if not 0 <= target < len(Target):
        return _NEVER if relation in (Relation.GREATER, Relation.LESS, Relation.NOT_EQUAL) else _ALWAYS
    known = Target(target)
    if not 0 <= relation < len(Relation):
        if known is not Target.VALUE:
            return _ALWAYS
        return Compare(key, Target.VERSION, Relation.GREATER, 0, range_end)  # of a value: if there is one
    operand = message.get(_OPERAND_OF[known], b"" if known is Target.VALUE else 0)
    return Compare(key, known, Relation(relation), operand, range_end)
