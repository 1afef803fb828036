"""A log that ends: entries that a snapshot holds are let go, and a snapshot takes the place of a log (section 7)."""

import pytest

from node.raft.effects import Apply, ConfigChanged, Effect, Persist, ReadReady, Restore
from node.raft.errors import InvariantViolation
from node.raft.events import Applied, Compact, Continue, Receive, SnapshotHeld
from node.raft.messages import (
    Append,
    AppendReply,
    Birth,
    Heartbeat,
    HeartbeatReply,
    ReadContext,
    ReadIndexReply,
    Vote,
    VoteReply,
)
from node.raft.settings import RaftSettings
from node.raft.types import Base, Configuration, Entry, EntryKind, HardState, Role, base_of_birth
from tests.raft.bench import (
    Server,
    commands,
    configuration,
    follower,
    leader,
    log_of,
    member,
    of,
    promised,
    receivers,
    sent,
    traces,
)

BIRTH = base_of_birth(log_of(())[0])


OF_THREE = configuration(3)


def base(index: int, term: int, members: Configuration = OF_THREE) -> Base:
    return Base(index, term, 0, members, BIRTH.cluster_id, BIRTH.birth)


def held(
    server: Server, index: int, term: int, sender: str = "b", members: Configuration | None = None
) -> list[Effect]:
    """A snapshot that `sender` sent is durable on this server's disk."""
    return server.step(SnapshotHeld(member(sender), base(index, term, members or configuration(3))))


def compacted(server: Server, index: int) -> Server:
    server.step(Compact(index))
    while server.raft.unfinished:
        server.step(Continue())
    return server


def progress_of(server: Server, name: str) -> tuple[str, int, int]:
    peer = next(peer for peer in server.raft.status(server.now).peers if peer.name == name)
    return peer.progress, peer.match_index, peer.next_index


# --- compaction -------------------------------------------------------------------------------------------------


def test_entries_that_a_snapshot_holds_are_let_go_and_everything_else_stays() -> None:
    server = leader((1, 1, 1, 2))
    before = server.raft.status(server.now)
    entries = server.raft.entries(1, 100)
    compacted(server, 3)
    after = server.raft.status(server.now)
    assert (after.first_index, after.last_index, after.last_term) == (4, before.last_index, before.last_term)
    assert after.log_bytes == before.log_bytes - sum(entry.size_bytes for entry in entries[:3])
    assert server.raft.entries(1, 100) == entries[3:]
    assert server.raft.base_at(3) == base(3, 1)
    assert server.raft.term_at(3) == 1
    assert server.raft.term_at(2) is None


def test_sizes_stay_right_through_compaction_append_and_truncation() -> None:
    server = follower((1,) * 5, commit=6)
    compacted(server, 4)
    server.receive("b", Append(2, 6, 1, 6, commands(7, (2, 2), data=b"long")))
    assert server.raft.status(server.now).log_bytes == sum(e.size_bytes for e in server.raft.entries(5, 100))
    server.receive("c", Append(3, 6, 1, 6, commands(7, (3,), data=b"other")))
    assert server.raft.status(server.now).log_bytes == sum(e.size_bytes for e in server.raft.entries(5, 100))
    assert server.last_index == 7


def test_a_step_lets_go_a_bounded_number_and_asks_to_go_on() -> None:
    server = follower((1,) * 10, commit=11, settings=RaftSettings(compact_entries_max=4))
    server.step(Compact(10))
    assert server.raft.status(server.now).first_index == 5
    assert server.raft.unfinished
    server.step(Continue())
    server.step(Continue())
    assert server.raft.status(server.now).first_index == 11
    assert not server.raft.unfinished


def test_what_is_not_applied_is_not_let_go() -> None:
    server = follower((1, 1), commit=1)
    with pytest.raises(InvariantViolation, match="asked to compact up to 3, applied is 1"):
        server.step(Compact(3))


def test_the_base_knows_the_members_that_were_in_force_there_and_not_later_ones() -> None:
    of_four = Configuration((*configuration(3).voters, member("d")))
    entries = (*log_of((1,)), Entry(3, 1, EntryKind.CONFIGURATION, of_four.encode()), *commands(4, (1, 1)))
    server = Server(hard=HardState(1, "", 5), entries=entries)
    server.settle()
    assert server.raft.base_at(2).configuration == configuration(3)
    compacted(server, 2)
    assert server.raft.base_at(2).configuration == configuration(3)
    assert server.raft.configuration == of_four
    compacted(server, 4)
    assert server.raft.base_at(4) == base(4, 1, of_four)
    assert server.raft.configuration == of_four


def test_a_configuration_after_the_base_is_rolled_back_to_the_bases() -> None:
    of_four = Configuration((*configuration(3).voters, member("d")))
    entries = (*log_of((1, 1)), Entry(4, 1, EntryKind.CONFIGURATION, of_four.encode()))
    server = Server(hard=HardState(1, "", 3), entries=entries)
    server.settle()
    compacted(server, 3)
    assert server.raft.configuration == of_four
    server.receive("b", Append(2, 3, 1, 3, commands(4, (2,))))
    assert server.raft.configuration == configuration(3)


