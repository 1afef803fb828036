"""Results between peers: what is sent is what was said, and what is too long is found out cheaply."""

import sys
from types import FrameType
from typing import Any

import pytest

from node.statemachine.commands import (
    CompactResult,
    DeleteResult,
    KeyValue,
    PutResult,
    RangeResult,
    Refused,
    Result,
    TxnResult,
)
from node.statemachine.store import KeyValueStore


def kv(key: bytes, value: bytes = b"v") -> KeyValue:
    return KeyValue(key, value, 2, 3, 1)


RESULTS: list[Result] = [
    PutResult(3, kv(b"k")),
    DeleteResult(4, 2, (kv(b"a"), kv(b"b"))),
    RangeResult(4, (kv(b"a", b"v" * 1000),), 7, True),
    TxnResult(5, True, (PutResult(5), TxnResult(5, False, (RangeResult(5, (), 0, False),)))),
    CompactResult(6),
    Refused("duplicate-key", "a transaction writes a key at most once"),
]


@pytest.mark.parametrize("result", RESULTS)
def test_a_result_comes_back_as_it_was(result: Result) -> None:
    store = KeyValueStore()
    data = store.encode_result(result, 10_000)
    assert data is not None
    assert store.decode_result(data) == result
    assert store.encode_result(result, len(data) - 1) is None


def test_a_result_that_costs_more_to_read_than_its_bytes_say_is_too_long() -> None:
    many = RangeResult(4, tuple(kv(b"%d" % i) for i in range(1000)), 1000, False)
    assert KeyValueStore().encode_result(many, 100_000) is None


@pytest.mark.parametrize("inside", [False, True])
def test_finding_out_that_it_is_too_long_does_not_walk_over_it(inside: bool) -> None:
    long = RangeResult(4, (kv(b"k"),) * 1_000_000, 1_000_000, False)
    result: Result = TxnResult(4, True, (long,) * 1000) if inside else long
    lines = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    store = KeyValueStore()
    sys.settrace(count)
    try:
        data = store.encode_result(result, 1024 * 1024)
    finally:
        sys.settrace(None)
    assert data is None
    assert lines < 100


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x91\xa1\xff", b"\x93\xa1p\x01", b"\x93" * 2000])
def test_bytes_that_are_no_result_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        KeyValueStore().decode_result(data)
