"""Damage: refused with one sentence and nothing changed, or recovered exactly as the rule in `scanning.py` says."""

import itertools
import struct
import zlib
from collections.abc import Callable

import pytest

from node import cures
from node.raft.types import HardState
from node.simulation.disk import SimulatedDisk
from node.storage.errors import StorageError
from node.storage.frames import (
    SECTOR_BYTES,
    FrameBody,
    decode_segment_header,
    encode_frame,
    encode_segment_header,
    salt_of,
)
from node.storage.recovery import Recovered
from node.storage.replay import Replay
from node.storage.scanning import scan
from tests.storage.logs import FIRST, INCARNATION, Log, append, birth, command, read_back

SEGMENT_BYTES = 1536
SEGMENTS = ("segment-00000001.wal", "segment-00000002.wal")
Files = dict[str, bytes]


def _small_log() -> tuple[Files, Recovered]:
    """Two segments with several frames each, the last of which acknowledged."""
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=SEGMENT_BYTES)
    log.write(birth())
    for index in range(2, 14):
        log.write(append(index, command(index, 1, b"v%d" % index), state=HardState(1, "n", index - 1)))
    log.close()
    content = disk.content()
    content.pop("lock")
    assert tuple(content) == SEGMENTS
    return content, read_back(disk)


CONTENT, WHOLE = _small_log()


def _disk(content: Files) -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.load(content)
    return disk


def _refused(content: Files, cure: str = cures.MEMBER_LOST) -> StorageError:
    disk = _disk(content)
    with pytest.raises(StorageError) as refused:
        Log(disk, segment_bytes=SEGMENT_BYTES)
    left = disk.content()
    left.pop("lock")
    assert left == content, "a refused log must not be changed"
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert refused.value.file in sentence
    assert cure in sentence
    return refused.value


def _flips() -> list[tuple[str, int, int]]:
    return [
        (name, offset, mask)
        for name in SEGMENTS
        for offset, mask in itertools.product(range(len(CONTENT[name])), (0x01, 0x80, 0xFF))
    ]


