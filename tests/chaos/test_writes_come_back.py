"""A cluster whose nodes say that they are well and acknowledge nothing has not recovered."""

import msgspec

from chaos.checks import judge
from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.writing import writes_come_back
from chaos.errors import NOT_RECOVERED, PASSED
from chaos.model import FaultSpan
from chaos.workload.history import Op
from tests.chaos.evidence import NODES, S, cut, good, kill, read, write

SEVERED = (("n1",), ("n2", "n3"))


def clients(until: float, *silences: tuple[str, float, float]) -> tuple[Op, ...]:
    """A write at each node twenty times per second, and reads; (node, from, until): it refuses then. Seconds."""
    ops: list[Op] = []
    for number in range(1, int(until * 20) + 1):
        at = number / 20 - 0.05
        for node in NODES:
            refuses = any(node == silent and since <= at < end for silent, since, end in silences)
            outcome = "fail" if refuses else "ok"
            op = write(number, at, at + 0.01, outcome, key=f"chaos/t/w-{node}", via=node)  # type: ignore[arg-type]
            ops.append(msgspec.structs.replace(op, revision=len(ops) + 1))
        ops.append(read(0, at, at + 0.01, key="chaos/t/none"))
    return tuple(ops)


def run(fault: FaultSpan, *silences: tuple[str, float, float], until: float = 10.0) -> Evidence:
    """Of one fault, whole by what the nodes say 0.5 s after its end; the limit is three seconds."""
    history = clients(until, *silences)
    written = {op.key: max(o.value or 0 for o in history if o.key == op.key and o.outcome == "ok") for op in history}
    times = {key: sum(op.key == key and op.outcome == "ok" and op.kind == "write" for op in history) for key in written}
    return good(
        history,
        faults=(fault,),
        recovered_us=((fault.reverted_us or fault.injected_us or 0) + S // 2,),
        final=written,
        final_versions=times,
        ended_us=int(until * S),
    )


def judged(fault: FaultSpan, *silences: tuple[str, float, float], until: float = 10.0) -> Verdict:
    return writes_come_back(run(fault, *silences, until=until))


def test_who_acknowledges_again_in_time_has_recovered() -> None:
    verdict = judged(kill("n1", at=5), ("n1", 5, 7), ("n2", 5, 5.4), ("n3", 5, 5.4))
    assert (verdict.outcome, verdict.group) == ("pass", "recovery")
    assert verdict.sentence == (
        "kill n1: every node acknowledged writes again, n1 last, after 2.010 s (limit 3.000 s)."
    )


def test_a_cluster_that_never_acknowledges_another_write_fails_although_it_says_that_it_is_whole() -> None:
    evidence = run(kill("n1", at=5), *((node, 5, 99) for node in NODES))
    verdict = writes_come_back(evidence)
    assert verdict.outcome == "fail"
    assert verdict.sentence == "kill n1: n1 acknowledged none of 100 writes in 4.950 s (limit 3.000 s)."
    assert judge.exit_code(judge.judge(evidence)) == NOT_RECOVERED


def test_one_node_that_refuses_for_ever_is_named() -> None:
    verdict = judged(kill("n1", at=5), ("n3", 5, 99))
    assert verdict.outcome == "fail"
    assert "kill n1: n3 acknowledged none of" in verdict.sentence


def test_a_node_that_comes_back_too_late_is_named_with_its_time() -> None:
    verdict = judged(kill("n1", at=5), ("n2", 5, 8.5))
    assert verdict.outcome == "fail"
    assert verdict.sentence == "kill n1: n2 acknowledged a write only after 3.510 s (limit 3.000 s)."


def test_clients_that_ended_too_early_leave_it_open() -> None:
    verdict = judged(kill("n1", at=5), ("n2", 5, 99), until=7)
    assert verdict.outcome == "unknown"
    assert "n2 acknowledged none of 40 writes in the 1.950 s that clients went on" in verdict.sentence


def test_silence_after_a_fault_means_nothing_once_the_next_fault_has_come() -> None:
    """n2 is silent from the first one on: that was for a second when n3 was killed, and for five from there."""
    evidence = run(kill("n3", at=5), ("n2", 4, 99))
    both = msgspec.structs.replace(evidence, faults=(kill("n2", at=4), *evidence.faults), recovered_us=(None, 6 * S))
    verdict = writes_come_back(both)
    assert verdict.sentence == "kill n3: n2 acknowledged none of 100 writes in 4.950 s (limit 3.000 s)."
    assert verdict.proof == ()


def test_a_fault_that_was_not_done_or_never_ended_leaves_it_open() -> None:
    never = msgspec.structs.replace(cut(SEVERED, 5, 7), reverted_us=None)
    assert judged(never).outcome == "unknown"
    undone = msgspec.structs.replace(kill("n1", at=5), injected_us=None)
    assert judged(undone).outcome == "unknown"


def test_after_a_cut_every_node_counts_from_when_it_was_taken_back() -> None:
    assert judged(cut(SEVERED, 5, 7), ("n1", 4.5, 7.5)).outcome == "pass"
    late = judged(cut(SEVERED, 5, 7), ("n1", 4.5, 99), until=12)
    assert (late.outcome, "n1 acknowledged none of" in late.sentence) == ("fail", True)


def test_a_majority_that_acknowledges_nothing_during_a_long_cut_is_at_fault() -> None:
    wedged = judged(cut(SEVERED, 5, 8.5), *((node, 4.5, 8.5) for node in NODES))
    assert wedged.outcome == "fail"
    assert wedged.sentence == (
        "cut: the majority (n2, n3) acknowledged none of 140 writes in 3.500 s of the cut (limit 3.000 s)."
    )


def test_a_short_cut_in_which_the_majority_acknowledged_nothing_leaves_it_open() -> None:
    assert judged(cut(SEVERED, 5, 6), *((node, 4.5, 6.2) for node in NODES)).outcome == "unknown"


def test_without_a_majority_nobody_has_to_write_during_the_cut() -> None:
    apart = cut((("n1",), ("n2",), ("n3",)), 5, 8.5)
    assert judged(apart, *((node, 4.5, 8.5) for node in NODES), until=12).outcome == "pass"


def test_what_comes_after_the_next_fault_began_is_not_counted_against_the_first() -> None:
    first, second = kill("n1", at=5), kill("n2", at=6)
    evidence = run(second, ("n3", 5, 6.5))
    evidence = msgspec.structs.replace(evidence, faults=(first, second), recovered_us=(int(5.5 * S), int(6.5 * S)))
    assert writes_come_back(evidence).outcome == "pass"
    assert judge.exit_code(judge.judge(run(kill("n1", at=5)))) == PASSED
