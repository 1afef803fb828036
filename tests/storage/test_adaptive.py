"""A quick disk is written from the loop, one turn later; a slow one by the worker."""

import errno
import threading
from collections.abc import Callable

from node.storage.adaptive import QUICK_SECONDS_MAX, SLOW_GROUPS
from node.storage.wal import open_wal
from tests.simulation.disk import SimulatedDisk
from tests.storage.logs import INCARNATION, NAME, Log, append, birth, command, read_back


class Disk(SimulatedDisk):
    """Takes `sync_s` for a sync, on its own clock, and remembers which threads synced."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.sync_s = 0.0
        self.threads: list[str] = []

    def clock(self) -> float:
        self.threads.append(threading.current_thread().name)
        self.now_s += self.sync_s / 2  # asked before and after each sync from the loop
        return self.now_s


def log_on(disk: Disk) -> Log:
    log = Log(disk, threaded=True, clock=disk.clock)
    log.write(birth())
    return log


def test_a_quick_disk_is_written_by_the_loop_and_not_within_flush() -> None:
    disk = Disk()
    log = log_on(disk)
    log.submit(append(2, command(2)), append(3, command(3)))
    log.wal.flush()
    assert log.done == [1]
    log.settle()
    assert log.done == [1, 2, 3]
    assert set(disk.threads) == {threading.current_thread().name}
    log.close()
    assert read_back(disk).entries[-1] == command(3)


def test_what_comes_between_flush_and_its_turn_is_written_with_it() -> None:
    disk = Disk()
    log = log_on(disk)
    log.submit(append(2, command(2)))
    log.wal.flush()
    syncs = len(disk.threads)
    log.submit(append(3, command(3)))
    log.wal.flush()
    log.settle()
    assert log.done == [1, 2, 3]
    assert len(disk.threads) == syncs + 2, "one write, so the clock was asked twice"
    log.close()


def test_a_slow_disk_is_left_to_the_worker_for_a_while_and_then_tried_again() -> None:
    disk = Disk()
    log = log_on(disk)
    disk.sync_s = 20 * QUICK_SECONDS_MAX  # eight times the limit would do: see AVERAGE_SYNCS
    log.write(append(2, command(2)))
    asked = len(disk.threads)
    for index in range(3, 3 + SLOW_GROUPS):
        log.write(append(index, command(index)))
    assert len(disk.threads) == asked, "the loop did not write"
    disk.sync_s = 0.0
    log.write(append(3 + SLOW_GROUPS, command(3 + SLOW_GROUPS)))
    assert len(disk.threads) == asked + 2
    assert log.done == list(range(1, 4 + SLOW_GROUPS))
    log.close()
    assert read_back(disk).entries[-1].index == 3 + SLOW_GROUPS


def test_one_late_sync_among_quick_ones_does_not_make_a_disk_slow() -> None:
    disk = Disk()
    log = log_on(disk)
    disk.sync_s = 2 * QUICK_SECONDS_MAX
    log.write(append(2, command(2)))
    disk.sync_s = 0.0
    asked = len(disk.threads)
    log.write(append(3, command(3)))
    assert len(disk.threads) == asked + 2
    log.close()


def test_what_waits_for_its_turn_is_written_when_the_log_is_closed() -> None:
    disk = Disk()
    turns: list[Callable[[], None]] = []
    done: list[int] = []
    wal, _ = open_wal(disk, NAME, INCARNATION, print, deliver=lambda report: None, turn=turns.append, clock=disk.clock)
    wal.submit(birth(), done.append)
    wal.flush()
    wal.close()
    assert done == [1]
    for turn in turns:
        turn()
    assert done == [1]
    assert len(read_back(disk).entries) == 1


def test_a_failed_write_from_the_loop_is_told_once_and_nothing_is_done_after_it() -> None:
    disk = Disk()
    log = log_on(disk)
    disk.fail("pwrite", errno.EIO)
    log.write(append(2, command(2)))
    assert len(log.fatal) == 1
    log.submit(append(3, command(3)))
    log.wal.flush()
    assert log.done == [1]
    assert len(log.fatal) == 1
    log.close()
