"""A voter's own evidence that the leader's process is gone (decision 8): what it does, what it is about, what ends it.

The leader is b, unless a test says otherwise; of the others a is the first in the configuration.
"""

import pytest

from node.raft.effects import Send
from node.raft.events import Deadline, PeerGone, PeerUp
from node.raft.messages import (
    Append,
    Heartbeat,
    HeartbeatReply,
    PreVote,
    PreVoteReply,
    RaftMessage,
    ReadContext,
    ReadIndexReply,
    Vote,
    VoteReply,
)
from node.raft.settings import RaftSettings
from node.raft.types import HardState, Member, Role
from tests.raft.bench import (
    ELECTION_MIN_US,
    Server,
    candidate,
    leader,
    log_of,
    member,
    names,
    of,
    promised,
    receivers,
    sent,
    traces,
)

SETTINGS = RaftSettings()
WAIT_US, SLOT_US, TRIES = SETTINGS.gone_wait_us, SETTINGS.gone_slot_us, SETTINGS.gone_tries_max
GONE = PeerGone(member("b"), "boot-b")


def following(leads: str = "b", name: str = "a", count: int = 5, draw: float = 0.0, term: int = 1) -> Server:
    """A server that has just heard of its leader, and knows which process of each member runs."""
    server = Server(name, HardState(term, "", 1), log_of((), count), names(count), draw=draw)
    server.settle()
    for peer in names(count):
        if peer != name:
            server.step(PeerUp(member(peer), f"boot-{peer}"))
    server.receive(leads, Heartbeat(term, 1))
    return server


def in_us(server: Server) -> int:
    """When the core next wants to be asked, from now."""
    assert server.raft.deadline is not None
    return server.raft.deadline - server.now


def grants(server: Server, asker: str = "d", term: int = 2) -> bool:
    """Whether it would vote for `asker`."""
    return promised(server.receive(asker, PreVote(term, 1, 0, 1)), PreVoteReply)[0].granted


def test_a_follower_that_saw_the_end_of_its_leader_asks_for_pre_votes_long_before_its_election_timeout() -> None:
    server = following()
    assert in_us(server) == ELECTION_MIN_US
    effects = server.step(GONE)
    assert [trace.detail for trace in traces(effects, "leader-gone")] == [{"leader": "b", "boot": "boot-b"}]
    assert server.raft.timers(server.now)["leader-gone"] == in_us(server) == 0
    effects = server.deadline()
    assert receivers(effects, PreVote) == ["b", "c", "d", "e"]
    assert sent(effects, PreVote)[0].term == 2
    assert (server.role(), server.term) == (Role.PRE_CANDIDATE, 1), "no term is raised before a quorum agreed"


def test_with_a_quorum_of_the_same_mind_it_leads_after_one_round_of_each_kind() -> None:
    server = following()
    server.step(GONE)
    asked = sent(server.deadline(), PreVote)[0]
    server.wait(1_000)
    for voter in "cd":
        assert not promised(server.receive(voter, PreVoteReply(2, True, asked.campaign)), Vote)
    assert in_us(server) == WAIT_US - 1_000, "a leader that lives may dial anew meanwhile"
    assert receivers(server.deadline(), Vote) == ["b", "c", "d", "e"]
    server.persist()
    assert in_us(server) == ELECTION_MIN_US, "a candidate waits for votes as always"
    server.receive("c", VoteReply(2, True))
    assert receivers(server.receive("d", VoteReply(2, True)), Append) == ["b", "c", "d", "e"]
    assert server.role() is Role.LEADER


@pytest.mark.parametrize(("name", "before"), [("a", 0), ("c", 1), ("d", 2), ("e", 3)])
def test_each_has_its_turn_in_the_order_of_the_configuration_and_chance_within_it(name: str, before: int) -> None:
    for draw in (0.0, 0.5):
        server = following(name=name, draw=draw)
        server.step(GONE)
        assert in_us(server) == SLOT_US * before + int(SLOT_US * draw)


def test_silence_alone_makes_nobody_ask_early() -> None:
    server = following()
    server.wait(ELECTION_MIN_US - 1)
    assert not of(server.step(Deadline()), Send)
    assert not grants(server)


@pytest.mark.parametrize(
    ("gone", "what"),
    [
        (PeerGone(member("c"), "boot-c"), "a follower"),
        (PeerGone(member("b"), "boot-0"), "an earlier process of the leader"),
        (PeerGone(Member("b", "disk-0"), "boot-b"), "a member of the leader's name"),
        (PeerGone(member("x"), "boot-x"), "a stranger"),
    ],
)
def test_the_end_of_anything_but_the_leaders_process_changes_nothing(gone: PeerGone, what: str) -> None:
    server = following()
    effects = server.step(gone)
    assert not traces(effects, "leader-gone"), what
    assert in_us(server) == ELECTION_MIN_US
    assert not grants(server)


def test_an_earlier_process_of_the_leader_is_forgotten_when_a_newer_one_said_hello() -> None:
    server = following()
    server.step(PeerUp(member("b"), "boot-b2"))
    server.receive("b", Heartbeat(1, 1))
    server.step(GONE)
    assert not grants(server)
    server.step(PeerGone(member("b"), "boot-b2"))
    assert grants(server)


