"""The format keeps the three properties that recovery rests on, and nothing that is read can raise anything odd."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.raft.types import HardState
from node.simulation.disk import SimulatedDisk
from node.storage.errors import StorageError
from node.storage.frames import (
    SECTOR_BYTES,
    FrameBody,
    Malformed,
    SegmentHeader,
    decode_frame_body,
    decode_frame_header,
    decode_segment_header,
    encode_frame,
    encode_segment_header,
    has_unwritten_sector,
    salt_of,
    whole_payload,
)
from node.storage.replay import Replay
from node.storage.scanning import scan
from tests.storage.logs import INCARNATION, NAME, command

SALT = salt_of(INCARNATION)
RUNS = st.lists(st.tuples(st.sampled_from([0, 0, 1, 255]), st.integers(0, 1400)), max_size=6).map(
    lambda runs: b"".join(bytes([value]) * count for value, count in runs)
)


def header(number: int = 1, size_bytes: int = 2048) -> SegmentHeader:
    return SegmentHeader(number, size_bytes, NAME, INCARNATION, "", 1, 0)


@given(data=RUNS, lead=st.integers(0, 15))
@settings(max_examples=150, deadline=None)
def test_no_sector_of_a_whole_frame_looks_unwritten_even_with_one_byte_lost(data: bytes, lead: int) -> None:
    body = FrameBody(HardState(1, "n", 0), None, [command(1, 1, data)])
    frame, _ = encode_frame(body, 1, 0, SALT)
    start = lead * 32
    placed = bytes(start) + frame
    for begin in range(0, len(placed), SECTOR_BYTES):
        share = placed[max(begin, start) : begin + SECTOR_BYTES]
        assert len(share) - share.count(0) >= 2
    assert not has_unwritten_sector(placed, start, len(placed))
    found = decode_frame_header(placed, start, SALT)
    assert found.size_bytes == len(frame)
    assert len(frame) % 32 == 0
    payload = whole_payload(placed, start, found)
    assert payload is not None
    assert decode_frame_body(payload, found) == body


def test_pitfall_33_the_checksum_of_a_frame_covers_the_one_before_it() -> None:
    body = FrameBody(None, None, [command(1)])
    chains = {encode_frame(body, 5, previous, SALT)[1] for previous in range(100)}
    assert len(chains) == 100


@given(st.binary(max_size=3000))
@settings(max_examples=150, deadline=None)
def test_random_bytes_are_never_a_header_and_raise_nothing_but_malformed(data: bytes) -> None:
    for decode in (decode_segment_header, lambda data: decode_frame_header(data, 0, SALT)):
        with pytest.raises(Malformed):
            decode(data)


@given(tail=st.builds(bytes.__add__, st.integers(0, 600).map(bytes), st.binary(max_size=900)), whole=st.booleans())
@settings(max_examples=200, deadline=None)
def test_random_bytes_behind_a_header_are_refused_or_torn_and_raise_nothing_odd(tail: bytes, whole: bool) -> None:
    start = encode_segment_header(header())
    if whole:
        start += encode_frame(FrameBody(HardState(1, "n", 0), None, []), 1, 0, SALT)[0]
    disk = SimulatedDisk()
    disk.load({"segment-00000001.wal": (start + tail).ljust(2048, b"\0")[:2048]})
    replay = Replay()
    (result,) = scan(disk, replay)
    assert len(result.frames) == whole
    data = disk.read("segment-00000001.wal")
    rest = data[len(start) :]
    share = rest[: SECTOR_BYTES - len(start) % SECTOR_BYTES]
    assert (result.damage is None) == (not any(share)), "only a sector that never arrived can be the start of a tear"
    assert bool(result.torn_bytes) == (not any(share) and any(rest))


@given(
    payload=st.recursive(
        st.none() | st.integers(-5, 5) | st.binary(max_size=5) | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=8),
        max_leaves=20,
    )
)
@settings(max_examples=200, deadline=None)
def test_a_frame_with_a_right_checksum_and_odd_contents_is_refused(payload: object) -> None:
    frame, _ = encode_frame(payload, 1, 0, SALT)  # type: ignore[arg-type]
    disk = SimulatedDisk()
    disk.load({"segment-00000001.wal": (encode_segment_header(header()) + frame).ljust(2048, b"\0")})
    try:
        (result,) = scan(disk, Replay())
    except StorageError:
        return
    body = result.frames[0].body if result.frames else None
    assert result.damage is not None or (body is not None and not body.entries)


def test_a_name_that_fits_into_no_header_is_refused_when_writing() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        encode_segment_header(SegmentHeader(1, 2048, "n" * 500, INCARNATION, "", 1, 0))


def test_every_damaged_bit_of_a_segment_header_is_noticed() -> None:
    good = encode_segment_header(header())
    for offset, bit in itertools.product(range(SECTOR_BYTES), range(8)):
        bad = bytearray(good)
        bad[offset] ^= 1 << bit
        with pytest.raises(Malformed):
            decode_segment_header(bytes(bad))
