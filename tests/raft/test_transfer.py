"""Elections on request (thesis 3.10; pitfalls 16 and 19): hand-over, campaigns by order, leaving INITIAL."""

import msgspec
import pytest

from node.raft.effects import Accepted, Effect, Ordered, Persist, Refused, Send
from node.raft.errors import NotLeader, Transferring
from node.raft.events import Campaign, ForceTimeout, LeaveInitial, TransferLeadership
from node.raft.messages import (
    Append,
    AppendReply,
    Birth,
    Heartbeat,
    HeartbeatReply,
    PreVote,
    PreVoteReply,
    TimeoutNow,
    Vote,
    VoteReply,
)
from node.raft.settings import RaftSettings
from node.raft.types import Configuration, Entry, HardState, Member, Role
from tests.raft.bench import (
    ELECTION_MAX_US,
    ELECTION_MIN_US,
    Server,
    candidate,
    follower,
    leader,
    log_of,
    member,
    names,
    of,
    pre_candidate,
    promised,
    receivers,
    sent,
    traces,
)

WAITING = RaftSettings(wait_in_initial=True)


def answers(effects: list[Effect]) -> list[tuple[int, bool]]:
    return [(ordered.request, ordered.done) for ordered in of(effects, Ordered)]


def said(effects: list[Effect]) -> str:
    (ordered,) = of(effects, Ordered)
    return ordered.message


# --- a hand-over, as the leader sees it -------------------------------------------------------------------------


def test_thesis_3_10_a_target_that_holds_the_whole_log_is_told_at_once() -> None:
    server = leader()
    effects = server.step(TransferLeadership(7, "b"))
    assert sent(effects, TimeoutNow, "b") == [TimeoutNow(2)]
    assert receivers(effects, TimeoutNow) == ["b"]
    assert not answers(effects)
    assert server.raft.status(server.now).transferring_to == "b"
    assert server.role() is Role.LEADER


def test_thesis_3_10_a_target_that_lags_is_brought_up_to_date_first() -> None:
    server = leader()
    server.propose(b"x", b"y")
    server.persist()
    effects = server.step(TransferLeadership(7, "b"))
    effects += server.receive("b", AppendReply(2, True, 3))
    assert not sent(effects, TimeoutNow)
    assert sent(server.receive("b", AppendReply(2, True, 4)), TimeoutNow, "b")
    assert not sent(server.receive("b", AppendReply(2, True, 4)), TimeoutNow), "told twice"


def test_pitfall_19_proposals_are_refused_while_the_lead_is_handed_over_and_nothing_is_appended() -> None:
    server = leader()
    server.step(TransferLeadership(7, "b"))
    last = server.last_index
    assert of(server.propose(b"x"), Refused) == [Refused((1,), Transferring("b"))]
    assert server.last_index == last


def test_pitfall_19_after_one_election_timeout_the_leader_gives_up_and_takes_proposals_again() -> None:
    server = leader()
    server.step(TransferLeadership(7, "b"))
    began = server.now
    effects: list[Effect] = []
    for _ in range(10):
        if answers(effects):
            break
        for peer in "bc":
            server.receive(peer, HeartbeatReply(2))
        effects = server.deadline()
    assert answers(effects) == [(7, False)]
    assert "b did not take over" in said(effects)
    assert server.now == began + ELECTION_MAX_US
    assert server.raft.status(server.now).transferring_to == ""
    assert of(server.propose(b"x"), Accepted)


def test_pitfall_19_a_target_that_never_catches_up_is_not_told_to_campaign() -> None:
    server = leader()
    server.propose(b"x")
    server.step(TransferLeadership(7, "b"))
    effects = server.pass_time(ELECTION_MAX_US - 1)
    server.receive("c", HeartbeatReply(2))
    effects += server.pass_time(1)
    assert not sent(effects, TimeoutNow)
    assert [ordered.message for ordered in of(effects, Ordered)] == [
        "b did not catch up within an election timeout; a still leads"
    ]


