"""A log has a base, not a first entry: what lies before it is known by index, term, time, members and cluster alone."""

from collections.abc import Iterable

import pytest

from node.raft.effects import Apply, ConfigChanged, Persist, ReadReady
from node.raft.errors import InvariantViolation
from node.raft.events import Deadline
from node.raft.log import RaftLog
from node.raft.messages import (
    Append,
    AppendReply,
    Birth,
    Heartbeat,
    HeartbeatReply,
    PreVote,
    PreVoteReply,
    ReadContext,
    Vote,
    VoteReply,
)
from node.raft.types import Base, Entry, EntryKind, HardState, Role, base_of_birth, cluster_id_of
from tests.raft.bench import (
    HEARTBEAT_US,
    Server,
    commands,
    configuration,
    follower,
    log_of,
    member,
    of,
    promised,
    receivers,
    sent,
    traces,
)

BASE = Base(100, 3, 5_000, configuration(3), "c" * 32)


def based(terms: Iterable[int] = (), term: int = 3, commit: int = 0) -> Server:
    """A restarted server that keeps nothing up to index 100, then one command per term given."""
    server = Server(hard=HardState(term, "", commit), entries=commands(101, terms), base=BASE)
    server.settle()
    return server


def leading(terms: Iterable[int] = ()) -> Server:
    """The same as leader of term 4; nobody has acknowledged anything."""
    server = based(terms)
    request = sent(server.deadline(), PreVote)[0]
    server.receive("b", PreVoteReply(4, True, request.campaign))
    server.persist()
    server.receive("b", VoteReply(4, True))
    assert server.role() is Role.LEADER
    server.settle()
    return server


def progress_of(server: Server, name: str) -> tuple[str, int, int]:
    peer = next(peer for peer in server.raft.status(server.now).peers if peer.name == name)
    return peer.progress, peer.match_index, peer.next_index


def test_a_server_with_nothing_but_a_base_is_born_and_follows() -> None:
    server = Server(hard=HardState(3, "b", 100), base=BASE)
    assert of(server.started, ConfigChanged) == [ConfigChanged(configuration(3), BASE.cluster_id, member("a"))]
    status = server.raft.status(server.now)
    assert (status.role, status.cluster_id, status.voters) == (Role.FOLLOWER, BASE.cluster_id, configuration(3).voters)
    assert (status.first_index, status.last_index, status.last_term, status.log_bytes) == (101, 100, 3, 0)
    assert (status.commit, status.applied, status.durable) == (100, 100, 100)


def test_what_the_base_holds_is_committed_and_not_applied_again() -> None:
    server = Server(hard=HardState(3, "", 7), entries=commands(101, (3, 3)), base=BASE)
    assert (server.commit, server.raft.applied) == (100, 100)
    assert not of(server.started, Apply)
    again = Server(hard=HardState(3, "", 102), entries=commands(101, (3, 3)), base=BASE)
    assert [entry.index for entry in of(again.started, Apply)[0].entries] == [101, 102]


def test_a_commit_index_beyond_base_and_entries_stops_the_node() -> None:
    with pytest.raises(InvariantViolation, match="recovered commit index 103"):
        Server(hard=HardState(3, "", 103), entries=commands(101, (3, 3)), base=BASE)


def test_entries_that_do_not_follow_the_base_stop_the_node() -> None:
    with pytest.raises(InvariantViolation, match="entry 103 does not follow"):
        Server(hard=HardState(3, "", 0), entries=commands(103, (3,)), base=BASE)
    with pytest.raises(InvariantViolation, match="term 2 of entry 101 falls"):
        Server(hard=HardState(3, "", 0), entries=commands(101, (2,)), base=BASE)


def test_entries_without_a_base_begin_with_the_birth_and_are_given_its_base() -> None:
    entries = log_of((1, 1))
    without, with_it = (
        follower((1, 1)),
        Server(hard=HardState(1, "", 1), entries=entries, base=base_of_birth(entries[0])),
    )
    for server in (without, with_it):
        status = server.raft.status(server.now)
        assert (status.cluster_id, status.first_index) == (cluster_id_of(entries[0]), 1)
    with pytest.raises(InvariantViolation, match="needs a base"):
        Server(hard=HardState(1, "", 1), entries=commands(5, (1,)))
    with pytest.raises(InvariantViolation, match="needs a base"):
        Server(hard=HardState(1, "", 1), entries=commands(1, (1,)))


def test_an_unborn_seed_is_not_told_a_later_configuration_as_its_birth() -> None:
    unborn = Birth((), b"", answer=True)
    assert sent(based().receive("b", unborn), Birth) == [Birth((), b"", answer=False, known=True)]
    first = log_of(())[0].data
    assert sent(follower().receive("b", unborn), Birth) == [Birth((), first, answer=False, known=True)]


@pytest.mark.parametrize(
    ("last_index", "last_term", "granted"),
    [(100, 3, True), (101, 3, True), (1, 4, True), (99, 3, False), (200, 2, False)],
)
def test_a_vote_compares_with_the_base_where_there_are_no_entries(
    last_index: int, last_term: int, granted: bool
) -> None:
    server = based()
    replies = promised(server.receive("b", Vote(4, last_index, last_term)), VoteReply)
    assert replies == [VoteReply(4, granted)]


