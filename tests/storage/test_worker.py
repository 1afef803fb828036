"""The worker of snapshots: in order, told in the loop, never holding up an end; its faults stop the node."""

import queue
import threading
from collections.abc import Callable

import pytest

from node.simulation.disk import SimulatedDisk
from node.storage.errors import StorageError
from node.storage.snapshot_writing import WRITTEN_BYTES
from node.storage.worker import FileWorker, InlineWorker, ThreadedWorker
from tests.storage.disks import SlowDisk
from tests.storage.logs import WAIT_SECONDS_MAX, Log, birth
from tests.storage.snapshotting import SnapshotBench, base_at


class Loop:
    def __init__(self, threaded: bool) -> None:
        self.turns: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self.fatal: list[StorageError] = []
        put = self.turns.put
        self.worker: FileWorker = (
            ThreadedWorker(self.fatal.append, put, "x") if threaded else InlineWorker(self.fatal.append, put)
        )

    def turn(self) -> None:
        self.turns.get(timeout=WAIT_SECONDS_MAX)()


@pytest.mark.parametrize("threaded", [False, True])
def test_work_is_done_in_order_and_told_in_the_loop(threaded: bool) -> None:
    loop = Loop(threaded)
    done: list[int] = []
    told: list[tuple[int, str]] = []
    for number in range(20):

        def work(number: int = number) -> int:
            done.append(number)
            return number

        loop.worker.do(work, lambda number: told.append((number, threading.current_thread().name)))
    assert told == []
    for _ in range(20):
        loop.turn()
    assert done == list(range(20))
    assert told == [(number, threading.current_thread().name) for number in range(20)]
    loop.worker.close()


@pytest.mark.parametrize("threaded", [False, True])
def test_a_storage_error_is_fatal_and_told_in_the_loop(threaded: bool) -> None:
    loop = Loop(threaded)

    def work() -> None:
        raise StorageError("the disk is gone")

    told: list[None] = []
    loop.worker.do(work, told.append)
    loop.turn()
    assert [str(error) for error in loop.fatal] == ["the disk is gone"]
    assert told == []
    loop.worker.close()


def test_a_bug_on_the_thread_is_fatal_and_does_not_only_end_the_thread() -> None:
    loop = Loop(threaded=True)
    loop.worker.do(lambda: 1 // 0, lambda _: None)
    loop.turn()
    assert "failed on its own account: ZeroDivisionError" in str(loop.fatal[0])
    loop.worker.close()


@pytest.mark.parametrize("threaded", [False, True])
def test_after_close_nothing_is_done_and_nobody_is_told(threaded: bool) -> None:
    loop = Loop(threaded)
    begun, go_on = threading.Event(), threading.Event()
    told: list[str] = []

    def first() -> str:
        begun.set()
        assert not threaded or go_on.wait(WAIT_SECONDS_MAX)
        return "first"

    loop.worker.do(first, told.append)
    if threaded:
        assert begun.wait(WAIT_SECONDS_MAX)
        loop.worker.do(lambda: "second", told.append)
        threading.Timer(0.05, go_on.set).start()
    loop.worker.close()
    loop.worker.do(lambda: "third", told.append)
    while not loop.turns.empty():
        loop.turn()
    assert told == []


def test_a_silent_disk_keeps_no_node_from_ending() -> None:
    disk = SlowDisk()
    log = Log(disk)
    log.write(birth())
    bench = SnapshotBench(disk, threaded=True)
    disk.hold()
    writer = bench.snapshots.begin(base_at(7))
    writer.add(b"x")
    told: list[object] = []
    writer.finish(lambda info, problem: told.append(info))
    assert disk.syncing.wait(WAIT_SECONDS_MAX)
    bench.snapshots.close()  # waits for a second, and no longer
    disk.release()
    assert told == []


def test_a_snapshot_is_handed_to_the_worker_in_few_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimulatedDisk()
    bench = SnapshotBench(disk)
    handed: list[int] = []
    do = bench.snapshots._worker.do

    def counting(work: Callable[[], None], then: Callable[[None], None]) -> None:
        handed.append(1)
        do(work, then)

    monkeypatch.setattr(bench.snapshots._worker, "do", counting)
    chunks = [b"%04d" % number * 16_384 for number in range(3 * WRITTEN_BYTES // 65_536 + 1)]
    info, problem = bench.take(base_at(15), *chunks)
    assert problem == ""
    assert info is not None
    assert list(bench.snapshots.chunks(info)) == chunks
    assert len(handed) <= 2 + 4, "its beginning, a piece for each mebibyte, its end"
