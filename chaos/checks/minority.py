"""Who is cut off from the majority must not promise anything.

Why it exists: a leader without a majority that goes on answering is the classic lie. A request counts only when it was
sent after the cut was proven and answered before it began to be taken back, and only where nothing shows that the cut
leaked and a later sample of that node shows none: what came before, or through a leak, was rightly answered.
"""

from collections.abc import Collection, Sequence

from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.words import of_op, of_view, proof, seconds, short
from chaos.model import FaultSpan, View
from chaos.workload.history import Op, columns_of

MINORITY = "minority-acknowledges-nothing"
REQUESTS_MIN = 3
"""Requests that must have reached each side without a majority: one alone may have met a moment like no other."""

NOT_FORWARDED = "not_forwarded"
"""So the error begins where the way to a node (targets/kubernetes/forward) says that a request never reached it."""


def minorities(evidence: Evidence) -> list[FaultSpan]:
    """Faults that cut somebody off from every majority."""
    return [one for one in evidence.faults if one.separates and (not evidence.voters or one.excused(evidence.voters))]


def minority_acknowledges_nothing(evidence: Evidence) -> Verdict:
    """No write and no linearizable read is answered with success by a node that is cut off from every majority."""
    sentences: list[str] = []
    lines: list[str] = []
    unknown: list[str] = []
    asked = 0
    for fault in minorities(evidence):
        span = _span(fault, evidence.ended_us)
        if span is None or not evidence.voters:
            unknown.append(f"the cut {fault.title!r} was never proven" if span is None else "the voters are unknown")
            continue
        outside = set(fault.excused(evidence.voters))
        inside = _inside(evidence, outside, span)
        arrived = sum(map(_arrived, inside))
        asked += arrived
        clean = _clean(span, evidence.views)
        leaks = _leaks(fault, span, evidence.views)
        if leaks:
            unknown.append(f"the cut {fault.title!r} leaked: {leaks[0]}")
            continue
        good = [op for op in inside if op.outcome == "ok"]
        answered = [op for op in good if op.done_us <= clean.get(op.via, 0)]
        late = [op for op in good if op.done_us > clean.get(op.via, 0)]
        if outside and arrived < REQUESTS_MIN and not good:
            few = f"{arrived or 'no'} request{'s' if arrived > 1 else ''} reached it while the cut held"
            unknown.append(f"{few}, and {REQUESTS_MIN} are needed")
        if late:
            unknown.append(f"no later sample of {late[0].via} shows that the cut {fault.title!r} did not leak")
        sentences += [_told(op, sorted(outside)) for op in answered]
        lines += [of_op(op) for op in answered]
    if sentences:
        more = f" ({len(sentences)} answers in all)" if len(sentences) > 1 else ""
        return Verdict(MINORITY, "safety", "fail", f"{sentences[0]}{more}.", proof(lines))
    if unknown:
        said = f"Whether a minority acknowledged anything is unknown: {unknown[0]}."
        return Verdict(MINORITY, "safety", "unknown", said, proof(unknown))
    return Verdict(
        MINORITY, "safety", "pass", f"None of {asked} requests to nodes without a majority was acknowledged."
    )


def _span(fault: FaultSpan, ended_us: int) -> tuple[int, int] | None:
    """From when to when the cut held for certain."""
    if fault.effective_us is None:
        return None
    ends = [end for end in (fault.reverting_us, fault.reverted_us, ended_us) if end is not None]
    return fault.effective_us, min(ends)


def _inside(evidence: Evidence, outside: Collection[str], span: tuple[int, int]) -> list[Op]:
    """What was sent to these nodes and done while the cut held, in the order of the history."""
    history = columns_of(evidence.history)
    done = [place for node in outside for place in history.ordered(via=node).between(span[0] + 1, span[1] - 1)]
    return list(history.at([place for place in sorted(done) if history.sent_us[place] > span[0]]))


def _clean(span: tuple[int, int], views: Sequence[View]) -> dict[str, int]:
    """By node, when it was last asked for a sample while the cut held: what it had heard by then is known."""
    found: dict[str, int] = {}
    for view in views:
        if span[0] < view.asked_us <= view.answered_us < span[1]:
            found[view.name] = max(found.get(view.name, 0), view.asked_us)
    return found


def _leaks(fault: FaultSpan, span: tuple[int, int], views: Sequence[View]) -> list[str]:
    """Where a node heard from across the cut after it was proven, by its own contact ages."""
    blocked = set(fault.links)
    found: dict[tuple[str, str], str] = {}
    for view in views:
        if not span[0] < view.asked_us <= view.answered_us < span[1]:
            continue
        for peer in view.peers:
            if peer.last_contact_ms is None or (peer.name, view.name) not in blocked:
                continue
            heard_us = view.asked_us - int(peer.last_contact_ms * 1000)
            if heard_us > span[0]:
                said = f"{view.name} heard from {peer.name} at {seconds(heard_us)} ({of_view(view)})"
                found.setdefault((view.name, peer.name), said)
    return list(found.values())


def _arrived(op: Op) -> bool:
    """Whether the node was asked: it answered, or may have; not where nobody could be reached there."""
    return op.outcome != "fail" or (op.code != 0 and not op.error.startswith(NOT_FORWARDED))


def _told(op: Op, outside: Sequence[str]) -> str:
    what = f"acknowledged {short(op.key)} = {op.value}" if op.kind == "write" else f"answered a read of {short(op.key)}"
    return (
        f"{op.via}, cut off without a majority ({', '.join(outside)}), {what} at {seconds(op.done_us)} to {op.client}"
    )