def test_the_hand_over_is_done_once_the_target_leads_and_says_so() -> None:
    server = leader()
    server.step(TransferLeadership(7, "b"))
    effects = server.receive("b", Vote(3, server.last_index, 2, transfer=True))
    assert server.role() is Role.FOLLOWER
    assert promised(effects, VoteReply, "b") == [VoteReply(3, True)]
    assert not answers(effects)
    effects = server.receive("b", Heartbeat(3, 1))
    assert answers(effects) == [(7, True)]
    assert said(effects) == "b leads in term 3"
    assert server.raft.status(server.now).transferring_to == ""


def test_another_winner_is_a_failed_hand_over() -> None:
    server = leader()
    server.step(TransferLeadership(7, "b"))
    assert answers(server.receive("c", Heartbeat(3, 1))) == [(7, False)]


def test_a_hand_over_that_leaves_nobody_in_the_lead_is_answered_after_an_election_timeout_too() -> None:
    server = leader()
    server.step(TransferLeadership(7, "b"))
    server.receive("b", Vote(3, server.last_index, 2, transfer=True))
    effects = server.pass_time(ELECTION_MAX_US)
    assert [ordered.done for ordered in of(effects, Ordered)] == [False]
    assert "no leader of term 3 is known yet" in of(effects, Ordered)[0].message


def test_without_a_name_the_most_up_to_date_voter_is_the_target() -> None:
    server = leader(count=5)
    server.propose(b"x")
    server.persist()
    server.receive("d", AppendReply(2, True, 3))
    server.step(TransferLeadership(7))
    assert server.raft.status(server.now).transferring_to == "d"


def test_of_equal_voters_the_one_that_answered_last_is_the_target() -> None:
    server = leader()
    server.wait(10)
    server.receive("c", HeartbeatReply(2))
    server.step(TransferLeadership(7))
    assert server.raft.status(server.now).transferring_to == "c"


@pytest.mark.parametrize(("target", "why"), [("a", "a leads already"), ("x", "x is not a voter; the others are b, c")])
def test_an_impossible_target_is_refused(target: str, why: str) -> None:
    server = leader()
    effects = server.step(TransferLeadership(7, target))
    assert answers(effects) == [(7, False)]
    assert said(effects) == why
    assert of(server.propose(b"x"), Accepted)


def test_a_second_hand_over_is_refused_and_the_first_goes_on() -> None:
    server = leader()
    server.step(TransferLeadership(7, "b"))
    assert answers(server.step(TransferLeadership(8, "c"))) == [(8, False)]
    assert server.raft.status(server.now).transferring_to == "b"


def test_only_a_leader_can_hand_over_and_a_single_server_to_nobody() -> None:
    server = follower()
    server.receive("b", Heartbeat(1, 1))
    assert said(server.step(TransferLeadership(7, "c"))) == "a does not lead: b does"
    assert said(leader(count=1).step(TransferLeadership(7))) == "there is no other voter"


# --- a hand-over, as the target sees it -------------------------------------------------------------------------


def test_thesis_3_10_the_target_campaigns_without_pre_vote_and_says_that_it_was_asked() -> None:
    server = follower()
    server.receive("b", Heartbeat(1, 1))
    effects = server.receive("b", TimeoutNow(1))
    assert (server.role(), server.term, server.vote) == (Role.CANDIDATE, 2, "a")
    assert not receivers(effects, PreVote)
    assert not of(effects, Send)
    assert promised(effects, Vote) == [Vote(2, 1, 0, transfer=True)] * 2
    assert server.raft.leader == ""


def test_a_target_wins_only_with_votes_and_with_its_own_on_disk() -> None:
    server = follower()
    server.receive("b", Heartbeat(1, 1))
    server.receive("b", TimeoutNow(1))
    server.receive("c", VoteReply(2, True))
    assert server.role() is Role.CANDIDATE
    server.persist()
    assert server.role() is Role.LEADER


