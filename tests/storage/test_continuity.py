"""A start joins the log with the newest snapshot, or says in one sentence why they do not belong together; the cure in
each sentence is followed here."""

import pytest

from node import cures
from node.raft.types import Base, HardState, Member, SnapshotInfo
from node.simulation.disk import SimulatedDisk
from node.storage.errors import StorageError
from tests.storage.logs import CLUSTER_ID, FIRST, NAME, Log, append, birth, command, rebase, snapshot_at
from tests.storage.snapshotting import MEMBERS, SnapshotBench, base_at


def _log(disk: SimulatedDisk, last: int, commit: int | None = None) -> None:
    """Entries up to `last`, a few to a segment."""
    log = Log(disk, segment_bytes=1024)
    log.write(birth())
    for index in range(2, last + 1):
        log.write(append(index, command(index), state=HardState(1, NAME, min(commit or index - 1, index))))
    log.close()


def _compacted(disk: SimulatedDisk, last: int, index: int) -> SnapshotInfo:
    """The same with a snapshot of `index`, and no segment that holds nothing else."""
    _log(disk, last)
    info = snapshot_at(disk, base_at(index), b"state at %d" % index)
    log = Log(disk, segment_bytes=1024)
    log.wal.compact(index)
    while any(name == "segment-00000001.wal" for name in disk.names()):
        log.wal.compact(index)
    log.close()
    return info


def _start(disk: SimulatedDisk) -> Log:
    return Log(disk, segment_bytes=1024)


def _refused(disk: SimulatedDisk) -> str:
    before = disk.content()
    with pytest.raises(StorageError) as refused:
        _start(disk)
    assert {**disk.content(), "lock": b""} == {**before, "lock": b""}, "nothing on disk is changed"
    assert refused.value.file in str(refused.value)
    return str(refused.value)


def test_a_log_goes_on_after_the_snapshot_that_it_contains() -> None:
    disk = SimulatedDisk()
    info = _compacted(disk, 30, 20)
    log = _start(disk)
    recovered = log.recovered
    assert recovered.snapshot == info
    assert 0 < recovered.base.index <= 20
    assert recovered.base == Base(
        recovered.base.index,
        1,
        1_700_000_000_000_000 + recovered.base.index,
        recovered.base.configuration,
        CLUSTER_ID,
        FIRST.data,
    )
    assert recovered.base.configuration.member(NAME) is not None
    assert recovered.entries == tuple(command(index) for index in range(recovered.base.index + 1, 31))
    assert recovered.hard_state == HardState(1, NAME, 29)


def test_what_a_snapshot_holds_is_committed_even_if_the_log_never_said_so() -> None:
    disk = SimulatedDisk()
    _log(disk, 10, commit=4)
    snapshot_at(disk, base_at(8), b"x")
    assert _start(disk).recovered.hard_state == HardState(1, NAME, 8)


def test_a_log_that_ends_before_the_snapshot_is_discarded_for_it() -> None:
    disk = SimulatedDisk()
    _log(disk, 10)
    info = snapshot_at(disk, base_at(50, 3), b"x")
    for _ in range(2):
        log = _start(disk)
        assert (log.recovered.base, log.recovered.entries, log.recovered.snapshot) == (info.base, (), info)
        assert log.recovered.hard_state == HardState(3, "", 50), "a vote of an older term is none"
        log.close()
    log = _start(disk)
    log.write(append(1, command(51, 3)))
    log.close()
    assert [entry.index for entry in _start(disk).recovered.entries] == [51]


def test_the_segments_of_a_discarded_log_go() -> None:
    disk = SimulatedDisk()
    _log(disk, 30)
    segments = [name for name in disk.names() if name.endswith(".wal")]
    snapshot_at(disk, base_at(50, 3), b"x")
    log = _start(disk)
    assert not set(segments) & set(disk.names())
    log.write(append(1, command(51, 3)))
    log.close()
    assert _start(disk).recovered.entries == (command(51, 3),)


def test_a_log_with_another_entry_at_the_snapshots_end_is_discarded_for_it() -> None:
    disk = SimulatedDisk()
    _log(disk, 10, commit=5)
    info = snapshot_at(disk, base_at(8, 2), b"x")
    recovered = _start(disk).recovered
    assert (recovered.base, recovered.entries, recovered.hard_state.commit) == (info.base, (), 8)


def test_another_entry_at_the_snapshots_end_that_is_committed_is_refused() -> None:
    disk = SimulatedDisk()
    _log(disk, 10, commit=8)
    snapshot_at(disk, base_at(8, 2), b"x")
    sentence = _refused(disk)
    assert "entry 8 is of term 2 in the snapshot, and of term 1 in the log" in sentence
    assert sentence.endswith(cures.MEMBER_LOST)


def test_a_node_that_is_not_born_begins_with_the_snapshot_that_it_was_sent() -> None:
    disk = SimulatedDisk()
    log = _start(disk)
    log.write(append(1, state=HardState(2, "x", 0)))
    log.close()
    info = snapshot_at(disk, base_at(50, 3), b"x")
    log = _start(disk)
    assert (log.recovered.base, log.recovered.cluster_id) == (info.base, CLUSTER_ID)
    log.write(append(1, command(51, 3)))
    log.close()
    assert _start(disk).recovered.entries == (command(51, 3),)


def test_a_log_that_begins_behind_the_newest_snapshot_is_refused() -> None:
    disk = SimulatedDisk()
    _compacted(disk, 30, 20)
    begins = _start(disk)
    begins.close()
    first = begins.recovered.base.index + 1
    disk.remove("snapshot-0000000000000020.snap")
    sentence = _refused(disk)
    assert f"the log begins at entry {first}, and there is no snapshot of what came before" in sentence
    snapshot_at(disk, base_at(5), b"x")
    sentence = _refused(disk)
    assert f"the log begins at entry {first}, and the newest snapshot ends at entry 5" in sentence
    assert sentence.endswith(cures.MEMBER_LOST)