def test_a_follower_takes_entries_that_begin_at_or_below_its_base() -> None:
    server = based()
    effects = server.receive("b", Append(3, 100, 3, 100, commands(101, (3,))))
    assert promised(effects, AppendReply) == [AppendReply(3, True, 101)]
    effects = server.receive("b", Append(3, 97, 3, 102, commands(98, (3, 3, 3, 3, 3))))
    assert promised(effects, AppendReply) == [AppendReply(3, True, 102)]
    assert [entry.index for entry in of(effects, Persist)[0].entries] == [102]
    effects = server.receive("b", Append(3, 40, 2, 102, ()))
    assert promised(effects, AppendReply) == [AppendReply(3, True, 102)]


def test_a_conflict_above_the_base_never_asks_for_what_is_below_it() -> None:
    server = based((4, 4, 4), term=4)
    refusal = promised(server.receive("b", Append(5, 103, 3, 100)), AppendReply)[0]
    assert (refusal.success, refusal.hint_index, refusal.hint_term) == (False, 100, 3)


def test_a_server_that_has_only_a_base_can_be_elected_and_goes_on_from_its_time() -> None:
    server = leading()
    noop = server.raft.entries(101, 1)[0]
    assert (noop.index, noop.term, noop.time_us) == (101, 4, BASE.time_us)
    server.receive("b", AppendReply(4, True, 101))
    server.settle()
    assert (server.commit, server.raft.applied) == (101, 101)


def test_a_leader_reads_at_its_base_only_after_its_noop() -> None:
    server = leading()
    assert not sent(server.read(1), Heartbeat)
    server.receive("b", AppendReply(4, True, 101))
    server.settle()
    assert of(server.receive("c", HeartbeatReply(4, ReadContext("a", "boot-1", 1))), ReadReady) == [
        ReadReady((1,), 101)
    ]


def test_a_follower_behind_the_end_but_not_the_base_is_repaired_by_entries() -> None:
    server = leading((3, 3))
    effects = server.receive("b", AppendReply(4, False, 102, 100, 3))
    append = sent(effects, Append, "b")[0]
    assert (append.prev_index, append.prev_term, [entry.index for entry in append.entries]) == (100, 3, [101, 102, 103])
    server.receive("b", AppendReply(4, True, 103))
    assert progress_of(server, "b") == ("replicate", 103, 104)


@pytest.mark.parametrize(
    "refusal",
    [AppendReply(4, False, 102, 99, 3), AppendReply(4, False, 102, 40, 2), AppendReply(4, False, 102, 102, 2)],
)
def test_a_follower_that_needs_what_lies_before_the_base_waits_for_a_snapshot(refusal: AppendReply) -> None:
    server = leading((3, 3))
    effects = server.receive("b", refusal)
    assert not sent(effects, Append)
    assert [trace.detail for trace in traces(effects, "progress")] == [{"peer": "b", "from": "probe", "to": "snapshot"}]
    assert progress_of(server, "b")[0] == "snapshot"


def waiting_for_a_snapshot() -> Server:
    """A leader of term 4 over 101..103, and `b` that needs what lies before."""
    server = leading((3, 3))
    server.receive("b", AppendReply(4, False, 102, 40, 2))
    return server


def test_one_that_waits_for_a_snapshot_gets_heartbeats_and_nothing_else() -> None:
    server = waiting_for_a_snapshot()
    effects = server.propose(b"x")
    for _ in range(3):
        server.wait(HEARTBEAT_US)
        effects += server.step(Deadline())
        effects += server.receive("b", HeartbeatReply(4), AppendReply(4, False, 102, 40, 2))
        server.receive("c", HeartbeatReply(4))
    assert not sent(effects, Append, "b")
    assert sent(effects, Heartbeat, "b") == [Heartbeat(4, 0)] * 3
    assert progress_of(server, "b")[0] == "snapshot"


def test_the_others_commit_without_one_that_waits_for_a_snapshot() -> None:
    server = waiting_for_a_snapshot()
    server.receive("c", AppendReply(4, True, 103))
    assert server.commit == 103
    assert server.role() is Role.LEADER


def test_an_acknowledgement_below_the_base_leaves_it_waiting_and_one_of_the_base_ends_the_wait() -> None:
    server = waiting_for_a_snapshot()
    assert not server.receive("b", AppendReply(4, True, 99))
    assert progress_of(server, "b") == ("snapshot", 99, 100)
    effects = server.receive("b", AppendReply(4, True, 100))
    assert [trace.detail["to"] for trace in traces(effects, "progress")] == ["replicate"]
    append = sent(effects, Append, "b")[0]
    assert (append.prev_index, append.prev_term, len(append.entries)) == (100, 3, 3)


def test_an_acknowledgement_that_ends_below_the_base_leads_to_a_snapshot_too() -> None:
    """It came from before the base moved: the log cannot go on from there."""
    server = leading((3, 3))
    effects = server.receive("b", AppendReply(4, True, 60))
    assert not sent(effects, Append)
    assert progress_of(server, "b") == ("snapshot", 60, 61)


def test_heartbeats_reach_everybody_from_the_first_moment() -> None:
    assert receivers(leading().deadline(), Heartbeat) == ["b", "c"]


def test_a_log_that_is_compacted_keeps_no_configuration_from_before_its_base() -> None:
    """The base has the latest of them: a cluster that lives for years changes its members many times."""
    log = RaftLog(())
    entries = [Entry(1 + n, 1, EntryKind.CONFIGURATION, configuration(1 + n).encode()) for n in range(3)]
    log.append([*entries, *commands(4, (1, 1))])
    log.compact(4, 100)
    assert log.base.configuration == log.configuration == configuration(3)
    assert log.configuration_index == log.base.index == 4
