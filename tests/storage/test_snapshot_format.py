"""A snapshot is whole or it is refused: every byte flipped, every length cut, on the disk of a node that starts."""

import itertools
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.raft.types import HardState, SnapshotInfo
from node.simulation.disk import SimulatedDisk
from node.storage.errors import StorageError
from node.storage.frames import Malformed
from node.storage.snapshot_format import Position, SnapshotEncoder, SnapshotHeader, SnapshotReader, intact_bytes
from tests.storage.logs import NAME, Log, append, birth, command, snapshot_at
from tests.storage.snapshotting import SnapshotBench, base_at

SNAPSHOT = "snapshot-0000000000000003.snap"
CHUNKS = (b"one", b"\0\0\0\0", b"three" * 20)


def _node() -> tuple[dict[str, bytes], SnapshotInfo]:
    """A folder with five entries, a small snapshot of three of them, and no leftovers."""
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=2048)
    log.write(birth(), append(2, *(command(index) for index in range(2, 6)), state=HardState(1, NAME, 5)))
    log.close()
    info = snapshot_at(disk, base_at(3), *CHUNKS)
    content = disk.content()
    content.pop("lock")
    return content, info


CONTENT, INFO = _node()
DATA = CONTENT[SNAPSHOT]


def _refused(data: bytes) -> StorageError:
    disk = SimulatedDisk()
    content = {**CONTENT, SNAPSHOT: data}
    disk.load(content)
    with pytest.raises(StorageError) as refused:
        Log(disk)
    left = disk.content()
    left.pop("lock")
    assert left == content, "a refused snapshot must not be changed, nor the log beside it"
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert sentence.startswith(f"disk/{SNAPSHOT}, byte {refused.value.offset}: ")
    assert refused.value.file == f"disk/{SNAPSHOT}"
    return refused.value


def _reader(data: bytes) -> SnapshotReader:
    return SnapshotReader(lambda offset, size: data[offset : offset + size], len(data))


def test_the_whole_file_is_taken() -> None:
    disk = SimulatedDisk()
    disk.load(CONTENT)
    log = Log(disk)
    assert log.recovered.snapshot == INFO
    bench = SnapshotBench(disk, recovered=log.recovered)
    assert tuple(bench.snapshots.chunks(INFO)) == CHUNKS


def test_every_flipped_byte_is_refused_where_it_lies_or_before() -> None:
    for offset, mask in itertools.product(range(len(DATA)), (0x01, 0x80, 0xFF)):
        damaged = bytearray(DATA)
        damaged[offset] ^= mask
        assert (_refused(bytes(damaged)).offset or 0) <= offset


def test_every_length_is_refused() -> None:
    for length in range(len(DATA)):
        _refused(DATA[:length])
    assert "data behind the closing record" in str(_refused(DATA + b"\0"))


def test_swapped_repeated_and_missing_chunks_are_refused() -> None:
    reader = _reader(DATA)
    cuts = [reader.position.offset]
    while reader.chunk() is not None:
        cuts.append(reader.position.offset)
    head, one, two, three, end = (DATA[a:b] for a, b in itertools.pairwise([0, *cuts, len(DATA)]))
    for wrong in ((two, one, three), (one, one, two, three), (one, three), (one, two), (one, two, three, three)):
        assert "damaged (checksum mismatch)" in str(_refused(b"".join((head, *wrong, end))))


def test_a_chunk_that_was_damaged_after_the_start_is_never_given_out() -> None:
    disk = SimulatedDisk()
    disk.load(CONTENT)
    log = Log(disk)
    bench = SnapshotBench(disk, recovered=log.recovered)
    at = DATA.index(b"three")
    disk.flip(SNAPSHOT, at, 0x04)
    given_out = bench.snapshots.chunks(INFO)
    assert (next(given_out), next(given_out)) == CHUNKS[:2]
    with pytest.raises(StorageError, match=r"byte \d+: chunk 3 is damaged"):
        next(given_out)
    chunks, problem = bench.chunks(INFO)
    assert chunks == [*CHUNKS[:2]]
    assert "chunk 3 is damaged" in problem


def test_a_closing_record_that_counts_otherwise_is_refused() -> None:
    encoder = SnapshotEncoder(SnapshotHeader(base_at(3)))
    records = [encoder.head, *map(encoder.chunk, CHUNKS)]
    at = encoder.position
    for wrong in (Position(at.offset, at.chunks + 1, at.chain), Position(at.offset - 1, at.chunks, at.chain)):
        encoder.position = wrong
        assert "and these are others" in str(_refused(b"".join((*records, encoder.closing()[0]))))


def test_an_unknown_version_is_refused_as_such() -> None:
    data = bytearray(DATA)
    struct.pack_into("<I", data, 8, 2)
    length = struct.unpack_from("<I", data, 16)[0]
    body = bytes(data[20 : 20 + length])
    crc = zlib.crc32(body, zlib.crc32(struct.pack("<8sIII", bytes(data[:8]), 2, 0, length)))
    struct.pack_into("<I", data, 12, crc)
    assert "format version 2, and this program reads version 1 only" in str(_refused(bytes(data)))


def test_a_snapshot_under_another_ones_name_is_refused() -> None:
    disk = SimulatedDisk()
    disk.load({**CONTENT, "snapshot-0000000000000004.snap": DATA})
    with pytest.raises(StorageError, match="this is the snapshot of entry 3 under the name of another"):
        Log(disk)


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_random_bytes_are_no_snapshot_and_raise_nothing_but_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        _reader(data)
    head_bytes = _reader(DATA).position.offset
    with pytest.raises(Malformed):
        _reader(DATA[:head_bytes] + data).to_the_end()
    assert intact_bytes(lambda offset, size: (DATA[:head_bytes] + data)[offset : offset + size], 500) == head_bytes


def test_of_a_part_all_whole_records_count() -> None:
    reader = _reader(DATA)
    cuts = [0, reader.position.offset]
    while reader.chunk() is not None:
        cuts.append(reader.position.offset)
    cuts.append(len(DATA))
    for length in range(len(DATA) + 1):
        part = DATA[:length]
        expected = max(cut for cut in cuts if cut <= length)
        assert intact_bytes(lambda offset, size: part[offset : offset + size], length) == expected  # noqa: B023


def test_the_header_says_what_people_ask_for() -> None:
    disk = SimulatedDisk()
    snapshot_at(disk, base_at(9), b"x", made_by="raft-node 1.2")
    data = disk.content()["snapshot-0000000000000009.snap"]
    assert _reader(data).header == SnapshotHeader(base_at(9), "raft-node 1.2")
