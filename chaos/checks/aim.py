"""Was the leader the leader when it was killed or paused, by its own last events and by those of whoever won after it?

Why it exists: samples are up to a second old, and a kill of a node that has just lost the lead tests no failover. It
must not judge what came of the kill.
"""

from collections.abc import Collection, Sequence

from chaos.checks.verdict import Evidence, Outcome, Verdict
from chaos.checks.words import of_event, proof, seconds
from chaos.model import Event, FaultSpan

AIM = "the-leader-was-hit"


def kills(evidence: Evidence) -> list[FaultSpan]:
    """Kills and pauses that were done, of a node that was believed to lead."""
    return [fault for fault in evidence.faults if fault.hit_the_leader]


def the_leader_was_hit(evidence: Evidence) -> Verdict:
    """No victim had said before that it leads no more, and nobody had won a later term."""
    told = [event for event in evidence.events if event.kind in ("won", "role")]
    told.sort(key=lambda event: (event.at_us, event.seq))
    heard = {event.node for event in evidence.events}
    found = [_judged(evidence, fault, told, heard) for fault in kills(evidence)]
    for outcome in ("fail", "unknown"):
        bad = [(said, event) for of, said, event in found if of == outcome]
        if bad:
            begin = "" if outcome == "fail" else "Whether the leader was hit is unknown: "
            lines = proof([of_event(event) for _, event in bad if event is not None])
            return Verdict(AIM, "effect", "fail" if outcome == "fail" else "unknown", f"{begin}{bad[0][0]}.", lines)
    if not found:
        return Verdict(
            AIM, "effect", "unknown", "Whether the leader was hit is unknown: no leader was killed or paused."
        )
    return Verdict(AIM, "effect", "pass", f"{found[0][1]}.", tuple(said for _, said, _ in found[1:]))


def _judged(
    evidence: Evidence, fault: FaultSpan, told: Sequence[Event], heard: Collection[str]
) -> tuple[Outcome, str, Event | None]:
    """`told`: what may say against it, in the order of time; `heard`: who told of anything."""
    leader, term = fault.acted_on or ("", 0)
    injected_us = fault.injected_us or 0
    for event in told:
        off_us = evidence.off_us(event)
        if event.at_us - event.off_us > injected_us:
            continue  # what the kill brought about, most likely
        why = _lost_the_lead(event, leader, term)
        if why and event.at_us + off_us <= injected_us:
            ago = seconds(injected_us - event.at_us)
            return "fail", f"{leader} was {fault.effect} {ago} after {why}, so no leader was hit", event
        if why:
            return "unknown", f"{why} at about the moment in which {leader} was {fault.effect}", event
    if leader not in heard:
        return "unknown", f"no event of {leader} was ever received", None
    return "pass", f"{leader} led term {term} when it was {fault.effect}", None


def _lost_the_lead(event: Event, leader: str, term: int) -> str:
    """What this event says against `leader` leading `term`, a clause; empty: nothing."""
    if event.kind == "won" and event.term > term:
        return f"{event.node} won term {event.term}"
    if event.node != leader or event.term < term or event.kind != "role":
        return ""
    if event.detail.get("from") == "leader":
        return f"it was {event.detail.get('to')} in term {event.term}"
    return ""
