"""The configuration in force is the log's latest, committed or not (thesis 4.1): append and truncation change it."""

from collections.abc import Sequence

import msgspec
import pytest

from node.raft import membership
from node.raft.effects import ConfigChanged, Effect, Ordered, Refused, Trace
from node.raft.errors import InvariantViolation, NotLeader
from node.raft.events import Campaign, SnapshotHeld, TransferLeadership
from node.raft.messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    PreVote,
    PreVoteReply,
    RaftMessage,
    Vote,
    VoteReply,
)
from node.raft.types import Base, Configuration, Entry, EntryKind, HardState, Member, Role
from tests.raft.bench import (
    ELECTION_MAX_US,
    HEARTBEAT_US,
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


def of_names(voters: str, learners: str = "") -> Configuration:
    """`of_names("abd", "e")`: who votes, who only listens."""
    return Configuration(tuple(map(member, voters)), tuple(map(member, learners)))


def change(index: int, term: int, configuration: Configuration) -> Entry:
    return Entry(index, term, EntryKind.CONFIGURATION, configuration.encode())


def inject(server: Server, *configurations: Configuration) -> list[Effect]:
    """Append changes to a leader's own log, as nobody may propose them yet."""
    state = server.raft._state
    first = state.log.last_index + 1
    entries = [change(index, state.term, one) for index, one in enumerate(configurations, first)]
    membership.append(state, entries, server.now)
    return server.step()


def adopted(effects: Sequence[Effect]) -> list[Configuration]:
    return [changed.configuration for changed in of(effects, ConfigChanged)]


def peers_of(server: Server) -> list[str]:
    return [peer.name for peer in server.raft.status(server.now).peers]


# --- a follower -------------------------------------------------------------------------------------------------


def test_pitfall_24_a_configuration_is_in_force_from_its_append_on_before_it_is_durable_or_committed() -> None:
    server = follower()
    effects = server.receive("b", Append(1, 1, 0, 1, (change(2, 1, of_names("abcd")),)))
    assert adopted(effects) == [of_names("abcd")]
    assert server.raft.configuration == of_names("abcd")
    assert (server.commit, server.raft.status(server.now).durable) == (1, 1)
    assert peers_of(server) == ["b", "c", "d"]


def test_of_several_in_one_append_the_last_is_in_force_and_told_once() -> None:
    server = follower()
    entries = (change(2, 1, of_names("ab")), *commands(3, [1]), change(4, 1, of_names("abe")), *commands(5, [1]))
    assert adopted(server.receive("b", Append(1, 1, 0, 1, entries))) == [of_names("abe")]


def test_pitfall_27_a_truncation_puts_the_configuration_before_in_force_again() -> None:
    server = follower()
    entries = (change(2, 1, of_names("abcd")), change(3, 1, of_names("abcde")), *commands(4, [1]))
    server.receive("b", Append(1, 1, 0, 1, entries))
    assert adopted(server.receive("c", Append(2, 2, 1, 1, commands(3, [2])))) == [of_names("abcd")]
    assert adopted(server.receive("b", Append(3, 1, 0, 1, commands(2, [3])))) == [configuration(3)]
    assert peers_of(server) == ["b", "c"]


def test_a_truncation_alone_is_enough_whatever_is_appended_afterwards() -> None:
    server = follower()
    server.receive("b", Append(1, 1, 0, 1, (change(2, 1, of_names("abcd")),)))
    membership.truncate_from(server.raft._state, 2, server.now)
    assert adopted(server.step()) == [configuration(3)]


def test_a_configuration_that_replaces_another_is_in_force_whatever_was_between() -> None:
    server = follower()
    server.receive("b", Append(1, 1, 0, 1, (change(2, 1, of_names("abcd")),)))
    effects = server.receive("c", Append(2, 1, 0, 1, (change(2, 2, of_names("abce")),)))
    assert adopted(effects)[-1] == of_names("abce")
    assert server.raft.configuration == of_names("abce")


def test_entries_of_another_kind_and_equal_configurations_change_nothing() -> None:
    server = follower()
    effects = server.receive("b", Append(1, 1, 0, 1, (*commands(2, [1]), change(3, 1, configuration(3)))))
    effects += server.receive("c", Append(2, 2, 1, 1, commands(3, [2])))
    assert not adopted(effects)


def test_a_restart_puts_the_latest_of_the_log_in_force_and_keeps_the_cluster_of_the_birth() -> None:
    entries = (*log_of((1,)), change(3, 1, of_names("abd")), *commands(4, [1]))
    server = Server(hard=HardState(1, "", 1), entries=entries)
    assert adopted(server.started) == [of_names("abd")]
    assert server.raft.status(server.now).cluster_id == follower().raft.status(0).cluster_id


def test_neither_a_new_member_is_turned_away_nor_one_that_left_counted() -> None:
    server = follower()
    server.receive("b", Append(1, 1, 0, 1, (change(2, 1, of_names("abd")),)))
    assert promised(server.receive("d", Vote(9, 9, 9, True)), VoteReply) == [VoteReply(9, True)]
    server.receive("b", Append(9, 2, 1, 2))
    server.receive("c", HeartbeatReply(10))
    assert server.term == 9


def test_a_leader_and_a_candidate_that_this_log_does_not_know_yet_are_heard() -> None:
    """Thesis 4.1: this server may be behind, and nobody else may be able to win."""
    server = follower()
    effects = server.receive("z", Append(5, 1, 0, 1, commands(2, [5])))
    assert promised(effects, AppendReply, "z") == [AppendReply(5, True, 2)]
    assert (server.term, server.raft.leader) == (5, "z")
    server.persist()
    assert sent(server.receive("z", Heartbeat(5, 2)), HeartbeatReply, "z") == [HeartbeatReply(5)]
    assert promised(server.receive("y", Vote(6, 2, 5, True)), VoteReply, "y") == [VoteReply(6, True)]


def test_a_learner_takes_the_log_and_never_campaigns_until_it_may_vote() -> None:
    server = Server(name="d", hard=HardState(1, "", 1), entries=(*log_of(()), change(2, 1, of_names("abc", "d"))))
    server.settle()
    assert promised(server.receive("b", Append(1, 2, 1, 2, commands(3, [1]))), AppendReply)
    assert not sent(server.pass_time(3 * ELECTION_MAX_US), PreVote)
    server.receive("b", Append(1, 3, 1, 3, (change(4, 1, of_names("abcd")),)))
    assert receivers(server.deadline(), PreVote) == ["a", "b", "c"]


@pytest.mark.parametrize("seats", [("abc", "d"), ("abc",)], ids=["learner", "removed"])
def test_who_may_not_campaign_forgets_a_silent_leader_and_hears_the_next_one(seats: tuple[str, ...]) -> None:
    """A read through it would wait for a leader that is dead, until its time is up."""
    at = HardState(1, "", 2)
    server = Server(name="d", hard=at, entries=(*log_of(()), change(2, 1, of_names(*seats))))
    server.settle()
    server.receive("b", Heartbeat(1, 2))
    assert server.raft.leader == "b"
    server.read(1)
    effects = server.pass_time(ELECTION_MAX_US)
    assert of(effects, Refused) == [Refused((1,), NotLeader(""))]
    assert (server.raft.leader, server.role(), sent(effects, PreVote)) == ("", Role.FOLLOWER, [])
    server.receive("c", Heartbeat(2, 2))
    assert server.raft.leader == "c"


def test_a_learner_is_asked_for_no_vote_and_its_vote_counts_for_nothing() -> None:
    server = follower()
    server.receive("b", Append(1, 1, 0, 1, (change(2, 1, of_names("abc", "d")),)))
    asked = server.deadline()
    request = sent(asked, PreVote)[0]
    assert receivers(asked, PreVote) == ["b", "c"]
    server.receive("d", PreVoteReply(request.term, True, request.campaign))
    assert server.role() is Role.PRE_CANDIDATE
    server.receive("c", PreVoteReply(request.term, True, request.campaign))
    assert server.role() is Role.CANDIDATE


def test_pitfall_24_who_campaigns_asks_the_voters_of_the_latest_configuration_in_its_log() -> None:
    server = follower()
    server.receive("b", Append(1, 1, 0, 1, (change(2, 1, of_names("abcde")),)))
    asked = server.deadline()
    request = sent(asked, PreVote)[0]
    assert receivers(asked, PreVote) == ["b", "c", "d", "e"]
    server.receive("c", PreVoteReply(request.term, True, request.campaign))
    assert server.role() is Role.PRE_CANDIDATE, "two of three would have been enough before"


def test_pitfall_25_a_learner_that_is_asked_for_a_vote_gives_it() -> None:
    """Who asks counts it as a voter: it was promoted, and does not know it yet."""
    server = Server(name="d", hard=HardState(1, "", 1), entries=(*log_of(()), change(2, 1, of_names("abc", "d"))))
    server.settle()
    assert promised(server.receive("b", PreVote(2, 2, 1, 1)), PreVoteReply) == [PreVoteReply(2, True, 1)]
    assert promised(server.receive("b", Vote(2, 2, 1)), VoteReply) == [VoteReply(2, True)]


def test_pitfall_26_a_removed_follower_that_does_not_know_it_disturbs_nobody() -> None:
    server = follower()
    server.receive("b", Append(1, 1, 0, 1, (change(2, 1, of_names("ab")),)))
    server.persist()
    server.receive("b", Heartbeat(1, 2))
    refused = promised(server.receive("c", PreVote(2, 1, 0, 1)), PreVoteReply)
    assert [reply.granted for reply in refused] == [False]
    server.receive("c", Vote(9, 1, 0))
    assert (server.term, server.raft.leader) == (1, "b")
    server.receive("c", HeartbeatReply(9))
    assert server.term == 1


def removed_while_away(commit: int = 4) -> Server:
    """`a` knows that `c`, which is away, is a member no more: by entry 3 of term 1, after which 4 came."""
    server = follower()
    server.receive("b", Append(1, 1, 0, 1, (*commands(2, [1]), change(3, 1, of_names("ab")), *commands(4, [1]))))
    server.persist()
    server.receive("b", Heartbeat(1, commit))
    return server


def test_pitfall_26_who_was_removed_while_it_was_away_is_told_so_with_what_is_committed() -> None:
    refused = promised(removed_while_away().receive("c", PreVote(2, 1, 0, 7)), PreVoteReply)
    assert refused == [PreVoteReply(1, False, 7, out_index=4, out_term=1)]


def test_it_is_not_told_before_that_is_committed_nor_is_a_member_ever() -> None:
    asked = (
        removed_while_away(commit=2).receive("c", PreVote(2, 1, 0, 7)),
        removed_while_away().receive("b", PreVote(2, 4, 1, 7)),
    )
    assert [(reply.out_index, reply.out_term) for effects in asked for reply in promised(effects, PreVoteReply)] == [
        (0, 0),
        (0, 0),
    ]


def test_a_new_disk_in_its_place_makes_the_old_one_no_member() -> None:
    server = follower()
    replaced = Configuration((member("a"), member("b"), Member("c", "disk-new")))
    server.receive("b", Append(1, 1, 0, 2, (change(2, 1, replaced),)))
    server.persist()
    assert promised(server.receive("c", PreVote(2, 1, 0, 7)), PreVoteReply)[0].out_index == 2


def told_out(index: int, term: int, *entries: Entry) -> Server:
    """`a` was away, has `entries` after its birth, asks for pre-votes, and `b` answers that it is no member there."""
    server = Server(hard=HardState(2, "", 1), entries=(*log_of(()), *entries))
    server.deadline()
    server.receive("b", PreVoteReply(2, False, 1, index, term))
    return server


def test_who_is_told_that_it_was_removed_campaigns_no_more_and_says_so() -> None:
    server = told_out(4, 2)
    assert server.role() is Role.FOLLOWER
    assert not sent(server.pass_time(3 * ELECTION_MAX_US), PreVote)
    status = server.raft.status(server.now)
    assert status.removed
    assert status.waiting_for.startswith("it was removed from the cluster")
    assert of(server.step(Campaign(5)), Ordered) == [Ordered(5, False, "a was removed from the cluster")]


def test_the_word_counts_also_where_its_own_term_is_the_newer_one() -> None:
    server = Server(hard=HardState(9, "", 1), entries=log_of(()))
    server.deadline()
    server.receive("b", PreVoteReply(2, False, 1, 4, 2))
    assert server.raft.status(server.now).removed


def test_what_an_earlier_disk_of_its_name_is_told_is_not_about_this_one() -> None:
    """A machine that was given up comes back: its node asks for votes, and the answers go to its name, which is that of
    a living voter by now."""
    server = Server(hard=HardState(2, "", 1), entries=log_of(()))
    server.deadline()
    server.receive("b", PreVoteReply(2, False, 1, 4, 2, asker="disk-earlier"))
    assert server.role() is Role.PRE_CANDIDATE
    assert not server.raft.status(server.now).removed
    server.receive("b", PreVoteReply(2, False, 1, 4, 2, asker="disk-a"))
    assert server.raft.status(server.now).removed


def test_a_voter_that_does_not_say_whom_it_answers_is_believed_by_who_asked() -> None:
    """One of the release before."""
    asked_nobody = Server(hard=HardState(2, "", 1), entries=log_of(()))
    asked_nobody.receive("b", PreVoteReply(2, False, 0, 4, 2))
    assert not asked_nobody.raft.status(asked_nobody.now).removed
    asks = Server(hard=HardState(2, "", 1), entries=log_of(()))
    asks.deadline()
    asks.receive("b", PreVoteReply(2, False, 7, 4, 2))
    assert not asks.raft.status(asks.now).removed
    asks.receive("b", PreVoteReply(2, False, 1, 4, 2))
    assert asks.raft.status(asks.now).removed


@pytest.mark.parametrize(("index", "term"), [(1, 0), (1, 1), (4, 1), (2, 2)])
def test_a_word_from_before_what_it_knows_is_none(index: int, term: int) -> None:
    """It may have been let in since then, and who says so lags behind."""
    server = told_out(index, term, change(2, 2, of_names("abcd")))
    assert server.role() is Role.PRE_CANDIDATE
    assert sent(server.deadline(), PreVote)
    assert not server.raft.status(server.now).removed


@pytest.mark.parametrize("with_voters", ["abcd", "bc"])
def test_a_change_that_came_to_nothing_is_no_reason_to_go_on(with_voters: str) -> None:
    """It stands later in its log, but of an older term than what is committed: it never will be."""
    server = told_out(2, 3, *commands(2, [1]), change(3, 2, of_names(with_voters)))
    assert server.raft.status(0).removed
    assert not sent(server.pass_time(3 * ELECTION_MAX_US), PreVote)


def test_who_is_let_in_again_takes_part_again() -> None:
    server = told_out(4, 2)
    server.receive("b", Append(2, 1, 0, 1, (*commands(2, [2, 2, 2]), change(5, 2, of_names("abc")))))
    assert not server.raft.status(server.now).removed
    assert sent(server.deadline(), PreVote)


def test_a_snapshot_that_has_it_as_a_member_is_later_than_the_word() -> None:
    server = told_out(4, 2)
    server.step(SnapshotHeld(member("b"), base_at(server, 6, 2, of_names("abc"))))
    assert not server.raft.status(server.now).removed
    older = told_out(7, 2)
    older.step(SnapshotHeld(member("b"), base_at(older, 6, 2, of_names("abc"))))
    assert older.raft.status(older.now).removed


def base_at(server: Server, index: int, term: int, configuration: Configuration) -> Base:
    return msgspec.structs.replace(server.raft.base, index=index, term=term, configuration=configuration)


def test_a_server_that_is_removed_says_so_and_campaigns_no_more_once_that_is_committed() -> None:
    server = follower()
    effects = server.receive("b", Append(1, 1, 0, 2, (change(2, 1, of_names("bc")),)))
    assert [changed.self_member for changed in of(effects, ConfigChanged)] == [None]
    assert not sent(server.pass_time(3 * ELECTION_MAX_US), PreVote)


def test_before_it_does_and_when_that_is_truncated_it_is_a_voter_as_before() -> None:
    server = follower()
    server.receive("b", Append(1, 1, 0, 1, (change(2, 1, of_names("bc")),)))
    assert receivers(server.deadline(), PreVote) == ["b", "c"]
    effects = server.receive("c", Append(2, 1, 0, 1, commands(2, [2])))
    assert [changed.self_member for changed in of(effects, ConfigChanged)] == [member("a")]
    assert receivers(server.deadline(), PreVote) == ["b", "c"]


def test_another_disk_under_the_own_name_is_not_this_server() -> None:
    server = follower()
    replaced = Configuration((Member("a", "disk-new"), member("b"), member("c")))
    effects = server.receive("b", Append(1, 1, 0, 2, (change(2, 1, replaced),)))
    assert [changed.self_member for changed in of(effects, ConfigChanged)] == [None]
    assert not sent(server.pass_time(3 * ELECTION_MAX_US), PreVote)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x93\x91\xa1a\x90\x90", Configuration(()).encode()])
def test_a_configuration_that_nobody_can_follow_stops_the_node(data: bytes) -> None:
    entry = Entry(2, 1, EntryKind.CONFIGURATION, data)
    with pytest.raises(InvariantViolation, match="configuration of entry 2"):
        follower().receive("b", Append(1, 1, 0, 1, (entry,)))


# --- a leader ---------------------------------------------------------------------------------------------------


def acknowledge(server: Server, peers: str) -> list[Effect]:
    message: RaftMessage = AppendReply(server.term, True, server.last_index)
    return [effect for peer in peers for effect in server.receive(peer, message)]


def test_a_leader_brings_a_new_member_up_to_date_and_counts_it() -> None:
    server = leader()
    effects = inject(server, of_names("abcd"))
    assert adopted(effects) == [of_names("abcd")]
    assert sent(effects, Append, "d")[0].prev_index == 2
    appends = sent(server.receive("d", AppendReply(2, False, 2, 0, 0)), Append, "d")
    assert [entry.index for entry in appends[0].entries] == [1, 2, 3]
    server.persist()
    acknowledge(server, "b")
    assert server.commit == 2  # two of four are no quorum
    acknowledge(server, "d")
    assert server.commit == 3


def test_a_leader_sends_a_learner_the_log_and_does_not_count_it() -> None:
    server = leader()
    assert sent(inject(server, of_names("abc", "d")), Append, "d")
    server.persist()
    acknowledge(server, "d")
    assert server.commit == 2
    acknowledge(server, "c")
    assert server.commit == 3


def test_a_leader_counts_without_who_left_at_once_and_tells_it_until_that_is_committed() -> None:
    server = leader(count=5)
    effects = inject(server, of_names("abc"))
    assert receivers(effects, Append) == ["b", "c", "d", "e"]
    server.persist()
    acknowledge(server, "de")
    assert server.commit == 2
    assert receivers(server.deadline(), Heartbeat) == ["b", "c", "d", "e"]
    effects = acknowledge(server, "b")
    assert server.commit == 3
    assert peers_of(server) == ["b", "c"]
    assert of(effects, ConfigChanged)[-1].leaving == ()
    assert receivers(server.heartbeat(), Heartbeat) == ["b", "c"]


def test_a_new_disk_under_an_old_name_has_acknowledged_nothing() -> None:
    server = leader()
    fresh = Member("b", "disk-new")
    inject(server, Configuration((member("a"), fresh, member("c"))))
    assert [(peer.incarnation, peer.match_index) for peer in server.raft.status(server.now).peers] == [
        ("disk-new", 0),
        ("disk-c", 2),
    ]
    server.persist()
    acknowledge(server, "b")  # says the old disk
    assert server.commit == 2


def test_a_new_member_has_one_election_timeout_to_answer_before_it_counts_as_silent() -> None:
    server = leader()
    server.wait(HEARTBEAT_US)
    inject(server, of_names("abcde"))
    began = server.now
    while server.role() is Role.LEADER:
        server.deadline()
        server.receive("b", HeartbeatReply(2))
    assert server.now - began >= ELECTION_MAX_US
    assert server.role() is Role.FOLLOWER


@pytest.mark.parametrize(("answering", "leads"), [("de", False), ("b", True)])
def test_learners_count_for_nothing_in_whether_a_leader_is_heard(answering: str, leads: bool) -> None:
    server = leader()
    inject(server, of_names("abc", "de"))
    until = server.now + 3 * ELECTION_MAX_US
    while server.role() is Role.LEADER and server.now < until:
        server.deadline()
        for peer in answering:
            server.receive(peer, HeartbeatReply(2))
    assert (server.role() is Role.LEADER) == leads


def test_a_leader_that_is_removed_leads_on_and_counts_itself_no_more() -> None:
    """Thesis 4.2.2: it manages a cluster that does not include itself, and does not count itself in majorities."""
    server = leader()
    inject(server, of_names("bc"))
    server.persist()
    acknowledge(server, "b")
    assert (server.role(), server.commit) == (Role.LEADER, 2)
    acknowledge(server, "c")
    assert server.commit == 3


def test_a_leader_whose_change_is_overwritten_goes_back_to_the_members_before() -> None:
    server = leader()
    inject(server, of_names("abcde"))
    effects = server.receive("b", Append(3, 2, 2, 2, commands(3, [3])))
    assert adopted(effects) == [configuration(3)]
    assert server.role() is Role.FOLLOWER
    server.settle()
    assert receivers(server.deadline(), PreVote) == ["b", "c"]


def test_a_hand_over_to_one_that_is_removed_meanwhile_ends() -> None:
    server = leader()
    server.propose(b"x")
    server.step(TransferLeadership(7, "c"))
    effects = inject(server, of_names("ab"))
    answers = of(effects, Ordered)
    assert [(answer.request, answer.done) for answer in answers] == [(7, False)]
    assert "no member any more" in answers[0].message
    assert any(isinstance(effect, Trace) and effect.detail.get("phase") == "failed" for effect in effects)


def test_a_change_replicates_end_to_end() -> None:
    """From a leader's log through Append into a follower's: both have the same members in force."""
    server, other = leader(), follower((2,), term=2)
    append = sent(inject(server, of_names("abcd", "e")), Append, "b")[0]
    effects = other.receive("b", append)
    assert adopted(effects) == [of_names("abcd", "e")]
    assert other.raft.configuration == server.raft.configuration
