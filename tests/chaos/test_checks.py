"""Each named check passes, fails and says that it does not know; and what they add up to."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from chaos.checks import judge as room
from chaos.checks.judge import exit_code, judge
from chaos.checks.logs import logs_agree
from chaos.checks.minority import NOT_FORWARDED, minority_acknowledges_nothing
from chaos.checks.recovery import enough_writes, longest_write_gap, recovered_in_time
from chaos.checks.terms import commit_never_goes_back, one_leader_a_term, terms_never_go_back
from chaos.checks.verdict import Evidence, Verdict
from chaos.model import Event, FaultSpan, Lost, Peer, View
from chaos.targets.kubernetes import carry
from chaos.workload.history import Op
from tests.chaos.evidence import S, cut, event, good, kill, log, read, view, write, writes_and_reads


def outcome(check: Callable[[Evidence], Verdict], **spoilt: Any) -> str:
    return check(good(**spoilt)).outcome


def test_a_good_run_passes_every_check() -> None:
    verdicts = judge(good(faults=(kill(),), recovered_us=(6 * S,)))
    assert [verdict.check for verdict in verdicts if verdict.outcome != "pass"] == []
    assert exit_code(verdicts) == 0


# --- one leader per term -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("views", "events"),
    [
        ((view("n1", 1), view("n2", 2, role="leader", leader="n2")), ()),
        ((view("n2", 1), view("n3", 2, leader="n3")), ()),
        ((view("n1", 1),), (event(1, "n2", "won", 3),)),
        ((), (event(1, "n1", "role", 3, to="leader"), event(1, "n2", "leader", 3, leader="n3"))),
    ],
)
def test_two_leaders_of_a_term_are_named_whoever_tells_of_them(
    views: tuple[View, ...], events: tuple[Event, ...]
) -> None:
    verdict = one_leader_a_term(good(views=views, events=events))
    assert verdict.outcome == "fail"
    assert verdict.sentence.startswith("Term 3 had 2 leaders: n")
    assert len(verdict.proof) == 2


def test_leaders_of_different_terms_are_no_violation() -> None:
    views = (
        view("n1", 1),
        view("n2", 2, role="leader", leader="n2", term=4),
        view("n1", 2, role="follower", term=4, leader="n2"),
    )
    assert outcome(one_leader_a_term, views=views) == "pass"
    assert outcome(one_leader_a_term, views=(), events=()) == "unknown"


def test_who_votes_for_two_in_a_term_is_named_even_if_only_one_leads() -> None:
    def told(*events: Event) -> Verdict:
        return one_leader_a_term(good(events=(*good().events, *events)))

    for_n1 = event(2, "n2", "vote", 3, candidate="n1", granted=True, phase="vote")
    for_n3 = event(3, "n2", "vote", 3, candidate="n3", granted=True, phase="vote")
    verdict = told(for_n1, for_n3)
    assert (verdict.outcome, verdict.sentence) == ("fail", "n2 gave its vote of term 3 to n1 and to n3.")
    assert told(event(2, "n2", "election", 3, phase="vote", campaign=1), for_n3).outcome == "fail"
    honest = (
        for_n1,
        msgspec.structs.replace(for_n1, seq=4),
        event(5, "n2", "vote", 3, candidate="n3", granted=False, phase="vote"),
        event(6, "n2", "vote", 3, candidate="n3", granted=True, phase="pre-vote"),
        event(7, "n2", "election", 3, phase="pre-vote", campaign=1),
        event(8, "n2", "vote", 4, candidate="n3", granted=True, phase="vote"),
        msgspec.structs.replace(for_n3, boot="again"),
    )
    assert told(*honest).outcome == "pass"


# --- terms ---------------------------------------------------------------------------------------------------------


def test_a_term_that_falls_within_a_process_is_named() -> None:
    verdict = terms_never_go_back(good(views=(view("n2", 1, term=4), view("n2", 2, term=3))))
    assert (verdict.outcome, verdict.sentence) == ("fail", "n2 was in term 4 and then in term 3.")


def test_a_term_that_a_leader_had_must_be_there_after_a_restart() -> None:
    def after(again: View) -> str:
        return outcome(terms_never_go_back, views=(view("n1", 1, term=4), again), voters=("n1",))

    assert after(view("n1", 2, boot="again", term=3)) == "fail"
    assert after(view("n1", 2, boot="again", term=4)) == "pass"
    assert after(view("n1", 2, boot="again", term=0, incarnation="new")) == "pass"


def test_a_term_that_was_shown_is_there_after_a_restart_however_short_it_was_shown() -> None:
    shown, again = view("n2", 1, term=4), view("n2", 9, boot="again", term=3)
    assert outcome(terms_never_go_back, views=(shown, again), voters=("n2",)) == "fail"
    began = event(1, "n2", "election", 4)
    assert outcome(terms_never_go_back, views=(view("n2", 1), again), events=(began,), voters=("n2",)) == "pass", (
        "of what its events tell nothing is on its disk yet"
    )


def test_answers_that_overlap_have_no_order() -> None:
    slow = msgspec.structs.replace(view("n2", 1, term=4), answered_us=5 * S)
    assert outcome(terms_never_go_back, views=(slow, view("n2", 2, term=3)), voters=("n2",)) == "pass"


def test_a_term_that_falls_between_events_of_a_process_is_named() -> None:
    falling = event(1, "n2", "term", 5), event(2, "n2", "role", 4)
    assert outcome(terms_never_go_back, events=falling) == "fail"
    restarted = falling[0], msgspec.structs.replace(falling[1], boot="again")
    assert outcome(terms_never_go_back, events=restarted, voters=("n2",)) == "pass"
    assert outcome(terms_never_go_back, views=()) == "unknown"


@pytest.mark.parametrize("check", [one_leader_a_term, terms_never_go_back, commit_never_goes_back])
def test_a_voter_that_nobody_saw_or_heard_leaves_it_open(check: Callable[[Evidence], Verdict]) -> None:
    assert outcome(check, voters=("n1", "n2", "n3", "n4")) == "unknown"
    unheard = [one for one in good().events if one.node != "n3"]
    expected = "pass" if check is commit_never_goes_back else "unknown"
    assert outcome(check, events=tuple(unheard)) == expected
    assert outcome(check) == "pass"


def test_who_leads_a_term_twice_in_two_lives_is_named() -> None:
    again = view("n1", 9, boot="again")
    verdict = one_leader_a_term(good(views=(view("n1", 1), again)))
    assert verdict.sentence == "n1 led term 3, started again, and led term 3 once more: it voted twice."
    assert verdict.outcome == "fail"
    won = msgspec.structs.replace(event(2, "n1", "won", 3), boot="again")
    assert outcome(one_leader_a_term, events=(*good().events, won)) == "fail"
    follows = msgspec.structs.replace(again, role="follower")
    heard = msgspec.structs.replace(event(2, "n1", "leader", 3, leader="n1"), boot="again")
    assert outcome(one_leader_a_term, views=(view("n1", 1), follows), events=(*good().events, heard)) == "pass"


# --- commit --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["commit", "applied"])
def test_an_index_that_falls_within_a_process_is_named(what: str) -> None:
    back = msgspec.structs.replace(view("n2", 2), **{what: 9})
    verdict = commit_never_goes_back(good(views=(view("n2", 1), back)))
    assert verdict.outcome == "fail"
    assert verdict.sentence == f"n2 went back from {what} index 10 to 9."


def test_a_restarted_process_must_have_the_entries_that_it_had_applied() -> None:
    before = view("n2", 1)
    again = view("n2", 2, boot="again", commit=3, applied=3, last_index=10)
    shorter = msgspec.structs.replace(again, last_index=9)
    wiped = msgspec.structs.replace(again, last_index=0, incarnation="new")
    for after, expected in ((again, "pass"), (shorter, "fail"), (wiped, "pass")):
        assert outcome(commit_never_goes_back, views=(before, after), voters=("n2",)) == expected
    assert outcome(commit_never_goes_back, views=()) == "unknown"


def reborn(node: str, **told: Any) -> Event:
    """Of the second life of that node."""
    return msgspec.structs.replace(event(1, node, "role", 4, to="follower"), boot="again", **told)


def test_a_new_life_that_tells_of_a_lower_term_than_was_shown_is_named() -> None:
    caught_up = view("n1", 9, boot="again", role="follower", term=5)
    seen = (view("n1", 1, term=3), view("n1", 2, term=4), caught_up)

    def told(*events: Event, views: tuple[View, ...] = seen) -> Verdict:
        return terms_never_go_back(good(views=views, events=(*good().events, *events), voters=("n1",)))

    verdict = told(reborn("n1", term=3))
    assert verdict.outcome == "fail"
    assert verdict.sentence == "n1 was in term 4, started again, and began in term 3."
    assert told(reborn("n1", term=0)).outcome == "fail"
    assert told(reborn("n1")).outcome == "pass"
    assert told(reborn("n1", term=0, role="initial")).outcome == "pass", "it has not read its disk"
    other_disk = (*seen[:2], msgspec.structs.replace(caught_up, incarnation="new"))
    assert told(reborn("n1", term=3), views=other_disk).outcome == "pass"
    follows = tuple(msgspec.structs.replace(one, role="follower") for one in seen)
    assert told(reborn("n1", term=3), views=follows).outcome == "fail", "whoever shows a term has it on its disk"


def test_a_new_life_whose_log_ends_before_what_was_applied_is_named() -> None:
    seen = (view("n2", 1), view("n2", 2), view("n2", 9, boot="again"))

    def told(*events: Event, views: tuple[View, ...] = seen) -> Verdict:
        return commit_never_goes_back(good(views=views, events=(*good().events, *events), voters=("n2",)))

    def ended(index: int) -> Event:
        return reborn("n2", kind="append-refused", detail={"leader": "n1", "index": 40, "hint": index})

    verdict = told(ended(19))
    assert verdict.outcome == "fail"
    assert verdict.sentence == "n2 had applied entry 20, started again, and its log ended at 19."
    assert told(ended(20)).outcome == "pass"
    assert told(msgspec.structs.replace(ended(19), boot="boot-n2")).outcome == "pass"
    assert told(msgspec.structs.replace(ended(19), kind="another")).outcome == "pass"
    assert told(msgspec.structs.replace(ended(19), detail={"leader": "n1"})).outcome == "pass"
    other_disk = (*seen[:2], msgspec.structs.replace(seen[2], incarnation="new"))
    assert told(ended(0), views=other_disk).outcome == "pass"


# --- logs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [one_leader_a_term, terms_never_go_back])
def test_lost_events_are_told_and_leave_it_open_only_where_no_sample_stands_in_for_them(check: Any) -> None:
    lost = (Lost("n2", 7, 3 * S, 5 * S),)
    sampled = check(good(lost=lost, views_dropped=9))
    assert sampled.outcome == "pass"
    assert "(7 events of nodes were lost, 9 samples that showed nothing new were not kept)." in sampled.sentence
    blind = tuple(one for one in good().views if one.name != "n2" or not 3.15 * S < one.asked_us < 4.85 * S)
    verdict = check(good(lost=lost, views=blind))
    assert verdict.outcome == "unknown"
    assert "events of n2 were lost, and no sample shows it from 3.100 s to 4.900 s" in verdict.sentence
    assert check(good(lost=(Lost("n1", 7, 3 * S, 5 * S),), views=blind)).outcome == "pass"
    assert "lost" not in check(good()).sentence
    twice = (*blind, view("n3", 6, role="leader"), view("n1", 7.05, term=2))
    assert check(good(lost=lost, views=twice)).outcome == "fail"


def test_logs_that_differ_at_a_committed_index_are_named() -> None:
    other = log(0, 3, 3, 4)
    verdict = logs_agree(good(logs={"n1": log(0, 3, 3, 3), "n2": other}))
    assert verdict.sentence == "n2 has an entry of term 4 committed at index 4 where n1 has one of term 3."
    changed = (*log(0, 3), msgspec.structs.replace(log(0, 3, 3)[2], checksum="other"))
    verdict = logs_agree(good(logs={"n1": log(0, 3, 3, 3), "n2": changed}))
    assert "n2 has another entry of the same term committed at index 3" in verdict.sentence
    assert verdict.outcome == "fail"


def test_a_log_whose_terms_fall_is_named() -> None:
    assert outcome(logs_agree, logs={"n1": log(0, 3, 2)}) == "fail"


def test_shorter_and_compacted_logs_agree_as_far_as_they_go() -> None:
    shorter = {"n1": log(0, 3, 3, 3)[2:], "n2": log(0, 3, 3), "n3": log(0, 3)}
    verdict = logs_agree(good(logs=shorter, views=()))
    assert (verdict.outcome, verdict.sentence) == (
        "pass",
        "The logs of 3 nodes agree in all 3 entries that two or more of them have; 1 is in the log of one node alone.",
    )
    assert outcome(logs_agree, logs={"n1": log(0, 3), "n2": ()}) == "unknown"
    assert outcome(logs_agree, logs={}, voters=()) == "unknown"


def test_a_voter_whose_log_was_not_compared_with_any_is_named() -> None:
    verdict = logs_agree(good(logs={"n1": log(0, 3, 3), "n2": log(0, 3, 3)}))
    assert verdict.outcome == "unknown"
    assert verdict.sentence == "Whether the logs agree is unknown: the log of n3 could not be compared."
    assert outcome(logs_agree, logs={"n1": log(0, 3), "n2": log(0, 3), "n3": log(0, 3, 3)[2:]}) == "unknown"


def test_a_log_that_leaves_an_index_out_or_says_it_twice_is_named() -> None:
    whole = log(0, 3, 3, 3)
    for spoilt, why in (((whole[0], *whole[2:]), "from index 1 to 3"), ((*whole, whole[-1]), "from index 4 to 4")):
        verdict = logs_agree(good(logs={"n1": whole, "n2": spoilt}, views=()))
        assert verdict.outcome == "fail"
        assert f"The log of n2 goes {why}" in verdict.sentence


def test_a_log_that_ends_before_what_its_node_had_committed_leaves_it_open() -> None:
    short = {"n1": log(0, *[3] * 99), "n2": log(0, *[3] * 99), "n3": log(0, 3, 3)}
    verdict = logs_agree(good(logs=short))
    assert verdict.outcome == "unknown"
    assert "the log of n3 was read to index 3, and it had shown 99 as committed" in verdict.sentence
    before = view("n3", 9, commit=3), view("n3", 9.96, commit=99), view("n3", 2, commit=50, incarnation="old")
    assert outcome(logs_agree, logs=short, views=before) == "pass"


def test_one_shared_entry_of_many_tells_nothing() -> None:
    whole = log(0, *[3] * 299)
    apart = {"n1": whole[:101], "n2": whole[100:201], "n3": whole[200:]}
    few = logs_agree(good(logs=apart, views=()))
    assert (few.outcome, "only 2 of 300 entries are in the logs of two nodes" in few.sentence) == ("unknown", True)
    assert logs_agree(good(logs={**apart, "n3": whole[170:]}, views=())).outcome == "pass"


def test_logs_that_do_not_overlap_tell_nothing() -> None:
    assert outcome(logs_agree, logs={"n1": log(0, 3)[:1], "n2": log(0, 3)[1:]}) == "unknown"


# --- minority ------------------------------------------------------------------------------------------------------

ISOLATED = (("n1",), ("n2", "n3"))


CLEAN = (view("n1", 7.9), view("n2", 7.9))


REFUSED = tuple(write(8, at, at + 0.1, "fail", via="n1") for at in (5.5, 6.0, 6.2))
"""As many as are needed to tell."""


def minority(*ops: Op, fault: FaultSpan | None = None, views: tuple[View, ...] = CLEAN) -> Verdict:
    return minority_acknowledges_nothing(good(ops, faults=(fault or cut(ISOLATED, 5, 8),), views=views))


def test_a_write_that_a_minority_acknowledged_is_named() -> None:
    verdict = minority(write(7, 6, 7, via="n1"))
    assert verdict.outcome == "fail"
    assert verdict.sentence == ("n1, cut off without a majority (n1), acknowledged w1 = 7 at 7.000 s to w1.")


def test_a_linearizable_read_that_a_minority_answered_is_named() -> None:
    assert minority(read(7, 6, 7, via="n1")).outcome == "fail"


@pytest.mark.parametrize(
    "op",
    [
        write(7, 4.9, 6, via="n1"),
        write(7, 7, 8.1, via="n1"),
        write(7, 6, 7, via="n2"),
        write(7, 6, 7, "unknown", via="n1"),
        write(7, 6, 7, "fail", via="n1"),
    ],
)
def test_what_may_rightly_have_been_answered_is_no_violation(op: Op) -> None:
    assert minority(op, *REFUSED).outcome == "pass"


def test_a_request_answered_while_the_cut_is_taken_back_does_not_count() -> None:
    fault = cut(ISOLATED, 5, 8)
    fault.reverting_us = int(6.5 * S)
    assert minority(write(7, 6, 7, via="n1"), *REFUSED, fault=fault).outcome == "pass"


def test_where_no_side_has_a_majority_nobody_may_acknowledge() -> None:
    apart = cut((("n1",), ("n2",), ("n3",)), 5, 8)
    assert minority(write(7, 6, 7, via="n2"), fault=apart).outcome == "fail"


def test_half_of_the_voters_are_no_majority() -> None:
    halves = cut((("n1", "n2"), ("n3", "n4")), 5, 8)
    voters = ("n1", "n2", "n3", "n4")
    for via in voters:
        views = tuple(view(name, 7.9) for name in voters)
        lie = good((write(7, 6, 7, via=via),), faults=(halves,), views=views, voters=voters)
        assert minority_acknowledges_nothing(lie).outcome == "fail"


def test_what_is_heard_after_the_cut_was_taken_back_is_no_leak() -> None:
    lie = write(7, 6, 7, via="n1")
    again = view("n1", 8.5, peers=(Peer("n2", last_contact_ms=10.0),))
    assert minority(lie, views=(*CLEAN, again)).outcome == "fail"
    stranger = view("n9", 6, peers=(Peer("n2", last_contact_ms=10.0),))
    assert minority(lie, views=(*CLEAN, stranger)).outcome == "fail"


def test_requests_that_never_reached_a_minority_prove_nothing_of_it() -> None:
    refused = msgspec.structs.replace(write(7, 6, 7, "fail", via="n1"), code=0, error="Cannot connect")
    lost = msgspec.structs.replace(write(8, 7, 7.5, "fail", via="n1"), code=503, error=f"{NOT_FORWARDED}: no pod")
    few = minority(refused, lost, *REFUSED[1:])
    assert few.outcome == "unknown"
    assert "2 requests reached it while the cut held, and 3 are needed" in few.sentence
    assert "no request reached it" in minority(refused, lost).sentence
    assert minority(refused, lost, *REFUSED).outcome == "pass"
    assert NOT_FORWARDED == carry.NOT_FORWARDED


def test_a_cut_that_was_not_proven_or_not_tried_or_leaked_tells_nothing() -> None:
    lie = write(7, 6, 7, via="n1")
    assert minority(lie, fault=cut(ISOLATED, None, 8)).outcome == "unknown"
    assert minority(write(7, 6, 7, via="n2")).outcome == "unknown"
    heard = view("n1", 6.5, peers=(Peer("n2", last_contact_ms=100.0),))
    silent = view("n1", 7.5, peers=(Peer("n2", last_contact_ms=3000.0), Peer("n3")))
    inside = view("n2", 6.5, peers=(Peer("n3", last_contact_ms=1.0),))
    assert "leaked: n1 heard from n2" in minority(lie, views=(heard,)).sentence
    assert minority(lie, views=(heard,)).outcome == "unknown"
    assert minority(lie, views=(silent, inside)).outcome == "fail"


def test_an_answer_that_no_later_sample_of_the_node_vouches_for_blames_nobody() -> None:
    last_moment = write(8, 7.5, 7.95, via="n1")
    verdict = minority(last_moment)
    assert verdict.outcome == "unknown"
    assert "no later sample of n1 shows that the cut 'cut' did not leak" in verdict.sentence
    assert minority(last_moment, views=(view("n1", 8.1), view("n2", 7.97))).outcome == "unknown"
    assert minority(last_moment, views=(view("n1", 7.96),)).outcome == "fail"
    assert minority(last_moment, write(7, 6, 7, via="n1")).outcome == "fail"


# --- recovery and effect -------------------------------------------------------------------------------------------


def recovery(fault: FaultSpan, whole: float | None, **other: Any) -> Verdict:
    whole_us = None if whole is None else int(whole * S)
    return recovered_in_time(good(faults=(fault,), recovered_us=(whole_us,), **other))


def test_recovery_from_a_cut_counts_from_its_end() -> None:
    assert recovery(cut(ISOLATED, 5, 6), 8).outcome == "pass"
    late = recovery(cut(ISOLATED, 5, 6), 9.5)
    assert (late.outcome, late.group) == ("fail", "recovery")
    assert late.sentence == "cut: whole after 3.500 s (limit 3.000 s)."


def test_recovery_from_a_kill_counts_from_when_the_process_runs_again() -> None:
    again = tuple(
        view("n1", at / 10, boot="again" if at > 80 else "boot-n1") for at in range(100) if at < 50 or at > 80
    )
    told = recovery(kill(at=5), 9.0, views=again)
    assert told.outcome == "pass"
    assert "after the process ran again, which took 3.101 s" in told.sentence
    assert recovery(kill(at=5), 9.0, views=()).outcome == "fail"


def test_nobody_able_to_write_for_longer_than_the_limit_after_a_kill_fails_even_if_all_is_well_in_the_end() -> None:
    history = tuple(op for op in writes_and_reads(10) if not 5 * S < op.done_us < 9 * S)
    again = tuple(
        view("n1", at / 10, boot="again" if at > 80 else "boot-n1") for at in range(100) if at < 50 or at > 80
    )
    silent = recovered_in_time(good(history, faults=(kill(at=5),), recovered_us=(int(9.5 * S),), views=again))
    assert silent.outcome == "fail"
    assert "nobody could write for 4.0" in silent.sentence


def test_never_whole_is_a_failure_once_the_limit_has_passed_and_unknown_before() -> None:
    assert recovery(cut(ISOLATED, 5, 6), None).outcome == "fail"
    assert recovery(cut(ISOLATED, 5, 8), None).outcome == "unknown"
    assert recovery(cut(ISOLATED, 5, None), None).outcome == "unknown"
    assert outcome(recovered_in_time) == "unknown"


def test_the_longest_gap_is_told_and_fails_only_over_a_limit() -> None:
    history = tuple(op for op in writes_and_reads(10) if not 6 * S < op.done_us < 8 * S)
    verdict = longest_write_gap(good(history))
    assert verdict.outcome == "pass"
    assert verdict.sentence == "The longest time without an acknowledged write was 2.050 s, from 5.960 s on."
    assert longest_write_gap(good(history), limit_us=S).outcome == "fail"
    assert longest_write_gap(good(history), limit_us=3 * S).outcome == "pass"
    assert longest_write_gap(good([read(0, 1, 2)])).outcome == "unknown"


def test_the_gap_of_the_majority_is_told_apart() -> None:
    history = [msgspec.structs.replace(op, via="n2") for op in writes_and_reads(10)]
    history = [op for op in history if not 6 * S < op.done_us < 7 * S]
    verdict = longest_write_gap(good(history, faults=(cut(ISOLATED, 5, 8),)))
    assert verdict.proof == ("cut: the majority (n2, n3) could not write for 1.050 s at the longest",)


def test_silence_from_the_start_of_a_fault_to_the_end_is_a_gap() -> None:
    history = [op for op in writes_and_reads(10) if op.done_us < 5 * S]
    history += [write(900, 9.8, 9.9, "unknown")]
    assert "4.840 s" in longest_write_gap(good(history)).sentence


def test_silence_from_the_first_fault_to_the_first_write_is_a_gap() -> None:
    history = [op for op in writes_and_reads(10) if op.done_us > 8 * S]
    verdict = longest_write_gap(good(history))
    assert "from 5.000 s on" in verdict.sentence
    assert "3.010 s" in verdict.sentence


def test_the_gap_of_the_majority_ends_where_the_cut_does() -> None:
    history = [msgspec.structs.replace(op, via="n2") for op in writes_and_reads(10)]
    history = [op for op in history if not 8.5 * S < op.done_us < 9.5 * S]
    verdict = longest_write_gap(good(history, faults=(cut(ISOLATED, 5, 8),)))
    assert verdict.proof == ("cut: the majority (n2, n3) could not write for 0.050 s at the longest",)


def test_ten_writes_a_second_are_enough() -> None:
    ten = [write(number, number / 10, number / 10 + 0.01) for number in range(1, 100)]
    assert enough_writes(good(ten)).outcome == "pass"
    assert enough_writes(good([op for op in ten if op.value != 40])).outcome == "fail"


def test_too_few_writes_before_the_fault_make_the_run_worthless() -> None:
    verdict = enough_writes(good([op for op in writes_and_reads(10) if (op.value or 0) % 3 == 0]))
    assert (verdict.outcome, verdict.group) == ("fail", "effect")
    assert "Only 6 acknowledged writes per second" in verdict.sentence
    assert outcome(enough_writes) == "pass"
    assert outcome(enough_writes, began_faults_us=0) == "fail"


# --- the sum -------------------------------------------------------------------------------------------------------


def test_a_violated_promise_weighs_more_than_no_recovery_and_that_more_than_a_worthless_run() -> None:
    unsafe = Verdict("a", "safety", "fail", "")
    late = Verdict("b", "recovery", "fail", "")
    weak = Verdict("c", "effect", "fail", "")
    unknown = Verdict("d", "safety", "unknown", "")
    fine = Verdict("e", "safety", "pass", "")
    assert [
        exit_code(given) for given in ([weak, late, unsafe], [weak, late], [weak, fine], [fine, unknown], [fine])
    ] == [
        1,
        2,
        3,
        3,
        0,
    ]


def test_the_check_about_minorities_is_asked_only_where_nodes_were_separated() -> None:
    names = {verdict.check for verdict in judge(good(faults=(kill(),), recovered_us=(6 * S,)))}
    assert "minority-acknowledges-nothing" not in names
    assert "minority-acknowledges-nothing" in {v.check for v in judge(good(faults=(cut(ISOLATED, 5, 8),)))}


def test_a_check_that_breaks_says_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Evidence) -> Verdict:
        raise KeyError("n9")

    monkeypatch.setitem(room.CLUSTER, "logs-agree", broken)
    verdicts = judge(good())
    assert [v.sentence for v in verdicts if v.outcome == "unknown"] == [
        "This check broke (KeyError: 'n9'): please report it."
    ]
    assert exit_code(verdicts) == 3