def test_only_own_evidence_waives_stickiness() -> None:
    server = following()
    assert not grants(server)
    server.receive("d", Vote(2, 1, 0))
    assert server.term == 1, "nor does the request of one who may have seen something raise the term"
    server.step(GONE)
    assert grants(server)
    assert promised(server.receive("d", Vote(2, 1, 0)), VoteReply) == [VoteReply(2, True)]


def test_a_voter_with_evidence_still_votes_for_no_log_that_is_behind_and_not_twice() -> None:
    server = Server("a", HardState(1, "", 1), log_of((1,), 5), names(5))
    server.settle()
    server.step(PeerUp(member("b"), "boot-b"))
    server.receive("b", Heartbeat(1, 1))
    server.step(GONE)
    assert not grants(server)
    assert promised(server.receive("d", Vote(2, 1, 0)), VoteReply) == [VoteReply(2, False)]
    assert promised(server.receive("c", Vote(2, 2, 1)), VoteReply) == [VoteReply(2, True)]
    assert promised(server.receive("e", Vote(2, 2, 1)), VoteReply) == [VoteReply(2, False)]


@pytest.mark.parametrize(
    "message",
    [
        Heartbeat(1, 1),
        Append(1, 1, 0, 1, ()),
        HeartbeatReply(1),
        PreVote(1, 1, 0, 1),
        ReadIndexReply(1, ReadContext("a", "0", 1), 1),
    ],
    ids=lambda message: type(message).__name__,
)
def test_whatever_is_heard_of_the_leader_afterwards_ends_the_evidence(message: RaftMessage) -> None:
    server = following()
    due = server.raft.deadline
    server.step(GONE)
    effects = server.receive("b", message)
    assert traces(effects, "leader-back")
    assert server.raft.deadline == due, "the election timer runs as if nothing had happened"
    assert not grants(server)


def test_what_is_heard_of_others_does_not_end_it() -> None:
    server = following()
    server.step(GONE)
    server.step(PeerUp(member("c"), "boot-c2"))
    server.receive("c", HeartbeatReply(1))
    assert grants(server)


def test_a_hello_of_the_leader_ends_it_whichever_process_says_it() -> None:
    for boot in ("boot-b", "boot-b2"):
        server = following()
        server.step(GONE)
        assert traces(server.step(PeerUp(member("b"), boot)), "leader-back")
        assert in_us(server) == ELECTION_MIN_US
        assert not grants(server)


def test_evidence_that_ended_between_pre_vote_and_vote_gives_no_vote() -> None:
    server = following()
    server.step(GONE)
    assert grants(server)
    server.receive("b", Heartbeat(1, 1))
    server.receive("d", Vote(2, 1, 0))
    assert (server.term, server.vote) == (1, "")


def test_a_leader_that_is_heard_stops_the_campaign_of_its_follower() -> None:
    server = following()
    server.step(GONE)
    server.deadline()
    server.receive("b", Heartbeat(1, 1))
    assert (server.role(), server.raft.leader, in_us(server)) == (Role.FOLLOWER, "b", ELECTION_MIN_US)
    assert server.raft.timers(server.now).get("leader-gone") is None


def test_evidence_ends_with_its_term() -> None:
    server = following()
    server.step(GONE)
    server.receive("c", Heartbeat(2, 1))
    assert in_us(server) == ELECTION_MIN_US
    assert not grants(server, term=3)
    server.step(GONE)
    assert not grants(server, term=3)


def test_a_hello_of_the_leader_ends_the_campaign_whatever_was_promised_and_is_still_on_its_way() -> None:
    server = following()
    server.step(GONE)
    asked = sent(server.deadline(), PreVote)[0]
    for voter in "cd":
        server.receive(voter, PreVoteReply(2, True, asked.campaign))
    server.step(PeerUp(member("b"), "boot-b"))
    assert server.role() is Role.FOLLOWER
    server.receive("e", PreVoteReply(2, True, asked.campaign))
    server.wait(WAIT_US)
    assert not receivers(server.step(Deadline()), Vote)
    assert (server.role(), server.term) == (Role.FOLLOWER, 1)


def test_who_was_asked_before_it_saw_the_end_itself_answers_anew_and_gives_way() -> None:
    server = following(name="c")
    assert not grants(server, "d")
    effects = server.step(GONE)
    assert [reply.granted for reply in promised(effects, PreVoteReply, "d")] == [True]
    assert in_us(server) == ELECTION_MIN_US, "it gives way, as ever"


@pytest.mark.parametrize("ended", ["long ago", "the leader was heard", "of another term", "it is asked by a stranger"])
def test_what_was_refused_is_answered_anew_only_where_it_still_matters(ended: str) -> None:
    server = following(name="c")
    asker = "x" if ended == "it is asked by a stranger" else "d"
    server.receive(asker, PreVote(2, 1, 0, 1))
    if ended == "long ago":
        server.wait(100_000)
        server.receive("b", Heartbeat(1, 1))
        server.wait(ELECTION_MIN_US - 100_000)
    elif ended == "the leader was heard":
        server.step(GONE)
        server.receive("b", Heartbeat(1, 1))
    elif ended == "of another term":
        server.receive("b", Heartbeat(2, 1))
    assert not receivers(server.step(GONE), PreVoteReply)


