"""Counts the work of one turn of the event loop, so that a test may bound it without a clock.

Why it exists: "no turn takes longer than 15 ms" is a promise about work; a clock would measure the machine, and what
else runs on it. What is counted, on the thread that begins to count:

- lines of the node's own code that run, each pass through a loop or comprehension anew, and with each line the short
  calls into C that it makes;
- calls of Python functions elsewhere (the web framework, asyncio, the standard library), which stand for what they do;
- small objects: how many more or fewer there are after the turn. C code that decodes, copies or drops much in one call
  shows here;
- bytes: how far the memory in use rose at its highest. C code that encodes, joins or reads much in one call shows here.

What it cannot see: C code that walks over much and makes nothing (sorting a list in place, a checksum, a comparison),
and bytes that are made and dropped again and again in one turn. A checksum or a comparison of all that a frame may hold
(4 MiB) takes 1 to 4 ms; sorting is done in short runs (`node/statemachine/sorting.py`).
"""

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import node

NODE = str(Path(node.__file__).parent)

LINE_US = 0.1
CALL_US = 0.5
OBJECT_US = 0.15
BYTE_US = 0.001
"""What each costs, in microseconds of a slow machine: the processor time of long reads, long entries and large frames,
without the meter, by what it counts of them. `docs/bounds.md` tells how far they are from it."""

FIRST_TURNS = 40
ONE_IN = 32
"""Lines, calls and bytes are counted in so many turns of what is walked, and from then on in every so many'th, which
are like the others: to count a line takes five times as long as to run it. Objects are counted in all turns."""

TURN_US_MAX = 15_000
"""A tenth of the shortest election timeout, with default settings."""


class Work(NamedTuple):
    """What one turn did. `lines`: of the node's code; `calls`: of other Python code; `objects`: more or fewer than
    before; `bytes`: more than before, at the highest."""

    lines: int = 0
    calls: int = 0
    objects: int = 0
    bytes: int = 0

    @property
    def us(self) -> float:
        """About how long it took, in microseconds."""
        return self.lines * LINE_US + self.calls * CALL_US + self.objects * OBJECT_US + self.bytes * BYTE_US

    def __str__(self) -> str:
        said = f"{self.lines} lines, {self.calls} calls, {self.objects} objects, {self.bytes} bytes"
        return f"{self.us / 1000:.1f} ms of work in one turn ({said})"


class Meter:
    """Counts turn by turn, on the thread that calls `counting`. `worst`: the most that one turn did since `reset`."""

    def __init__(self, one_in: int = ONE_IN) -> None:
        self.worst = Work()
        self._one_in = one_in
        self.total_us = 0.0
        self.turns = 0
        self._lines = 0
        self._calls = 0
        self._objects = 0
        self._trace = self._tracer()
        self._counts = False

    def reset(self) -> None:
        """Forget what was counted."""
        self.worst, self.total_us, self.turns = Work(), 0.0, 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count this thread's turns in here. Python's collector rests: it has a test of its own, and would let go
        what other tests left."""
        gc.collect()
        gc.disable()
        self._counts = True
        try:
            yield
        finally:
            self._counts = False
            self._look(False)
            gc.enable()

    def begin(self) -> None:
        """A turn begins."""
        if not self._counts:
            return
        self._look(self.turns < FIRST_TURNS or self.turns % self._one_in == 0)
        self._objects = sys.getallocatedblocks()
        self._lines = self._calls = 0

    def end(self) -> None:
        """It ended."""
        if not self._counts:
            return
        lines, calls = self._lines, self._calls
        objects = abs(sys.getallocatedblocks() - self._objects)
        work = Work(lines, calls, objects, tracemalloc.get_traced_memory()[1])  # 0 while it is not traced
        self.turns += 1
        self.total_us += work.us
        if work.us > self.worst.us:
            self.worst = work

    def _look(self, closely: bool) -> None:
        """Count lines, calls and bytes, or leave that."""
        sys.settrace(self._trace if closely else None)
        tracemalloc.stop()
        if closely:
            tracemalloc.start()

    def turn(self, action: Callable[[], Any]) -> Any:
        """Do `action` as one turn."""
        self.begin()
        try:
            return action()
        finally:
            self.end()

    def _tracer(self) -> Callable[[FrameType, str, Any], Any]:
        ours: dict[str, bool] = {}

        def line(_frame: FrameType, _event: str, _argument: Any) -> None:
            self._lines += 1

        def call(frame: FrameType, _event: str, _argument: Any) -> Any:
            name = frame.f_code.co_filename
            is_ours = ours.get(name)
            if is_ours is None:
                is_ours = ours[name] = name.startswith(NODE)
            if is_ours:
                self._lines += 1
                return line
            self._calls += 1
            return None

        return call
