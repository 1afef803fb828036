"""Reads and writes of a key: every lie is named, and nothing that could have happened is called one."""

import random
from functools import cache
from math import inf

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.checks.findings import Finding
from chaos.checks.register import READS_MIN, contradictions, no_stale_read
from chaos.checks.survival import acknowledged_writes_survive
from chaos.workload.history import Op, by_key
from tests.chaos.evidence import good, read, write

KEY = "chaos/t/w1"


OTHER_READS = tuple(read(0, 9 + number / 100, 9.005 + number / 100, key="chaos/t/w9") for number in range(READS_MIN))
"""Of another key, so that there are enough to tell."""


def contradicting(ops: list[Op]) -> list[Finding]:
    return contradictions(KEY, by_key(ops)[KEY])


def stale(*ops: Op) -> str:
    return no_stale_read(good((*ops, *OTHER_READS))).outcome


def test_a_read_below_what_was_acknowledged_before_it_was_sent_is_stale_and_named() -> None:
    verdict = no_stale_read(good([write(8, 0, 1), write(9, 2, 3, via="n3"), read(8, 3.5, 4, via="n2")]))
    assert (verdict.outcome, verdict.group) == ("fail", "safety")
    assert "r1 read w1 = 8 via n2, sent at 3.500 s, although 9 had been acknowledged via n3" in verdict.sentence
    assert any("w1 wrote chaos/t/w1 = 9 via n3" in line for line in verdict.proof)


def test_a_read_that_was_under_way_when_the_write_was_acknowledged_may_see_either() -> None:
    assert stale(write(8, 0, 1), write(9, 2, 3), read(8, 2.9, 4)) == "pass"
    assert stale(write(8, 0, 1), write(9, 2, 3), read(9, 2.1, 2.2)) == "pass"


def test_a_read_after_a_read_must_not_see_less() -> None:
    seen = [write(1, 0, 1), write(2, 2, 9), read(2, 3, 4), read(1, 5, 6)]
    assert stale(*seen) == "fail"
    assert "although 2 had been read via n2" in no_stale_read(good(seen)).sentence


def test_a_key_that_was_there_must_not_be_missing() -> None:
    assert stale(write(1, 0, 1), read(0, 2, 3)) == "fail"
    assert stale(write(1, 0, 1), read(0, 0.5, 3)) == "pass"


def test_a_write_of_unknown_outcome_may_take_effect_after_later_writes_but_once() -> None:
    late = [write(1, 0, 1), write(2, 2, 3, "unknown"), write(3, 4, 5)]
    assert stale(*late, read(2, 6, 7)) == "pass"
    assert stale(*late, read(3, 6, 7), read(2, 8, 9)) == "pass"
    assert stale(*late, read(2, 6, 7), read(3, 8, 9)) == "fail"
    assert stale(*late, read(1, 6, 7)) == "fail"


@pytest.mark.parametrize(
    ("op", "why"),
    [
        (read(7, 2, 3), "nobody ever wrote"),
        (read(-1, 2, 3), "nobody ever wrote"),
        (read(2, 8, 9), "had said that this write did not happen"),
        (read(3, 2, 3), "before that value was sent"),
    ],
)
def test_a_value_that_cannot_be_there_is_named(op: Op, why: str) -> None:
    verdict = no_stale_read(good([write(1, 0, 1), write(2, 4, 5, "fail"), write(3, 6, 7), op]))
    assert verdict.outcome == "fail"
    assert why in verdict.sentence


def test_reads_that_failed_and_reads_before_the_fault_say_nothing() -> None:
    failed = [read(0, 6, 7, outcome="fail") for _ in range(READS_MIN)]
    before = [read(1, 2, 3) for _ in range(READS_MIN)]
    few = no_stale_read(good([write(1, 0, 1), *before, *failed, *OTHER_READS[1:]]))
    assert few.outcome == "unknown"
    assert "9 of 19 reads were answered after the first fault began, and 10 are needed" in few.sentence
    assert stale(write(1, 0, 1), *before, *failed) == "pass"


def survives(final: int, *ops: Op, versions: int | None = None) -> str:
    """The outcome where every acknowledged write was read again. `versions`: as many as happened, if not given."""
    there = [op for op in ops if op.outcome == "ok" or (op.outcome == "unknown" and op.value == final)]
    counted = {KEY: len(there) if versions is None else versions}
    named = [revised(op, 10 + (op.value or 0)) if op.outcome == "ok" else op for op in ops]
    past = {KEY: tuple((op.revision, op.revision, op.value or 0) for op in named if op.outcome == "ok")}
    return acknowledged_writes_survive(good(named, final={KEY: final}, final_versions=counted, past=past)).outcome


