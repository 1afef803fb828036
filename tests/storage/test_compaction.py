"""The log ends at its beginning: segments go, oldest entries first, and a crash at any step leaves a whole log."""

import errno
import itertools
import queue
import random
from collections.abc import Callable

import pytest

from node.raft.errors import InvariantViolation
from node.raft.types import HardState
from node.simulation.disk import SimulatedDisk
from node.storage.frames import decode_segment_header
from node.storage.inspect import verify
from tests.storage.logs import NAME, WAIT_SECONDS_MAX, Log, append, birth, command, snapshot_at
from tests.storage.snapshotting import base_at
from tests.storage.test_crashes import CuttingDisk, PowerCut


def _numbers(disk: SimulatedDisk) -> list[int]:
    return [int(name[8:16]) for name in disk.content() if name.endswith(".wal")]


def _filled(disk: SimulatedDisk, last: int = 40, snapshot: int = 30, *, threaded: bool = False) -> Log:
    log = Log(disk, threaded=threaded, segment_bytes=1024)
    log.write(birth())
    for index in range(2, last + 1):
        log.write(append(index, command(index), state=HardState(1, NAME, index - 1)))
    snapshot_at(disk, base_at(snapshot), b"x")
    return log


def _kept(disk: SimulatedDisk) -> list[int]:
    log = Log(disk, segment_bytes=1024)
    log.close()
    return [entry.index for entry in log.recovered.entries]


@pytest.mark.parametrize("threaded", [False, True])
def test_segments_go_that_hold_nothing_but_what_the_snapshot_does(threaded: bool) -> None:
    disk = SimulatedDisk()
    log = _filled(disk, threaded=threaded)
    before = _numbers(disk)
    log.wal.compact(30)
    for index in range(41, 60):
        log.write(append(index, command(index)))
    log.close()
    after = _numbers(disk)
    assert len(after) < len(before) + 5
    assert after[0] > 1
    kept = _kept(disk)
    assert kept == list(range(kept[0], 60))
    assert 25 < kept[0] <= 31
    assert verify(disk).damage == ""


class RemovingDisk(SimulatedDisk):
    """Tells of each removal."""

    def __init__(self) -> None:
        super().__init__()
        self.removed: queue.SimpleQueue[str] = queue.SimpleQueue()

    def count(self, operation: str) -> None:
        super().count(operation)
        if operation == "remove":
            self.removed.put(operation)


def test_an_idle_log_is_compacted_by_its_worker_without_a_write() -> None:
    disk = RemovingDisk()
    log = _filled(disk, threaded=True)
    log.wal.compact(30)
    assert disk.removed.get(timeout=WAIT_SECONDS_MAX) == "remove"
    log.close()


def test_what_the_snapshot_does_not_hold_stays() -> None:
    disk = SimulatedDisk()
    log = _filled(disk)
    log.wal.compact(2)
    log.close()
    assert _kept(disk) == list(range(1, 41))
    with pytest.raises(InvariantViolation, match="cannot be superfluous in a log that ends at 40"):
        log.wal.compact(41)


def test_the_log_goes_on_growing_and_shrinking_for_long() -> None:
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=1024)
    log.write(birth())
    most = 0
    for index in range(2, 400):
        log.write(append(index, command(index), state=HardState(1, NAME, index - 1)))
        if index % 20 == 0:
            snapshot_at(disk, base_at(index), b"x")
            log.wal.compact(index - 5)
            most = max(most, len(_numbers(disk)))
        if index % 50 == 0:
            log.close()
            log = Log(disk, segment_bytes=1024)
            assert log.recovered.entries[-1].index == index
    assert most < 12
    assert _numbers(disk)[0] > 80


