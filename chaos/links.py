"""Which ordered pairs of nodes a cut blocks, and what that leaves: who talks to whom, who can still decide. Pure.

Groups, one way, a bridge and a ring are only ways to write such pairs. A pair (a, b) blocked: what `a` says does not
reach `b`; the other way is a pair of its own.

Why it exists: guards, faults, checks and the report must mean the same by "a side with a majority", whatever the cut
looks like. It must not know who leads, nor ask anybody.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import combinations

Pair = tuple[str, str]
"""(from, to): an ordered pair of nodes."""


def majority(voters: Collection[str]) -> int:
    """How many of them decide."""
    return len(voters) // 2 + 1


def between(groups: Sequence[Sequence[str]]) -> tuple[Pair, ...]:
    """Both ways between any two groups, sorted."""
    return both_ways((a, b) for one, other in combinations(groups, 2) for a in one for b in other)


def ring(order: Sequence[str]) -> tuple[Pair, ...]:
    """Both ways between all but neighbours in this order, the last being a neighbour of the first; sorted."""
    apart = combinations(range(len(order)), 2)
    return both_ways((order[i], order[j]) for i, j in apart if j - i not in (1, len(order) - 1))


def one_way(sources: Iterable[str], targets: Sequence[str]) -> tuple[Pair, ...]:
    """From every source to every target, sorted."""
    return tuple(sorted((a, b) for a in sources for b in targets if a != b))


def both_ways(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """These pairs and the same the other way round, sorted."""
    return tuple(sorted({end for a, b in pairs for end in ((a, b), (b, a))}))


def neighbourhoods(nodes: Sequence[str], blocked: Collection[Pair]) -> tuple[tuple[str, ...], ...]:
    """Each node with those it talks to both ways; each set once. Of groups: the groups."""
    return tuple(dict.fromkeys(tuple(b for b in nodes if _talk(a, b, blocked)) for a in nodes))


def may_lead(voters: Sequence[str], blocked: Collection[Pair]) -> tuple[str, ...]:
    """Voters that talk both ways to a majority, themselves counted: only they can commit anything."""
    return tuple(a for a in voters if sum(_talk(a, b, blocked) for b in voters) >= majority(voters))


def cut_off(voters: Sequence[str], nodes: Sequence[str], blocked: Collection[Pair]) -> tuple[str, ...]:
    """Nodes through which nothing can be acknowledged: they may not lead, and talk both ways to nobody who may."""
    leaders = may_lead(voters, blocked)
    return tuple(a for a in nodes if not any(_talk(a, b, blocked) for b in leaders))


def serving(voters: Sequence[str], nodes: Sequence[str], blocked: Collection[Pair]) -> tuple[str, ...]:
    """A set of nodes with a majority of the voters in which everybody talks to everybody; empty: there is none. Of
    those that a bare majority and all who talk to all of it make, the one with most nodes.

    These must go on to acknowledge. Of a ring no such set is left, and Raft promises nothing about how soon its nodes
    agree on a leader, although a node may reach a majority.
    """
    best: tuple[str, ...] = ()
    for core in combinations(voters, majority(voters)):
        if all(_talk(a, b, blocked) for a, b in combinations(core, 2)):
            chosen = list(core)
            chosen += [a for a in nodes if a not in core and all(_talk(a, b, blocked) for b in core)]
            whole = tuple(a for a in nodes if a in chosen and all(_talk(a, b, blocked) for b in chosen))
            best = max(best, whole if set(core) <= set(whole) else core, key=len)
    return best


def _talk(a: str, b: str, blocked: Collection[Pair]) -> bool:
    return a == b or ((a, b) not in blocked and (b, a) not in blocked)
