"""What nodes said of themselves: one leader per term, and nothing that was reached is given up.

Why it exists: these promises (Raft figure 3, sections 5.1 and 5.2) can be checked from outside, by what nodes show.
A node shows a term in `/status` once it is on its disk, so no restart may go behind one that was shown; its events tell
of a term when it begins, and count within their process alone. A new disk is a new member. It must not take an
earlier answer for a later one.
"""

from collections import defaultdict
from itertools import pairwise

from chaos.checks.lives import forgotten_entries, forgotten_terms
from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.words import of_event, of_view, proof, seconds
from chaos.model import Event, View

ONE_LEADER, TERMS, COMMIT = "one-leader-a-term", "terms-never-go-back", "commit-never-goes-back"

UNSEEN_US_MAX = 1_000_000
"""Where a node's events were lost, samples so close to each other stand in for them."""


def one_leader_a_term(evidence: Evidence) -> Verdict:
    """In no term do two nodes lead, by their own word or by that of those who follow them, nor one node in two lives:
    who starts again must win a later term. And no process votes for two in a term, whatever came of it."""
    claims: dict[int, dict[str, str]] = defaultdict(dict)
    lives: dict[tuple[int, str], dict[str, str]] = defaultdict(dict)
    for view in evidence.views:
        if view.role == "leader":
            claims[view.term].setdefault(view.name, of_view(view))
            lives[view.term, view.name].setdefault(view.boot, of_view(view))
        if view.leader:
            claims[view.term].setdefault(view.leader, of_view(view))
    for event in evidence.events:
        leader = _leader_of(event)
        if leader:
            claims[event.term].setdefault(leader, of_event(event))
        if leader == event.node and event.kind != "leader":
            lives[event.term, leader].setdefault(event.boot, of_event(event))
    double = {term: leaders for term, leaders in sorted(claims.items()) if len(leaders) > 1}
    if double:
        term, leaders = next(iter(double.items()))
        sentence = f"Term {term} had {len(leaders)} leaders: {' and '.join(sorted(leaders))}."
        lines = [f"term {t}: {line}" for t, found in double.items() for line in found.values()]
        return Verdict(ONE_LEADER, "safety", "fail", sentence, proof(lines))
    for (term, name), told in sorted(lives.items()):
        if len([boot for boot in told if boot]) > 1:
            said = f"{name} led term {term}, started again, and led term {term} once more: it voted twice."
            return Verdict(ONE_LEADER, "safety", "fail", said, proof(list(told.values())))
    for (term, name, _), votes in sorted(_votes(evidence.events).items()):
        if len(votes) > 1:
            said = f"{name} gave its vote of term {term} to {' and to '.join(sorted(votes))}."
            return Verdict(ONE_LEADER, "safety", "fail", said, proof(list(votes.values())))
    if not claims:
        return Verdict(ONE_LEADER, "safety", "unknown", "No node ever said who leads.")
    unseen = _unseen(evidence) or _silent(evidence)
    if unseen:
        return Verdict(ONE_LEADER, "safety", "unknown", f"Whether each term had one leader is unknown: {unseen}.")
    said = f"Each of {len(claims)} terms that had a leader had one{_missing(evidence)}."
    return Verdict(ONE_LEADER, "safety", "pass", said)


def terms_never_go_back(evidence: Evidence) -> Verdict:
    """No node's term falls, within a process or across its restarts."""
    lines: list[str] = []
    sentences: list[str] = []
    for views in _by_disk(evidence.views).values():
        highest: View | None = None
        for view in views:
            if highest is not None and view.term < highest.term and highest.answered_us <= view.asked_us:
                sentences.append(f"{view.name} was in term {highest.term} and then in term {view.term}")
                lines += [of_view(highest), of_view(view)]
            if highest is None or view.term >= highest.term:
                highest = view
    for before, after in _falling(evidence.events):
        sentences.append(f"{after.node} was in term {before.term} and then in term {after.term}")
        lines += [of_event(before), of_event(after)]
    for kept, told in forgotten_terms(evidence):
        sentences.append(f"{kept.name} was in term {kept.term}, started again, and began in term {told.term}")
        lines += [of_view(kept), of_event(told)]
    unseen = _unseen(evidence) or _silent(evidence)
    if unseen and not sentences:
        return Verdict(TERMS, "safety", "unknown", f"Whether a term went back is unknown: {unseen}.")
    return _verdict(TERMS, sentences, lines, evidence, "No node's term went back")