def test_an_acknowledged_write_that_is_gone_at_the_end_is_named() -> None:
    verdict = acknowledged_writes_survive(good([write(1, 0, 1), write(2, 2, 3, via="n3")], final={KEY: 1}))
    assert verdict.outcome == "fail"
    assert verdict.sentence == "w1 ended as 1, although n3 had acknowledged 2 at 3.000 s."
    assert survives(0, write(1, 0, 1)) == "fail"
    assert survives(2, write(1, 0, 1), write(2, 2, 3)) == "pass"


def test_a_write_of_unknown_outcome_may_be_the_last_one_or_not() -> None:
    history = write(1, 0, 1), write(2, 2, 3, "unknown"), write(3, 4, 5), write(4, 6, 7, "unknown")
    assert [survives(final, *history) for final in (0, 1, 2, 3, 4, 5)] == [
        "fail",
        "fail",
        "pass",
        "pass",
        "pass",
        "fail",
    ]


def test_a_write_that_provably_did_not_happen_must_not_be_there() -> None:
    assert survives(2, write(1, 0, 1), write(2, 2, 3, "fail")) == "fail"
    assert survives(1, write(1, 0, 1), write(2, 2, 3, "fail")) == "pass"


def test_a_lost_write_under_later_ones_shows_in_how_often_the_key_was_written() -> None:
    history = write(1, 0, 1), write(2, 2, 3), write(3, 4, 5, "unknown"), write(4, 6, 7, "fail"), write(5, 8, 9)
    assert [survives(5, *history, versions=count) for count in (2, 3, 4, 5)] == ["fail", "pass", "pass", "fail"]
    lost = acknowledged_writes_survive(good(history, final={KEY: 5}, final_versions={KEY: 2}))
    assert "written 2 times, although n1 acknowledged 3 writes of it: 1 of them is lost" in lost.sentence


def test_without_a_last_reading_survival_is_unknown() -> None:
    assert acknowledged_writes_survive(good([write(1, 0, 1)], final={})).outcome == "unknown"
    assert acknowledged_writes_survive(good([write(1, 0, 1, "unknown")], final={KEY: 0})).outcome == "unknown"
    assert acknowledged_writes_survive(good()).outcome == "pass"


def test_the_last_values_alone_do_not_show_that_nothing_in_between_was_lost() -> None:
    verdict = acknowledged_writes_survive(good(final_versions={}))
    assert verdict.outcome == "unknown"
    assert "how often each key was written could not be read" in verdict.sentence


def revised(op: Op, revision: int) -> Op:
    return msgspec.structs.replace(op, revision=revision)


def test_a_loss_that_an_unknown_write_may_mask_is_unknown_where_the_past_cannot_be_read() -> None:
    ops = revised(write(1, 0, 1), 11), write(2, 2, 3, "unknown"), revised(write(3, 4, 5), 13)
    counted = {"final": {KEY: 3}, "final_versions": {KEY: 2}}
    verdict = acknowledged_writes_survive(good(ops, **counted))
    assert verdict.outcome == "unknown"
    assert verdict.sentence == (
        "Whether acknowledged writes survived is unknown: 2 acknowledged writes of w1 could not be read again at their "
        "revisions, and up to 1 of unknown outcome may stand in for lost ones."
    )
    half = acknowledged_writes_survive(good(ops, **counted, past={KEY: ((11, 11, 1),)}))
    assert "1 acknowledged writes of w1 could not be read again" in half.sentence
    for certain in ({KEY: ((11, 11, 1), (13, 13, 3))}, {}):
        all_happened = counted if certain else counted | {"final_versions": {KEY: 3}}
        assert acknowledged_writes_survive(good(ops, **all_happened, past=certain)).outcome == "pass"


def test_an_unknown_write_that_was_read_does_not_make_up_for_a_lost_one() -> None:
    ops = write(1, 0, 1, via="n3"), write(2, 2, 3, "unknown"), read(2, 3, 4), write(3, 4, 5)
    lost = acknowledged_writes_survive(good(ops, final={KEY: 3}, final_versions={KEY: 2}))
    assert lost.outcome == "fail"
    assert lost.sentence == (
        "w1 was written 2 times, although n1, n3 acknowledged 2 writes of it, and 1 of unknown outcome was read: "
        "1 of them is lost."
    )
    last = acknowledged_writes_survive(good(ops[:2], final={KEY: 2}, final_versions={KEY: 1}))
    assert last.outcome == "fail", "who reads it in the end reads it too"
    assert acknowledged_writes_survive(good(ops, final={KEY: 3}, final_versions={KEY: 3})).outcome == "pass"


