"""Members change one at a time: learners, promotion, removal, a new disk under an old name (thesis 4.1 to 4.2)."""

import pytest

from node.raft.changes import Reason
from node.raft.effects import ConfigChanged, Effect, Ordered, Persist, Send
from node.raft.events import (
    AddLearner,
    MemberChange,
    Promote,
    Readdress,
    Receive,
    Remove,
    Replace,
    SnapshotHeld,
    TransferLeadership,
)
from node.raft.messages import (
    Append,
    AppendReply,
    Birth,
    Heartbeat,
    HeartbeatReply,
    PreVote,
    PreVoteReply,
    ReadContext,
    TimeoutNow,
    Vote,
    VoteReply,
)
from node.raft.types import Base, Configuration, Entry, EntryKind, HardState, Member, MemberAddress, Role, base_of_birth
from tests.raft.bench import (
    ELECTION_MAX_US,
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
)

D_AT = MemberAddress("d", "d.example", 9000, "http://d.example:8000")


def ask(server: Server, change: MemberChange) -> list[Effect]:
    return server.step(change)


def outcome(effects: list[Effect]) -> tuple[bool, str] | None:
    """What became of the order, if that is decided."""
    found = of(effects, Ordered)
    return (found[0].done, found[0].message) if found else None


def refused(effects: list[Effect]) -> str:
    """For programs: why the order was refused."""
    (found,) = of(effects, Ordered)
    return found.reason


def answered(server: Server, names: str) -> list[Effect]:
    """These have acknowledged the whole log, and it is durable here."""
    effects = server.persist()
    for name in names:
        effects += server.receive(name, AppendReply(server.term, True, server.last_index))
    return effects


def voters(server: Server) -> str:
    return "".join(voter.name for voter in server.raft.configuration.voters)


def learners(server: Server) -> str:
    return "".join(learner.name for learner in server.raft.configuration.learners)


def with_learner(caught_up: bool = True) -> Server:
    """a leads a, b and c; d listens."""
    server = leader()
    ask(server, AddLearner(1, member("d"), D_AT))
    answered(server, "bc")
    server.settle()
    if caught_up:
        answered(server, "d")
    return server


def test_a_learner_gets_the_log_and_counts_nowhere() -> None:
    server = leader()
    effects = ask(server, AddLearner(1, member("d"), D_AT))
    assert (voters(server), learners(server)) == ("abc", "d")
    assert "d" in receivers(effects, Append)
    server.persist()
    assert outcome(server.receive("d", AppendReply(2, True, server.last_index))) is None
    assert outcome(answered(server, "b")) == (True, "d is a learner")
    assert server.raft.configuration.address("d") == D_AT


def test_it_is_answered_when_it_is_committed_and_not_before() -> None:
    server = leader()
    assert outcome(ask(server, AddLearner(1, member("d")))) is None
    assert outcome(server.persist()) is None
    assert outcome(server.receive("b", AppendReply(2, True, server.last_index))) == (True, "d is a learner")


def test_a_learner_that_has_caught_up_may_vote() -> None:
    server = with_learner()
    ask(server, Promote(2, "d"))
    assert (voters(server), learners(server)) == ("abcd", "")
    assert outcome(answered(server, "b")) is None  # three of four
    assert outcome(answered(server, "d")) == (True, "d is a voter")


def test_one_that_has_not_may_not() -> None:
    server = with_learner(caught_up=False)
    done, message = outcome(ask(server, Promote(2, "d"))) or (True, "")
    assert not done
    assert message == "d has not caught up yet: it lacks 3 of 3 entries"
    assert voters(server) == "abc"


def test_a_voter_that_is_removed_is_told_and_then_forgotten() -> None:
    server = leader()
    effects = ask(server, Remove(1, "c"))
    assert "c" in receivers(effects, Append)
    assert [change.leaving for change in of(effects, ConfigChanged)] == [(member("c"),)]
    server.persist()
    server.receive("c", AppendReply(server.term, True, server.last_index))
    effects = server.receive("b", AppendReply(server.term, True, server.last_index))
    assert outcome(effects) == (True, "c is no member")
    assert [beat.commit for beat in sent(effects, Heartbeat, "c")] == [server.last_index], "or it would campaign"
    assert [change.leaving for change in of(effects, ConfigChanged)] == [()]
    assert "c" not in receivers(server.deadline(), Heartbeat)