def commit_never_goes_back(evidence: Evidence) -> Verdict:
    """No process's commit or applied index falls; a process that starts again on the same disk has at least the
    entries that the one before it had applied (its commit index may begin lower: section 5.3 keeps it in memory)."""
    lines: list[str] = []
    sentences: list[str] = []
    for views in _by_disk(evidence.views).values():
        highest: View | None = None
        applied: View | None = None
        for view in views:
            if highest is not None and highest.boot == view.boot and highest.answered_us <= view.asked_us:
                for what, before, now in (
                    ("commit", highest.commit, view.commit),
                    ("applied", highest.applied, view.applied),
                ):
                    if now < before:
                        sentences.append(f"{view.name} went back from {what} index {before} to {now}")
                        lines += [of_view(highest), of_view(view)]
            shown = "last-index" not in evidence.lacks
            lost = shown and applied is not None and view.last_index < applied.applied
            if applied is not None and lost and applied.answered_us <= view.asked_us:
                sentences.append(
                    f"{view.name} had applied entry {applied.applied}, and its log then ended at {view.last_index}"
                )
                lines += [of_view(applied), of_view(view)]
            if highest is None or highest.boot != view.boot or view.commit >= highest.commit:
                highest = view
            if applied is None or view.applied >= applied.applied:
                applied = view
    for most, told in forgotten_entries(evidence):
        end = told.detail.get("hint")
        sentences.append(f"{most.name} had applied entry {most.applied}, started again, and its log ended at {end}")
        lines += [of_view(most), of_event(told)]
    return _verdict(COMMIT, sentences, lines, evidence, "No node's commit index went back")


def _unseen(evidence: Evidence) -> str:
    """Where events of a node were lost and no sample shows it for longer than UNSEEN_US_MAX: a clause; else empty."""
    for lost in evidence.lost:
        shown = sorted(
            view.asked_us
            for view in evidence.views
            if view.name == lost.node and lost.from_us < view.asked_us < lost.to_us
        )
        for before, after in pairwise((lost.from_us, *shown, lost.to_us)):
            if after - before > UNSEEN_US_MAX:
                when = f"from {seconds(before)} to {seconds(after)}"
                return f"events of {lost.node} were lost, and no sample shows it {when}"
    return ""


def _silent(evidence: Evidence) -> str:
    """Which voter told of no event at all, although every process tells of its start: a clause; else empty."""
    silent = sorted(set(evidence.voters) - {event.node for event in evidence.events})
    return f"no event of {', '.join(silent)} was ever received" if silent else ""


def _missing(evidence: Evidence) -> str:
    """What was not kept, as the end of a sentence."""
    events = sum(lost.events for lost in evidence.lost)
    told = [f"{events} events of nodes were lost"] if events else []
    told += (
        [f"{evidence.views_dropped} samples that showed nothing new were not kept"] if evidence.views_dropped else []
    )
    return f" ({', '.join(told)})" if told else ""


def _by_disk(views: tuple[View, ...]) -> dict[tuple[str, str], list[View]]:
    """The views of each member, in the order in which they were asked for. A new disk is another member."""
    found: dict[tuple[str, str], list[View]] = defaultdict(list)
    for view in sorted(views, key=lambda view: view.asked_us):
        found[view.name, view.incarnation].append(view)
    return found


def _falling(events: tuple[Event, ...]) -> list[tuple[Event, Event]]:
    """Pairs of one process's events whose term falls. 0: before the process has read its disk."""
    highest: dict[tuple[str, str], Event] = {}
    pairs = []
    for event in sorted(events, key=lambda event: event.seq):
        process = event.node, event.boot
        before = highest.get(process)
        if event.boot and before is not None and 0 < event.term < before.term:
            pairs.append((before, event))
        if before is None or event.term > before.term:
            highest[process] = event
    return pairs


def _leader_of(event: Event) -> str:
    """Who leads the event's term, as far as it says so."""
    if event.kind == "won" or (event.kind == "role" and event.detail.get("to") == "leader"):
        return event.node
    return str(event.detail.get("leader", "")) if event.kind == "leader" else ""


def _votes(events: tuple[Event, ...]) -> dict[tuple[int, str, str], dict[str, str]]:
    """By term, node and process, for whom it voted and where it says so. A vote that a process was killed before it
    stored it was never sent, so two lives may rightly tell of two."""
    found: dict[tuple[int, str, str], dict[str, str]] = defaultdict(dict)
    for event in events:
        if event.detail.get("phase") != "vote":
            continue
        voted = event.kind == "vote" and event.detail.get("granted") is True
        candidate = str(event.detail.get("candidate", "")) if voted else event.node if event.kind == "election" else ""
        if candidate and event.boot:
            found[event.term, event.node, event.boot].setdefault(candidate, of_event(event))
    return found


def _verdict(check: str, sentences: list[str], lines: list[str], evidence: Evidence, good: str) -> Verdict:
    if sentences:
        more = f" ({len(sentences)} times in all)" if len(sentences) > 1 else ""
        return Verdict(check, "safety", "fail", f"{sentences[0]}{more}.", proof(lines))
    unsampled = sorted(set(evidence.voters) - {view.name for view in evidence.views})
    if unsampled or not evidence.views:
        said = f"{', '.join(unsampled) or 'No node'} was {'never' if unsampled else 'ever'} sampled."
        return Verdict(check, "safety", "unknown", said)
    return Verdict(check, "safety", "pass", f"{good} in {len(evidence.views)} samples{_missing(evidence)}.")
