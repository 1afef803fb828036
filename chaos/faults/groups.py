"""Who is cut off from whom: from "the leader" or "2,3" to names, for the leader of this instant.

Why it exists: a partition is meant relative to the leader, and the same seed must choose the same nodes. It must not
ask anybody.
"""

from collections.abc import Sequence

import msgspec

from chaos.errors import Usage
from chaos.situation import Situation

LEADER, FOLLOWER = "leader", "follower"


class Isolate(msgspec.Struct, frozen=True):
    """Cut one node off from all others. `whom`: "leader", "follower" (one of them by chance), or a node's name."""

    whom: str = LEADER


class Split(msgspec.Struct, frozen=True):
    """Cut the voters into groups of these sizes; the leader is in the first."""

    sizes: tuple[int, ...]


Groups = Isolate | Split


def parse_sizes(text: str) -> Split:
    """From "2,3". Raises Usage."""
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if len(sizes) < 2 or min(sizes) < 1:
        raise Usage(f"--split takes the sizes of the groups, the leader's first, for example 2,3; not {text!r}.")
    return Split(sizes)


def groups_of(shape: Groups, situation: Situation, order: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The groups, the leader's first. `order`: all nodes as chance has put them; it decides who else is where.

    Nodes without a vote stay with the biggest group. Raises Usage where the shape does not fit the cluster.
    """
    voters, leader = situation.voters, situation.leader
    chosen = [name for name in order if name in voters and name != leader]
    if isinstance(shape, Split):
        groups = _split(shape.sizes, leader, chosen, len(voters))
    else:
        alone = whom(shape.whom, chosen, situation)
        rest = tuple(name for name in voters if name != alone)
        if not rest:
            raise Usage(f"{alone} is the only voter: there is nobody to cut it off from.")
        groups = [(alone,), rest] if alone == leader else [rest, (alone,)]
    others = tuple(name for name in situation.nodes if name not in voters and not any(name in g for g in groups))
    biggest = max(range(len(groups)), key=lambda number: len(groups[number]))
    groups[biggest] = (*groups[biggest], *others)
    place = {name: number for number, name in enumerate(situation.nodes)}
    return tuple(tuple(sorted(group, key=lambda name: place.get(name, len(place)))) for group in groups)


def whom(said: str, chosen: Sequence[str], situation: Situation) -> str:
    """The voter that is meant by "leader", "follower" (the first of `chosen`, as chance put them) or its name. Raises
    Usage."""
    if said == LEADER:
        return situation.leader
    if said == FOLLOWER:
        if not chosen:
            raise Usage(f"{situation.leader} is the only voter: there is no follower.")
        return chosen[0]
    if said not in situation.voters:
        raise Usage(
            f"There is no voter {said}: the voters are {', '.join(situation.voters)}; leader and follower will do, too."
        )
    return said


def _split(sizes: tuple[int, ...], leader: str, chosen: Sequence[str], voters: int) -> list[tuple[str, ...]]:
    if sum(sizes) != voters:
        added = "+".join(map(str, sizes))
        raise Usage(
            f"--split {','.join(map(str, sizes))} is for {added} = {sum(sizes)} voters, and there are {voters}."
        )
    left = [leader, *chosen]
    groups = []
    for size in sizes:
        groups.append(tuple(left[:size]))
        left = left[size:]
    return groups
