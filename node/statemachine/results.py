"""Results on their way between peers: encoded where they are not too long.

Why it exists: a result may be as large as the store, a frame between peers may not, and finding that out must not
cost more than the frame would. It must not decide what is done about one that is too long.
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter

from node.statemachine.writes import (
    DeleteResult,
    KeyValue,
    PutResult,
    RangeResult,
    Result,
    TxnResult,
    decode_result,
    encode_result,
)

PART_BYTES = 256
"""What a version, or the result of an operation, counts for beside its bytes: to read it takes a peer as long."""

LENGTHS_AT_ONCE = 1024

_KEY = attrgetter("key")
_VALUE = attrgetter("value")


def encode_bounded(result: object, bytes_max: int) -> bytes | None:
    """`result`, a `Result`, in at most `bytes_max` bytes, with what its parts count for; None where it is longer.
    Takes time in `bytes_max`, not in the size of the result."""
    left = bytes_max
    for size_bytes in _sizes(result):
        left -= size_bytes
        if left < 0:
            return None
    data = encode_result(result)
    return data if len(data) <= bytes_max else None


def decode(data: bytes) -> Result:
    """Inverse of `encode_bounded`; raises `ValueError` for anything else."""
    try:
        return decode_result(data)
    except RecursionError as error:
        raise ValueError(str(error)) from None


def _sizes(result: object) -> Iterator[int]:
    """What the parts of `result` count for, in bytes, a bounded piece of it at a time."""
    waiting = [result]
    while waiting:
        part = waiting.pop()
        if isinstance(part, TxnResult):
            yield len(part.responses) * PART_BYTES
            waiting.extend(reversed(part.responses))
        elif isinstance(part, RangeResult):
            yield from _sizes_of(part.kvs)
        elif isinstance(part, DeleteResult):
            yield from _sizes_of(part.prev)
        elif isinstance(part, PutResult) and part.prev is not None:
            yield from _sizes_of((part.prev,))


def _sizes_of(kvs: Sequence[KeyValue]) -> Iterator[int]:
    yield len(kvs) * PART_BYTES
    for at in range(0, len(kvs), LENGTHS_AT_ONCE):
        piece = kvs[at : at + LENGTHS_AT_ONCE]
        yield sum(map(len, map(_KEY, piece))) + sum(map(len, map(_VALUE, piece)))
