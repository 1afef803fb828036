"""The store's own order, against what clients saw of it: every lie is named, and what could be is none."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.checks.judge import judge
from chaos.checks.revisions import revisions_in_order
from chaos.checks.verdict import Verdict
from chaos.workload.history import Op
from tests.chaos.evidence import good, read, write

W1, W2 = "chaos/t/w1", "chaos/t/w2"


def told(op: Op, revision: int) -> Op:
    return msgspec.structs.replace(op, revision=revision)


def judged(*ops: Op) -> Verdict:
    return revisions_in_order(good(ops))


def test_a_good_run_passes_and_says_of_how_many_writes() -> None:
    verdict = revisions_in_order(good())
    assert (verdict.outcome, verdict.group) == ("pass", "safety")
    assert verdict.sentence == (
        "The revisions of 200 writes are all different, and in the order in which they were made."
    )
    assert "revisions-in-order" in {each.check for each in judge(good())}


def test_a_revision_that_is_given_twice_is_named_also_across_keys() -> None:
    verdict = judged(told(write(1, 0, 1, key=W1), 5), told(write(7, 0.5, 1.5, key=W2), 5))
    assert (verdict.outcome, verdict.sentence) == ("fail", "w1 = 1 and w2 = 7 were both given revision 5.")
    assert len(verdict.proof) == 2


def test_a_revision_that_falls_in_real_time_is_named_also_across_keys() -> None:
    verdict = judged(told(write(1, 0, 1, key=W1), 9), told(write(7, 2, 3, key=W2), 8))
    assert verdict.outcome == "fail"
    assert verdict.sentence == (
        "w2 = 7, sent at 2.000 s, has revision 8, although w1 = 1 was done at 1.000 s with revision 9."
    )


def test_writes_that_were_under_way_together_may_have_either_order() -> None:
    assert judged(told(write(1, 0, 2, key=W1), 9), told(write(7, 1, 3, key=W2), 8)).outcome == "pass"


def test_a_fall_is_found_whatever_lies_between() -> None:
    between = [told(write(n, 0.1, 2.9, key=f"chaos/t/{n}"), n + 20) for n in range(2, 9)]
    assert judged(told(write(1, 0, 1, key=W1), 40), *between, told(write(9, 2, 3, key=W2), 10)).outcome == "fail"


def test_a_read_that_names_another_revision_than_the_acknowledgement_is_named() -> None:
    verdict = judged(told(write(1, 0, 1), 5), told(read(1, 2, 3, via="n2"), 6))
    assert (verdict.outcome, verdict.sentence) == (
        "fail",
        "w1 = 1 has revision 5 by n1 and revision 6 by n2.",
    )


def test_a_write_of_unknown_outcome_has_the_revision_that_its_readers_saw() -> None:
    lost = write(2, 2, 3, "unknown")
    acknowledged = told(write(3, 5, 6), 4)
    assert judged(lost, acknowledged, told(read(2, 4, 4.5), 9)).outcome == "fail", "read before the next was sent"
    assert judged(lost, acknowledged, told(read(2, 7, 8), 9)).outcome == "pass", "it took effect late"
    assert judged(lost, told(read(2, 7, 8), 9), told(read(2, 8, 9), 9), told(write(3, 5, 6), 4)).outcome == "pass"


@pytest.mark.parametrize("named", [0, 9])
def test_where_too_few_revisions_are_told_nothing_is_known(named: int) -> None:
    writes = [write(number, number, number + 0.5) for number in range(1, 21)]
    verdict = judged(*(told(op, op.value or 0) if (op.value or 0) <= named else op for op in writes))
    assert verdict.outcome == "unknown"
    assert f"{named} of 20 acknowledged writes were told with a revision" in verdict.sentence


@st.composite
def named_writes(draw: st.DrawFn) -> list[Op]:
    """Writes of two keys at any moments, with any revisions."""
    ops = []
    for value in range(1, draw(st.integers(1, 6)) + 1):
        sent, lasted = draw(st.integers(0, 8)), draw(st.integers(0, 4))
        key = draw(st.sampled_from([W1, W2]))
        ops.append(told(write(value, sent, sent + lasted, key=key), draw(st.integers(1, 12))))
    return ops


@settings(max_examples=200, deadline=None)
@given(named_writes())
def test_revisions_are_out_of_order_exactly_where_two_writes_contradict_each_other(ops: list[Op]) -> None:
    pairs = [(a, b) for a in ops for b in ops if a is not b]
    wrong = any(a.revision == b.revision or (a.done_us < b.sent_us and a.revision > b.revision) for a, b in pairs)
    assert judged(*ops).outcome == ("fail" if wrong else "pass")
