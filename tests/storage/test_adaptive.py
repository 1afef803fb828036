"""The loop writes while a quick disk has just answered, and waits a moment for one that it knows nothing of."""

import errno
import queue
from collections.abc import Callable, Iterator

import pytest

from node.raft.effects import Persist
from node.storage import adaptive
from node.storage.adaptive import (
    AVERAGE_SYNCS,
    ONE_SECONDS_MAX,
    QUICK_SECONDS_MAX,
    SLOW_GROUPS,
    TRUST_SECONDS_MAX,
    AdaptiveCommit,
)
from node.storage.errors import StorageError
from node.storage.wal import open_wal
from tests.storage.disks import ClockedDisk
from tests.storage.logs import INCARNATION, NAME, WAIT_SECONDS_MAX, append, birth, command, read_back

SEGMENT_BYTES = 32 * 1024


class Loop:
    """A log, and by hand what an event loop would do with the reports that come from the worker."""

    def __init__(self, disk: ClockedDisk) -> None:
        self.reports: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.done: list[int] = []
        self.fatal: list[StorageError] = []
        self.wal, _ = open_wal(
            disk,
            NAME,
            INCARNATION,
            self.fatal.append,
            deliver=self.reports.put,
            adaptive=True,
            clock=disk.clock,
            segment_bytes=SEGMENT_BYTES,
        )
        self.write(birth())

    def write(self, *writes: Persist) -> None:
        for write in writes:
            self.wal.submit(write, self.done.append)
        self.wal.flush()

    def report(self) -> None:
        self.reports.get(timeout=WAIT_SECONDS_MAX)()

    def waits(self, index: int) -> bool:
        """Write that entry, and say whether the loop took part in it, by writing or by waiting."""
        self.write(append(index, command(index)))
        took_part = self.done[-1] == index
        if not took_part:
            self.report()
        assert self.done[-1] == index
        return took_part


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is that runs the test, a disk that answers is waited for."""
    monkeypatch.setattr(adaptive, "LOOP_WAIT_SECONDS_MAX", WAIT_SECONDS_MAX)


@pytest.fixture
def disk() -> ClockedDisk:
    return ClockedDisk()


@pytest.fixture
def loop(disk: ClockedDisk, patient: None) -> Iterator[Loop]:
    loop = Loop(disk)
    yield loop
    disk.release()
    loop.wal.close()


def test_a_disk_that_has_just_answered_is_written_by_the_loop(loop: Loop, disk: ClockedDisk) -> None:
    disk.threads.clear()
    loop.write(append(2, command(2)), append(3, command(3)))
    assert loop.done == [1, 2, 3]
    assert disk.threads == ["MainThread"]
    loop.wal.close()
    assert read_back(disk).entries[-1] == command(3)


def test_a_disk_not_heard_of_lately_is_written_by_the_worker_and_the_loop_waits(loop: Loop, disk: ClockedDisk) -> None:
    disk.threads.clear()
    disk.now_s += TRUST_SECONDS_MAX
    loop.write(append(2, command(2)))
    assert loop.done == [1, 2]
    assert disk.threads == [f"wal-{NAME}"]
    assert loop.reports.empty(), "the loop need not be woken for what it waited for"
    assert loop.waits(3)
    assert disk.threads == [f"wal-{NAME}", "MainThread"], "it has answered, so it is trusted"


def test_the_next_segment_is_made_by_the_worker_and_the_loop_does_not_wait_for_it(
    loop: Loop, disk: ClockedDisk
) -> None:
    while not disk.synced.empty():
        disk.synced.get()
    loop.write(append(2, command(2, 1, bytes(SEGMENT_BYTES // 2))))
    assert loop.done == [1, 2]
    assert disk.synced.get(timeout=WAIT_SECONDS_MAX) == "MainThread"
    assert disk.synced.get(timeout=WAIT_SECONDS_MAX) == f"wal-{NAME}"
    assert "segment-00000002.wal.tmp" in disk.content()
    loop.write(append(3, command(3)))
    loop.wal.close()
    assert loop.done == [1, 2, 3]


def test_a_slow_disk_is_not_waited_for_for_a_while_and_then_tried_again(loop: Loop, disk: ClockedDisk) -> None:
    disk.sync_s = ONE_SECONDS_MAX + 0.001
    assert loop.waits(2)
    assert not any(loop.waits(index) for index in range(3, 3 + SLOW_GROUPS))
    disk.sync_s = 0.0
    assert loop.waits(3 + SLOW_GROUPS)


def test_a_disk_that_is_slow_on_average_is_slow(loop: Loop, disk: ClockedDisk) -> None:
    disk.sync_s = 2 * QUICK_SECONDS_MAX
    assert [loop.waits(index) for index in range(2, 12)].index(False) == AVERAGE_SYNCS - 2


def test_one_late_sync_among_quick_ones_does_not_make_a_disk_slow(loop: Loop, disk: ClockedDisk) -> None:
    disk.sync_s = 2 * QUICK_SECONDS_MAX
    assert loop.waits(2)
    disk.sync_s = 0.0
    assert loop.waits(3)


def test_a_disk_that_fell_silent_while_nobody_wrote_holds_the_loop_for_a_moment_only(
    loop: Loop, disk: ClockedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptive, "LOOP_WAIT_SECONDS_MAX", 0.001)
    disk.now_s += TRUST_SECONDS_MAX
    disk.hold()
    loop.write(append(2, command(2)))
    assert loop.done == [1], "the turn is over, and the sync is not"
    for index in range(3, 50):
        loop.write(append(index, command(index)))
    assert loop.done == [1], "nobody waits for a worker that is not idle"
    assert loop.wal._commit.oldest_pending_s == 0
    disk.now_s += 90.0
    assert loop.wal._commit.oldest_pending_s == 90
    disk.release()
    while loop.done[-1] < 49:
        loop.report()
    assert loop.done == list(range(1, 50))
    assert loop.wal._commit.oldest_pending_s == 0


def test_a_disk_that_let_the_loop_wait_in_vain_is_slow(
    loop: Loop, disk: ClockedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptive, "LOOP_WAIT_SECONDS_MAX", 0.001)
    disk.now_s += TRUST_SECONDS_MAX
    disk.hold()
    loop.write(append(2, command(2)))
    disk.now_s += 1.0
    disk.release()
    loop.report()
    assert not loop.waits(3)


def test_what_the_worker_was_asked_to_write_is_left_to_it_although_it_has_not_begun(
    loop: Loop, disk: ClockedDisk
) -> None:
    """Two threads must never use the log at once, however late the worker gets its turn of the processor."""
    disk.sync_s = ONE_SECONDS_MAX + 0.001
    assert loop.waits(2)
    disk.sync_s = 0.0
    assert not any(loop.waits(index) for index in range(3, 2 + SLOW_GROUPS))
    commit = loop.wal._commit
    assert isinstance(commit, AdaptiveCommit)
    with commit._changed:  # the worker cannot begin
        loop.write(append(2 + SLOW_GROUPS, command(2 + SLOW_GROUPS)))
        loop.write(append(3 + SLOW_GROUPS, command(3 + SLOW_GROUPS)))
        assert loop.done[-1] == 1 + SLOW_GROUPS, "the loop would write what the worker is about to take"
    while loop.done[-1] < 3 + SLOW_GROUPS:
        loop.report()


def test_what_is_written_behind_a_busy_worker_is_durable_when_the_log_is_closed(loop: Loop, disk: ClockedDisk) -> None:
    disk.sync_s = ONE_SECONDS_MAX + 0.001
    assert loop.waits(2)
    loop.write(append(3, command(3)))
    loop.wal.close()
    assert loop.done == [1, 2, 3]
    assert len(read_back(disk).entries) == 3


def test_a_failed_write_is_told_once_and_nothing_is_done_after_it(loop: Loop, disk: ClockedDisk) -> None:
    disk.fail("pwrite", errno.EIO)
    loop.write(append(2, command(2)))
    assert len(loop.fatal) == 1
    loop.write(append(3, command(3)))
    assert loop.done == [1]
    assert len(loop.fatal) == 1
