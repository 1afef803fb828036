"""What the nodes' views add up to: who leads, who votes, whether everybody is there and has caught up.

Why it exists: guards, faults, the recovery and `status` must mean the same by "the leader" and "healthy". Pure
functions of values. It must not ask anybody.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from chaos.links import majority
from chaos.model import View


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """`voters`: of the committed configuration as the leader (without one: the newest view) has it. `leader` leads in
    `term`; empty where nobody leads with a majority behind it."""

    nodes: tuple[str, ...]
    voters: tuple[str, ...]
    views: Mapping[str, View]
    leader: str
    term: int

    @property
    def followers(self) -> tuple[str, ...]:
        """Voters other than the leader."""
        return tuple(name for name in self.voters if name != self.leader)

    @property
    def cluster_id(self) -> str:
        """What the nodes call their cluster; empty where nobody answers."""
        newest = max(self.views.values(), key=lambda view: view.term, default=None)
        return newest.cluster_id if newest else ""


def situate(nodes: Sequence[str], views: Mapping[str, View]) -> Situation:
    """Put the views together: the leader is who says so in the highest term and is followed by a majority."""
    claims = sorted((view for view in views.values() if view.role == "leader"), key=lambda view: -view.term)
    for claim in claims:
        voters = voters_of(claim)
        behind = [v for v in voters if v in views and views[v].leader == claim.name and views[v].term == claim.term]
        if len(behind) >= majority(voters):
            return Situation(nodes=tuple(nodes), voters=voters, views=views, leader=claim.name, term=claim.term)
    newest = max(views.values(), key=lambda view: (view.commit, view.term), default=None)
    voters = voters_of(newest) if newest and newest.voters else tuple(nodes)
    term = max((view.term for view in views.values()), default=0)
    return Situation(nodes=tuple(nodes), voters=voters, views=views, leader="", term=term)


def voters_of(view: View) -> tuple[str, ...]:
    """The voters' names as this node has them."""
    return tuple(member.name for member in view.voters)


def unhealthy(situation: Situation, excused: Collection[str] = ()) -> str:
    """Why this cluster should not be broken now, or that it is not whole: a sentence without its end; empty: it is
    healthy. `excused`: who is known not to take part."""
    for voter in situation.voters:
        if voter in excused:
            continue
        view = situation.views.get(voter)
        if view is None:
            return f"the voter {voter} does not answer"
        if view.fatal:
            return f"{voter} has stopped itself: {view.fatal.rstrip('.')}"
        if view.role == "initial":
            return f"{voter} has no vote yet: {(view.waiting_for or 'it waits for its birth').rstrip('.')}"
    if not situation.leader:
        claims = [view.name for view in situation.views.values() if view.role == "leader"]
        return f"no leader that a majority follows ({' and '.join(claims)} say they lead)" if claims else "no leader"
    for voter in situation.followers:
        if voter in excused:
            continue
        view = situation.views[voter]
        if view.leader != situation.leader or view.term != situation.term:
            whom = f"follows {view.leader}" if view.leader else "follows nobody"
            return f"{voter} {whom} (term {view.term}), not {situation.leader} (term {situation.term})"
    return ""


def quorum_lost(voters: Sequence[str], together: Iterable[Sequence[str]]) -> str:
    """Whether no group of `together` (voters that run and can talk to each other) holds a majority: why, or empty."""
    needed = majority(voters)
    sizes = [len(set(group) & set(voters)) for group in together]
    best = max(sizes, default=0)
    if best >= needed:
        return ""
    return f"at most {best} of {len(voters)} voters could still talk to each other, and {needed} are needed to decide"


def last_heard_us(view: View, peer: str) -> tuple[int, int] | None:
    """When that node last heard from `peer`, by the tool's clock: (earliest, latest) it can have been; None: never
    in this process, or it does not know the peer."""
    for other in view.peers:
        if other.name == peer and other.last_contact_ms is not None:
            age_us = int(other.last_contact_ms * 1000)
            return view.asked_us - age_us, view.answered_us - age_us
    return None
