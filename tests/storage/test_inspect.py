"""What people see of a log: all of it up to the damage, without the lock, and nothing is changed by looking."""

from pathlib import Path

import pytest

from node.raft.types import HardState
from node.simulation.disk import SimulatedDisk
from node.storage.errors import StorageError
from node.storage.files import OsFiles
from node.storage.inspect import dump, verify
from node.storage.inspect_lines import (
    DamageLine,
    FrameLine,
    LeftoverLine,
    PartLine,
    SegmentLine,
    SnapshotLine,
    TornLine,
)
from tests.storage.logs import CLUSTER_ID, FIRST, INCARNATION, NAME, Log, append, birth, command, snapshot_at
from tests.storage.snapshotting import base_at

NAMES = ("segment-00000001.wal", "segment-00000002.wal")


def _log(disk: SimulatedDisk | OsFiles) -> Log:
    log = Log(disk, segment_bytes=1024)
    log.write(birth(), append(2, command(2)))
    log.write(append(3, command(2, 2, b"y"), truncate_from=2, state=HardState(2, "n", 1)))
    log.write(append(4, command(3, 2, b"z" * 300)))
    return log


def test_a_log_in_use_can_be_dumped_and_verified(tmp_path: Path) -> None:
    log = _log(OsFiles(tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    lines = list(dump(OsFiles(tmp_path)))
    file = f"{tmp_path}/{NAMES[0]}"
    assert lines[0] == SegmentLine(file, 1, 1024, NAME, INCARNATION, CLUSTER_ID, 1)
    assert lines[1] == FrameLine(file, 512, lines[1].size_bytes, 1, None, (FIRST, command(2)), HardState())  # type: ignore[union-attr]
    assert isinstance(lines[2], FrameLine)
    assert (lines[2].sequence, lines[2].truncate_from, lines[2].hard_state) == (2, 2, HardState(2, "n", 1))
    assert isinstance(lines[3], SegmentLine)
    assert isinstance(lines[4], FrameLine)
    assert len(lines) == 5
    verdict = verify(OsFiles(tmp_path))
    assert (verdict.segments, verdict.frames, verdict.last_index, verdict.damage) == (2, 3, 3, "")
    assert (verdict.name, verdict.cluster_id, verdict.hard_state) == (NAME, CLUSTER_ID, HardState(2, "n", 1))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    log.close()


def test_a_damaged_log_is_shown_up_to_the_damage() -> None:
    disk = SimulatedDisk()
    _log(disk).close()
    disk.flip(NAMES[1], 600, 0x10)
    lines = list(dump(disk))
    assert [type(line) for line in lines] == [SegmentLine, FrameLine, FrameLine, SegmentLine, DamageLine]
    damage = lines[-1]
    assert isinstance(damage, DamageLine)
    assert (damage.file, damage.offset) == (f"disk/{NAMES[1]}", 512)
    assert damage.sentence == verify(disk).damage
    assert "may have been acknowledged" in damage.sentence
    disk.flip(NAMES[1], 20, 0x10)
    assert [type(line) for line in dump(disk)] == [SegmentLine, FrameLine, FrameLine, DamageLine]
    assert verify(disk).last_index == 2


def test_a_torn_tail_is_shown_and_left_alone() -> None:
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=4096)
    log.write(birth())
    log.write(append(2, command(2, 1, b"w" * 1500)))
    log.close()
    torn = {NAMES[0]: disk.content()[NAMES[0]][:1024].ljust(4096, b"\0")}
    disk.load(torn)
    assert [type(line) for line in dump(disk)] == [SegmentLine, FrameLine, TornLine]
    (*_, last) = dump(disk)
    assert isinstance(last, TornLine)
    assert last.offset + last.size_bytes == 1024
    assert (verify(disk).torn_bytes, verify(disk).damage) == (last.size_bytes, "")
    assert disk.content() == torn


def test_an_empty_or_missing_folder_is_no_traceback(tmp_path: Path) -> None:
    assert list(dump(OsFiles(tmp_path))) == []
    assert verify(OsFiles(tmp_path)).segments == 0
    (line,) = dump(OsFiles(tmp_path / "nothing"))
    assert isinstance(line, DamageLine)
    assert line.offset is None
    assert "No such file" in verify(OsFiles(tmp_path / "nothing")).damage


def test_a_snapshot_is_shown_with_the_log_that_follows_it_and_what_a_start_would_remove() -> None:
    disk = SimulatedDisk()
    _log(disk).close()
    snapshot_at(disk, base_at(1, 0), b"older")
    info = snapshot_at(disk, base_at(3, 2), b"one", b"two", made_by="raft-node 7")
    for name in ("snapshot-0000000000000009.snap.tmp", "snapshot-0000000000000009-1-999-00000000.part"):
        disk.create(name, 10).close()
    before = disk.content()
    frame, newest, older, *rest = list(dump(disk))[-5:]
    assert isinstance(frame, FrameLine)
    assert frame.start is not None
    assert (frame.start.index, frame.start.term) == (2, 2)
    assert newest == SnapshotLine(
        "disk/snapshot-0000000000000003.snap", info.base, info.size_bytes, 2, info.crc, "raft-node 7"
    )
    assert older == LeftoverLine("disk/snapshot-0000000000000001.snap")
    assert all(isinstance(line, LeftoverLine) for line in rest)
    assert len(rest) == 2
    verdict = verify(disk)
    assert (verdict.damage, verdict.snapshot, verdict.leftovers, verdict.discarded) == ("", newest, 3, False)
    assert disk.content() == before


def test_a_snapshot_that_is_being_received_is_shown() -> None:
    disk, source = SimulatedDisk(), SimulatedDisk()
    _log(disk).close()
    info = snapshot_at(source, base_at(50), b"x" * 1000)
    part = f"snapshot-0000000000000050-1-{info.size_bytes}-{info.crc:08x}.part"
    file = disk.create(part, 0)
    file.pwrite(0, source.content()["snapshot-0000000000000050.snap"][:-20])
    (*_, line) = dump(disk)
    assert line == PartLine(f"disk/{part}", info.size_bytes - 20)
    assert verify(disk).part == line


def test_a_snapshot_that_makes_a_start_discard_the_log_is_told() -> None:
    disk = SimulatedDisk()
    _log(disk).close()
    snapshot_at(disk, base_at(50, 9), b"x")
    assert (verify(disk).discarded, verify(disk).damage) == (True, "")
    log = Log(disk)
    log.close()
    assert (verify(disk).discarded, verify(disk).first_index, verify(disk).last_index) == (False, 51, 50)
    frame = next(line for line in dump(disk) if isinstance(line, FrameLine))
    assert frame.base == base_at(50, 9)


def test_what_a_start_refuses_of_snapshots_is_the_last_line() -> None:
    disk = SimulatedDisk()
    _log(disk).close()
    snapshot_at(disk, base_at(3, 2), b"one", b"two")
    disk.flip("snapshot-0000000000000003.snap", 200, 0x10)
    (*_, line) = dump(disk)
    assert isinstance(line, DamageLine)
    assert line.file == "disk/snapshot-0000000000000003.snap"
    with pytest.raises(StorageError) as refused:
        Log(disk)
    assert line.sentence == verify(disk).damage == str(refused.value)


def test_a_folder_with_a_snapshot_and_no_log_is_shown_as_what_it_is() -> None:
    disk = SimulatedDisk()
    snapshot_at(disk, base_at(3, 2), b"one")
    assert [type(line) for line in dump(disk)] == [SnapshotLine, DamageLine]
    assert "no log beside it" in verify(disk).damage


class CompactingDisk(SimulatedDisk):
    """A node compacts its log between two reads of somebody who looks at it."""

    def read(self, name: str) -> bytes:
        data = super().read(name)
        if name == NAMES[0]:
            self.remove(NAMES[0])
            self.remove(NAMES[1])
        return data


def test_files_that_a_running_node_removes_meanwhile_are_no_damage() -> None:
    disk = CompactingDisk()
    log = Log(disk, segment_bytes=1024)
    log.write(birth())
    for index in range(2, 20):
        log.write(append(index, command(index)))
    snapshot_at(disk, base_at(15), b"x")
    content = disk.content()
    (*_, line) = dump(disk)
    assert isinstance(line, DamageLine)
    assert f"disk/{NAMES[1]} went away while the log was read" in line.sentence
    disk.load(content)
    verdict = verify(disk)
    assert (verdict.damage, verdict.last_index) == ("", 19)
    assert verdict.first_index > 1