def test_timeout_now_is_obeyed_of_the_leader_of_this_term_alone() -> None:
    server = follower(term=2)
    server.receive("b", Heartbeat(2, 1))
    for sender, message in (("c", TimeoutNow(2)), ("b", TimeoutNow(1))):
        server.receive(sender, message)
        assert (server.role(), server.term) == (Role.FOLLOWER, 2)
    server.receive("c", TimeoutNow(3))
    assert (server.role(), server.term, server.raft.leader) == (Role.FOLLOWER, 3, "")


def test_a_repeated_timeout_now_does_not_disturb_the_election_that_it_began() -> None:
    server = follower()
    server.receive("b", Heartbeat(1, 1))
    server.receive("b", TimeoutNow(1))
    server.receive("b", TimeoutNow(1))
    assert (server.role(), server.term) == (Role.CANDIDATE, 2)


def test_pitfall_16_a_vote_request_of_a_hand_over_is_heard_though_the_leader_lives() -> None:
    server = follower()
    server.receive("b", Heartbeat(1, 1))
    server.receive("c", Vote(2, 9, 1))
    assert server.term == 1
    assert promised(server.receive("c", Vote(2, 9, 1, transfer=True)), VoteReply) == [VoteReply(2, True)]


# --- campaigns that an operator wants ---------------------------------------------------------------------------


def test_a_triggered_election_is_one_as_of_a_hand_over() -> None:
    server = follower()
    server.receive("b", Heartbeat(1, 1))
    effects = server.step(Campaign(7))
    assert answers(effects) == [(7, True)]
    assert promised(effects, Vote) == [Vote(2, 1, 0, transfer=True)] * 2
    assert [trace.detail["phase"] for trace in traces(effects, "election")] == ["vote"]


def test_a_candidate_that_is_asked_to_campaign_begins_another_term() -> None:
    server, _ = candidate(term=2)
    assert answers(server.step(Campaign(7))) == [(7, True)]
    assert (server.role(), server.term) == (Role.CANDIDATE, 3)
    server.persist()
    server.receive("b", VoteReply(2, True))
    assert server.role() is Role.CANDIDATE, "a vote of the term before was counted"


def test_a_pre_candidate_that_is_asked_to_campaign_does_not_count_pre_votes_as_votes() -> None:
    server, asked = pre_candidate()
    server.step(Campaign(7))
    server.receive("b", PreVoteReply(2, True, asked.campaign))
    server.persist()
    assert (server.role(), server.term) == (Role.CANDIDATE, 2)


def test_a_forced_timeout_asks_first_and_changes_neither_term_nor_vote() -> None:
    server = follower(vote="c")
    server.receive("b", Heartbeat(1, 1))
    effects = server.step(ForceTimeout(7))
    assert answers(effects) == [(7, True)]
    assert sent(effects, PreVote)[0].term == 2
    assert not receivers(effects, Vote)
    assert (server.role(), server.term, server.vote) == (Role.PRE_CANDIDATE, 1, "c")


@pytest.mark.parametrize("order", [Campaign, ForceTimeout])
def test_who_leads_or_has_no_vote_does_not_campaign(order: type[Campaign] | type[ForceTimeout]) -> None:
    leading = leader()
    assert said(leading.step(order(7))) == "a leads already"
    assert (leading.role(), leading.term) == (Role.LEADER, 2)
    unborn = Server()
    assert "INITIAL" in said(unborn.step(order(7)))
    assert (unborn.role(), unborn.term) == (Role.INITIAL, 0)
    listener = Server(name="c", hard=HardState(1, "", 1), entries=with_a_learner())
    listener.settle()
    assert said(listener.step(order(7))) == "c is not a voter"
    assert (listener.role(), listener.term) == (Role.FOLLOWER, 1)
    listener.receive("b", Heartbeat(1, 1))
    listener.receive("b", TimeoutNow(1))
    assert listener.role() is Role.FOLLOWER


def with_a_learner() -> tuple[Entry, ...]:
    birth = Configuration((member("a"), member("b")), (member("c"),))
    return (msgspec.structs.replace(log_of(())[0], data=birth.encode()),)