@pytest.mark.slowest
def test_pitfall_33_every_flipped_byte_is_refused_or_harmless() -> None:
    used = len(CONTENT[SEGMENTS[1]].rstrip(b"\0"))
    harmless, refused = 0, []
    for name, offset, mask in _flips():
        damaged = bytearray(CONTENT[name])
        damaged[offset] ^= mask
        content = {**CONTENT, name: bytes(damaged)}
        disk = _disk(content)
        try:
            log = Log(disk, segment_bytes=SEGMENT_BYTES)
        except StorageError as fault:
            refused.append((name, offset, fault))
            continue
        log.close()
        harmless += 1
        assert (name, log.recovered.entries) == (SEGMENTS[1], WHOLE.entries), f"lost entries: {offset}"
        assert log.recovered.hard_state == WHOLE.hard_state
        assert offset >= (used // SECTOR_BYTES + 1) * SECTOR_BYTES, "only a sector that was never written"
        assert log.recovered.torn_files
    assert harmless == 3 * SECTOR_BYTES
    for name, offset, error in refused:
        assert error.file.endswith(name), (offset, str(error))
        assert f"byte {error.offset}" in str(error)
        assert offset < SECTOR_BYTES or (error.offset or 0) <= offset, (
            "the sentence names where the damaged frame begins"
        )


def test_every_zeroed_byte_is_refused_or_harmless() -> None:
    for name in SEGMENTS:
        for offset in range(len(CONTENT[name])):
            if CONTENT[name][offset]:
                _refused({**CONTENT, name: CONTENT[name][:offset] + b"\0" + CONTENT[name][offset + 1 :]})


def test_every_truncation_is_refused() -> None:
    for name in SEGMENTS:
        for length in range(len(CONTENT[name])):
            _refused({**CONTENT, name: CONTENT[name][:length]})
        _refused({**CONTENT, name: CONTENT[name] + b"\0"})


def test_a_missing_segment_is_refused() -> None:
    assert "and there is no snapshot of what came before" in str(_refused({SEGMENTS[1]: CONTENT[SEGMENTS[1]]}))
    assert "sealed, so a later one existed" in str(_refused({SEGMENTS[0]: CONTENT[SEGMENTS[0]]}))


def test_segments_under_each_others_names_are_refused() -> None:
    swapped = {SEGMENTS[0]: CONTENT[SEGMENTS[1]], SEGMENTS[1]: CONTENT[SEGMENTS[0]]}
    assert "under the name of" in str(_refused(swapped))


def _frames(content: Files, name: str) -> list[tuple[int, int]]:
    (result,) = (result for result in scan(_disk(content), Replay()) if result.file.endswith(name))
    return [(frame.offset, frame.size_bytes) for frame in result.frames]


def test_swapped_duplicated_and_missing_frames_are_refused() -> None:
    data = CONTENT[SEGMENTS[0]]
    (a, size), (b, _), (c, size_c) = _frames(CONTENT, SEGMENTS[0])[1:4]
    assert size == size_c
    first, second, rest = data[a:b], data[b:c], data[c:]
    for wrong in (second + first + rest, first + first + rest, second + rest + bytes(size)):
        sentence = str(_refused({**CONTENT, SEGMENTS[0]: (data[:a] + wrong)[: len(data)]}))
        assert "must follow" in sentence


def _header_changed(change: Callable[[dict[str, object]], None]) -> bytes:
    data = CONTENT[SEGMENTS[1]]
    head = decode_segment_header(data)
    fields: dict[str, object] = {name: getattr(head, name) for name in head.__struct_fields__}
    change(fields)
    return encode_segment_header(type(head)(**fields)) + data[SECTOR_BYTES:]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("cluster_id", "f" * 32, "belongs to cluster ffff"),
        ("name", "node-2", "belongs to node node-2"),
        ("incarnation", "c" * 32, "belongs to node node-1 (cccc"),
        ("number", 3, "this is segment 3"),
        ("first_sequence", 99, "begins with frame 99"),
        ("chain", 12345, "of this chain must follow"),
        ("size_bytes", 4096, "was made with 4096"),
    ],
)
def test_a_segment_of_another_log_is_refused(field: str, value: object, words: str) -> None:
    changed = _header_changed(lambda fields: fields.update({field: value}))
    assert words in str(_refused({**CONTENT, SEGMENTS[1]: changed}))


def test_a_cluster_id_that_is_not_that_of_the_first_entry_is_refused() -> None:
    disk = SimulatedDisk()
    log = Log(disk)
    log.close()
    name = SEGMENTS[0]
    data = disk.content()[name]
    head = decode_segment_header(data)
    fields = {field: getattr(head, field) for field in head.__struct_fields__} | {"cluster_id": "d" * 32}
    forged = encode_segment_header(type(head)(**fields)) + data[SECTOR_BYTES:]
    assert "names cluster dddd" in str(_refused({name: forged}))


def test_an_unknown_version_is_refused_as_such() -> None:
    data = bytearray(CONTENT[SEGMENTS[0]])
    struct.pack_into("<I", data, 8, 3)
    crc = zlib.crc32(data[20:SECTOR_BYTES], zlib.crc32(bytes(data[:12]) + bytes(data[16:20])))
    struct.pack_into("<I", data, 12, crc)
    assert "format version 3, and this program reads versions 1 to 2 only" in str(
        _refused({**CONTENT, SEGMENTS[0]: bytes(data)}, cures.LATER_RELEASE)
    )


def test_another_nodes_log_is_refused() -> None:
    disk = _disk(CONTENT)
    with pytest.raises(StorageError, match="belongs to node node-1, not to node-7") as refused:
        Log(disk, name="node-7")
    assert refused.value.offset == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (FrameBody(None, None, [command(15)]), "holds entry 15 where entry 14"),
        (FrameBody(None, None, [command(14, 0)]), "term falls from 1 to 0"),
        (FrameBody(HardState(0, "", 0), None, []), "node's term falls from 1 to 0"),
        (FrameBody(HardState(1, "", 14), None, []), "commit index 14 lies beyond"),
        (FrameBody(None, 15, []), "truncates from index 15"),
        (FrameBody(None, 0, []), "truncates from index 0"),
    ],
)
def test_contents_that_no_log_can_have_are_refused(body: FrameBody, words: str) -> None:
    *_, last = scan(_disk(CONTENT), Replay())
    frame, _ = encode_frame(body, last.frames[-1].sequence + 1, last.frames[-1].chain, salt_of(INCARNATION))
    data = CONTENT[SEGMENTS[1]]
    grown = data[: last.end] + frame + data[last.end + len(frame) :]
    assert words in str(_refused({**CONTENT, SEGMENTS[1]: grown}))