def test_a_follower_that_needs_what_was_let_go_needs_a_snapshot_and_goes_on_after_it() -> None:
    server = leader((1, 1, 1, 1), vouched=False)
    server.receive("b", AppendReply(2, True, server.last_index))
    server.settle()
    compacted(server, 5)
    server.receive("c", AppendReply(2, False, 5, 1, 0))
    assert progress_of(server, "c")[0] == "snapshot"
    assert [peer.name for peer in server.raft.followers_before_base] == ["c"]
    server.receive("c", AppendReply(2, True, 5))
    assert [peer.name for peer in server.raft.followers_before_base] == []
    assert progress_of(server, "c")[0] == "replicate"
    assert not server.raft.unfinished


def test_a_late_seed_is_born_of_the_first_entry_although_it_was_let_go() -> None:
    server = compacted(follower((1, 1, 1), commit=4), 4)
    challenge = ReadContext("c", "boot-c", 1)
    answers = sent(server.receive("c", Birth((), b"", answer=True, challenge=challenge)), Birth, "c")
    assert [answer.configuration for answer in answers] == [log_of(())[0].data]


def test_a_restart_takes_from_the_state_machine_what_a_snapshot_holds_and_keeps_the_tail() -> None:
    server = Server(hard=HardState(3, "", 102), entries=commands(98, (3,) * 6), base=base(97, 3), applied=101)
    assert [entry.index for entry in of(server.started, Apply)[0].entries] == [102]
    assert server.raft.status(server.now).first_index == 98
    behind = Server(hard=HardState(3, "", 99), entries=commands(98, (3,) * 6), base=base(97, 3), applied=101)
    assert (behind.commit, behind.raft.applied) == (101, 101)


# --- a snapshot in the place of a log -----------------------------------------------------------------------------


def test_a_snapshot_takes_the_place_of_a_log_that_ends_before_it() -> None:
    server = follower((1, 1), commit=2)
    effects = held(server, 100, 3)
    persist = of(effects, Persist)[0]
    assert persist.base == base(100, 3)
    assert (persist.truncate_from, persist.entries) == (None, ())
    assert persist.hard_state == HardState(1, "", 100)
    assert of(effects, Restore) == [Restore(base(100, 3))]
    assert traces(effects, "snapshot-installed")[0].detail == {"index": 100, "last": 3}
    status = server.raft.status(server.now)
    assert (status.first_index, status.last_index, status.last_term, status.log_bytes) == (101, 100, 3, 0)
    assert (status.commit, status.applied) == (100, 2)


def test_it_is_acknowledged_once_its_base_is_durable_and_not_before() -> None:
    server = follower((1, 1), commit=2)
    effects = held(server, 100, 3)
    assert not sent(effects, AppendReply)
    assert promised(effects, AppendReply, "b") == [AppendReply(1, True, 100)]


def test_the_log_that_it_replaced_vouches_for_nothing_any_more() -> None:
    """Writes of the old log that complete late, as after a truncation (pitfall 6)."""
    server = follower((1, 1), commit=2)
    server.receive("b", Append(1, 3, 1, 2, commands(4, (1,) * 200)))
    held(server, 100, 3)
    server.persist_next()
    assert server.raft.status(server.now).durable == 99
    server.persist_next()
    assert server.raft.status(server.now).durable == 100


def test_what_was_durable_beyond_it_is_not_any_more() -> None:
    server = follower((1,) * 200, commit=2)
    assert server.raft.status(server.now).durable == 201
    held(server, 100, 3)
    assert server.raft.status(server.now).durable == 99


def test_a_truncation_of_the_same_step_is_void() -> None:
    server = follower((1,) * 5, commit=2)
    held(server, 4, 1)  # what is here is committed up to there
    server.persist()
    effects = server.step(
        Receive(member("b"), Append(2, 4, 1, 4, commands(5, (2,)))), SnapshotHeld(member("b"), base(50, 2))
    )
    persist = of(effects, Persist)[0]
    assert (persist.base, persist.truncate_from, persist.entries) == (base(50, 2), None, ())


def test_nothing_is_applied_before_it_is_restored() -> None:
    server = follower((1, 1), commit=2)
    held(server, 100, 3)
    server.persist()
    effects = server.receive("b", Append(3, 100, 3, 101, commands(101, (3,))))
    effects += server.persist()
    assert not of(effects, Apply)
    effects = server.step(Applied(100))
    assert [entry.index for entry in of(effects, Apply)[0].entries] == [101]


