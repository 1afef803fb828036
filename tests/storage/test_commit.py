"""Group commit: one sync for all that waited, a worker that the loop never waits for, and faults that are final."""

import asyncio
import errno
import itertools
import queue
import threading
from collections.abc import Callable, Sequence

import pytest

from node.raft.effects import Persist
from node.simulation.disk import SimulatedDisk, SimulatedFile
from node.storage.errors import StorageError
from node.storage.inspect import dump
from node.storage.inspect_lines import FrameLine
from node.storage.threaded import CHORES_AFTER_GROUPS, ThreadedCommit
from node.storage.wal import open_wal
from tests.storage.disks import ClockedDisk, SlowDisk
from tests.storage.logs import INCARNATION, NAME, WAIT_SECONDS_MAX, Log, append, birth, command


def _frames(disk: SimulatedDisk) -> list[int]:
    """How many entries each frame holds."""
    return [len(line.entries) for line in dump(disk) if isinstance(line, FrameLine)]


@pytest.mark.parametrize("threaded", [False, True])
def test_everything_submitted_before_a_flush_is_one_frame_and_one_sync(threaded: bool) -> None:
    disk = SimulatedDisk()
    log = Log(disk, threaded=threaded)
    log.write(birth())
    before = dict(disk.operations)
    log.write(*(append(index, command(index)) for index in range(2, 66)))
    assert disk.operations["sync"] == before["sync"] + 1
    assert disk.operations["pwrite"] == before["pwrite"] + 1
    assert disk.operations.get("sync_folder") == before.get("sync_folder")
    assert _frames(disk) == [1, 64]
    log.close()


def test_what_is_submitted_while_a_sync_runs_goes_into_the_next_frame() -> None:
    disk = SlowDisk()
    log = Log(disk, threaded=True)
    log.write(birth())
    disk.hold()
    log.submit(append(2, command(2)))
    log.wal.flush()
    assert disk.syncing.wait(WAIT_SECONDS_MAX)
    for index in range(3, 11):
        log.submit(append(index, command(index)), Persist(100 + index))
        log.wal.flush()
    assert log.done == [1]
    disk.release()
    log.settle()
    assert log.done == [1, 2, *(token for index in range(3, 11) for token in (index, 100 + index))]
    log.close()
    assert _frames(disk) == [1, 1, 8]


def test_a_barrier_waits_for_what_was_submitted_before_it() -> None:
    disk = SlowDisk()
    log = Log(disk, threaded=True)
    log.write(birth())
    disk.hold()
    log.submit(append(2, command(2)))
    log.wal.flush()
    assert disk.syncing.wait(WAIT_SECONDS_MAX)
    log.submit(Persist(3))
    log.wal.flush()
    assert log.done == [1]
    disk.release()
    log.settle()
    assert log.done == [1, 2, 3]
    log.close()


@pytest.mark.parametrize("threaded", [False, True])
def test_barriers_alone_cost_no_io(threaded: bool) -> None:
    disk = SimulatedDisk()
    log = Log(disk, threaded=threaded)
    log.write(birth())
    before = dict(disk.operations)
    log.submit(Persist(2), Persist(3))
    log.wal.flush()
    assert log.done == [1, 2, 3], "nothing is in progress, so flush itself reports them"
    assert disk.operations == before
    log.close()


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize(
    ("operation", "code", "words"),
    [
        ("sync", errno.EIO, "Input/output error"),
        ("pwrite", errno.ENOSPC, "No space left on device"),
        ("pwrite", errno.EROFS, "Read-only file system"),
    ],
)
def test_pitfall_33_a_failed_write_or_sync_is_reported_once_and_never_retried(
    threaded: bool, operation: str, code: int, words: str
) -> None:
    disk = SimulatedDisk()
    log = Log(disk, threaded=threaded)
    log.write(birth())
    disk.fail(operation, code)
    log.submit(append(2, command(2)), Persist(3))
    log.wal.flush()
    log.settle()
    disk.heal()
    before = dict(disk.operations)
    log.submit(append(4, command(3)), Persist(5))
    log.wal.flush()
    log.close()
    assert log.done == [1]
    (fatal,) = log.fatal
    assert words in str(fatal)
    assert str(fatal).startswith("cannot write to disk/segment-00000001.wal (")
    assert "\n" not in str(fatal)
    assert disk.operations == before, "the disk is not touched again"


