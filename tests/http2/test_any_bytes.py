"""Whatever a client sends: nothing breaks, nothing of it stays when it is gone, and it is told whole frames alone."""

import asyncio

import pytest
from hpack import Decoder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http2.fuzzing import INPUT_BYTES_MAX, sent
from tests.http2.raw import DATA, HEADERS

CALL = bytes((HEADERS, 0x84, 1, 1, 0))
"""The head of a call of Range, as `fuzzing.pieces` has it."""


def test_the_frames_that_are_made_are_calls_that_are_answered() -> None:
    asked = bytes((0,)) + CALL + bytes((DATA | 0x80, 1, 1, 3)) + b"\x0a\x01a"
    told = asyncio.run(sent(asked))
    decoder, fields, at = Decoder(), dict[bytes, bytes](), 0
    while at < len(told):
        size = int.from_bytes(told[at : at + 3], "big")
        if told[at + 3] == HEADERS:
            fields |= dict(decoder.decode(told[at + 9 : at + 9 + size], raw=True))
        at += 9 + size
    assert (fields[b":status"], fields[b"grpc-status"]) == (b"200", b"0")


_BYTE = st.integers(0, 255)
_CALLS = st.tuples(st.sampled_from((0x81, 0x41, 0x01)), st.sampled_from((0x84, 0x84, 0x85)), _BYTE, st.just(b""))
_BODIES = st.tuples(st.sampled_from((0x80, 0x00, 0xC0)), st.integers(0, 1), st.integers(0, 9), st.binary(max_size=60))
_ANY = st.tuples(_BYTE, _BYTE, st.integers(0, 9), st.binary(max_size=60))
_FRAMES = st.lists(_CALLS | _BODIES | _ANY, max_size=12)


@pytest.mark.slowest
@given(_FRAMES)
@settings(max_examples=300, deadline=None)
def test_any_frames_break_nothing(frames: list[tuple[int, int, int, bytes]]) -> None:
    made = b"".join(bytes((kind, flags, stream, len(payload))) + payload for kind, flags, stream, payload in frames)
    asyncio.run(sent(b"\x00" + made))


@given(st.binary(max_size=INPUT_BYTES_MAX))
@settings(max_examples=150, deadline=None)
def test_any_bytes_break_nothing(data: bytes) -> None:
    asyncio.run(sent(data))