def test_a_frame_of_another_chain_is_refused_even_with_the_right_number() -> None:
    *_, last = scan(_disk(CONTENT), Replay())
    body = FrameBody(None, None, [command(14)])
    frame, _ = encode_frame(body, last.frames[-1].sequence + 1, last.frames[-1].chain ^ 1, salt_of(INCARNATION))
    data = CONTENT[SEGMENTS[1]]
    grown = data[: last.end] + frame + data[last.end + len(frame) :]
    assert "does not belong to the frame before it" in str(_refused({**CONTENT, SEGMENTS[1]: grown}))


def _half_filled_segment() -> tuple[Files, int]:
    """A first segment that a large frame left half empty, and the offset of its seal."""
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=4096)
    log.write(birth())
    log.write(append(2, command(2, 1, b"k" * 1000)))
    log.write(append(3, command(3, 1, b"k" * 2500)))
    log.write(append(4, command(4)))
    log.close()
    content = {name: data for name, data in disk.content().items() if name != "lock"}
    assert tuple(content) == SEGMENTS
    offset, size = _frames(content, SEGMENTS[0])[-1]
    return content, offset + size


def test_a_segment_whose_seal_is_gone_is_refused_when_the_next_one_holds_data() -> None:
    content, seal = _half_filled_segment()
    data = content[SEGMENTS[0]]
    refused = _refused({**content, SEGMENTS[0]: data[:seal] + bytes(32) + data[seal + 32 :]})
    assert "not sealed, but the next one holds data" in str(refused)
    assert refused.offset == seal


def test_data_behind_a_seal_is_refused() -> None:
    content, seal = _half_filled_segment()
    for offset in range(seal + 32, 4096, 61):
        damaged = bytearray(content[SEGMENTS[0]])
        damaged[offset] = 1
        assert "data behind the seal" in str(_refused({**content, SEGMENTS[0]: bytes(damaged)}))


def test_a_tear_in_an_earlier_segment_is_damage_there() -> None:
    content, seal = _half_filled_segment()
    torn = content[SEGMENTS[0]][: SECTOR_BYTES * 2].ljust(4096, b"\0")
    assert seal > SECTOR_BYTES * 2
    refused = _refused({**content, SEGMENTS[0]: torn})
    assert refused.file.endswith(SEGMENTS[0])
    assert "it is not the last one" in str(refused)


def _with_large_frame() -> tuple[Files, str, int, int, Recovered]:
    """A log whose last frame spans five sectors: (files, segment, its offset, its end, what came before it)."""
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=8192)
    log.write(birth(), append(2, command(2)))
    log.write(append(3, command(3, 1, b"q" * 2000)))
    log.close()
    content = {name: data for name, data in disk.content().items() if name != "lock"}
    offset, size = _frames(content, SEGMENTS[0])[-1]
    before = read_back(_disk({SEGMENTS[0]: content[SEGMENTS[0]][:offset].ljust(8192, b"\0")}))
    return content, SEGMENTS[0], offset, offset + size, before


