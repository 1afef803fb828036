"""Do writes come back: through every healed node in time, and during a cut or a pause on the side of the majority?

Why it exists: nodes that all say they are well and acknowledge nothing are no cluster that recovered. What counts is
what clients got. It must not judge safety, nor what nodes say of themselves.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Literal

from chaos.checks.ends import Ends
from chaos.checks.recovery import clients_ended_us
from chaos.checks.verdict import Evidence, Outcome, Verdict
from chaos.checks.waits import of_which_paused, paused_us, within
from chaos.checks.words import seconds
from chaos.links import majority
from chaos.model import FaultSpan
from chaos.workload.history import columns_of

BACK = "writes-come-back"

MAJORITY_US_MAX = 10_000_000
"""A majority that acknowledged nothing for so long is at fault, however much time a cluster has to recover. A cut that
was shorter leaves it open."""

Finding = tuple[Outcome, str]


def writes_come_back(evidence: Evidence) -> Verdict:
    """After each fault every voter acknowledged a write that was sent to it once the fault was taken back, within the
    limit; and where a cut or a pause left a majority, that acknowledged one while it held."""
    found: list[Finding] = []
    ends = Ends(evidence)
    for number, fault in enumerate(evidence.faults):
        if fault.injected_us is None:
            found.append(("unknown", f"{fault.title}: it was never done"))
            continue
        if fault.lasts:
            found += _meanwhile(evidence, fault, ends.together(number))
        found += _afterwards(evidence, fault, ends.back_us(number), _next_us(evidence, evidence.faults[number + 1 :]))
    failed, unknown, told = ([said for outcome, said in found if outcome == of] for of in ("fail", "unknown", "pass"))
    limit = f" (limit {seconds(evidence.recovery_limit_us)})"
    if failed:
        return Verdict(BACK, "recovery", "fail", f"{failed[0]}{limit}.", tuple(failed[1:]))
    if unknown or not told:
        why = unknown[0] if unknown else "there was no fault"
        return Verdict(BACK, "recovery", "unknown", f"Whether writes came back is unknown: {why}.", tuple(unknown[1:]))
    return Verdict(BACK, "recovery", "pass", f"{told[0]}{limit}.", tuple(told[1:]))


def _next_us(evidence: Evidence, later: Sequence[FaultSpan]) -> int:
    """Until when silence means something: clients ended, or the next fault came."""
    begun = [fault.injected_us for fault in later if fault.injected_us is not None]
    return min([*begun, clients_ended_us(evidence)])


def _afterwards(evidence: Evidence, fault: FaultSpan, since_us: int | None, until_us: int) -> Iterable[Finding]:
    """`since_us`: from when on writes could come back; None: never."""
    if since_us is None:
        return [("unknown", f"{fault.title}: it never ended")]
    found: list[Finding] = []
    took: dict[str, int] = {}
    for node in evidence.voters:
        done_us = _acknowledged_us(evidence, node, since_us)
        writes = 0 if done_us is not None else _sent_since(evidence, node, since_us)
        end_us = max(since_us, until_us) if done_us is None else done_us
        outcome = within(evidence, since_us, end_us, evidence.recovery_limit_us)
        waited = seconds(end_us - since_us) + of_which_paused(evidence, since_us, end_us)
        if done_us is not None and outcome == "pass":
            took[node] = done_us - since_us
        elif done_us is not None:
            found.append((outcome, f"{fault.title}: {node} acknowledged a write only after {waited}"))
        elif outcome == "fail" and writes:
            found.append(("fail", f"{fault.title}: {node} acknowledged none of {_of(writes)} in {waited}"))
        else:
            said = f"{node} acknowledged none of {_of(writes)} in the {waited} that clients went on"
            found.append(("unknown", f"{fault.title}: {said}"))
    if took:
        last = max(took, key=lambda node: took[node])
        every = "every node" if len(took) == len(evidence.voters) else f"{len(took)} nodes"
        found.append(
            ("pass", f"{fault.title}: {every} acknowledged writes again, {last} last, after {seconds(took[last])}")
        )
    return found


def _meanwhile(evidence: Evidence, fault: FaultSpan, others: Sequence[FaultSpan]) -> Iterable[Finding]:
    majority = _serving(evidence, fault, others)
    ends = [end for end in (fault.reverting_us, fault.reverted_us, clients_ended_us(evidence)) if end is not None]
    if not majority or fault.effective_us is None:
        return []
    held_us = max(0, min(ends) - fault.effective_us)
    side = ", ".join(majority)
    since_us, until_us = fault.effective_us, min(ends)
    if any(_sent_and_done(evidence, node, "ok", since_us, until_us) for node in majority):
        return []  # how long it took is told by the longest gap
    writes = sum(_sent_and_done(evidence, node, None, since_us, until_us) for node in set(majority))
    none = f"the majority ({side}) acknowledged none of {_of(writes)}"
    said = f"{fault.title}: {none} in {seconds(held_us)} of the {'cut' if fault.separates else 'pause'}"
    paused = paused_us(evidence, fault.effective_us, min(ends))
    long_enough = held_us - paused >= min(MAJORITY_US_MAX, evidence.recovery_limit_us)
    if not long_enough and not fault.separates:
        return []  # shorter than an election takes: nobody had to lead
    return [("fail" if long_enough and writes else "unknown", said)]


def _serving(evidence: Evidence, fault: FaultSpan, others: Sequence[FaultSpan]) -> tuple[str, ...]:
    """Who must go on to acknowledge while it is on; nobody where another fault took some of them meanwhile, and too few
    were left."""
    serving = fault.serving(evidence.voters)
    gone = {name for other in others for name in other.excused(evidence.voters)}
    left = tuple(name for name in serving if name not in gone)
    return left if len(set(left) & set(evidence.voters)) >= majority(evidence.voters) else ()


def _acknowledged_us(evidence: Evidence, node: str, since_us: int) -> int | None:
    """When it first acknowledged a write that was sent since then; None: never."""
    history = columns_of(evidence.history)
    done_us, places = (acknowledged := history.ordered("write", "ok", node)).done_us, acknowledged.places
    later = range(bisect_left(done_us, since_us), len(places))  # what was sent since was done since
    return next((done_us[one] for one in later if history.sent_us[places[one]] >= since_us), None)


def _sent_since(evidence: Evidence, node: str, since_us: int) -> int:
    """How many writes were sent to it since then."""
    history = columns_of(evidence.history)
    done = history.ordered("write", via=node)
    return sum(history.sent_us[place] >= since_us for place in done.places[bisect_left(done.done_us, since_us) :])


def _sent_and_done(evidence: Evidence, node: str, outcome: Literal["ok"] | None, since_us: int, until_us: int) -> int:
    """How many writes of that outcome it was sent, and was done with, in that time."""
    history = columns_of(evidence.history)
    done = history.ordered("write", outcome, node).between(since_us, until_us)
    return sum(history.sent_us[place] >= since_us for place in done)


def _of(writes: int) -> str:
    return f"{writes} write{'s' if writes != 1 else ''}"