def test_refusals_do_not_end_a_campaign_on_evidence_and_later_grants_win_it() -> None:
    server = following()
    server.step(GONE)
    asked = sent(server.deadline(), PreVote)[0]
    for voter in "cde":
        server.receive(voter, PreVoteReply(1, False, asked.campaign))
    assert server.role() is Role.PRE_CANDIDATE
    server.wait(WAIT_US)
    server.receive("d", PreVoteReply(2, True, asked.campaign))
    assert receivers(server.receive("e", PreVoteReply(2, True, asked.campaign)), Vote) == ["b", "c", "d", "e"]


def test_it_asks_all_again_in_the_same_campaign_and_counts_what_was_on_its_way_but_not_what_was_promised() -> None:
    server = following()
    server.step(GONE)
    asked = sent(server.deadline(), PreVote)[0]
    server.receive("c", PreVoteReply(1, False, asked.campaign))
    server.receive("d", PreVoteReply(2, True, asked.campaign))
    again = server.deadline()
    assert receivers(again, PreVote) == ["b", "c", "d", "e"]
    assert sent(again, PreVote)[0].campaign == asked.campaign
    server.receive("e", PreVoteReply(2, True, asked.campaign))
    assert server.role() is Role.PRE_CANDIDATE, "d may have heard the leader since"
    server.receive("c", PreVoteReply(2, True, asked.campaign))
    assert server.role() is Role.CANDIDATE, "an answer to the first question counts"


def test_without_evidence_refusals_end_a_campaign() -> None:
    server = following()
    asked = sent(server.deadline(), PreVote)[0]
    for voter in "cde":
        server.receive(voter, PreVoteReply(1, False, asked.campaign))
    assert server.role() is Role.FOLLOWER


def test_who_goes_on_is_not_held_up_by_what_it_promised_to_one_behind_it() -> None:
    server = following()
    server.step(GONE)
    asked = sent(server.deadline(), PreVote)[0]
    for voter in "cd":
        server.receive(voter, PreVoteReply(2, True, asked.campaign))
    assert grants(server, "e")
    assert in_us(server) == WAIT_US


def test_it_asks_a_few_times_with_a_turn_of_the_others_between_and_then_waits_for_its_election_timeout() -> None:
    server = following()
    server.step(GONE)
    waits = []
    for _ in range(TRIES + 1):
        waits.append(in_us(server))
        asked = sent(server.deadline(), PreVote)[0]
        for voter in "cde":  # they do not know yet, or do not agree
            server.receive(voter, PreVoteReply(1, False, asked.campaign))
    assert waits == [0, *[SLOT_US * 4] * (TRIES - 1), ELECTION_MIN_US - SLOT_US * 4 * (TRIES - 1)]


def test_who_promised_a_vote_gives_way_for_an_election_timeout() -> None:
    server = following(draw=0.9)
    usual = in_us(server)
    server.step(GONE)
    server.wait(1_000)
    assert grants(server, "c")
    assert in_us(server) == ELECTION_MIN_US
    server.receive("b", Heartbeat(1, 1))
    assert in_us(server) == usual


@pytest.mark.parametrize(("other", "goes_on"), [("c", True), ("e", True), ("a", False)])
def test_of_two_that_ask_at_one_moment_the_first_in_the_configuration_goes_on(other: str, goes_on: bool) -> None:
    server = following(name="c" if other == "a" else "a")
    server.step(GONE)
    server.deadline()
    assert grants(server, other)
    assert (server.role() is Role.PRE_CANDIDATE) == goes_on


def test_one_that_campaigns_for_want_of_a_leader_gives_way_to_nobody() -> None:
    server = following(name="c")
    server.deadline()
    assert grants(server, "a")
    assert server.role() is Role.PRE_CANDIDATE


def test_a_server_whose_disk_is_silent_does_not_ask() -> None:
    server = following()
    server.receive("d", PreVote(1, 1, 0, 1))  # the disk owes an answer from now on
    for _ in range(40):
        server.wait(50_000)
        server.receive("b", Heartbeat(1, 1))
    server.step(GONE)
    assert not sent(server.deadline(), PreVote)
    assert in_us(server) > WAIT_US


def test_leader_and_candidate_take_no_notice() -> None:
    leading = leader(count=3)
    asking, _ = candidate(count=3)
    for server in (leading, asking):
        due = server.raft.deadline
        server.step(PeerUp(member("b"), "boot-b"), GONE)
        assert server.raft.deadline == due
    assert not grants(leading, "c", 3)


def test_told_twice_it_counts_once() -> None:
    server = following()
    server.step(GONE)
    server.wait(1_000)
    due = server.raft.deadline
    assert not traces(server.step(GONE), "leader-gone")
    assert server.raft.deadline == due