def test_what_waits_behind_a_failed_sync_is_never_written() -> None:
    disk = SlowDisk()
    log = Log(disk, threaded=True)
    log.write(birth())
    disk.hold()
    log.submit(append(2, command(2)))
    log.wal.flush()
    assert disk.syncing.wait(WAIT_SECONDS_MAX)
    log.submit(append(3, command(3)))
    log.wal.flush()
    writes = disk.operations["pwrite"]
    disk.fail("sync", errno.EIO)
    disk.release()
    log.close()
    assert disk.operations["pwrite"] == writes
    assert (log.done, len(log.fatal)) == ([1], 1)


@pytest.mark.parametrize("threaded", [False, True])
def test_a_disk_that_fills_up_at_rotation_is_reported(threaded: bool) -> None:
    disk = SimulatedDisk()
    log = Log(disk, threaded=threaded, segment_bytes=1024)
    log.write(birth())
    disk.fail("create", errno.ENOSPC)
    for index in range(2, 20):
        log.write(append(index, command(index)))
    assert "free space on its disk" in str(log.fatal[0])
    assert len(log.fatal) == 1
    log.close()


def test_done_is_called_on_the_event_loops_thread() -> None:
    threads: list[str] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        finished = asyncio.Event()
        wal, _ = open_wal(SimulatedDisk(), NAME, INCARNATION, print, deliver=loop.call_soon_threadsafe)

        def done(token: int) -> None:
            threads.append(threading.current_thread().name)
            finished.set()

        wal.submit(birth(), done)
        wal.flush()
        assert threads == []
        await asyncio.wait_for(finished.wait(), WAIT_SECONDS_MAX)
        assert any(thread.name == f"wal-{NAME}" for thread in threading.enumerate())
        wal.close()
        assert all(thread.name != f"wal-{NAME}" for thread in threading.enumerate())

    asyncio.run(run())
    assert threads == ["MainThread"]


def test_a_log_whose_loop_is_closed_still_finishes_and_reports_at_close() -> None:
    disk = SimulatedDisk()
    loop = asyncio.new_event_loop()
    done: list[int] = []
    wal, _ = open_wal(disk, NAME, INCARNATION, print, deliver=loop.call_soon_threadsafe)
    loop.close()
    wal.submit(birth(), done.append)
    wal.close()
    assert done == [1]


def test_submit_never_waits_for_a_disk_that_is_silent() -> None:
    disk = SlowDisk()
    log = Log(disk, threaded=True)
    log.write(birth())
    disk.hold()
    log.submit(append(2, command(2)))
    log.wal.flush()
    assert disk.syncing.wait(WAIT_SECONDS_MAX)
    large = bytes(1 << 20)
    for index in range(3, 103):  # 100 MiB, more than any queue of bytes that was ever here
        log.submit(append(index, command(index, 1, large)))
        log.wal.flush()
    assert log.done == [1]
    disk.release()
    log.settle()
    assert log.done == list(range(1, 103))
    log.close()


@pytest.mark.parametrize("threaded", [False, True])
def test_the_age_of_the_oldest_write_is_told_until_it_is_durable(threaded: bool) -> None:
    disk = ClockedDisk()
    log = Log(disk, threaded=threaded, own_clock=disk.clock)
    log.write(birth())
    assert log.wal._commit.oldest_pending_s == 0
    log.submit(append(2, command(2)))
    disk.now_s = 1.5
    log.submit(append(3, command(3)))
    disk.now_s = 2.0
    assert log.wal._commit.oldest_pending_s == 2
    log.wal.flush()
    log.settle()
    assert log.wal._commit.oldest_pending_s == 0
    log.close()


