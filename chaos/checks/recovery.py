"""Was the run worth anything, how long could nobody write, and was the cluster whole again in time?

Why it exists: safe and dead is no success, and a fault that nobody felt proves nothing. The wait until a killed process
runs again is the kubelet's or the operator's, not the algorithm's: it is told apart. It must not judge safety.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from itertools import pairwise

from chaos.checks.ends import Ends
from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.waits import of_which_paused, within
from chaos.checks.words import seconds
from chaos.model import FaultSpan
from chaos.workload.history import Op, columns_of

RECOVERED, GAP, ENOUGH = "recovered-in-time", "longest-write-gap", "enough-writes"

WRITES_PER_SECOND_MIN = 10.0
"""With fewer acknowledged writes before the fault, a gap or a loss would not be seen."""
BASELINE_US_MAX = 2_000_000
"""Of the time before the first fault the last so much counts."""


def enough_writes(evidence: Evidence) -> Verdict:
    """At least WRITES_PER_SECOND_MIN acknowledged writes per second before the first fault."""
    history = columns_of(evidence.history)
    began_us = min(history.sent_us, default=evidence.began_faults_us)
    from_us = max(began_us, evidence.began_faults_us - BASELINE_US_MAX)
    lasted_us = evidence.began_faults_us - from_us
    if lasted_us <= 0:
        return Verdict(ENOUGH, "effect", "fail", "No client wrote before the first fault, so the run proves nothing.")
    count = len(history.ordered("write", "ok").between(from_us, evidence.began_faults_us))
    rate = count * 1e6 / lasted_us
    said = f"{rate:.0f} acknowledged writes per second before the first fault"
    if rate < WRITES_PER_SECOND_MIN:
        said = f"Only {said}, {WRITES_PER_SECOND_MIN:.0f} are needed: the run proves nothing."
        return Verdict(ENOUGH, "effect", "fail", said)
    return Verdict(ENOUGH, "effect", "pass", f"{said[0].upper()}{said[1:]}.")


def recovered_in_time(evidence: Evidence) -> Verdict:
    """After every fault the cluster was whole within the limit: counted from when it was taken back, or from when the
    killed process ran again, of faults at the same time from the last of these; and after a kill at no time could
    nobody write for longer, whoever was still down."""
    failed: list[str] = []
    unknown: list[str] = []
    told: list[str] = []
    ends, limit_us = Ends(evidence), evidence.recovery_limit_us
    for number, fault in enumerate(evidence.faults):
        ended_us, since_us = fault.over_us, ends.back_us(number)
        whole_us = evidence.recovered_us[number] if number < len(evidence.recovered_us) else None
        if ended_us is None or since_us is None:
            unknown.append(f"{fault.title}: it never ended")
            continue
        apart = _apart(since_us - ended_us, ends.together(number))
        if whole_us is None:
            late = within(evidence, since_us, evidence.ended_us + 1, limit_us) == "fail"
            said = f"{fault.title}: not whole {seconds(max(0, evidence.ended_us - since_us))}{apart or ' later'}"
            (failed if late else unknown).append(said + of_which_paused(evidence, since_us, evidence.ended_us))
            continue
        took_us = max(0, whole_us - since_us)
        said = f"{fault.title}: whole {'' if apart else 'after '}{seconds(took_us)}{apart}"
        gap = None if fault.lasts else _gap(evidence.history, ended_us, min(whole_us, clients_ended_us(evidence)))
        took = within(evidence, since_us, whole_us, limit_us)
        silence = "pass" if gap is None else within(evidence, *gap, limit_us)
        if took != "pass":
            (failed if took == "fail" else unknown).append(said + of_which_paused(evidence, since_us, whole_us))
        elif gap is not None and silence != "pass":
            said = f"{fault.title}: nobody could write for {seconds(gap[1] - gap[0])}{of_which_paused(evidence, *gap)}"
            (failed if silence == "fail" else unknown).append(said)
        else:
            told.append(said)
    limit = f" (limit {seconds(limit_us)})"
    if failed:
        return Verdict(RECOVERED, "recovery", "fail", f"{failed[0]}{limit}.", tuple(failed[1:]))
    if unknown or not told:
        why = unknown[0] if unknown else "there was no fault"
        return Verdict(RECOVERED, "recovery", "unknown", f"Whether the cluster recovered is unknown: {why}.")
    return Verdict(RECOVERED, "recovery", "pass", f"{told[0]}{limit}.", tuple(told[1:]))


def _apart(waited_us: int, others: Sequence[FaultSpan]) -> str:
    """What the recovery is counted from, where it is not the end of the fault."""
    if not waited_us:
        return ""
    if others:
        return f" after the last fault of that time was over, {seconds(waited_us)} later"
    return f" after the process ran again, which took {seconds(waited_us)}"


def longest_write_gap(evidence: Evidence, limit_us: int | None = None) -> Verdict:
    """The longest time without an acknowledged write, through whichever node, from the first fault to the end."""
    from_us, to_us = evidence.began_faults_us, clients_ended_us(evidence)
    gap = _gap(evidence.history, from_us, to_us)
    if gap is None:
        return Verdict(GAP, "recovery", "unknown", "No writes after the first fault, so there is no gap between two.")
    said = f"The longest time without an acknowledged write was {seconds(gap[1] - gap[0])}, from {seconds(gap[0])} on"
    said += of_which_paused(evidence, *gap)
    proof = tuple(_majority_gap(evidence, fault) for fault in evidence.faults if fault.lasts)
    if limit_us is not None and (outcome := within(evidence, *gap, limit_us)) != "pass":
        return Verdict(GAP, "recovery", outcome, f"{said} (limit {seconds(limit_us)}).", proof)
    return Verdict(GAP, "recovery", "pass", f"{said}.", proof)


def clients_ended_us(evidence: Evidence) -> int:
    """When the last write was begun: afterwards silence means nothing."""
    last_us = columns_of(evidence.history).last_sent_us("write")
    return evidence.ended_us if last_us is None else last_us


def _gap(history: Sequence[Op], from_us: int, to_us: int, via: Collection[str] | None = None) -> tuple[int, int] | None:
    """The longest stretch between two acknowledged writes that reaches into the time given; None: there were none."""
    columns = columns_of(history)
    nodes: Sequence[str | None] = (None,) if via is None else tuple(dict.fromkeys(via))
    acknowledged = [times for node in nodes if (times := columns.ordered("write", "ok", node).done_us)]
    if not acknowledged or to_us <= from_us:
        return None
    before, after, inside = list[int](), list[int](), list[int]()
    for times in acknowledged:
        first, last = bisect_right(times, from_us), bisect_left(times, to_us)
        before += times[first - 1 : first]
        inside += times[first:last]
        after += times[last : last + 1]
    marks = [max(before, default=from_us), *sorted(inside), min(after, default=to_us)]
    return max(pairwise(marks), key=lambda pair: pair[1] - pair[0])


def _majority_gap(evidence: Evidence, fault: FaultSpan) -> str:
    majority = fault.serving(evidence.voters)
    if not majority:
        return f"{fault.title}: no side had a majority"
    if fault.injected_us is None:
        return f"{fault.title}: never done"
    ends = [end for end in (fault.reverted_us, clients_ended_us(evidence)) if end is not None]
    gap = _gap(evidence.history, fault.injected_us, min(ends), majority)
    side = ", ".join(majority)
    if gap is None:
        return f"{fault.title}: the majority ({side}) acknowledged no write"
    return f"{fault.title}: the majority ({side}) could not write for {seconds(gap[1] - gap[0])} at the longest"