@pytest.mark.parametrize("before", range(12, 20))
def test_wherever_a_log_with_truncations_is_compacted_it_can_be_read(before: int) -> None:
    """A truncation can reach behind the start of its own segment and of those before: a log cannot begin with these."""
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=1024)
    log.write(birth())
    for index in range(2, before):
        log.write(append(index, command(index)))
    log.write(append(before, truncate_from=6))
    for index in range(6, 30):
        log.write(append(before + index, command(index, 2), state=HardState(2, "", index - 1)))
    log.close()
    whole, beginnings = disk.content(), []
    for index in range(2, 30):
        disk.load(whole)
        disk.kill()
        snapshot_at(disk, base_at(index, 1 if index < 6 else 2), b"x")
        log = Log(disk, segment_bytes=1024)
        for _ in range(4):
            log.wal.compact(index)
        log.close()
        kept = _kept(disk)
        assert kept == list(range(kept[0], 30))
        assert kept[0] <= index + 1
        beginnings.append(_numbers(disk)[0])
    assert beginnings == sorted(beginnings)
    steps = [after - before for before, after in itertools.pairwise(beginnings)]
    assert max(steps) > 1, "those in the middle are passed over in one step"


def test_a_gap_that_no_start_follows_is_refused() -> None:
    disk = SimulatedDisk()
    _filled(disk).close()
    numbers = _numbers(disk)
    disk.remove(f"segment-{numbers[3]:08d}.wal")
    verdict = verify(disk)
    assert verdict.damage == "", "the snapshot holds what is missing, so the log is whole"
    disk.remove("snapshot-0000000000000030.snap")
    assert "there is no snapshot of what came before" in verify(disk).damage


def test_a_disk_that_fails_to_remove_stops_nothing_and_it_is_done_later() -> None:
    for operation in ("remove", "sync_folder"):
        disk = SimulatedDisk()
        log = _filled(disk)
        disk.fail(operation, errno.EIO)
        log.wal.compact(30)
        disk.heal()
        log.write(append(41, command(41)))
        assert log.fatal == []
        log.wal.compact(30)
        log.wal.compact(30)
        log.close()
        assert _numbers(disk)[0] > 5
        assert _kept(disk)[-1] == 41


def _overwritten(disk: SimulatedDisk) -> Log:
    """As `_filled`, but several segments in the middle are no beginning, because a truncation reaches behind them."""
    log = Log(disk, segment_bytes=1024)
    log.write(birth())
    for index in range(2, 30):
        log.write(append(index, command(index)))
    log.write(append(30, truncate_from=9))
    for index in range(9, 41):
        log.write(append(22 + index, command(index, 2), state=HardState(2, "", index - 1)))
    snapshot_at(disk, base_at(15, 2), b"x")
    return log


@pytest.mark.parametrize(("fill", "index"), [(_filled, 30), (_overwritten, 15)])
def test_pitfall_29_a_crash_at_any_step_of_a_removal_leaves_a_whole_log(
    fill: Callable[[SimulatedDisk], Log], index: int
) -> None:
    """The power fails at each operation in turn; of the removals that were not synced, chance keeps any."""
    whole = SimulatedDisk()
    fill(whole).close()
    begins = set()
    for cut in range(36):
        for seed in range(8):
            disk = CuttingDisk()
            disk.load(whole.content())
            log = Log(disk, segment_bytes=1024)
            disk.left = cut
            try:
                log.wal.compact(index)
                log.wal.compact(index)
            except PowerCut:
                pass
            disk.left = None
            disk.kill() if seed == 0 else disk.crash(random.Random(seed))
            found = verify(disk)
            assert found.damage == ""
            kept = _kept(disk)
            assert kept == list(range(kept[0], 41))
            assert kept[0] <= index + 1
            numbers = _numbers(disk)
            assert numbers == list(range(numbers[0], numbers[-1] + 1)), "a start removes what lies before a gap"
            begins.add(kept[0])
    assert 1 in begins
    assert max(begins) > index - 8


def test_the_first_frame_of_a_segment_is_never_torn() -> None:
    disk = SimulatedDisk()
    log = _filled(disk)
    log.close()
    last = f"segment-{_numbers(disk)[-1]:08d}.wal"
    content = disk.content()
    assert decode_segment_header(content[last]).version == 2
    disk.load({**content, last: content[last][:512].ljust(len(content[last]), b"\0")})
    assert "the first frame is missing, and the segment was made with it" in verify(disk).damage
