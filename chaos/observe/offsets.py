"""Where a node's wall clock lies on the tool's clock, and how sure that is.

Why it exists: a failover is over in a third of a second, and the clocks of three machines may differ by more. A node
is asked for its time; it was read somewhere between question and answer, so the middle is off by half the round trip
at most. It must not average: the shortest round trip knows best. Nor may it measure over a step: a clock that is set
is another clock from then on, and what was told of about then may belong to either.
"""

from collections.abc import Iterator

import msgspec

from chaos.model import View

WINDOW_US = 30_000_000
"""A time is placed by the best measurement of its own stretch of so long or of one beside it: clocks drift."""
WINDOWS_MAX = 3000
"""Of each process: a day."""
DRIFT = 500e-6
"""Of any time: what clocks may drift apart by themselves, or are slewed. More, and one of them was set."""
STEPS_MAX = 1000
"""Of each process; the oldest are forgotten first."""


class Offset(msgspec.Struct, frozen=True):
    """Add `offset_us` to the node's wall clock for the tool's; wrong by `uncertainty_us` at most."""

    offset_us: int
    uncertainty_us: int


class Placed(msgspec.Struct, frozen=True):
    """A time on the tool's clock. `off_us`: how far it may be off, 0: as far as `Offsets.uncertainty_us` says."""

    at_us: int
    off_us: int = 0


class _Steady:
    """What was measured of one clock that nobody set meanwhile, from `from_us` to `until_us` by the tool's clock."""

    def __init__(self, view: View, first: Offset) -> None:
        # When it was surely this clock: set it may have been as late as the answer, and again as soon as the question
        self.from_us, self.until_us = view.answered_us, view.asked_us
        self._last, self._last_us = first, view.asked_us
        self._windows = {view.asked_us // WINDOW_US: first}

    def takes(self, view: View, found: Offset) -> bool:
        """Whether this may be the same clock; if so, learn from it."""
        window = view.asked_us // WINDOW_US
        known = [(self._last, abs(view.asked_us - self._last_us))]
        known += [(self._windows[window], WINDOW_US)] if window in self._windows else []
        for one, since_us in known:
            apart_us = abs(found.offset_us - one.offset_us)
            if apart_us > found.uncertainty_us + one.uncertainty_us + DRIFT * since_us:
                return False
        self._last, self._last_us = found, view.asked_us
        self.until_us = max(self.until_us, view.asked_us)
        if window not in self._windows or found.uncertainty_us <= self._windows[window].uncertainty_us:
            self._windows[window] = found
        if len(self._windows) > WINDOWS_MAX:
            del self._windows[min(self._windows)]
        return True

    def near(self, at_us: int) -> Offset:
        """The best measurement for times about then."""
        window = at_us // WINDOW_US
        near = [self._windows[n] for n in (window - 1, window, window + 1) if n in self._windows]
        near = near or [self._windows[min(self._windows, key=lambda n: abs(n - window))]]
        return min(near, key=lambda one: one.uncertainty_us)

    def on_ours(self, time_us: int) -> int:
        """A time of this clock, by what was measured near it."""
        at_us = time_us + self.near(self.until_us).offset_us
        return time_us + self.near(at_us).offset_us

    def worst_us(self) -> int:
        """The uncertainty of the times that are placed worst."""
        return max(self.near(window * WINDOW_US).uncertainty_us for window in self._windows)


class Offsets:
    """Measurements by node and process: whoever starts again may start on another machine. `began_wall_us`: the tool's
    wall clock when its own was zero."""

    def __init__(self, began_wall_us: int) -> None:
        self._began_wall_us = began_wall_us
        self._clocks: dict[tuple[str, str], list[_Steady]] = {}
        """By node and process, in the order of time: a new one with every step."""
        self._last_boot: dict[str, str] = {}

    def add(self, view: View, node: str) -> None:
        """Learn from an answer; one without a time teaches nothing. In the order in which they came."""
        if view.time_us is None:
            return
        middle_us = (view.asked_us + view.answered_us) // 2
        found = Offset(middle_us - view.time_us, (view.answered_us - view.asked_us + 1) // 2)
        clocks = self._clocks.setdefault((node, view.boot), [])
        if not clocks or not clocks[-1].takes(view, found):
            clocks.append(_Steady(view, found))
        del clocks[:-STEPS_MAX]
        self._last_boot[node] = view.boot

    def place(self, node: str, boot: str, time_us: int, arrived_us: int) -> Placed:
        """A time of that process on the tool's clock, told of at `arrived_us`. Unmeasured: as the node's last measured
        process; never measured: as though it had our wall clock. What may be of either side of a step is placed by the
        later one, and may be off by as much as lies between. Two steps between two answers, or one in the last moments
        of a process, nobody can see."""
        clocks = self._clocks.get((node, boot)) or self._clocks.get((node, self._last_boot.get(node, "")))
        if not clocks:
            return Placed(time_us - self._began_wall_us)
        if len(clocks) == 1:
            return Placed(clocks[0].on_ours(time_us))
        found = []
        for clock, (lower_us, upper_us) in zip(clocks, _reach(clocks), strict=True):
            at_us, off_us = clock.on_ours(time_us), clock.worst_us()
            if lower_us - off_us <= at_us <= min(upper_us, arrived_us) + off_us:
                found.append(at_us)
        if not found:  # while it was being set: nobody measured that clock
            at_us = min((clock.on_ours(time_us) for clock in clocks), key=lambda at_us: abs(at_us - arrived_us))
            return Placed(min(at_us, arrived_us), abs(arrived_us - at_us))
        return Placed(found[-1], max(abs(found[-1] - one) for one in found))

    def steps(self, node: str) -> int:
        """How often the clock of that node was set while it was watched."""
        return sum(len(clocks) - 1 for (name, _), clocks in self._clocks.items() if name == node)

    def uncertainty_us(self, node: str) -> int | None:
        """Half the round trip by which its worst placed times are placed; None: never measured."""
        measured = (clock for (name, _), clocks in self._clocks.items() if name == node for clock in clocks)
        return max((clock.worst_us() for clock in measured), default=None)


def _reach(clocks: list[_Steady]) -> Iterator[tuple[float, float]]:
    """From when to when each may have gone: as far as its neighbours were not measured yet, or not any more."""
    for number in range(len(clocks)):
        began = clocks[number - 1].until_us if number else float("-inf")
        yield began, clocks[number + 1].from_us if number + 1 < len(clocks) else float("inf")
