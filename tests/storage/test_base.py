"""A log follows a base: nothing in it counts from 1, and what a cluster was born with is asked of the base."""

import pytest

from node.raft.effects import Persist
from node.raft.errors import InvariantViolation
from node.raft.types import UNBORN, Base, Configuration, Entry, EntryKind, HardState, Member, base_of_birth
from node.simulation.disk import SimulatedDisk
from node.storage.frames import FrameBody, Malformed
from node.storage.inspect import verify
from node.storage.replay import Replay
from tests.storage.logs import CLUSTER_ID, FIRST, INCARNATION, NAME, Log, append, birth, command, rebase, snapshot_at

MEMBERS = Configuration((Member("a", "1"), Member("b", "2")))
HUNDRED = Base(100, 7, 1_700_000_000_000_100, MEMBERS, "c" * 32)


def test_a_log_of_the_first_version_has_the_base_of_its_birth() -> None:
    disk = SimulatedDisk()
    log = Log(disk)
    assert log.recovered.base == UNBORN
    log.write(birth(), append(2, command(2)))
    log.close()
    recovered = Log(disk).recovered
    born = Configuration((Member(NAME, INCARNATION),))
    assert recovered.base == base_of_birth(FIRST) == Base(0, 0, 0, born, CLUSTER_ID, FIRST.data)
    assert recovered.cluster_id == CLUSTER_ID
    assert recovered.entries == (FIRST, command(2)), "the entry of the birth stays where it was"


def test_entry_1_that_is_no_configuration_is_damage_and_not_a_crash() -> None:
    with pytest.raises(Malformed, match="entry 1 is not the configuration"):
        Replay().take(FrameBody(None, None, [Entry(1, 0, EntryKind.CONFIGURATION, b"\xc1")]))


def test_the_entry_of_a_birth_is_never_truncated() -> None:
    replay = Replay()
    replay.take(FrameBody(None, None, [FIRST, command(2)]))
    with pytest.raises(Malformed, match="truncates from index 1 "):
        replay.take(FrameBody(None, 1, []))
    replay.take(FrameBody(None, 2, [command(2, 3)]))
    assert replay.entries == [FIRST, command(2, 3)]


def test_a_replay_counts_from_its_base() -> None:
    replay = Replay(HUNDRED)
    assert (replay.last_index, replay.entries) == (100, [])
    replay.take(FrameBody(HardState(8, "a", 100), None, [command(101, 7), command(102, 8)]))
    replay.take(FrameBody(HardState(8, "a", 101), 102, [command(102, 8, b"y"), command(103, 8)]))
    assert (replay.last_index, replay.base) == (103, HUNDRED)
    assert replay.entries == [command(101, 7), command(102, 8, b"y"), command(103, 8)]
    replay.take(FrameBody(None, 101, [command(101, 8)]))
    assert replay.entries == [command(101, 8)]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (FrameBody(None, None, [command(1)]), "holds entry 1 where entry 101 must follow"),
        (FrameBody(None, None, [command(102, 7)]), "holds entry 102 where entry 101"),
        (FrameBody(None, None, [command(101, 6)]), "term falls from 7 to 6 at entry 101"),
        (FrameBody(None, 100, []), "truncates from index 100 "),
        (FrameBody(None, 102, []), "truncates from index 102 "),
        (FrameBody(HardState(7, "", 101), None, []), "commit index 101 lies beyond the last entry, 100"),
        (FrameBody(None, None, [], Base(200, 7, 0, MEMBERS, "d" * 32)), "a base of cluster d+ in a log of cluster c+"),
        (FrameBody(None, None, [], Base(200, 7, 0, MEMBERS)), r"a base of cluster \(none\) in a log of cluster c+"),
        (FrameBody(None, None, [], Base(99, 7, 0, MEMBERS, "c" * 32)), "base 99 lies before the commit index 100"),
        (FrameBody(None, None, [], None, Base(99, 7, 0, MEMBERS, "c" * 32)), "goes on after entry 99 of term 7, but"),
        (FrameBody(None, None, [], None, Base(100, 6, 0, MEMBERS, "c" * 32)), "ends at entry 100 of term 7"),
    ],
)
def test_what_cannot_follow_a_base_is_refused(body: FrameBody, words: str) -> None:
    replay = Replay(HUNDRED)
    replay.take(FrameBody(HardState(7, "a", 100), None, []))
    with pytest.raises(Malformed, match=words):
        replay.take(body)


