"""What Raft says will happen when the cluster is cut, and whether it did: predict, then observe.

Why it exists: a fault whose outcome was said beforehand teaches, and an outcome that differs is worth a look. It must
not decide a verdict: see `checks`.
"""

from collections.abc import Mapping

from chaos.model import View
from chaos.situation import Situation, majority
from chaos.targets.port import Cut


def longest_timeout(situation: Situation) -> str:
    """The longest election timeout that a node has drawn now, for people."""
    drawn = [view.election_timeout_ms for view in situation.views.values() if view.election_timeout_ms]
    return f"about {max(drawn):.0f} ms, its election timeout" if drawn else "its election timeout"


def of_a_cut(situation: Situation, cut: Cut) -> tuple[str, ...]:
    """One sentence each."""
    leader, deciding = situation.leader, deciding_group(situation, cut)
    if not deciding:
        return ("no group has a majority: nobody can commit anything until the cut is taken back (Raft, section 5.2)",)
    told = []
    if leader in deciding:
        told.append(f"{leader} goes on leading term {situation.term}: its side has a majority")
    else:
        told.append(f"{leader} cannot reach a majority: it steps down after {longest_timeout(situation)} (CheckQuorum)")
        told.append(f"one of {', '.join(deciding)} is elected in a term above {situation.term} (Raft, section 5.2)")
    minority = ", ".join(name for group in cut.groups if group != deciding for name in group)
    told.append(f"nothing that is written through {minority} is acknowledged")
    told.append(f"{minority}: no new term while cut off (PreVote), and all caught up after the heal")
    return tuple(told)


def deciding_group(situation: Situation, cut: Cut) -> tuple[str, ...]:
    """The group with a majority of the voters; empty: none."""
    needed = majority(situation.voters)
    return next((group for group in cut.groups if len(set(group) & set(situation.voters)) >= needed), ())


def seen_at_the_end(situation: Situation, cut: Cut, views: Mapping[str, View]) -> tuple[str, ...]:
    """What the minority's nodes say of themselves before the heal, against what was said of them. `situation`: as it
    was before the cut."""
    deciding = deciding_group(situation, cut)
    outside = [views[name] for group in cut.groups if group != deciding for name in group if name in views]
    if not outside or not deciding:
        return ()
    told = []
    leads = [view.name for view in outside if view.role == "leader"]
    if leads:
        told.append(f"not as predicted: {', '.join(leads)} still says that it leads, without a majority")
    elif situation.leader not in deciding:
        told.append(f"as predicted: {situation.leader} has stepped down")
    raised = [f"{view.name} (term {view.term})" for view in outside if view.term > situation.term]
    if raised:
        told.append(f"not as predicted: {', '.join(raised)} raised its term while cut off (it was {situation.term})")
    else:
        told.append(f"as predicted: {', '.join(view.name for view in outside)} stayed in term {situation.term}")
    return tuple(told)
