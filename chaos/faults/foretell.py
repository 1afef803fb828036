"""What Raft says will happen when the cluster is cut, and whether it did: predict, then observe.

Why it exists: a fault whose outcome was said beforehand teaches, and an outcome that differs is worth a look. It must
not decide a verdict: see `checks`.
"""

from collections.abc import Mapping, Sequence

from chaos import links
from chaos.model import View
from chaos.situation import Situation
from chaos.targets.port import Cut


def longest_timeout(situation: Situation) -> str:
    """The longest election timeout that a node has drawn now, for people."""
    drawn = [view.election_timeout_ms for view in situation.views.values() if view.election_timeout_ms]
    return f"about {max(drawn):.0f} ms, its election timeout" if drawn else "its election timeout"


def keeps_leading(situation: Situation, cut: Cut) -> bool:
    """Whether the leader of before still talks to a majority."""
    return situation.leader in links.may_lead(situation.voters, cut.blocked)


def of_a_cut(situation: Situation, cut: Cut) -> tuple[str, ...]:
    """One sentence each."""
    leader, leaders = situation.leader, links.may_lead(situation.voters, cut.blocked)
    if not leaders:
        return ("no group has a majority: nobody can commit anything until the cut is taken back (Raft, section 5.2)",)
    told = []
    if leader in leaders:
        told.append(f"{leader} goes on leading term {situation.term}: it talks to a majority")
    else:
        told.append(f"{leader} cannot reach a majority: it steps down after {longest_timeout(situation)} (CheckQuorum)")
        told.append(f"one of {', '.join(leaders)} is elected in a term above {situation.term} (Raft, section 5.2)")
    outside = links.cut_off(situation.voters, cut.nodes, cut.blocked)
    if outside:
        told.append(f"nothing that is written through {', '.join(outside)} is acknowledged")
    if deaf := [name for name in outside if _is_deaf(name, leaders, cut)]:
        told.append(f"{', '.join(deaf)}: no new term while cut off (PreVote), and all caught up after the heal")
    without = [b for a, b in cut.blocked if a == leader and leader in leaders and b not in outside]
    if without:
        told.append(f"{', '.join(without)}: hears no leader and asks for votes in vain, so the term stays (PreVote)")
    return tuple(told)


def seen_at_the_end(
    situation: Situation, cut: Cut, views: Mapping[str, View], proven: Mapping[str, View]
) -> tuple[str, ...]:
    """What those who are cut off say of themselves before the heal, against what was said of them.

    `situation`: as it was before the cut. `proven`: what they said when it was proven. From then on they certainly hear
    nobody; a term that they raised in the seconds of the proof may be one that they heard of.
    """
    leaders = links.may_lead(situation.voters, cut.blocked)
    outside = [views[name] for name in links.cut_off(situation.voters, cut.nodes, cut.blocked) if name in views]
    if not outside or not leaders:
        return ()
    told = []
    leads = [view.name for view in outside if view.role == "leader"]
    if leads:
        told.append(f"not as predicted: {', '.join(leads)} still says that it leads, without a majority")
    elif situation.leader not in leaders:
        told.append(f"as predicted: {situation.leader} has stepped down")
    deaf = [view for view in outside if _is_deaf(view.name, leaders, cut)]
    terms = {view.name: max(situation.term, proven[view.name].term if view.name in proven else 0) for view in deaf}
    raised = [view for view in deaf if view.term > terms[view.name]]
    if raised:
        said = ", ".join(f"{view.name} raised its term from {terms[view.name]} to {view.term}" for view in raised)
        told.append(f"not as predicted: {said} while cut off")
    elif deaf:
        stayed = ", ".join(f"{view.name} stayed in term {view.term}" for view in deaf)
        told.append(f"as predicted: {stayed}")
    return tuple(told)


def _is_deaf(name: str, leaders: Sequence[str], cut: Cut) -> bool:
    """Whether it hears of nobody who may lead."""
    return all((leader, name) in cut.blocked for leader in leaders)
