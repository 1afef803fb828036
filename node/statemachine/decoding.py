"""The write of an entry, decoded in slices where it is long.

Why it exists: one entry may hold hundreds of thousands of tiny compares and operations, and to decode them in one
call took half a second. It must not accept other bytes than `decode_write` does, nor take them for another
write. (What it refuses, it may refuse with other words.)

A put, a deletion and a compaction are a few fields, however long. A transaction is an array of arrays: a walk over
the heads of its values finds where each compare, operation and nested transaction ends; each is then decoded by
itself, unless it has more heads than such a part can have.
"""

from typing import NamedTuple, TypeVar, cast

import msgspec

from node.statemachine.work import BYTES_PER_UNIT, Meter, Slices
from node.statemachine.writes import (
    TXN_OPERATIONS_MAX,
    Branches,
    Compare,
    Operation,
    StoreWrite,
    Txn,
)

DECODE_BYTES_AT_ONCE = 8 * 1024
"""A transaction of more bytes is decoded in slices. One of so many has 1,000 compares at most: a millisecond."""

HEADS_PER_UNIT = 4
"""Heads of values that are walked over for one unit."""

_COMPARE_HEADS_MAX = 1 + len(Compare.__struct_fields__)
_OPERATION_HEADS_MAX = 2 + max(len(kind.__struct_fields__) for kind in Operation.__args__)
_BRANCHES_HEADS_MAX = 4 + TXN_OPERATIONS_MAX * (_COMPARE_HEADS_MAX + 2 * _OPERATION_HEADS_MAX)

_TRANSACTION = b"\xa1t"
"""Its tag, after the head of its array."""

_FIELDS = len(Txn.__struct_fields__)

_SIZE_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""Heads that a length follows: bin, ext (which has a byte for its kind beside) and str."""

_COUNT_BYTES = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
"""Heads that a number of elements follows: arrays and maps."""

_BYTES = (
    *(1 for _fixint_map_or_array in range(0xA0)),
    *(1 + length for length in range(0x20)),
    *(1, 0, 1, 1),  # nil, nothing, false, true
    *(0, 0, 0, 0, 0, 0),  # bin and ext
    *(5, 9, 2, 3, 5, 9, 2, 3, 5, 9),  # numbers
    *(3, 4, 6, 10, 18),  # ext of fixed sizes
    *(0, 0, 0, 0, 0, 0, 0),  # str, arrays and maps
    *(1 for _fixint in range(0xE0, 0x100)),
)
"""By head: the bytes of a head and of what belongs to it, elements not; 0 where the head alone does not say it."""

_INSIDE = tuple(2 * (head & 0xF) if head >> 4 == 0x8 else head & 0xF if head >> 4 == 0x9 else 0 for head in range(256))
"""By head: how many values are inside; those of `_COUNT_BYTES` not."""

T = TypeVar("T")


class Decoded(NamedTuple):
    """`parts` is the write's own `nested`, here a list: so many objects must not all be let go at once, but can be
    taken out of it in slices."""

    write: StoreWrite
    parts: list[Branches]


def is_long(data: bytes, bytes_max: int | None = None) -> bool:
    """Whether `data`, if it is a write, is a transaction of more bytes: more than are decoded at once."""
    limit = DECODE_BYTES_AT_ONCE if bytes_max is None else bytes_max
    return len(data) > limit and 0x91 <= data[0] <= 0x91 + _FIELDS and data[1:3] == _TRANSACTION


def decoding(data: bytes, meter: Meter) -> Slices[Decoded]:
    """As `decode_write`, of bytes that are long; raises `msgspec.MsgspecError` likewise."""
    walk = _Walk(data, 1 + len(_TRANSACTION), meter)
    fields = data[0] - 0x91
    try:
        compare = (yield from walk.each(_COMPARE, _COMPARE_HEADS_MAX, TXN_OPERATIONS_MAX)) if fields > 0 else []
        success = (yield from walk.each(_OPERATION, _OPERATION_HEADS_MAX, TXN_OPERATIONS_MAX)) if fields > 1 else []
        failure = (yield from walk.each(_OPERATION, _OPERATION_HEADS_MAX, TXN_OPERATIONS_MAX)) if fields > 2 else []
        nested = (yield from walk.each(_BRANCHES, _BRANCHES_HEADS_MAX, len(data))) if fields > 3 else []
    except (IndexError, UnicodeDecodeError) as error:
        raise msgspec.DecodeError(f"it ends too early, or a tag is no text: {error}") from None
    if walk.at != len(data):
        raise msgspec.DecodeError("bytes follow the transaction")
    return Decoded(Txn(tuple(compare), tuple(success), tuple(failure), cast(tuple[Branches, ...], nested)), nested)


_COMPARE = msgspec.msgpack.Decoder(Compare)
_OPERATION: msgspec.msgpack.Decoder[Operation] = msgspec.msgpack.Decoder(Operation)
_BRANCHES = msgspec.msgpack.Decoder(Branches)


class _Walk:
    """A place in `data`, and the way over what stands there. Raises `IndexError` at the end of `data`."""

    def __init__(self, data: bytes, at: int, meter: Meter) -> None:
        self.at = at
        self._data = data
        self._meter = meter

    def each(self, decoder: msgspec.msgpack.Decoder[T], heads_max: int, count_max: int) -> Slices[list[T]]:
        """The elements of the array that stands here, of `heads_max` heads each at most."""
        head = self._data[self.at]
        count = self._head()
        if not (head >> 4 == 0x9 or head in (0xDC, 0xDD)):
            raise msgspec.DecodeError("a transaction is an array of arrays")
        if count > count_max:
            raise msgspec.DecodeError(f"a transaction has at most {TXN_OPERATIONS_MAX} of a kind")
        elements: list[T] = []
        for _ in range(count):
            begin = self.at
            heads = self._skip(heads_max)
            elements.append(decoder.decode(self._data[begin : self.at]))
            self._meter.left -= 1 + heads // HEADS_PER_UNIT + (self.at - begin) // BYTES_PER_UNIT
            if self._meter.left <= 0:
                yield
        return elements

    def _skip(self, heads_max: int) -> int:
        """Go over one value with all that is inside; how many heads that were."""
        data, at = self._data, self.at
        heads, missing = 0, 1
        while missing:
            heads += 1
            if heads > heads_max:
                raise msgspec.DecodeError("a part of the transaction has more values than it can have")
            head = data[at]
            size_bytes = _BYTES[head]
            if size_bytes:
                at += size_bytes
                missing += _INSIDE[head] - 1
            else:
                self.at = at
                missing += self._head() - 1
                at = self.at
        self.at = at
        return heads

    def _head(self) -> int:
        """Go over one head and the bytes that belong to it; how many values are inside."""
        data = self._data
        head = data[self.at]
        width = _SIZE_BYTES.get(head) or _COUNT_BYTES.get(head) or 0
        if not (width or _BYTES[head]):
            raise msgspec.DecodeError("no value begins so")
        size = int.from_bytes(data[self.at + 1 : self.at + 1 + width], "big")
        self.at += _BYTES[head] or 1 + width
        if head in _SIZE_BYTES:
            self.at += size + (0xC7 <= head <= 0xC9)
            return 0
        return _INSIDE[head] if not width else 2 * size if head >= 0xDE else size
