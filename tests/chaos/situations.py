"""Clusters as values, for tests of what is decided by them."""

from chaos.model import Member, Peer, View
from chaos.situation import Situation, situate


def view(
    name: str,
    role: str = "follower",
    term: int = 5,
    leader: str = "n1",
    voters: int = 5,
    ages_ms: dict[str, float] | None = None,
    at_us: int = 1_000_000,
    **other: object,
) -> View:
    """One node's word; `ages_ms`: since it last heard from whom."""
    return View(
        name=name,
        role=role,
        term=term,
        leader=leader,
        commit=10,
        applied=10,
        voters=tuple(Member(f"n{number}") for number in range(1, voters + 1)),
        peers=tuple(Peer(peer, age) for peer, age in (ages_ms or {}).items()),
        election_timeout_ms=200.0,
        asked_us=at_us - 1000,
        answered_us=at_us,
        cluster_id="c1",
        boot=f"boot-{name}",
        **other,  # type: ignore[arg-type]
    )


def healthy(nodes: int = 5, leader: str = "n1", **changed: View | None) -> Situation:
    """All follow `leader` in term 5, but for those given; None: that one is silent."""
    names = tuple(f"n{number}" for number in range(1, nodes + 1))
    views: dict[str, View | None] = {
        name: view(name, "leader" if name == leader else "follower", leader=leader, voters=nodes) for name in names
    }
    views |= changed
    return situate(names, {name: one for name, one in views.items() if one is not None})
