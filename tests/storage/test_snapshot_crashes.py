"""The power fails at every step of taking, receiving and installing a snapshot: whole before or whole after."""

import contextlib
import errno
import random
from collections import Counter
from collections.abc import Callable

import pytest

from node import cures
from node.raft.types import Entry, HardState, SnapshotInfo
from node.simulation.disk import SimulatedDisk
from node.storage import snapshot_writing
from node.storage.recovery import Recovered
from tests.storage.logs import FIRST, NAME, Log, append, birth, command, rebase, snapshot_at
from tests.storage.snapshotting import SnapshotBench, base_at
from tests.storage.test_crashes import CuttingDisk, PowerCut

SEEDS = 6
OLDER = (b"older",)
NEWER = (b"newer" * 300, b"\0" * 2000, b"end")


@pytest.fixture(autouse=True)
def every_chunk_is_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_writing, "WRITTEN_BYTES", 1)


def _log(disk: SimulatedDisk, last: int, snapshot: int | None = None) -> Recovered:
    log = Log(disk, segment_bytes=1024)
    log.write(birth())
    for index in range(2, last + 1):
        log.write(append(index, command(index), state=HardState(1, NAME, index - 1)))
    log.close()
    if snapshot is not None:
        snapshot_at(disk, base_at(snapshot), *OLDER)
    return Log(disk, segment_bytes=1024).recovered


def _cut_at_every_step(story: Callable[[CuttingDisk, int], bool], check: Callable[[CuttingDisk], None]) -> int:
    """Run `story` with the power failing at each operation in turn, until it gets through; how many there are."""
    for cut in range(1000):
        for seed in range(SEEDS):
            disk = CuttingDisk()
            through = story(disk, cut)
            disk.left = None
            disk.kill() if seed == 0 else disk.crash(random.Random(seed * 1000 + cut))
            try:
                check(disk)
            except BaseException as error:
                raise AssertionError(f"cut at {cut}, seed {seed}: {error!r}") from error
        if through:
            return cut
    raise AssertionError("the story has no end")


def _chunks(disk: SimulatedDisk, log: Log) -> tuple[bytes, ...]:
    info = log.recovered.snapshot
    assert info is not None
    return tuple(SnapshotBench(disk, recovered=log.recovered).snapshots.chunks(info))


def test_pitfall_29_a_crash_at_any_step_of_taking_one() -> None:
    seen: Counter[str] = Counter()
    told: list[bool] = []

    def story(disk: CuttingDisk, cut: int) -> bool:
        recovered = _log(disk, 20, snapshot=5)
        told.clear()
        bench = SnapshotBench(disk, recovered=recovered)
        disk.left = cut
        with contextlib.suppress(PowerCut):
            bench.taken(base_at(15), *NEWER)
            told.append(True)
        return bool(told)

    def check(disk: CuttingDisk) -> None:
        log = Log(disk, segment_bytes=1024)
        info = log.recovered.snapshot
        assert info is not None
        assert log.recovered.entries == (FIRST, *(command(index) for index in range(2, 21)))
        assert _chunks(disk, log) == (NEWER if info.base.index == 15 else OLDER)
        assert info.base.index == 15 or not told
        assert [name for name in disk.names() if name.startswith("snapshot")] == [
            f"snapshot-{info.base.index:016d}.snap"
        ]
        seen[f"{info.base.index} {bool(told)}"] += 1
        log.close()
        bench = SnapshotBench(disk, recovered=log.recovered)
        bench.taken(base_at(17), b"the next one is taken all the same")

    assert _cut_at_every_step(story, check) > 10
    assert set(seen) == {"5 False", "15 False", "15 True"}


def test_pitfall_29_a_crash_at_any_step_of_receiving_and_installing_one() -> None:
    """The log ends at entry 10, the snapshot at 50: until the log begins anew there are two histories on the disk."""
    source = SimulatedDisk()
    info = snapshot_at(source, base_at(50, 2), *NEWER)
    data = source.content()["snapshot-0000000000000050.snap"]
    told: list[str] = []
    seen: Counter[str] = Counter()

    def story(disk: CuttingDisk, cut: int) -> bool:
        recovered = _log(disk, 10, snapshot=5)
        log = Log(_unlocked(disk), segment_bytes=1024)
        told.clear()
        bench = SnapshotBench(disk, recovered=recovered)
        disk.left = cut
        with contextlib.suppress(PowerCut):
            assert bench.receive(info, data, 700) == (info, "")
            told.append("received")
            log.write(rebase(1, info.base, command(51, 2), state=HardState(2, "", 50)))
            told.append("installed")
            log.write(append(2, command(52, 2)))
            told.append("gone on")
        return len(told) == 3

    def check(disk: CuttingDisk) -> None:
        log = Log(disk, segment_bytes=1024)
        recovered = log.recovered
        if recovered.snapshot != info:
            assert not told
            assert recovered.entries == (FIRST, *(command(index) for index in range(2, 11)))
            assert _chunks(disk, log) == OLDER
            bench = SnapshotBench(disk, recovered=recovered)
            seen["from the beginning" if recovered.partial is None else "a part kept"] += 1
            assert bench.receive(info, data, 700) == (info, "")
            log.close()
            log = Log(disk, segment_bytes=1024)
        _check_installed(disk, log, info, told, seen)

    assert _cut_at_every_step(story, check) > 20
    assert set(seen) == {"from the beginning", "a part kept", "50..50", "50..51", "50..52"}


