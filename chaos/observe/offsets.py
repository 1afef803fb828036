"""Where a node's wall clock lies on the tool's clock, and how sure that is.

Why it exists: a failover is over in a third of a second, and the clocks of three machines may differ by more. A node
is asked for its time; it was read somewhere between question and answer, so the middle is off by half the round trip
at most. It must not average: the shortest round trip knows best.
"""

from collections.abc import Mapping

import msgspec

from chaos.clock import Clock
from chaos.model import View

WINDOW_US = 30_000_000
"""A time is placed by the best measurement of its own stretch of so long or of one beside it: clocks drift."""
WINDOWS_MAX = 3000
"""Of each process: a day."""


class Offset(msgspec.Struct, frozen=True):
    """Add `offset_us` to the node's wall clock for the tool's; wrong by `uncertainty_us` at most."""

    offset_us: int
    uncertainty_us: int


class Offsets:
    """Measurements by node and process: whoever starts again may start on another machine."""

    def __init__(self, clock: Clock) -> None:
        self._began_wall_us = clock.began_wall_us
        self._best: dict[tuple[str, str], dict[int, Offset]] = {}
        """By node and process, and by the window of the node's own time."""
        self._last_boot: dict[str, str] = {}

    def add(self, view: View, node: str) -> None:
        """Learn from an answer; one without a time teaches nothing."""
        if view.time_us is None:
            return
        middle_us = (view.asked_us + view.answered_us) // 2
        found = Offset(middle_us - view.time_us, (view.answered_us - view.asked_us + 1) // 2)
        windows = self._best.setdefault((node, view.boot), {})
        window = view.time_us // WINDOW_US
        if window not in windows or found.uncertainty_us <= windows[window].uncertainty_us:
            windows[window] = found
        if len(windows) > WINDOWS_MAX:
            del windows[min(windows)]
        self._last_boot[node] = view.boot

    def on_ours(self, node: str, boot: str, time_us: int) -> int:
        """A time of that process on the tool's clock. Unmeasured: as the node's last measured process; never
        measured: as though it had our wall clock."""
        windows = self._best.get((node, boot)) or self._best.get((node, self._last_boot.get(node, "")))
        if not windows:
            return time_us - self._began_wall_us
        return time_us + _of(windows, time_us // WINDOW_US).offset_us

    def uncertainty_us(self, node: str) -> int | None:
        """Half the round trip by which its worst placed times are placed; None: never measured."""
        measured = [windows for (name, _), windows in self._best.items() if name == node]
        return max((_of(windows, n).uncertainty_us for windows in measured for n in windows), default=None)


def _of(windows: Mapping[int, Offset], window: int) -> Offset:
    """The best measurement for times of that window."""
    near = [windows[n] for n in (window - 1, window, window + 1) if n in windows]
    near = near or [windows[min(windows, key=lambda n: abs(n - window))]]
    return min(near, key=lambda one: one.uncertainty_us)