def test_a_damaged_newest_snapshot_is_refused_although_an_older_one_would_do_and_can_be_moved_away() -> None:
    disk = SimulatedDisk()
    _log(disk, 30)
    older = snapshot_at(disk, base_at(10), b"older")
    snapshot_at(disk, base_at(20), b"newer")
    disk.flip("snapshot-0000000000000020.snap", 30, 0x01)
    sentence = _refused(disk)
    assert sentence.startswith("disk/snapshot-0000000000000020.snap, byte 0: the snapshot header is damaged")
    assert "move this file to another folder and start the node again" in sentence
    disk.remove("snapshot-0000000000000020.snap")
    recovered = _start(disk).recovered
    assert (recovered.snapshot, len(recovered.entries)) == (older, 30)


def test_a_damaged_only_snapshot_can_be_moved_away_where_the_log_has_everything() -> None:
    disk = SimulatedDisk()
    _log(disk, 30)
    snapshot_at(disk, base_at(10), b"x")
    disk.flip("snapshot-0000000000000010.snap", 3, 0x01)
    assert "move this file to another folder" in _refused(disk)
    disk.remove("snapshot-0000000000000010.snap")
    recovered = _start(disk).recovered
    assert (recovered.snapshot, len(recovered.entries)) == (None, 30)


def test_a_damaged_snapshot_that_the_log_needs_is_refused_for_good() -> None:
    disk = SimulatedDisk()
    _compacted(disk, 30, 20)
    disk.flip("snapshot-0000000000000020.snap", 3, 0x01)
    sentence = _refused(disk)
    assert "this is no snapshot, or its header is damaged" in sentence
    assert sentence.endswith(cures.MEMBER_LOST)


def test_another_clusters_snapshot_is_refused_and_can_be_moved_away() -> None:
    disk = SimulatedDisk()
    _log(disk, 30)
    snapshot_at(disk, base_at(10, cluster_id="f" * 32), b"x")
    sentence = _refused(disk)
    assert f"the snapshot belongs to cluster {'f' * 32}, the log to {CLUSTER_ID}" in sentence
    assert "move this file to another folder" in sentence
    disk.remove("snapshot-0000000000000010.snap")
    assert len(_start(disk).recovered.entries) == 30


def test_a_snapshot_without_a_log_is_refused() -> None:
    disk = SimulatedDisk()
    snapshot_at(disk, base_at(10), b"x")
    sentence = _refused(disk)
    assert "there is a snapshot, but no log beside it" in sentence
    assert sentence.endswith(cures.MEMBER_LOST)


def test_leftovers_go_and_a_part_that_is_whole_so_far_stays() -> None:
    disk = SimulatedDisk()
    _log(disk, 10)
    snapshot_at(disk, base_at(4), b"older")
    snapshot_at(disk, base_at(6), b"newest")
    source = SimulatedDisk()
    info = snapshot_at(source, base_at(50), b"a" * 100, b"b" * 100)
    data = source.content()["snapshot-0000000000000050.snap"]
    bench = SnapshotBench(disk)
    told: list[int] = []
    bench.snapshots.receive(info).write(0, data[:-30], lambda at, problem: told.append(at))
    bench.drain()
    for name in ("snapshot-0000000000000007.snap.tmp", "segment-00000009.wal.tmp"):
        disk.create(name, 10).close()
    for name in ("snapshot-0000000000000005-1-10-00000000.part", "snapshot-0000000000000040-1-10-00000000.part"):
        disk.create(name, 10).close()
    disk.kill()
    log = _start(disk)
    part = log.recovered.partial
    assert part is not None
    assert len(data) - 150 < part.offset < len(data) - 30, "back to the end of a whole chunk"
    assert [name for name in disk.names() if name.startswith("snapshot")] == [
        "snapshot-0000000000000006.snap",
        part.name,
    ]
    again = SnapshotBench(disk, recovered=log.recovered)
    assert again.snapshots.receive(info).offset == part.offset
    assert again.receive(info, data) == (info, "")
    assert [chunk[:1] for chunk in again.snapshots.chunks(info)] == [b"a", b"b"]


def test_a_part_that_holds_nothing_usable_goes() -> None:
    disk = SimulatedDisk()
    _log(disk, 10)
    disk.create("snapshot-0000000000000050-1-1000-00000000.part", 500).close()
    log = _start(disk)
    assert log.recovered.partial is None
    assert not any(name.endswith(".part") for name in disk.names())


def test_the_base_of_a_compacted_log_knows_the_configuration_there() -> None:
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=1024)
    log.write(birth())
    snapshot_at(disk, Base(100, 7, 5, MEMBERS, CLUSTER_ID, FIRST.data), b"x")
    log.write(rebase(2, Base(100, 7, 5, MEMBERS, CLUSTER_ID, FIRST.data), state=HardState(7, "a", 100)))
    three = (*MEMBERS.voters, Member("c", "3"))
    configured = command(101, 7).__class__(101, 7, kind=FIRST.kind, data=type(MEMBERS)(three).encode(), time_us=9)
    log.write(append(3, configured))
    for index in range(102, 120):
        log.write(append(index, command(index, 7), state=HardState(7, "a", index)))
    snapshot_at(disk, base_at(115, 7), b"x")
    log.wal.compact(115)
    for index in range(120, 124):
        log.write(append(index, command(index, 7)))
    log.close()
    base = _start(disk).recovered.base
    assert 101 < base.index <= 115
    assert base.configuration.voters == three
    assert base.birth == FIRST.data
