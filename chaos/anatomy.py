"""What happened between a leader's death and the first write after it, step by step.

Why it exists: "recovered in 0.4 s" says nothing about where the time went. Events come from the nodes, each with how
far its time may be off; commits are seen by samples alone, so they are later than they happened by up to one sample. It
must not judge.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from chaos.checks.ends import Ends
from chaos.checks.verdict import Evidence
from chaos.model import Event, FaultSpan, View
from chaos.workload.history import Op, columns_of


class Moment(msgspec.Struct, frozen=True):
    """`at_us` on the tool's clock, `uncertainty_us` how far it may be off (None: unknown), `node` who says so."""

    at_us: int
    uncertainty_us: int | None
    node: str
    what: str


class Failover(msgspec.Struct, frozen=True, kw_only=True):
    """One kill of a leader. `last_acknowledged` and `first_success`: the acknowledged writes before and after the
    time without one in which the election was won, `unavailable_us` apart; `suspicion`: the first campaign around the
    kill; `won`: the election that decided; `first_commit`: of the new term. `terms_burned`: terms between the old
    leader's and the new one's in which nobody won. `campaigns`: how many began until then, pre-votes included.
    `election_timeout_ms`: the shortest that a survivor had drawn. `down_us`: until the killed process
    ran again (the kubelet's back-off), no part of the failover. None: not seen."""

    fault: int
    title: str
    killed: str
    old_term: int
    injected_us: int
    election_timeout_ms: float | None = None
    last_acknowledged: Moment | None = None
    suspicion: Moment | None = None
    won: Moment | None = None
    first_commit: Moment | None = None
    first_success: Moment | None = None
    new_leader: str = ""
    new_term: int | None = None
    terms_burned: int | None = None
    campaigns: int = 0
    unavailable_us: int | None = None
    down_us: int | None = None


def failovers(evidence: Evidence) -> tuple[Failover, ...]:
    """One for each kill whose victim was known to lead."""
    kills = [(n, one) for n, one in enumerate(evidence.faults) if one.effect == "killed" and one.acted_on is not None]
    shown, found = _Shown(evidence), []
    for place, (number, fault) in enumerate(kills):
        if fault.injected_us is not None:
            later = [other.injected_us for _, other in kills[place + 1 :] if other.injected_us is not None]
            found.append(_failover(shown, number, fault, min(later, default=evidence.ended_us)))
    return tuple(found)


class _Shown:
    """What nodes showed, put in order once: a run may have a thousand kills. `news`: who campaigned and won; `begins`:
    by term, the index of its first entry in the logs."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence, self.ends = evidence, Ends(evidence)
        told = (event for event in evidence.events if event.kind in ("won", "election"))
        self.news = sorted(told, key=lambda event: (event.at_us, event.seq))
        self.views = sorted(evidence.views, key=lambda view: view.answered_us)
        self.begins: dict[int, int] = {}
        for log in evidence.logs.values():
            for line in log:
                if line.index < self.begins.get(line.term, line.index + 1):
                    self.begins[line.term] = line.index


def _failover(shown: _Shown, number: int, fault: FaultSpan, until_us: int) -> Failover:
    killed, old_term = fault.acted_on or ("", 0)
    injected_us = fault.injected_us or 0
    evidence, off = shown.evidence, shown.evidence.off_us
    news = [event for event in shown.news if event.term >= old_term and event.at_us < until_us]
    won = next((e for e in news if e.kind == "won" and e.term > old_term), None)
    campaigns = [e for e in news if e.kind == "election" and e.node != killed and e.at_us >= injected_us - off(e)]
    if won is not None:
        campaigns = [e for e in campaigns if e.at_us <= won.at_us + off(e) + off(won)]
    won_us = (won.at_us - off(won), won.at_us + off(won)) if won else (injected_us, until_us)
    last, success = _around(evidence.history, injected_us, won_us, until_us)
    back_us = shown.ends.running_again_us(fault)
    return Failover(
        fault=number,
        title=fault.title,
        killed=killed,
        old_term=old_term,
        injected_us=injected_us,
        election_timeout_ms=_election_timeout_ms(evidence.views, injected_us, killed),
        last_acknowledged=last,
        suspicion=_of_event(campaigns[0], evidence) if campaigns else None,
        won=_of_event(won, evidence) if won else None,
        first_commit=_first_commit(shown, won, until_us) if won else None,
        first_success=success,
        new_leader=won.node if won else "",
        new_term=won.term if won else None,
        terms_burned=won.term - old_term - 1 if won else None,
        campaigns=len(campaigns),
        unavailable_us=success.at_us - last.at_us if success and last else None,
        down_us=None if back_us is None or back_us >= until_us else back_us - injected_us,
    )


def _of_event(event: Event, evidence: Evidence) -> Moment:
    detail = ", ".join(f"{name} {value}" for name, value in event.detail.items())
    what = f"{event.kind} in term {event.term} ({detail})" if detail else f"{event.kind} in term {event.term}"
    known = event.off_us or event.node in evidence.uncertainty_us
    return Moment(event.at_us, evidence.off_us(event) if known else None, event.node, what)


def _first_commit(shown: _Shown, won: Event, until_us: int) -> Moment | None:
    """The first sample that shows an entry of the new term committed, by where the logs say that the term begins."""
    index, views = shown.begins.get(won.term), shown.views
    if index is None:
        return None
    for place in range(bisect_right(views, won.at_us, key=lambda view: view.answered_us), len(views)):
        view = views[place]
        if view.answered_us >= until_us:
            break
        if view.term >= won.term and view.commit >= index:
            earlier = next((views[one] for one in range(place - 1, -1, -1) if views[one].name == view.name), None)
            off_us = view.answered_us - max(won.at_us, earlier.asked_us if earlier else won.at_us)
            return Moment(view.answered_us, off_us, view.name, f"entry {index} of term {won.term} committed")
    return None


def _around(
    history: Sequence[Op], from_us: int, won_us: tuple[int, int], until_us: int
) -> tuple[Moment | None, Moment | None]:
    """The acknowledged writes before and after the longest pause in which the election was won, between those two
    moments: nobody acknowledges anything between the kill and that. Another is the machine's, however long."""
    columns = columns_of(history)
    good = columns.ordered("write", "ok")
    first = max(0, bisect_right(good.done_us, max(from_us, won_us[0])) - 1)
    last = min(bisect_left(good.done_us, until_us), bisect_right(good.done_us, won_us[1]) + 1)
    pauses = [
        (after_us - before_us, place)
        for place, (before_us, after_us) in enumerate(pairwise(good.done_us[first:last]), first)
    ]
    if not pauses:
        return None, None
    _, place = max(pauses, key=lambda pause: pause[0])
    return _of_op(columns[good.places[place]]), _of_op(columns[good.places[place + 1]])


def _of_op(op: Op) -> Moment:
    return Moment(op.done_us, 0, op.via, f"{op.client} wrote {op.key} = {op.value}")


def _election_timeout_ms(views: Sequence[View], injected_us: int, killed: str) -> float | None:
    """The shortest that a survivor had drawn when the leader died."""
    last = {v.name: v for v in views if v.answered_us <= injected_us and v.name != killed}
    return min((v.election_timeout_ms for v in last.values() if v.election_timeout_ms is not None), default=None)