def _shares(start: int, end: int) -> list[tuple[int, int]]:
    cuts = [start, *range((start // SECTOR_BYTES + 1) * SECTOR_BYTES, end, SECTOR_BYTES), end]
    return list(itertools.pairwise(cuts))


def test_pitfall_33_a_torn_last_frame_is_cut_off_and_kept_beside_whichever_sectors_are_missing() -> None:
    content, name, start, end, before = _with_large_frame()
    shares = _shares(start, end)
    assert len(shares) == 5
    for missing in itertools.product((False, True), repeat=len(shares)):
        data = bytearray(content[name])
        for (a, b), gone in zip(shares, missing, strict=True):
            if gone:
                data[a:b] = bytes(b - a)
        torn_bytes = bytes(data[start:end]).rstrip(b"\0")
        disk = _disk({name: bytes(data)})
        log = Log(disk, segment_bytes=8192)
        if not any(missing):
            assert log.recovered.entries[-1].index == 3
        else:
            assert log.recovered.entries == before.entries == (FIRST, command(2))
            kept = [name for name in disk.content() if "torn" in name]
            assert list(log.recovered.torn_files) == kept
            assert [disk.read(name) for name in kept] == ([torn_bytes] if torn_bytes else [])
            assert not any(disk.read(name)[start:]), "nothing stale is left to be read later"
            log.write(append(4, command(3, 2)))
        log.close()
        assert len(read_back(disk).entries) == 3


def test_a_torn_frame_at_the_same_place_again_does_not_overwrite_what_was_kept() -> None:
    content, name, start, _, _ = _with_large_frame()
    data = content[name][: start + 600].ljust(8192, b"\0")
    disk = _disk({name: data, f"{name}.torn-{start}": b"kept the first time"})
    log = Log(disk)
    log.close()
    assert log.recovered.torn_files == (f"{name}.torn-{start}-2",)
    assert disk.read(f"{name}.torn-{start}") == b"kept the first time"


def test_a_hole_in_a_frame_with_another_after_it_is_damage_and_not_a_tear() -> None:
    content, name, start, end, _ = _with_large_frame()
    disk = _disk(content)
    log = Log(disk)
    log.write(append(4, command(4)))
    log.close()
    whole = disk.read(name)
    for a, b in _shares(start, end):
        sentence = str(_refused({name: whole[:a] + bytes(b - a) + whole[b:]}))
        assert f"byte {start}" in sentence
    lost = whole[:start] + bytes(end - start) + whole[end:]
    assert f"another frame follows at byte {end}" in str(_refused({name: lost}))


def test_a_hole_in_the_last_frame_of_an_earlier_segment_is_damage() -> None:
    offset, size = _frames(CONTENT, SEGMENTS[0])[-1]
    data = CONTENT[SEGMENTS[0]]
    _refused({**CONTENT, SEGMENTS[0]: data[:offset] + bytes(size) + data[offset + size :]})
    _refused({**CONTENT, SEGMENTS[0]: data[:offset].ljust(SEGMENT_BYTES, b"\0")})


def test_the_torn_birth_of_a_log_is_damage_because_birth_is_one_step() -> None:
    (offset, _), *_ = _frames(CONTENT, SEGMENTS[0])
    assert "but the log was born in (none)" in str(
        _refused({SEGMENTS[0]: CONTENT[SEGMENTS[0]][:offset].ljust(SEGMENT_BYTES, b"\0")})
    )


def test_zero_filled_user_data_does_not_make_a_damaged_frame_look_torn() -> None:
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=8192)
    log.write(birth())
    log.write(append(2, command(2, 1, bytes(3000))))
    log.close()
    data = disk.read(SEGMENTS[0])
    (offset, size) = _frames({SEGMENTS[0]: data}, SEGMENTS[0])[-1]
    for at in range(offset, offset + size):
        flipped = bytearray(data)
        flipped[at] ^= 0xFF
        assert "may have been acknowledged" in str(_refused({SEGMENTS[0]: bytes(flipped)})) or at < offset + 32


def test_user_data_that_looks_like_a_frame_is_not_taken_for_one() -> None:
    frame, _ = encode_frame(FrameBody(None, None, [command(99)]), 99, 0, salt_of("another"))
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=8192)
    log.write(birth(), append(2, command(2)))
    log.write(append(3, command(3, 1, frame * 20)))
    log.close()
    data = disk.read(SEGMENTS[0])
    offset, _ = _frames({SEGMENTS[0]: data}, SEGMENTS[0])[-1]
    torn = data[:offset] + bytes(SECTOR_BYTES - offset % SECTOR_BYTES)
    disk.load({SEGMENTS[0]: torn + data[len(torn) :]})
    assert len(read_back(disk).entries) == 2
