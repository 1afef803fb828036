"""Acts upon a world, one after the other: each has a number, chance of its own, and can be left out.

Why it exists: a world that fails is told best by the few acts that it takes. To find them, others are left out, and
what is left must draw the same as before, or every try would be another world. It must not know what an act does.
"""

from collections.abc import Callable, Collection
from typing import TypeVar

from node.simulation.chance import Chance

Streams = Callable[[str], Chance]
"""Chance of its own for whatever has a name: equal seeds and names draw alike."""


T = TypeVar("T")


def upon(act: Callable[[T], bool], whom: T) -> Callable[[], bool]:
    """The act, upon that one, under its own name."""

    def upon_whom() -> bool:
        return act(whom)

    upon_whom.__name__ = act.__name__
    return upon_whom


class Acts:
    """`letter`: what their numbers begin with. `strike` each act; `done` counts those that did anything."""

    def __init__(
        self,
        letter: str,
        streams: Streams,
        now: Callable[[], int],
        on_line: Callable[[bytes], None],
        without: Collection[str],
    ) -> None:
        self.done: dict[str, int] = {}
        """By name of the act."""
        self.story: list[str] = []
        """Each act that did anything: its number, its name, when."""
        self.chance = streams(letter)
        """Of the act that is under way, or of what comes next."""
        self.aside = streams(f"{letter} aside")
        """Of what happens in between, as servers make it happen."""
        self._next = self.chance
        self._letter = letter
        self._streams = streams
        self._now = now
        self._on_line = on_line
        self._without = without
        self._count = 0

    def strike(self, act: Callable[[], bool]) -> None:
        """Do it, unless it is left out."""
        self._count += 1
        number, name = f"{self._letter}{self._count}", act.__name__.strip("_").replace("_", " ")
        if number in self._without:
            return
        self._on_line(b"%d %s %s" % (self._now(), number.encode(), name.encode()))
        self.chance = self._streams(number)
        if act():
            self.done[name] = self.done.get(name, 0) + 1
            self.story.append(f"{number} {name}, at {self._now() / 1e6:.3f} s")
        self.chance = self._next
