"""Where a node's wall clock lies on the tool's clock, and how sure that is.

Why it exists: a failover is over in a third of a second, and the clocks of three machines may differ by more. A node
is asked for its time; it was read somewhere between question and answer, so the middle is off by half the round trip
at most. It must not average: the shortest round trip knows best.
"""

import msgspec

from chaos.clock import Clock
from chaos.model import View

SAMPLES_MAX = 32
"""Of each process the last so many measurements count: clocks drift."""


class Offset(msgspec.Struct, frozen=True):
    """Add `offset_us` to the node's wall clock for the tool's; wrong by `uncertainty_us` at most."""

    offset_us: int
    uncertainty_us: int


class Offsets:
    """Measurements by node and process: whoever starts again may start on another machine."""

    def __init__(self, clock: Clock) -> None:
        self._began_wall_us = clock.began_wall_us
        self._samples: dict[tuple[str, str], list[Offset]] = {}
        self._last_boot: dict[str, str] = {}

    def add(self, view: View, node: str) -> None:
        """Learn from an answer; one without a time teaches nothing."""
        if view.time_us is None:
            return
        middle_us = (view.asked_us + view.answered_us) // 2
        half_us = (view.answered_us - view.asked_us + 1) // 2
        samples = self._samples.setdefault((node, view.boot), [])
        samples.append(Offset(middle_us - view.time_us, half_us))
        del samples[:-SAMPLES_MAX]
        self._last_boot[node] = view.boot

    def of(self, node: str, boot: str) -> Offset | None:
        """The best measurement of that process; None: none was made."""
        samples = self._samples.get((node, boot))
        return min(samples, key=lambda one: one.uncertainty_us) if samples else None

    def on_ours(self, node: str, boot: str, time_us: int) -> int:
        """A time of that process on the tool's clock. Unmeasured: as the node's last measured process; never
        measured: as though it had our wall clock."""
        found = self.of(node, boot) or self.of(node, self._last_boot.get(node, ""))
        return time_us + found.offset_us if found else time_us - self._began_wall_us

    def uncertainty_us(self, node: str) -> int | None:
        """Half the round trip of the node's worst known process; None: never measured."""
        best = [self.of(name, boot) for name, boot in self._samples if name == node]
        return max((one.uncertainty_us for one in best if one), default=None)
