"""The simulated disk loses and fails as it says: a kind one would prove nothing."""

import errno
import random

import pytest

from node.simulation.disk import SECTOR_BYTES, SimulatedDisk


def _written(seed: int) -> tuple[SimulatedDisk, bytes]:
    disk = SimulatedDisk()
    file = disk.create("a", 8 * SECTOR_BYTES)
    file.sync()
    disk.sync_folder()
    file.pwrite(0, b"\xaa" * 8 * SECTOR_BYTES)
    disk.crash(random.Random(seed))
    return disk, disk.read("a")


def test_what_was_synced_survives_every_crash() -> None:
    for seed in range(50):
        disk = SimulatedDisk()
        file = disk.create("a", 1000)
        file.pwrite(10, b"kept")
        file.sync()
        disk.sync_folder()
        disk.crash(random.Random(seed))
        assert disk.read("a") == bytes(10) + b"kept" + bytes(986)


def test_an_unsynced_write_may_survive_in_no_part_in_any_part_and_in_whole() -> None:
    seen = set()
    for seed in range(100):
        content = _written(seed)[1]
        sectors = [content[i * SECTOR_BYTES : (i + 1) * SECTOR_BYTES] for i in range(8)]
        assert all(len(set(sector)) == 1 for sector in sectors), "a sector is written whole or not at all"
        seen.add(tuple(sector[0] != 0 for sector in sectors))
    assert (False,) * 8 in seen
    assert (True,) * 8 in seen
    assert any(not pattern[0] and pattern[-1] for pattern in seen), "a later sector without an earlier one"
    assert len(seen) > 20


def test_an_unsynced_name_may_be_lost_and_may_survive() -> None:
    outcomes = set()
    for seed in range(50):
        disk = SimulatedDisk()
        disk.create("a", 4).sync()
        disk.sync_folder()
        disk.rename("a", "b")
        disk.crash(random.Random(seed))
        outcomes.add(tuple(disk.names()))
    assert outcomes == {("a",), ("b",)}


def test_the_same_seed_leaves_the_same_bytes() -> None:
    for seed in range(20):
        assert _written(seed)[1] == _written(seed)[1]


def test_after_a_failed_sync_a_later_one_does_not_write_what_the_first_should_have() -> None:
    lost = 0
    for seed in range(20):
        disk = SimulatedDisk()
        file = disk.create("a", 4)
        disk.sync_folder()
        file.sync()
        file.pwrite(0, b"gone")
        disk.fail("sync", errno.EIO)
        with pytest.raises(OSError, match=r"error"):
            file.sync()
        disk.heal()
        file.sync()
        assert disk.read("a") == b"gone", "the cache still shows it"
        disk.crash(random.Random(seed))
        lost += disk.read("a") == bytes(4)
    assert lost > 0


def test_kill_keeps_the_cache_and_ends_open_files() -> None:
    disk = SimulatedDisk()
    disk.lock()
    file = disk.create("a", 4)
    file.pwrite(0, b"here")
    disk.kill()
    assert disk.read("a") == b"here"
    with pytest.raises(OSError, match="before the crash"):
        file.pwrite(0, b"dead")
    disk.lock()


def test_faults_come_when_asked_for_and_a_failing_write_may_write_a_part() -> None:
    disk = SimulatedDisk()
    file = disk.create("a", 1024)
    disk.fail("pwrite", errno.ENOSPC, after_calls=1)
    file.pwrite(0, b"a" * 1024)
    with pytest.raises(OSError) as full:
        file.pwrite(0, b"b" * 1024)
    assert full.value.errno == errno.ENOSPC
    assert disk.read("a") == b"b" * 512 + b"a" * 512
    disk.heal()
    file.pwrite(0, b"fine")
    disk.flip("a", 0, 0x01)
    assert disk.read("a")[:4] == b"gine"
    disk.make_read_only()
    with pytest.raises(OSError) as read_only:
        disk.create("b", 1)
    assert read_only.value.errno == errno.EROFS
