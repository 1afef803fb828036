"""What clients do during a run, as a port: their requests, what is kept of them, and which checks judge that.

Why it exists: registers show lost writes and stale reads; other promises need other requests. A workload is one class
that satisfies this and one entry of `WORKLOADS` in chaos/checks/judge.py. It must not judge.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random
from typing import Protocol

import aiohttp

from chaos.clock import Clock
from chaos.targets.port import Target
from chaos.workload.history import Op, PastRead


class Workload(Protocol):
    """The clients of one run. What it leaves behind is `history`, and what `final_reads` finds."""

    name: str
    """By it the checks are chosen, also when a kept run is judged again."""
    full: str
    """Why nothing more is kept and the clients have stopped; empty: they go on."""
    versions: dict[str, int]
    """By key, how often it was written, known after `final_reads`; empty: nobody says."""
    past: dict[str, tuple[PastRead, ...]]
    """By key, what it held at the revision of each acknowledged write, known after `final_reads`."""

    @property
    def history(self) -> Sequence[Op]:
        """What every client was told, in that order; bounded."""
        ...

    def start(self) -> None:
        """Let the clients begin; harmless when they have."""

    async def stop(self) -> None:
        """Begin no other request, and wait in bounds for those under way."""

    def acknowledged_per_second(self, window_s: float) -> float:
        """Writes that were acknowledged in the last `window_s` seconds, a second."""
        ...

    async def until_written(self, nodes: Collection[str], since_us: int, limit_s: float) -> list[str]:
        """Wait until each node has acknowledged a write that was sent to it after that; those that had not in time."""
        ...

    async def final_reads(self, leader_url: str) -> Mapping[str, int]:
        """The last word on every key; what cannot be read is left out. Call it after `stop`."""
        ...


MakeWorkload = Callable[[Target, aiohttp.ClientSession, Clock, Random, str], Workload]
"""From the target, how to ask, the clock, chance, and the name of the run, which no other run has."""
