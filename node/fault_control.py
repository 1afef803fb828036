"""Joins two doors: the runtime's `Faults` and the transport's `FaultyCarrier`, which may not know each other.

Why it exists: commands reach the faults through a port of the runtime, and what happens to them belongs in the trace.
Like app.py it may know both sides; it must not decide anything.
"""

import asyncio

from node.observe.trace import Trace
from node.runtime.ports import FaultView
from node.transport.faulty import Fault, FaultyCarrier
from node.transport.links import PeerLinks
from node.transport.port import Chance


class FaultControl:
    """Satisfies `node.runtime.ports.Faults` once `wrap` was called."""

    def __init__(self, trace: Trace, loop: asyncio.AbstractEventLoop) -> None:
        self._trace = trace
        self._loop = loop
        self._carrier: FaultyCarrier | None = None

    def wrap(self, links: PeerLinks, peers: tuple[str, ...], chance: Chance) -> FaultyCarrier:
        """The wrapper round the carrier of `links`; give it the carrier, and it to both."""
        self._carrier = FaultyCarrier(links, peers, chance, self._loop, self._tell)
        return self._carrier

    @property
    def injections(self) -> dict[str, int]:
        """Faults begun so far, by kind."""
        return self._wrapped.injections

    def failing(self) -> bool:
        """Whether this node plays dead."""
        return self._wrapped.failing

    def inject(self, kind: str, peer: str, direction: str, value: float, seconds: float) -> None:
        """See Faults."""
        self._wrapped.inject(kind, peer, direction, value, seconds)

    def heal(self, peer: str, direction: str) -> None:
        """See Faults."""
        self._wrapped.heal(peer, direction)

    def recover(self) -> None:
        """See Faults."""
        self._wrapped.recover()

    def active(self) -> tuple[FaultView, ...]:
        """See Faults."""
        now = self._loop.time()
        return tuple(
            FaultView(f.kind, f.peer, f.direction, f.value, max(0, int((f.expires_at - now) * 1e6)))
            for f in self._wrapped.active
        )

    @property
    def _wrapped(self) -> FaultyCarrier:
        if self._carrier is None:
            raise RuntimeError("faults are used before the links are wired")
        return self._carrier

    def _tell(self, fault: Fault, on: bool, reason: str) -> None:
        detail: dict[str, str | int | bool] = {
            "kind": fault.kind,
            "peer": fault.peer,
            "direction": fault.direction,
            "value": int(fault.value),
            "on": on,
            "reason": reason,
        }
        self._trace.transition("fault", self._trace.term, self._trace.role, detail)