def test_a_base_takes_all_entries_away_and_the_log_goes_on_after_it() -> None:
    disk = SimulatedDisk()
    log = Log(disk, segment_bytes=2048)
    log.write(birth(), append(2, command(2), command(3), state=HardState(1, "a", 2)))
    base = Base(50, 3, 77, MEMBERS, CLUSTER_ID)
    snapshot_at(disk, base)
    log.write(
        append(3, command(4)),
        rebase(4, base, command(51, 3), state=HardState(3, "", 50)),
        append(5, command(51, 4), command(52, 4), truncate_from=51, state=HardState(4, "b", 51)),
    )
    log.write(append(6, command(53, 4)))
    log.close()
    recovered = Log(disk).recovered
    assert (recovered.base, recovered.hard_state) == (base, HardState(4, "b", 51))
    assert recovered.entries == (command(51, 4), command(52, 4), command(53, 4))


def test_a_node_that_is_not_born_is_born_by_a_base() -> None:
    disk = SimulatedDisk()
    log = Log(disk)
    log.write(append(1, state=HardState(5, "x", 0)))
    snapshot_at(disk, HUNDRED)
    log.write(rebase(2, HUNDRED), append(3, command(101, 7)))
    log.close()
    recovered = Log(disk).recovered
    assert (recovered.base, recovered.hard_state, recovered.cluster_id) == (HUNDRED, HardState(7, "", 100), "c" * 32)
    assert recovered.entries == (command(101, 7),)


def _after_hundred() -> Log:
    log = Log(SimulatedDisk())
    log.write(rebase(1, HUNDRED, state=HardState(7, "a", 100)))
    return log


@pytest.mark.parametrize("threaded", [False, True])
def test_a_log_that_follows_a_base_is_written_over_segments_and_read_back(threaded: bool) -> None:
    disk = SimulatedDisk()
    log = Log(disk, threaded=threaded, segment_bytes=1024)
    snapshot_at(disk, HUNDRED)
    log.write(rebase(100, HUNDRED, state=HardState(7, "a", 100)))
    for index in range(101, 120):
        log.write(append(index, command(index, 7), state=HardState(7, "a", index)))
    log.write(append(120, command(119, 8), truncate_from=119))
    log.close()
    log = Log(disk, segment_bytes=1024)
    assert (log.recovered.base, log.recovered.cluster_id) == (HUNDRED, "c" * 32)
    assert log.recovered.entries == (*(command(index, 7) for index in range(101, 119)), command(119, 8))
    log.write(append(1, command(120, 8)))
    log.close()
    found = verify(disk)
    assert (found.first_index, found.last_index, found.damage) == (101, 120, "")
    assert (found.cluster_id, found.configuration) == ("c" * 32, MEMBERS)
    assert found.segments > 1


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (append(1, command(1, 7)), "begins at entry 1, the log ends at 100"),
        (append(1, command(100, 7)), "begins at entry 100"),
        (append(1, truncate_from=100), "truncates from 100, the log ends at 100"),
        (append(1, state=HardState(7, "", 101)), "commits 101, the log ends at 100"),
        (Persist(1, None, None, (FIRST,), cluster_id=CLUSTER_ID), "begins at entry 1"),
        (rebase(1, Base(99, 7, 0, MEMBERS, "c" * 32)), "has base 99, but 100 is committed"),
        (rebase(1, Base(200, 7, 0, MEMBERS, "d" * 32)), "has a base of cluster d"),
        (rebase(1, Base(200, 7, 0, MEMBERS)), r"has a base of cluster \(none\)"),
        (rebase(1, Base(200, 7, 0, MEMBERS, "c" * 32), command(101, 7)), "begins at entry 101, the log ends at 200"),
    ],
)
def test_a_write_that_cannot_follow_the_base_is_a_broken_invariant(write: Persist, words: str) -> None:
    with pytest.raises(InvariantViolation, match=words):
        _after_hundred().submit(write)
