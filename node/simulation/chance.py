"""Chance as a simulated world knows it: an object with `.random()`, made of a seed in world.py alone.

Why it exists: the same seed gives the same bytes, in every process, so nobody here may draw from anything else.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Chance(Protocol):
    """Satisfied by `random.Random`."""

    def random(self) -> float:
        """At least 0, less than 1."""
        ...


def pick(chance: Chance, of: Sequence[T]) -> T:
    """One of them."""
    return of[int(chance.random() * len(of))]


def up_to(chance: Chance, most: int) -> int:
    """A whole number, at least 0 and less than `most`."""
    return int(chance.random() * most)