def test_a_new_disk_takes_the_place_of_the_lost_one_and_has_no_vote() -> None:
    server = leader()
    ask(server, Replace(1, "c", "disk-new"))
    assert (voters(server), learners(server)) == ("ab", "c")
    assert server.raft.configuration.learners == (Member("c", "disk-new"),)
    server.persist()
    server.receive("c", AppendReply(2, True, server.last_index))  # says the old disk
    assert server.commit < server.last_index
    assert outcome(answered(server, "b")) == (True, "c is a learner with its new disk")
    server.step(Receive(Member("c", "disk-new"), AppendReply(2, True, server.last_index)))
    ask(server, Promote(2, "c"))
    assert server.raft.configuration.voters == (member("a"), member("b"), Member("c", "disk-new"))


def test_an_address_can_be_put_right() -> None:
    server = with_learner()
    moved = MemberAddress("d", "elsewhere.example", 9001, "http://elsewhere.example:8001")
    ask(server, Readdress(2, moved))
    assert server.raft.configuration.address("d") == moved
    assert outcome(answered(server, "b")) == (True, "d is reached at elsewhere.example:9001")


def test_an_address_that_says_nothing_of_clients_leaves_that_as_it_was() -> None:
    server = with_learner()
    assert server.raft.configuration.address("d") == D_AT
    ask(server, Readdress(2, MemberAddress("d", "elsewhere.example", 9001)))
    assert server.raft.configuration.address("d") == MemberAddress("d", "elsewhere.example", 9001, D_AT.client_url)


def test_what_holds_already_is_done_and_adds_no_entry() -> None:
    server = with_learner()
    before = server.last_index
    assert outcome(ask(server, AddLearner(2, member("d"), D_AT))) == (True, "d is a learner already")
    assert outcome(ask(server, Promote(3, "b"))) == (True, "b is a voter already")
    assert server.last_index == before


