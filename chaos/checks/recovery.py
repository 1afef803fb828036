"""Was the run worth anything, how long could nobody write, and was the cluster whole again in time?

Why it exists: safe and dead is no success, and a fault that nobody felt proves nothing. The wait until a killed process
runs again is the kubelet's or the operator's, not the algorithm's: it is told apart. It must not judge safety.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Literal

from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.waits import of_which_paused, within
from chaos.checks.words import seconds
from chaos.model import FaultSpan
from chaos.workload.history import Op, columns_of

RECOVERED, GAP, ENOUGH = "recovered-in-time", "longest-write-gap", "enough-writes"

WRITES_PER_SECOND_MIN = 10.0
"""With fewer acknowledged writes before the fault, a gap or a loss would not be seen."""
_KINDS: tuple[Literal["write", "read"], ...] = ("write", "read")
BASELINE_US_MAX = 2_000_000
"""Of the time before the first fault the last so much counts."""


def enough_writes(evidence: Evidence) -> Verdict:
    """At least WRITES_PER_SECOND_MIN acknowledged writes per second before the first fault."""
    history = columns_of(evidence.history)
    sent_us = [moment for kind in _KINDS for moment in history.moments("sent_us", kind)]
    began_us = min(sent_us, default=evidence.began_faults_us)
    from_us = max(began_us, evidence.began_faults_us - BASELINE_US_MAX)
    lasted_us = evidence.began_faults_us - from_us
    if lasted_us <= 0:
        return Verdict(ENOUGH, "effect", "fail", "No client wrote before the first fault, so the run proves nothing.")
    done_us = history.moments("done_us", "write", "ok")
    count = sum(from_us <= moment <= evidence.began_faults_us for moment in done_us)
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
    limit_us = evidence.recovery_limit_us
    for number, fault in enumerate(evidence.faults):
        ended_us, since_us = fault.over_us, back_us(evidence, fault)
        whole_us = evidence.recovered_us[number] if number < len(evidence.recovered_us) else None
        if ended_us is None or since_us is None:
            unknown.append(f"{fault.title}: it never ended")
            continue
        apart = _apart(since_us - ended_us, together(evidence, fault))
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


def back_us(evidence: Evidence, fault: FaultSpan) -> int | None:
    """From when on the cluster could be whole: it, and whatever was on at the same time, was taken back, the killed
    process ran again. None: never."""
    ends = [_gone_us(evidence, one) for one in (fault, *together(evidence, fault))]
    return None if any(end is None for end in ends) else max(end for end in ends if end is not None)


def together(evidence: Evidence, fault: FaultSpan) -> list[FaultSpan]:
    """Other faults that were on at the same time: begun before this one was gone, and gone after it began."""
    if fault.injected_us is None:
        return []
    until_us = _gone_us(evidence, fault)
    found = []
    for other in evidence.faults:
        if other is fault or other.injected_us is None:
            continue
        gone_us = _gone_us(evidence, other)
        if (until_us is None or other.injected_us < until_us) and (gone_us is None or gone_us > fault.injected_us):
            found.append(other)
    return found


def _gone_us(evidence: Evidence, fault: FaultSpan) -> int | None:
    """When it was over, and its victim ran again."""
    if fault.over_us is None or fault.lasts:
        return fault.over_us
    return max(fault.over_us, running_again_us(evidence, fault) or fault.over_us)


def running_again_us(evidence: Evidence, fault: FaultSpan) -> int | None:
    """When the killed node's next process was first seen; None: it was not, or which was killed is unknown."""
    if fault.injected_us is None or len(fault.nodes) != 1:
        return None
    node = fault.nodes[0]
    before = {view.boot for view in evidence.views if view.name == node and view.answered_us <= fault.injected_us}
    seen = [view.answered_us for view in evidence.views if before and view.name == node and view.boot not in before]
    seen += [event.at_us for event in evidence.events if event.node == node and event.kind == "started"]
    return min((at_us for at_us in seen if at_us > fault.injected_us), default=None)


def clients_ended_us(evidence: Evidence) -> int:
    """When the last write was begun: afterwards silence means nothing."""
    return max(columns_of(evidence.history).moments("sent_us", "write"), default=evidence.ended_us)


def _gap(history: Sequence[Op], from_us: int, to_us: int, via: Collection[str] | None = None) -> tuple[int, int] | None:
    """The longest stretch between two acknowledged writes that reaches into the time given; None: there were none."""
    times = sorted(columns_of(history).moments("done_us", "write", "ok", via))
    if not times or to_us <= from_us:
        return None
    marks = [min(times[0], from_us), *times, max(to_us, times[-1])]
    touching = [(a, b) for a, b in pairwise(marks) if b > from_us and a < to_us]
    return max(touching, key=lambda pair: pair[1] - pair[0], default=None)


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