def test_a_confirmed_read_waits_for_the_state_that_is_being_restored() -> None:
    server = follower((1, 1), commit=2)
    server.receive("b", Heartbeat(1, 2))
    server.persist()
    server.read(7)
    held(server, 100, 3)
    server.persist()
    context = ReadContext("a", "boot-1", 1)
    assert not of(server.receive("b", ReadIndexReply(1, context, 90)), ReadReady)
    assert of(server.step(Applied(100)), ReadReady) == [ReadReady((7,), 90)]


def test_a_second_snapshot_takes_the_place_of_one_that_is_not_restored_yet() -> None:
    server = follower((1, 1), commit=2)
    held(server, 100, 3)
    assert of(held(server, 200, 4), Restore) == [Restore(base(200, 4))]
    server.persist()
    server.step(Applied(200))
    assert (server.raft.applied, server.commit) == (200, 200)


def test_pitfall_28_a_log_that_holds_its_last_entry_is_kept_with_what_follows() -> None:
    server = follower((1,) * 9, commit=2)
    effects = held(server, 5, 1)
    assert not of(effects, Restore)
    assert all(persist.base is None for persist in of(effects, Persist))
    assert (server.commit, server.last_index) == (5, 10)
    assert promised(effects, AppendReply, "b") == [AppendReply(1, True, 5)]


def test_a_log_that_holds_another_entry_there_is_replaced_as_a_whole() -> None:
    server = follower((1,) * 9, commit=2)
    assert of(held(server, 5, 2), Restore) == [Restore(base(5, 2))]
    assert (server.commit, server.last_index, server.terms) == (5, 5, [])


def test_pitfall_28_what_is_committed_here_needs_no_snapshot_and_is_acknowledged() -> None:
    server = follower((1,) * 9, commit=8)
    effects = held(server, 5, 1)
    assert not of(effects, Restore)
    assert (server.commit, server.last_index) == (8, 10)
    assert promised(effects, AppendReply, "b") == [AppendReply(1, True, 8)]


def test_a_leader_takes_none() -> None:
    server = leader((1, 1))
    last = server.last_index
    effects = held(server, 100, 3)
    assert not of(effects, Restore)
    assert (server.last_index, server.role()) == (last, Role.LEADER)


def test_one_of_another_cluster_is_not_taken() -> None:
    server = follower((1, 1), commit=2)
    effects = server.step(SnapshotHeld(member("b"), Base(100, 3, 0, configuration(3), "f" * 32, b"")))
    assert not of(effects, Restore)
    assert not receivers(effects, AppendReply)
    assert server.last_index == 3


def test_one_of_a_leader_that_this_log_does_not_know_yet_is_taken() -> None:
    """Thesis 4.1: whoever is behind may not know who was let in and leads by now."""
    server = follower((1, 1), commit=2)
    effects = server.step(SnapshotHeld(member("x"), base(100, 3)))
    assert of(effects, Restore) == [Restore(base(100, 3))]
    assert promised(effects, AppendReply, "x") == [AppendReply(1, True, 100)]


def test_its_members_are_in_force_at_once() -> None:
    server = follower((1, 1), commit=2)
    of_four = Configuration((*configuration(3).voters, member("d")))
    effects = held(server, 100, 3, members=of_four)
    assert of(effects, ConfigChanged)[0].configuration == of_four
    server.persist()
    assert "d" in [peer.name for peer in server.raft.status(server.now).peers]


def test_its_log_goes_on_after_the_base_and_is_as_up_to_date_as_it_says() -> None:
    server = follower((1, 1), commit=2)
    held(server, 100, 3)
    server.persist()
    effects = server.receive("b", Append(3, 100, 3, 100, commands(101, (3, 3))))
    assert [entry.index for entry in of(effects, Persist)[0].entries] == [101, 102]
    server.persist()
    server.wait(1_000_000)  # nobody leads any more
    assert promised(server.receive("c", Vote(5, 99, 4)), VoteReply, "c") == [VoteReply(5, True)]
    assert promised(server.receive("b", Vote(6, 101, 3)), VoteReply, "b") == [VoteReply(6, False)]


def test_the_old_log_is_let_go_a_bounded_number_at_a_time() -> None:
    server = follower((1,) * 10, commit=2, settings=RaftSettings(compact_entries_max=4))
    held(server, 100, 3)
    assert server.raft.unfinished
    for _ in range(3):
        server.step(Continue())
    assert not server.raft.unfinished


def test_a_leader_that_commits_more_is_heard_once_the_entries_are_here() -> None:
    server = follower((1, 1), term=3, commit=2)
    held(server, 100, 3)
    server.persist()
    assert sent(server.receive("b", Heartbeat(3, 100)), HeartbeatReply, "b") == [HeartbeatReply(3)]
    assert server.commit == 100


def test_every_late_append_of_before_does_no_harm() -> None:
    server = follower((1,) * 4, commit=2)
    held(server, 100, 3)
    server.persist()
    for prev in range(1, 5):
        server.receive("b", Append(1, prev, 1, 5, commands(prev + 1, (1, 1))))
    assert (server.commit, server.last_index, server.terms) == (100, 100, [])
