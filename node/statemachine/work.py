"""Work that is done in slices: how much a slice may still do, and how the work goes on.

Why it exists: nothing that a client asks for or the log orders may hold the event loop for long. What takes long is
written as a generator that counts its units of work on a `Meter`, and yields once a slice has used up its own; who
runs it lets the loop turn in between. A meter says when to pause, never what to do: no result may depend on it.

A unit is about what it costs to change one key, 1 to 2 microseconds. For what is cheaper, the constants below say how
much of it makes a unit.
"""

import sys
from collections.abc import Generator
from typing import Generic, TypeVar

T = TypeVar("T")

Slices = Generator[None, None, T]
"""Yields whenever its meter is used up; returns what it was begun for."""

BYTES_PER_UNIT = 4096
"""Bytes that are decoded, compared or moved for one unit."""

KEYS_SEEN_PER_UNIT = 3
"""Keys that are stepped over, or listed, for one unit: of many keys each is far away in memory."""

EVERYTHING = sys.maxsize
"""Units of a slice that shall not end before the work does."""


class Meter:
    """What the present slice may still do: `left` units. Below 1 it is time to yield."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = 0

    def keys(self, bytes_per_key: int = 0) -> int:
        """How many keys may be looked at before it is time to yield, at least 1. `bytes_per_key`: looked at too."""
        if bytes_per_key < BYTES_PER_UNIT // KEYS_SEEN_PER_UNIT:
            return max(1, self.left * KEYS_SEEN_PER_UNIT)
        return max(1, self.left * BYTES_PER_UNIT // bytes_per_key)


class Work(Generic[T]):
    """Slices under way. `value` is there once `run` was True."""

    __slots__ = ("_meter", "_slices", "value")

    value: T

    def __init__(self, slices: Slices[T], meter: Meter) -> None:
        self._slices = slices
        self._meter = meter

    def run(self, work_max: int) -> bool:
        """One slice of at most `work_max` units, at least 1, and a small constant. True: all is done."""
        self._meter.left = work_max
        return self.resume()

    def resume(self) -> bool:
        """As `run`, with what the meter has left."""
        try:
            next(self._slices)
        except StopIteration as end:
            self.value = end.value
            return True
        return False

    def close(self) -> None:
        """Give it up."""
        self._slices.close()


def at_once(slices: Slices[T], meter: Meter) -> T:
    """What `slices` return, without a pause: for what is known to be short, and for tests."""
    work = Work(slices, meter)
    while not work.run(EVERYTHING):
        pass
    return work.value
