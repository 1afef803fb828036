"""A server whose disk does not answer can promise nothing: it does not lead on, and does not want to lead."""

from node.raft.effects import Ordered, Trace
from node.raft.events import Campaign, ForceTimeout
from node.raft.messages import Append, AppendReply, Heartbeat, HeartbeatReply, PreVote, PreVoteReply, TimeoutNow, Vote
from node.raft.settings import RaftSettings
from node.raft.types import Role
from tests.raft.bench import (
    ELECTION_MAX_US,
    HEARTBEAT_US,
    Server,
    commands,
    follower,
    leader,
    of,
    pre_candidate,
    promised,
    receivers,
    traces,
)

LIMIT_US = RaftSettings().disk_silence_timeouts * ELECTION_MAX_US


def lead_on(server: Server, duration_us: int) -> list[Trace]:
    """Its followers answer every heartbeat, so nothing else makes it step down; what it told meanwhile."""
    told: list[Trace] = []
    until = server.now + duration_us
    deadlines = 0
    while (due := server.raft.deadline) is not None and due <= until and server.role() is Role.LEADER:
        effects = server.deadline()
        deadlines += 1
        assert deadlines < 1_000, "a deadline that is past comes again and again"
        told += of(effects, Trace)
        for peer in receivers(effects, Heartbeat):
            told += of(server.receive(peer, HeartbeatReply(server.term)), Trace)
    server.now = max(server.now, until)
    return told


def owing(server: Server) -> Server:
    """A follower with an entry that its disk does not confirm."""
    server.receive("b", Append(server.term, 1, 0, 1, commands(2, (server.term,))))
    assert server.writing
    return server


def test_a_leader_whose_disk_does_not_answer_steps_down_although_a_quorum_answers_it() -> None:
    """5.3 lets a leader commit by others' disks alone; so it would hold the lead for ever and answer nobody."""
    server = leader()
    server.wait(HEARTBEAT_US // 3)  # so that no heartbeat is due when the disk has been silent for too long
    server.propose(b"x")
    server.receive("b", AppendReply(2, True, 3))
    server.receive("c", AppendReply(2, True, 3))
    assert server.commit == 3
    assert not lead_on(server, LIMIT_US - 1)
    assert server.role() is Role.LEADER
    told = lead_on(server, 1)
    assert server.role() is Role.FOLLOWER
    (silent,) = [trace for trace in told if trace.kind == "disk-silent"]
    assert silent.detail == {"silent_ms": LIMIT_US // 1_000, "then": "steps down"}
    (turned,) = [trace for trace in told if trace.kind == "role"]
    assert turned.detail["reason"] == f"its disk has not answered for {LIMIT_US // 1_000} ms"


def test_a_leader_whose_disk_owes_nothing_or_answers_slowly_leads_on() -> None:
    server = leader()
    lead_on(server, 10 * LIMIT_US)
    for _ in range(5):
        server.propose(b"x")
        server.propose(b"y")
        lead_on(server, LIMIT_US - 1)
        server.persist_next()  # one of two: the other waits on, behind a disk that works
    assert server.role() is Role.LEADER
    assert server.raft.status(server.now).disk_silent_us == 0


def test_a_barrier_that_is_not_confirmed_counts_as_well() -> None:
    """An answer that reveals the term waits for the disk with nothing to write: who is owed it, is owed it."""
    server = follower()
    server.receive("b", PreVote(0, 1, 0, 1))
    assert server.writing[0].empty
    server.wait(LIMIT_US)
    assert server.raft.status(server.now).disk_silent_us == LIMIT_US


def test_a_server_with_a_silent_disk_does_not_even_ask_whether_it_could_win_until_the_disk_answers() -> None:
    server = owing(follower())
    server.wait(LIMIT_US)
    effects = server.deadline()
    assert not receivers(effects, PreVote)
    assert traces(effects, "disk-silent")[0].detail["then"] == "does not campaign"
    assert (server.role(), server.raft.leader) == (Role.FOLLOWER, ""), "it has heard nobody for an election timeout"
    assert not receivers(server.deadline(), PreVote)
    server.persist()
    assert receivers(server.deadline(), PreVote) == ["b", "c"]


def test_a_pre_candidate_or_candidate_whose_disk_falls_silent_gives_up() -> None:
    asking, _ = pre_candidate()
    asking.receive("b", PreVote(0, 1, 0, 1))
    running, request = pre_candidate()
    effects = running.receive("b", PreVoteReply(request.term, True, request.campaign))
    assert promised(effects, Vote)
    for server in (asking, running):
        server.wait(LIMIT_US)
        assert not receivers(server.deadline(), PreVote)
        assert server.role() is Role.FOLLOWER


def test_a_pre_vote_that_is_won_when_the_disk_has_fallen_silent_is_not_followed_by_a_new_term() -> None:
    server, request = pre_candidate()
    server.receive("b", PreVote(0, 1, 0, 1))
    server.wait(LIMIT_US)
    server.receive("b", PreVoteReply(request.term, True, request.campaign))
    assert (server.role(), server.term) == (Role.FOLLOWER, 1)


def test_neither_a_hand_over_nor_an_order_makes_a_server_with_a_silent_disk_campaign() -> None:
    server = owing(follower())
    server.wait(LIMIT_US)
    server.receive("b", TimeoutNow(1))
    assert (server.role(), server.term) == (Role.FOLLOWER, 1)
    for order in (Campaign(1), ForceTimeout(2)):
        (answer,) = of(server.step(order), Ordered)
        assert not answer.done
        assert answer.message == f"the disk of a has not answered for {LIMIT_US // 1_000} ms"


def test_the_status_says_for_how_long_the_disk_has_been_silent() -> None:
    server = leader()
    assert server.raft.status(server.now).disk_silent_us == 0
    server.propose(b"x")
    server.wait(HEARTBEAT_US)
    server.propose(b"y")
    status = server.raft.status(server.now)
    assert (status.disk_silent_us, status.disk_silent_limit_us) == (HEARTBEAT_US, LIMIT_US)
    server.persist()
    assert server.raft.status(server.now).disk_silent_us == 0