@pytest.mark.parametrize(
    ("change", "why", "reason"),
    [
        (AddLearner(1, member("b")), "b is a voter already", Reason.MEMBER),
        (
            AddLearner(1, Member("b", "disk-new")),
            "b is a member with another disk: replace it, if that one is lost",
            Reason.MEMBER,
        ),
        (Promote(1, "x"), "x is no member; the members are a, b, c", Reason.NO_MEMBER),
        (Remove(1, "x"), "x is no member; the members are a, b, c", Reason.NO_MEMBER),
        (Replace(1, "x", "disk-new"), "x is no member; the members are a, b, c", Reason.NO_MEMBER),
        (Readdress(1, MemberAddress("x", "h", 1)), "x is no member; the members are a, b, c", Reason.NO_MEMBER),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(change: MemberChange, why: str, reason: Reason) -> None:
    server = leader()
    before = server.last_index
    effects = ask(server, change)
    assert (outcome(effects), refused(effects)) == ((False, why), reason)
    assert server.last_index == before


def test_only_a_leader_changes_members() -> None:
    server = follower()
    assert outcome(ask(server, Remove(1, "b"))) == (False, "a does not lead: no leader is known")
    server.receive("b", Heartbeat(1, 1))
    assert outcome(ask(server, Remove(2, "c"))) == (False, "a does not lead: b does")


def test_pitfall_23_not_before_an_entry_of_this_term_is_committed() -> None:
    server = leader((1, 1), vouched=False)
    done, message = outcome(ask(server, Remove(1, "c"))) or (True, "")
    assert (done, message) == (False, "this leader has committed nothing yet; ask again in a moment")


def test_not_while_the_change_before_is_not_committed() -> None:
    server = leader()
    ask(server, AddLearner(1, member("d")))
    done, message = outcome(ask(server, AddLearner(2, member("e")))) or (True, "")
    assert (done, message) == (False, "a change of members is under way; ask again when it is committed")
    answered(server, "b")
    assert outcome(ask(server, AddLearner(3, member("e")))) is None


def test_not_during_a_hand_over() -> None:
    server = leader()
    server.step(TransferLeadership(1, "b"))
    assert outcome(ask(server, Remove(2, "c"))) == (
        False,
        "the lead is being handed to b; ask again in a moment",
    )


def test_what_would_lose_the_quorum_of_the_living_is_refused_unless_forced() -> None:
    """Of four voters one is down: without one of the living three, two of three remain; with two down one of two."""
    server = leader(count=5)
    server.wait(2 * ELECTION_MAX_US)
    for name in "bc":
        server.receive(name, HeartbeatReply(2))
    done, message = outcome(ask(server, Remove(1, "b"))) or (True, "")
    assert (done, message) == (
        False,
        "of 4 voters 3 must answer, and d, e would not: bring them back first",
    )
    assert outcome(ask(server, Remove(2, "e"))) is None  # one of the dead: three of four answer
    answered(server, "bc")
    server.wait(2 * ELECTION_MAX_US)
    server.receive("b", HeartbeatReply(2))
    assert outcome(ask(server, Remove(3, "b")))[0] is False  # type: ignore[index]
    assert outcome(ask(server, Remove(4, "b", force=True))) is None


def test_the_only_voter_stays() -> None:
    server = leader(count=1)
    assert outcome(ask(server, Remove(1, "a", force=True))) == (
        False,
        "a is the only voter, and nobody could decide anything without it",
    )
    assert outcome(ask(server, Replace(2, "a", "new"))) == (
        False,
        "a is the only voter, so with its disk everything is lost",
    )


# --- a leader that goes -------------------------------------------------------------------------------------------


def test_pitfall_26_a_leader_that_is_removed_leads_until_that_is_committed_and_counts_nothing() -> None:
    server = leader()
    ask(server, Remove(1, "a"))
    server.persist()
    assert server.role() is Role.LEADER
    server.receive("b", AppendReply(2, True, server.last_index))
    assert server.role() is Role.LEADER  # one of b and c
    effects = server.receive("c", AppendReply(2, True, server.last_index))
    assert outcome(effects) == (True, "a is no member")
    assert server.role() is Role.FOLLOWER
    assert len(receivers(effects, TimeoutNow)) == 1


def test_it_tells_a_voter_to_take_over_only_if_that_has_the_whole_log() -> None:
    server = leader()
    ask(server, Remove(1, "a"))
    removal = server.last_index
    server.persist()
    server.propose(b"later")
    server.persist()
    server.receive("b", AppendReply(2, True, removal))
    effects = server.receive("c", AppendReply(2, True, removal))
    assert server.role() is Role.FOLLOWER
    assert not receivers(effects, TimeoutNow)


def test_it_campaigns_while_it_may_be_the_only_one_that_has_the_entry_of_its_removal() -> None:
    """Of a, b, c and d, which lost its disk, b and c are no majority without a, whose log is longer (thesis 4.2.2)."""
    server = leader()
    ask(server, Remove(1, "a"))
    server.persist()
    server.pass_time(2 * ELECTION_MAX_US)  # nobody answers: it steps down
    assert server.role() is not Role.LEADER
    assert voters(server) == "bc"
    asked = server.pass_time(2 * ELECTION_MAX_US)
    assert set(receivers(asked, PreVote)) == {"b", "c"}
    campaign = sent(asked, PreVote)[-1].campaign
    server.receive("b", PreVoteReply(server.term + 1, True, campaign))
    assert server.role() is Role.PRE_CANDIDATE, "its own vote does not count"
    server.receive("c", PreVoteReply(server.term + 1, True, campaign))
    assert server.role() is Role.CANDIDATE
    server.persist()
    for name in "bc":
        server.receive(name, VoteReply(server.term, True))
    assert server.role() is Role.LEADER
    answered(server, "bc")
    assert server.role() is Role.FOLLOWER
    assert server.raft.status(server.now).removed


def test_a_learner_does_not_campaign_while_another_change_is_under_way() -> None:
    server = follower((1,))
    bc, a = (member("b"), member("c")), (member("a"),)
    changes = [Configuration(bc, a), Configuration((*bc, member("d")), a)]
    entries = tuple(Entry(3 + n, 1, EntryKind.CONFIGURATION, known.encode()) for n, known in enumerate(changes))
    server.receive("b", Append(1, 2, 1, 3, entries))
    server.persist()
    assert (voters(server), learners(server), server.raft.commit) == ("bcd", "a", 3)
    assert not receivers(server.pass_time(5 * ELECTION_MAX_US), PreVote)


def test_afterwards_it_does_not_campaign_and_says_that_it_was_removed() -> None:
    server = leader()
    ask(server, Remove(1, "a"))
    answered(server, "bc")
    status = server.raft.status(server.now)
    assert status.removed
    assert status.waiting_for.startswith("it was removed from the cluster")
    assert not sent(server.pass_time(5 * ELECTION_MAX_US), Vote)
    assert server.raft.status(server.now).election_due_in_us is None


# --- what becomes of a change -------------------------------------------------------------------------------------


def test_a_change_that_another_leader_overwrites_is_rolled_back_and_said_not_to_have_happened() -> None:
    server = leader()
    ask(server, Remove(1, "c"))
    server.persist()
    effects = server.receive("b", Append(3, 2, 2, 2, commands(3, (3,))))
    assert voters(server) == "abc"
    found = of(effects, Ordered)
    assert [(o.done, o.unknown) for o in found] == [(False, False)]
    assert found[0].message == "another leader overwrote the change before it was committed; nothing happened"


def test_what_another_leader_committed_in_the_place_of_a_change_is_not_the_change() -> None:
    server = leader()
    ask(server, Remove(1, "c"))
    server.persist()
    effects = server.receive("b", Append(3, 2, 2, 3, commands(3, (3,))))
    assert server.commit == 3
    found = of(effects, Ordered)
    assert [(o.done, o.unknown) for o in found] == [(False, False)]
    assert found[0].message == "another leader overwrote the change; nothing happened"


def test_a_leader_that_is_deposed_before_does_not_know() -> None:
    server = leader()
    ask(server, Remove(1, "c"))
    server.persist()
    found = of(server.receive("b", Heartbeat(3, 2)), Ordered)
    assert [(o.done, o.unknown) for o in found] == [(False, True)]
    assert found[0].message == "a lost the lead before the change was committed: it may happen yet"


# --- who is let in ------------------------------------------------------------------------------------------------

BIRTH = log_of(())[0]
CHALLENGE = ReadContext("d", "boot-d", 1)


def outsider(name: str = "d", incarnation: str = "disk-d") -> Server:
    """A server without a log that is none of the seeds, or whose disk was lost."""
    return Server(name=name, incarnation=incarnation)


def told(server: Server, invited: bool) -> None:
    server.receive("a", Birth((), BIRTH.data, answer=False, invited=invited))


def test_who_asks_is_remembered_for_the_operator_with_the_disk_that_it_would_replace() -> None:
    server = follower()
    server.receive("d", Birth((member("d"),), b"", answer=True, challenge=CHALLENGE, address=D_AT))
    server.step(Receive(Member("b", "disk-new"), Birth((), b"", answer=True, challenge=CHALLENGE)))
    found = server.raft.status(server.now).applicants
    assert [(one.name, one.incarnation, one.replaces, one.address) for one in found] == [
        ("d", "disk-d", "", D_AT),
        ("b", "disk-new", "disk-b", None),
    ]
    server.wait(6_000_000)
    assert server.raft.status(server.now).applicants == ()


def test_applicants_are_bounded_and_the_oldest_goes_first() -> None:
    server = follower()
    for number in range(20):
        stranger = Member(f"x{number}", "disk")
        server.step(Receive(stranger, Birth((), b"", answer=True, challenge=CHALLENGE)))
    assert [one.name for one in server.raft.status(server.now).applicants] == [f"x{n}" for n in range(4, 20)]


def test_who_was_let_in_is_told_so_once_that_is_committed() -> None:
    def invited(server: Server, asker: Member) -> list[bool]:
        effects = server.step(Receive(asker, Birth((), b"", answer=True, challenge=CHALLENGE)))
        return [answer.invited for answer in sent(effects, Birth)]

    server = leader()
    assert invited(server, member("d")) == [False]
    ask(server, AddLearner(1, member("d")))
    assert invited(server, member("d")) == [False]
    answered(server, "b")
    assert invited(server, member("d")) == [True]
    assert invited(server, Member("d", "another disk")) == [False]
    assert invited(server, member("b")) == [False]  # of the birth: there are other rules for those


def test_it_says_what_it_has_and_is_born_of_the_first_entry_as_a_learner() -> None:
    server = outsider()
    told(server, invited=True)
    effects = server.receive("a", Append(4, 7, 3, 7, commands(8, (4,))))
    assert sent(effects, AppendReply, "a") == [AppendReply(4, False, 7, 0, 0)]
    effects = server.receive("a", Append(4, 0, 0, 7, (BIRTH, *commands(2, (1, 1)))))
    assert of(effects, Persist)[0].cluster_id == base_of_birth(BIRTH).cluster_id
    assert server.role() is Role.INITIAL
    server.persist()
    assert server.role() is Role.FOLLOWER
    effects = server.receive("a", Append(4, 1, 0, 7, commands(2, (1, 1))))
    assert promised(effects, AppendReply, "a") == [AppendReply(4, True, 3)]
    status = server.raft.status(server.now)
    assert (status.removed, status.waiting_for) == (False, "it was let in and catches up with the log")
    assert not sent(server.pass_time(5 * ELECTION_MAX_US), Vote)


def test_what_the_leader_sent_too_early_is_sent_again_because_its_heartbeat_is_answered() -> None:
    server = outsider()
    told(server, invited=False)
    assert not of(server.receive("a", Heartbeat(4, 0)), Send)
    told(server, invited=True)
    assert sent(server.receive("a", Heartbeat(4, 0)), HeartbeatReply, "a") == [HeartbeatReply(4)]
    assert server.raft.status(server.now).waiting_for == "it was let in, and the leader sends it the log"


def test_it_is_born_of_a_snapshot_where_the_log_begins_later() -> None:
    server = outsider()
    told(server, invited=True)
    born = base_of_birth(BIRTH)
    base = Base(100, 3, 0, Configuration(configuration(3).voters, (member("d"),)), born.cluster_id, BIRTH.data)
    effects = server.step(SnapshotHeld(member("a"), base))
    persist = of(effects, Persist)[0]
    assert (persist.base, persist.cluster_id) == (base, None)
    assert promised(effects, AppendReply, "a") == [AppendReply(0, True, 100)]
    server.persist()
    assert (server.role(), server.last_index) == (Role.FOLLOWER, 100)
    assert server.raft.status(server.now).cluster_id == born.cluster_id


@pytest.mark.parametrize("word", ["nothing", "not invited"])
def test_who_was_not_let_in_takes_no_log(word: str) -> None:
    """A leader may send to the disk that bore the name before (pitfall 36)."""
    server = outsider("b", "disk-new")
    if word == "not invited":
        told(server, invited=False)
    effects = server.receive("a", Append(4, 0, 0, 1, (BIRTH,)))
    effects += server.step(SnapshotHeld(member("a"), Base(100, 3, 0, configuration(3), "c" * 32, BIRTH.data)))
    assert not of(effects, Persist)
    assert not [send for send in of(effects, Send) if isinstance(send.message, AppendReply)]
    assert server.role() is Role.INITIAL


def test_a_vote_for_a_disk_that_was_lost_is_none_for_the_new_one() -> None:
    server = Server(hard=HardState(5, "b/disk-b", 1), entries=log_of((1,)))
    server.settle()
    new = Member("b", "disk-new")
    refused = server.step(Receive(new, Vote(5, 2, 1, True)))
    assert promised(refused, VoteReply) == [VoteReply(5, False, asker="disk-new")]
    again = server.receive("b", Vote(5, 2, 1, True))
    assert promised(again, VoteReply) == [VoteReply(5, True)]


def test_votes_for_a_disk_that_was_lost_do_not_elect_the_new_one() -> None:
    """Both may ask in one term, and what the voter compared was the log of the other (section 5.4.1)."""
    server = Server(hard=HardState(5, "", 1), entries=log_of((1,)))
    server.settle()
    server.deadline()
    server.receive("b", PreVoteReply(6, True, 1, asker="disk-earlier"))
    assert server.role() is Role.PRE_CANDIDATE
    server.receive("b", PreVoteReply(6, True, 1, asker="disk-a"))
    server.settle()
    assert server.role() is Role.CANDIDATE
    server.receive("b", VoteReply(6, True, "disk-earlier"))
    assert server.role() is Role.CANDIDATE
    server.receive("b", VoteReply(6, True, "disk-a"))
    assert server.role() is Role.LEADER


def test_a_vote_from_before_incarnations_were_kept_is_for_its_name() -> None:
    server = Server(hard=HardState(5, "b", 1), entries=log_of((1,)))
    server.settle()
    granted = server.receive("b", Vote(5, 2, 1, True))
    assert promised(granted, VoteReply) == [VoteReply(5, True)]
    assert server.vote == "b"


def test_a_learner_that_is_let_in_while_the_leader_changes_is_still_told_by_the_next() -> None:
    server = follower((1,), commit=2)
    with_d = Configuration(configuration(3).voters, (member("d"),))
    server.receive("b", Append(1, 2, 1, 3, (Entry(3, 1, EntryKind.CONFIGURATION, with_d.encode()),)))
    server.persist()
    effects = server.receive("d", Birth((), b"", answer=True, challenge=CHALLENGE))
    assert [answer.invited for answer in sent(effects, Birth)] == [True]