def test_an_unknown_write_that_took_effect_does_not_stand_in_for_a_lost_one() -> None:
    lost = revised(write(1, 0, 1, via="n2"), 11)
    ops = lost, write(2, 2, 3, "unknown"), revised(write(3, 4, 5), 13)
    counted = {"final": {KEY: 3}, "final_versions": {KEY: 2}}
    verdict = acknowledged_writes_survive(good(ops, **counted, past={KEY: ((11, 0, 0), (13, 13, 3))}))
    assert verdict.outcome == "fail"
    assert verdict.sentence == (
        "n2 acknowledged w1 = 1 at 1.000 s as revision 11, and nothing was there then: the write is lost."
    )
    other = acknowledged_writes_survive(good(ops, **counted, past={KEY: ((11, 9, 7), (13, 13, 3))}))
    assert "and it held 7 of revision 9 then: the write is lost" in other.sentence
    same = acknowledged_writes_survive(good(ops, **counted, past={KEY: ((11, 11, 5), (13, 13, 3))}))
    assert same.outcome == "fail"
    older = acknowledged_writes_survive(good(ops, **counted, past={KEY: ((11, 10, 1), (13, 13, 3))}))
    assert older.outcome == "fail"


def test_it_is_told_how_many_writes_were_read_again() -> None:
    ops = revised(write(1, 0, 1), 11), revised(write(2, 2, 3), 12)
    some = acknowledged_writes_survive(good(ops, past={KEY: ((12, 12, 2),)}))
    assert some.outcome == "pass"
    assert "there at the end: 1 of them were read again at their revisions, and each key" in some.sentence
    every = acknowledged_writes_survive(good(ops, past={KEY: ((11, 11, 1), (12, 12, 2))}))
    assert "there at the end: each was read again at its revision, and each key" in every.sentence


# --- against a search of all orders ------------------------------------------------------------------------------


def explained(ops: list[Op]) -> bool:
    """Whether some order explains everything, by trying all of them."""
    known = [op for op in ops if op.outcome == "ok" or (op.kind == "write" and op.outcome == "unknown")]

    def done(op: Op) -> float:
        return op.done_us if op.outcome == "ok" else inf

    @cache
    def possible(placed: frozenset[int], value: int) -> bool:
        rest = [n for n in range(len(known)) if n not in placed]
        if all(known[n].outcome == "unknown" for n in rest):
            return True
        earliest = min(done(known[n]) for n in rest)
        for n in rest:
            op = known[n]
            if op.sent_us > earliest or (op.kind == "read" and op.value != value):
                continue
            if possible(placed | {n}, op.value if op.kind == "write" and op.value is not None else value):
                return True
        return False

    return possible(frozenset(), 0)


@st.composite
def histories(draw: st.DrawFn) -> list[Op]:
    """One writer, two readers, any answers."""
    ops: list[Op] = []
    at = 0.0
    count = draw(st.integers(1, 4))
    for value in range(1, count + 1):
        at += draw(st.integers(0, 3))
        lasted = draw(st.integers(0, 4))
        ops.append(write(value, at, at + lasted, draw(st.sampled_from(["ok", "ok", "ok", "unknown", "fail"]))))
        at += lasted
    for _ in range(2):
        at = 0.0
        for _ in range(draw(st.integers(0, 3))):
            at += draw(st.integers(0, 6))
            lasted = draw(st.integers(0, 4))
            ops.append(read(draw(st.integers(0, count)), at, at + lasted))
            at += lasted
    return ops


@settings(max_examples=250, deadline=None)
@given(histories())
def test_a_history_is_called_contradictory_exactly_when_no_order_explains_it(ops: list[Op]) -> None:
    assert (not contradicting(ops)) == explained(ops)


@pytest.mark.parametrize("seed", range(20))
def test_what_an_honest_register_answers_is_never_called_stale(seed: int) -> None:
    rng = random.Random(seed)
    ops: list[Op] = []
    pending: list[tuple[float, int]] = []
    applied: list[tuple[float, int]] = [(-1.0, 0)]
    at = 0.0
    for value in range(1, 200):
        at += rng.random()
        lasted = rng.random()
        if rng.random() < 0.2:
            ops.append(write(value, at, at + lasted, "unknown"))
            pending.append((at + rng.random() * 40, value))
        else:
            ops.append(write(value, at, at + lasted))
            applied.append((at + rng.random() * lasted, value))
        at += lasted
    applied = sorted(applied + [one for one in pending if rng.random() < 0.7])
    for _ in range(400):
        sent = rng.random() * at
        took = rng.random()
        moment = sent + rng.random() * took
        ops.append(
            read(max((one for one in applied if one[0] <= moment), key=lambda one: one[0])[1], sent, sent + took)
        )
    assert contradicting(ops) == []
    first = next(op.value for op in ops if op.outcome == "ok" and op.value)
    assert contradicting([*ops, read(first, at + 100, at + 101)])