def test_a_single_server_that_is_asked_to_campaign_leads_once_its_vote_is_durable() -> None:
    server = follower(count=1)
    server.step(Campaign(7))
    assert server.role() is Role.CANDIDATE
    server.persist()
    assert server.role() is Role.LEADER


# --- waiting in INITIAL -----------------------------------------------------------------------------------------


def waiting(terms: tuple[int, ...] = (1, 1), term: int = 3) -> Server:
    return Server(hard=HardState(term, "b", 1), entries=log_of(terms), settings=WAITING)


def test_a_server_with_a_log_can_be_started_waiting_and_then_has_no_vote_and_no_timer() -> None:
    server = waiting()
    assert server.role() is Role.INITIAL
    server.settle()
    for message in (
        Vote(9, 9, 8), PreVote(9, 9, 8, 1), Append(9, 3, 1, 3, ()), Heartbeat(9, 1), TimeoutNow(3),
    ):  # fmt: skip
        effects = server.receive("b", message)
        assert not of(effects, Send)
        assert not of(effects, Persist)
    assert (server.role(), server.term, server.vote, server.last_index) == (Role.INITIAL, 3, "b", 3)
    assert server.raft.deadline is None
    assert "become_follower" in server.raft.status(server.now).waiting_for


def test_leaving_initial_is_following_in_the_term_it_had() -> None:
    server = waiting()
    server.settle()
    effects = server.step(LeaveInitial(7))
    assert answers(effects) == [(7, True)]
    assert (server.role(), server.term, server.vote) == (Role.FOLLOWER, 3, "b")
    assert server.raft.deadline == server.now + ELECTION_MIN_US
    assert answers(server.step(LeaveInitial(8))) == [(8, False)]


def test_a_waiting_server_without_a_log_agrees_to_no_birth() -> None:
    server = Server(settings=WAITING)
    view = tuple(Member(name, f"disk-{name}") for name in names(3))
    for peer in "bc":
        assert not server.receive(peer, Birth(view, b"", answer=True))
        assert not server.receive(peer, Birth((), log_of(())[0].data, answer=True))
    assert (server.role(), server.last_index) == (Role.INITIAL, 0)
    assert server.raft.deadline is None


def test_leaving_initial_without_a_log_asks_to_be_born_and_cannot_go_round_it() -> None:
    server = Server(settings=WAITING)
    effects = server.step(LeaveInitial(7))
    assert answers(effects) == [(7, True)]
    assert "no answer from b, c" in said(effects)
    assert server.role() is Role.INITIAL
    assert receivers(server.deadline(), Birth) == ["b", "c"]
    effects = server.step(LeaveInitial(8))
    assert answers(effects) == [(8, False)]
    assert said(effects).startswith("birth needs more than a command: no answer from b, c")
    assert (server.role(), server.last_index) == (Role.INITIAL, 0)


def test_a_waiting_server_that_was_born_tells_others_so() -> None:
    server = waiting()
    effects = server.receive("b", Birth((), b"", answer=True))
    assert sent(effects, Birth)[0].configuration == log_of(())[0].data


# --- what is shown ----------------------------------------------------------------------------------------------


def test_status_and_timers_say_when_an_election_is_due() -> None:
    server = follower()
    server.wait(50_000)
    status = server.raft.status(server.now)
    assert status.election_timeout_us == ELECTION_MIN_US
    assert status.election_due_in_us == ELECTION_MIN_US - 50_000
    assert server.raft.timers(server.now) == {"election": ELECTION_MIN_US - 50_000}
    leading = leader()
    assert leading.raft.status(leading.now).election_due_in_us is None
    leading.step(TransferLeadership(7, "b"))
    assert set(leading.raft.timers(leading.now)) == {"heartbeat", "quorum-check", "transfer"}


def test_reads_asked_of_a_leader_are_refused_when_its_follower_campaigns_on_request() -> None:
    server = follower()
    server.receive("b", Heartbeat(1, 1))
    server.read(5)
    assert of(server.step(Campaign(7)), Refused) == [Refused((5,), NotLeader(""))]
