"""Frames that travel together come out as they went in."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.transport.packing import PACK_BYTES_MAX, PACK_FRAMES_MAX, PREFIX_BYTES, PackError, frames_of, take_pack


@given(st.lists(st.binary(max_size=50) | st.integers(0, 2 * PACK_BYTES_MAX).map(bytes), min_size=1, max_size=20))
def test_packs_hold_all_frames_in_order_within_the_bounds(frames: list[bytes]) -> None:
    queue = deque(frames)
    unpacked: list[bytes] = []
    while queue:
        pack, taken_bytes = take_pack(queue)
        inside = list(frames_of(pack))
        assert sum(map(len, inside)) == taken_bytes
        assert len(inside) == 1 or len(pack) <= PACK_BYTES_MAX
        unpacked += inside
    assert unpacked == frames


def test_a_pack_is_bounded_in_frames() -> None:
    queue = deque([b""] * (PACK_FRAMES_MAX + 1))
    assert len(take_pack(queue)[0]) == PACK_FRAMES_MAX * PREFIX_BYTES
    assert len(queue) == 1


def test_a_pack_is_not_closed_before_it_is_full() -> None:
    queue = deque([bytes(PACK_BYTES_MAX // 2 - PREFIX_BYTES)] * 2)
    assert len(take_pack(queue)[0]) == PACK_BYTES_MAX
    assert not queue
    queue = deque([bytes(PACK_BYTES_MAX // 2 - PREFIX_BYTES), bytes(PACK_BYTES_MAX // 2 - PREFIX_BYTES + 1)])
    take_pack(queue)
    assert len(queue) == 1


@pytest.mark.parametrize("pack", [b"\x00", b"\x00\x00\x00\x01", b"\x00\x00\x00\x01ab", b"\xff\xff\xff\xffabc"])
def test_a_torn_pack_is_refused(pack: bytes) -> None:
    with pytest.raises(PackError, match="ends within a frame"):
        list(frames_of(pack))


@given(st.binary(max_size=100))
def test_random_bytes_are_frames_or_the_one_error(pack: bytes) -> None:
    try:
        frames = list(frames_of(pack))
    except PackError:
        return
    assert sum(len(frame) + PREFIX_BYTES for frame in frames) == len(pack)