def _check_installed(disk: SimulatedDisk, log: Log, info: SnapshotInfo, told: list[str], seen: Counter[str]) -> None:
    recovered = log.recovered
    expected: tuple[Entry, ...] = (command(51, 2), command(52, 2))
    assert (recovered.base, recovered.snapshot) == (info.base, info)
    assert recovered.entries == expected[: len(recovered.entries)]
    assert len(recovered.entries) >= max(0, len(told) - 1)
    assert recovered.hard_state.commit == 50
    assert _chunks(disk, log) == NEWER
    seen[f"50..{50 + len(recovered.entries)}"] += 1
    index = 51 + len(recovered.entries)
    log.write(append(9, command(index, 2)))
    log.close()
    assert Log(disk, segment_bytes=1024).recovered.entries[-1].index == index


def _unlocked(disk: CuttingDisk) -> CuttingDisk:
    disk.unlock()
    return disk


@pytest.mark.parametrize(
    "operation", ["create", "pwrite", "sync", "rename", "sync_folder", "names", "read_range", "size"]
)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_while_one_is_taken_is_a_sentence_and_the_next_succeeds(operation: str, code: int) -> None:
    for after_calls in range(4):
        disk = SimulatedDisk()
        recovered = _log(disk, 20, snapshot=5)
        bench = SnapshotBench(disk, recovered=recovered)
        disk.fail(operation, code, after_calls)
        info, problem = bench.take(base_at(15), *NEWER)
        disk.heal()
        assert (info is None) == bool(problem)
        assert info is not None or ("tries again later" in problem and "\n" not in problem)
        assert info is None or after_calls
        expected = 5 if info is None else 15
        assert bench.snapshots.latest is not None
        assert bench.snapshots.latest.base.index == expected
        assert not any(name.endswith(".tmp") for name in disk.names())
        disk.kill()
        log = Log(disk, segment_bytes=1024)
        assert log.recovered.snapshot == bench.snapshots.latest
        bench.taken(base_at(18), *NEWER)


def test_a_snapshot_that_failed_once_is_not_gone_on_with() -> None:
    disk = SimulatedDisk()
    bench = SnapshotBench(disk, recovered=_log(disk, 20))
    writer = bench.snapshots.begin(base_at(15))
    writer.add(b"one")
    disk.fail("pwrite", errno.ENOSPC)
    writer.add(b"two")
    disk.heal()
    writer.add(b"three")
    told: list[tuple[object, str]] = []
    writer.finish(lambda info, problem: told.append((info, problem)))
    bench.until(told)
    assert told[0][0] is None
    assert cures.SNAPSHOT_NO_SPACE in told[0][1]
    assert not any(name.startswith("snapshot") for name in disk.names())


@pytest.mark.parametrize("operation", ["create", "pwrite", "sync", "rename", "sync_folder", "read_range", "size"])
def test_a_disk_that_fails_while_one_is_received_is_a_sentence_and_the_next_attempt_succeeds(operation: str) -> None:
    source = SimulatedDisk()
    info = snapshot_at(source, base_at(50, 2), *NEWER)
    data = source.content()["snapshot-0000000000000050.snap"]
    disk = SimulatedDisk()
    bench = SnapshotBench(disk, recovered=_log(disk, 10))
    disk.fail(operation, errno.ENOSPC)
    found, problem = bench.receive(info, data, 700)
    assert found is None
    assert "No space left on device" in problem
    assert cures.SNAPSHOT_NO_SPACE in problem
    disk.heal()
    assert bench.receive(info, data, 700) == (info, "")
    assert bench.chunks(info) == ([*NEWER], "")


def test_what_cannot_be_read_back_is_not_relied_upon() -> None:
    class LyingDisk(SimulatedDisk):
        def size(self, name: str) -> int:
            if name.endswith("15.snap.tmp"):
                self.flip(name, 500, 0x01)
            return super().size(name)

    disk = LyingDisk()
    bench = SnapshotBench(disk, recovered=_log(disk, 20, snapshot=5))
    info, problem = bench.take(base_at(15), *NEWER)
    assert info is None
    assert f"is damaged (checksum mismatch): {cures.SNAPSHOT_FAILED}" in problem
    assert bench.snapshots.latest is not None
    assert bench.snapshots.latest.base.index == 5
    disk.kill()
    assert Log(disk, segment_bytes=1024).recovered.snapshot == bench.snapshots.latest
    bench.taken(base_at(16), *NEWER)
