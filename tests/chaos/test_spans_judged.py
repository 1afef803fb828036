"""Checks ask a fault what it means: pauses, one-way cuts, bridges, and several at a time."""

import msgspec
import pytest

from chaos import links
from chaos.checks import judge
from chaos.checks.minority import MINORITY, minority_acknowledges_nothing
from chaos.checks.recovery import recovered_in_time
from chaos.checks.writing import writes_come_back
from chaos.errors import NOT_RECOVERED, PASSED
from chaos.model import FaultSpan, Peer
from chaos.report import html
from chaos.report.figures import fault_spans
from tests.chaos import sample_run
from tests.chaos.evidence import NODES, S, good, kill, view, write
from tests.chaos.test_writes_come_back import run


def pause(begin: float, end: float, node: str = "n1") -> FaultSpan:
    return FaultSpan(
        kind="pause",
        title=f"pause {node}",
        effect="paused",
        nodes=(node,),
        acted_on=("n1", 3),
        injected_us=int(begin * S),
        effective_us=int(begin * S),
        reverting_us=int(end * S),
        reverted_us=int(end * S),
        healed_us=int(end * S),
    )


def one_way(*blocked: links.Pair, begin: float = 5, end: float = 8) -> FaultSpan:
    made = pause(begin, end)
    made.kind, made.title, made.effect, made.nodes, made.links = "partition", "one way", "cut", NODES, blocked
    return made


def test_a_pause_longer_than_the_limit_for_recovery_is_no_slow_recovery() -> None:
    """It was taken for a kill, whose recovery counts from the act."""
    evidence = run(pause(5, 12), ("n1", 5, 12.1), until=16)
    assert recovered_in_time(evidence).sentence == "pause n1: whole after 0.500 s (limit 3.000 s)."
    verdicts = judge.judge(evidence)
    assert judge.exit_code(verdicts) == PASSED, [one for one in verdicts if one.outcome != "pass"]


def test_others_that_acknowledge_nothing_during_a_long_pause_are_at_fault() -> None:
    verdict = writes_come_back(run(pause(5, 9), *((node, 5, 9) for node in NODES), until=14))
    assert verdict.outcome == "fail"
    assert "the majority (n2, n3) acknowledged none of" in verdict.sentence
    assert "4.000 s of the pause" in verdict.sentence


def test_a_pause_too_short_for_an_election_asks_nothing_of_the_others() -> None:
    assert writes_come_back(run(pause(5, 5.2), *((node, 5, 5.3) for node in NODES))).outcome == "pass"


def test_who_is_heard_by_nobody_must_not_acknowledge_and_a_bridge_has_no_minority() -> None:
    alone = one_way(("n1", "n2"), ("n1", "n3"))
    lie = good((write(7, 6, 7, via="n1"),), faults=(alone,), views=(view("n1", 7.5),))
    verdict = minority_acknowledges_nothing(lie)
    assert verdict.outcome == "fail"
    assert "n1, cut off without a majority (n1), acknowledged" in verdict.sentence
    bridge = one_way(("n1", "n3"), ("n3", "n1"))
    assert MINORITY not in {one.check for one in judge.judge(good(faults=(bridge,)))}


@pytest.mark.parametrize(("hears", "from_whom", "leaks"), [("n2", "n1", True), ("n1", "n2", False)])
def test_only_what_comes_over_the_blocked_way_is_a_leak(hears: str, from_whom: str, leaks: bool) -> None:
    alone = one_way(("n1", "n2"), ("n1", "n3"))
    heard = view(hears, 7.5, peers=(Peer(from_whom, 10.0),))
    lie = good((write(7, 6, 7, via="n1"),), faults=(alone,), views=(view("n1", 7.6), heard))
    assert minority_acknowledges_nothing(lie).outcome == ("unknown" if leaks else "fail")


def test_of_faults_at_the_same_time_recovery_counts_from_the_end_of_the_last() -> None:
    inner, outer = kill("n2", at=5.5), pause(5, 9, "n1")
    evidence = run(outer, ("n1", 5, 9.1), ("n2", 5.5, 9.1), ("n3", 5.5, 9.1), until=16)
    both = msgspec.structs.replace(evidence, faults=(outer, inner), recovered_us=(int(9.5 * S), int(9.5 * S)))
    both = msgspec.structs.replace(both, recovery_limit_us=int(3.7 * S))
    verdict = recovered_in_time(both)
    assert verdict.outcome == "pass", verdict
    assert "kill n2: whole 0.500 s after the last fault of that time was over, 3.500 s later" in verdict.proof[0]
    alone = msgspec.structs.replace(both, faults=(inner,), recovered_us=(int(9.5 * S),))
    assert judge.exit_code((recovered_in_time(alone),)) == NOT_RECOVERED


def test_time_in_which_two_faults_were_on_counts_once() -> None:
    both = good(faults=(pause(5, 9, "n1"), pause(6, 7, "n2"), pause(9.5, 9.8, "n3")), recovered_us=(None, None, None))
    assert fault_spans(both) == ((5 * S, 9 * S), (int(9.5 * S), int(9.8 * S)))


def test_the_page_says_which_ways_were_blocked_where_there_are_no_groups() -> None:
    given = sample_run.evidence()
    record = msgspec.structs.replace(
        sample_run.record(given), faults=(one_way(("n1", "n2"), ("n1", "n3")), pause(9, 10)), recovered_us=(None, None)
    )
    page = html.render(record, given.history, given.views, given.events)
    assert "Nothing got through from n1 to n2, n1 to n3." in page
    assert "Nobody could talk across the bars" not in page


def test_where_a_second_fault_took_the_majority_nobody_had_to_acknowledge() -> None:
    outer, inner = pause(5, 9, "n1"), pause(5.1, 8.9, "n2")
    evidence = run(outer, *((node, 5, 9) for node in NODES), until=14)
    assert writes_come_back(evidence).outcome == "fail"
    both = msgspec.structs.replace(evidence, faults=(outer, inner), recovered_us=(int(9.5 * S), int(9.5 * S)))
    assert writes_come_back(both).outcome == "pass"
