"""Results on their way between peers: encoded where they are not too long.

Why it exists: a result may be as large as the store, a frame between peers may not, and finding that out must not
cost more than the frame would. It must not decide what is done about one that is too long.
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter

import msgspec

from node.statemachine.commands import (
    DeleteResult,
    KeyValue,
    PutResult,
    RangeResult,
    Result,
    TxnResult,
    decode_result,
    encode_result,
)

KEY_VALUE_BYTES = 512
"""What a version counts for beside its key and value: far more than its bytes, for that is what it costs to decode."""

_PIECE_KEYS = 1024

_VALUE = attrgetter("value")
_KEY = attrgetter("key")


def encode_bounded(result: object, bytes_max: int) -> bytes | None:
    """`result` in at most `bytes_max` bytes; None where it is longer, or would cost who decodes it more than so many
    bytes should. Takes time in `bytes_max`, not in its size."""
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
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _sizes(result: object) -> Iterator[int]:
    """What the parts of `result` count for, a bounded piece of it at a time."""
    waiting: list[object] = [result]
    while waiting:
        part = waiting.pop()
        yield 1
        if isinstance(part, TxnResult):
            yield len(part.responses)
            waiting.extend(part.responses)
        elif isinstance(part, RangeResult):
            yield from _sizes_of(part.kvs)
        elif isinstance(part, DeleteResult):
            yield from _sizes_of(part.prev)
        elif isinstance(part, PutResult) and part.prev is not None:
            yield from _sizes_of((part.prev,))


def _sizes_of(kvs: Sequence[KeyValue]) -> Iterator[int]:
    yield len(kvs) * KEY_VALUE_BYTES
    for at in range(0, len(kvs), _PIECE_KEYS):
        piece = kvs[at : at + _PIECE_KEYS]
        yield sum(map(len, map(_KEY, piece))) + sum(map(len, map(_VALUE, piece)))