def test_what_waits_behind_a_running_sync_is_as_old_as_that() -> None:
    disk = ClockedDisk()
    log = Log(disk, threaded=True, own_clock=disk.clock)
    log.write(birth())
    disk.hold()
    log.submit(append(2, command(2)))
    log.wal.flush()
    assert disk.syncing.wait(WAIT_SECONDS_MAX)
    disk.now_s = 3.0
    log.submit(append(3, command(3)))
    assert log.wal._commit.oldest_pending_s == 3
    disk.release()
    log.wal.flush()
    log.settle()
    log.close()


def test_a_silent_disk_keeps_no_node_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.storage.threaded.CLOSE_SECONDS_MAX", 0.01)
    disk = ClockedDisk()
    log = Log(disk, threaded=True, own_clock=disk.clock)
    log.write(birth())
    disk.hold()
    log.submit(append(2, command(2)))
    log.wal.flush()
    assert disk.syncing.wait(WAIT_SECONDS_MAX)
    disk.now_s = 40.0
    with pytest.raises(StorageError, match="has not finished a write for 40 s, so this node ends without it: check"):
        log.close()
    assert log.done == [1], "nobody was told that it is durable"
    disk.release()
    log.join()


def test_a_bug_in_the_writer_stops_the_node_and_not_only_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimulatedDisk()
    log = Log(disk, threaded=True)
    log.write(birth())

    def broken(self: SimulatedFile, offset: int, data: bytes) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(SimulatedFile, "pwrite", broken)
    log.write(append(2, command(2)))
    assert [type(error) for error in log.fatal] == [StorageError]
    assert "planted" in str(log.fatal[0])
    log.close()


def test_a_log_interrupted_in_a_write_takes_no_more() -> None:
    disk = SimulatedDisk()
    log = Log(disk)
    log.write(birth())

    def interrupted(operation: str) -> None:
        raise KeyboardInterrupt

    log.submit(append(2, command(2)))
    disk.count = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        log.wal.flush()
    del disk.count
    log.submit(append(3, command(3)))
    log.close()
    assert log.done == [1]
    assert len(Log(disk).recovered.entries) == 1


def test_deliver_is_called_once_a_group() -> None:
    reports: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    done: list[int] = []
    wal, _ = open_wal(SimulatedDisk(), NAME, INCARNATION, print, deliver=reports.put)
    wal.submit(birth(), done.append)
    wal.submit(append(2, command(2)), done.append)
    wal.flush()
    reports.get(timeout=WAIT_SECONDS_MAX)()
    assert done == [1, 2]
    assert reports.empty()
    wal.close()


class BusyWriter:
    """Always has chores, and writes one group at a time when it is told to."""

    def __init__(self) -> None:
        self.due = True
        self.prepared_after: list[int] = []
        self.groups = 0
        self.begun: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.go_on: queue.SimpleQueue[None] = queue.SimpleQueue()

    def write(self, writes: Sequence[Persist]) -> None:
        self.begun.put(None)
        self.go_on.get(timeout=WAIT_SECONDS_MAX)
        self.groups += 1

    def prepare(self) -> None:
        self.prepared_after.append(self.groups)


def test_writers_that_never_pause_do_not_keep_the_chores_away() -> None:
    writer, reports = BusyWriter(), queue.SimpleQueue[Callable[[], None]]()
    commit = ThreadedCommit(writer, lambda error: pytest.fail(str(error)), lambda: 0.0, reports.put, "test")
    commit.submit(append(1, command(1)), lambda token: None)
    commit.flush()
    for group in range(2, 6 * CHORES_AFTER_GROUPS):
        writer.begun.get(timeout=WAIT_SECONDS_MAX)
        commit.submit(append(group, command(group)), lambda token: None)
        commit.flush()  # the next group waits before this one is through
        writer.go_on.put(None)
    writer.begun.get(timeout=WAIT_SECONDS_MAX)
    writer.go_on.put(None)
    writer.due = False
    commit.close()
    assert 4 <= len(writer.prepared_after) < 10
    gaps = [after - before for before, after in itertools.pairwise((0, *writer.prepared_after))]
    assert max(gaps) <= CHORES_AFTER_GROUPS + 1
