"""Every way to write a cut, and the ordered pairs that come of it for the leader of this instant.

Why it exists: "one way from the leader to a follower", a bridge and a ring are what operators say; a cut is pairs. It
must not ask anybody.
"""

from collections.abc import Sequence

import msgspec

from chaos import links
from chaos.errors import Usage
from chaos.faults.groups import Groups, groups_of, whom
from chaos.situation import Situation
from chaos.targets.port import Cut

OTHERS = "others"
BRIDGE_MIN, RING_MIN = 3, 4
"""Voters below which these cut nothing."""


class OneWay(msgspec.Struct, frozen=True):
    """What sources say does not reach targets, and what targets say reaches sources. Each: "leader", "follower",
    "others" (all voters that are not on the other side), or names."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]


class Bridge(msgspec.Struct, frozen=True):
    """Two halves that cannot talk, and one voter that talks to both."""

    whom: str


class Ring(msgspec.Struct, frozen=True):
    """Every voter talks to two neighbours alone."""


Shape = Groups | OneWay | Bridge | Ring


def parse_one_way(text: str) -> OneWay:
    """From "leader:follower", "n1:n2,n3", "leader:others". Raises Usage."""
    sides = [tuple(name.strip() for name in side.split(",")) for side in text.split(":")]
    if len(sides) != 2 or not all(name for side in sides for name in side):
        raise Usage(
            f"--one-way takes who is not heard, and by whom, for example leader:follower or n1:n2; not {text!r}."
        )
    if (OTHERS,) in sides and sides[0] == sides[1]:
        raise Usage("--one-way others:others names nobody: at least one side must be named.")
    return OneWay(sides[0], sides[1])


def cut_of(shape: Shape, situation: Situation, order: Sequence[str]) -> Cut:
    """The cut. `order`: all nodes as chance has put them. Raises Usage where the shape does not fit the cluster."""
    match shape:
        case OneWay():
            return _one_way(shape, situation, order)
        case Bridge():
            return _bridge(shape, situation, order)
        case Ring():
            return _ring(situation, order)
    return Cut.between(groups_of(shape, situation, order))


def _one_way(shape: OneWay, situation: Situation, order: Sequence[str]) -> Cut:
    sources = _named(shape.sources, (), situation, order)
    targets = _named(shape.targets, sources, situation, order)
    if shape.sources == (OTHERS,):
        sources = _named(shape.sources, targets, situation, order)
    both = set(sources) & set(targets)
    if both or not sources or not targets:
        why = f"{', '.join(sorted(both))} is on both sides" if both else "one side is empty"
        raise Usage(f"--one-way cannot be meant so: {why}.")
    title = f"{' '.join(sources)} -> {' '.join(targets)} (one way)"
    return Cut(situation.nodes, links.one_way(sources, targets), title)


def _named(said: Sequence[str], other: Sequence[str], situation: Situation, order: Sequence[str]) -> tuple[str, ...]:
    """The voters that a side means, when the other side is known."""
    if tuple(said) == (OTHERS,):
        return tuple(name for name in situation.voters if name not in other)
    followers = [name for name in order if name in situation.followers and name not in other]
    return tuple(dict.fromkeys(whom(name, followers, situation) for name in said))


def _bridge(shape: Bridge, situation: Situation, order: Sequence[str]) -> Cut:
    followers = [name for name in order if name in situation.followers]
    middle = whom(shape.whom, followers, situation)
    rest = [name for name in (situation.leader, *followers) if name != middle]
    if len(situation.voters) < BRIDGE_MIN:
        raise Usage(f"A bridge needs {BRIDGE_MIN} voters, and there are {len(situation.voters)}.")
    half = (len(rest) + 1) // 2
    left, right = (sorted(side, key=situation.nodes.index) for side in (rest[:half], rest[half:]))
    title = f"{' '.join(left)} | {' '.join(right)}, {middle} talks to both"
    return Cut(situation.nodes, links.between((left, right)), title)


def _ring(situation: Situation, order: Sequence[str]) -> Cut:
    if len(situation.voters) < RING_MIN:
        raise Usage(f"A ring cuts nothing below {RING_MIN} voters, and there are {len(situation.voters)}.")
    around = [situation.leader, *(name for name in order if name in situation.followers)]
    return Cut(situation.nodes, links.ring(around), f"ring {' '.join(around)}")
