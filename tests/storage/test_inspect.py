"""What people see of a log: all of it up to the damage, without the lock, and nothing is changed by looking."""

from pathlib import Path

from node.raft.types import HardState
from node.storage.files import OsFiles
from node.storage.inspect import DamageLine, FrameLine, SegmentLine, TornLine, dump, verify
from tests.simulation.disk import SimulatedDisk
from tests.storage.logs import CLUSTER_ID, FIRST, INCARNATION, NAME, Log, append, birth, command

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
