"""Faults at the edge of a node, on purpose: cut, delay, drop, corrupt, or everything (architecture, decision 10).

A wrapper on both sides of a carrier: what this node says passes `send`, what it hears passes `on_frame`. Everything A
says to B goes over what A dialled, so "out" on A and "in" on B are the same direction, cut at one end or the other.
Frames of a cut link vanish while the link itself stays up, as in a network that drops packets. A link that came up
during a cut has lost its greeting, so it is dialled anew when the cut ends. A frame that is corrupted here is noticed
by whoever takes it, who ends the link.

Why it exists: a cluster that nobody can break cannot be understood or trusted. It is only constructed where faults
are enabled; with none active it adds one look at an empty table to a frame. Every fault ends by itself, is told
(`on_change`) and counted. It must not look into frames, and what it delays keeps its order within a lane.
"""

import asyncio
from typing import Protocol

import msgspec

from node.raft.messages import Lane
from node.transport.held import Held, Way
from node.transport.port import Carrier, Receiver

SECONDS_MAX = 600.0
"""No fault outlives this."""

IN, OUT = "in", "out"


class Chance(Protocol):
    """A source of chance, such as `random.Random`."""

    def random(self) -> float: ...


class OnChange(Protocol):
    """Told when a fault begins (`on`) or ends; `reason`: "injected", "ended" or "expired"."""

    def __call__(self, fault: "Fault", on: bool, reason: str) -> None: ...


class Fault(msgspec.Struct, frozen=True):
    """One fault. `kind`: "failure" (every link, both ways; no peer, no direction), or that of a link; each has its
    question below. `value`: milliseconds or percent of frames. `expires_at`: seconds of the loop's clock."""

    kind: str
    peer: str
    direction: str
    value: float
    expires_at: float

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.peer, self.direction


class FaultyCarrier:
    """Satisfies `Carrier` towards the links above, and `Receiver` towards the carrier below. Call `attach` once."""

    def __init__(
        self,
        receiver: Receiver,
        peers: tuple[str, ...],
        chance: Chance,
        loop: asyncio.AbstractEventLoop,
        on_change: OnChange,
    ) -> None:
        self._receiver = receiver
        self._peers = peers
        self._chance = chance
        self._loop = loop
        self._on_change = on_change
        self._carrier: Carrier | None = None
        self._faults: dict[tuple[str, str, str], Fault] = {}
        self._held = Held(loop, self._pass_on)
        self._greeting: tuple[str, Lane] | None = None
        self._silenced: dict[str, None] = {}
        """Peers with a link whose first frame a cut took."""
        self._fresh: dict[tuple[str, Lane], None] = {}
        """Inbound links that have brought nothing yet."""
        self._expiry: asyncio.TimerHandle | None = None
        self.injections: dict[str, int] = {}
        """Faults begun so far, by kind."""

    def attach(self, carrier: Carrier) -> None:
        """The carrier below; it must know this object as its receiver."""
        self._carrier = carrier

    def close(self) -> None:
        """End every fault and timer, quietly."""
        self._faults.clear()
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        for way in self._held.ways():
            self._held.forget(way)

    # --- faults -------------------------------------------------------------------------------------------------

    @property
    def failing(self) -> bool:
        """Whether this node plays dead."""
        return ("failure", "", "") in self._faults

    @property
    def active(self) -> tuple[Fault, ...]:
        """In the order in which they began."""
        return tuple(self._faults.values())

    def inject(self, kind: str, peer: str, direction: str, value: float, seconds: float) -> None:
        """Begin a fault, or begin it anew. `direction` "both" is two faults."""
        expires_at = self._loop.time() + min(seconds, SECONDS_MAX)
        for side in (
            (IN, OUT) if direction == "both" and kind != "failure" else ("" if kind == "failure" else direction,)
        ):
            fault = Fault(kind, "" if kind == "failure" else peer, side, value, expires_at)
            self._faults[fault.key] = fault
            self.injections[kind] = self.injections.get(kind, 0) + 1
            self._on_change(fault, True, "injected")
        self._arm()

    def heal(self, peer: str, direction: str) -> None:
        """End all faults of that link in that direction ("both": both)."""
        self._end([f for f in self.active if f.peer == peer and direction in (f.direction, "both")], "ended")

    def recover(self) -> None:
        """End all faults."""
        self._end(self.active, "ended")

    def _end(self, faults: "list[Fault] | tuple[Fault, ...]", reason: str) -> None:
        for fault in faults:
            del self._faults[fault.key]
            self._on_change(fault, False, reason)
        for way in self._held.ways():
            if self._delay_s(way[0], way[1]) == 0:
                self._held.release(way, everything=True)
        for peer in list(self._silenced):
            if not self._vanishes(IN, peer) and not self._vanishes(OUT, peer):
                del self._silenced[peer]
                if self._carrier is not None:
                    self._carrier.reset(peer)
        self._arm()

    def _arm(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self._faults:
            self._expiry = self._loop.call_at(min(fault.expires_at for fault in self.active), self._expire)

    def _expire(self) -> None:
        self._expiry = None
        now = self._loop.time()
        self._end([fault for fault in self.active if fault.expires_at <= now], "expired")

    def _vanishes(self, direction: str, peer: str) -> bool:
        return self.failing or ("cut", peer, direction) in self._faults

    def _drops(self, direction: str, peer: str) -> bool:
        fault = self._faults.get(("drop", peer, direction))
        return fault is not None and self._chance.random() * 100 < fault.value

    def _corrupted(self, direction: str, peer: str, frame: bytes) -> bytes:
        """The frame, or the frame with one bit flipped, any of them."""
        fault = self._faults.get(("corrupt", peer, direction))
        if fault is None or not frame or self._chance.random() * 100 >= fault.value:
            return frame
        bit = int(self._chance.random() * len(frame) * 8)
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        return bytes(flipped)

    def _delay_s(self, direction: str, peer: str) -> float:
        fault = self._faults.get(("delay", peer, direction))
        return 0.0 if fault is None else fault.value / 1000

    # --- Carrier ------------------------------------------------------------------------------------------------

    def send(self, peer: str, lane: Lane, frame: bytes) -> bool:
        """See `Carrier.send`. What a fault takes counts as sent: nobody who speaks into a cut link knows."""
        carrier = self._carrier
        if carrier is None:
            return False
        way = (OUT, peer, lane)
        if not self._faults and way not in self._held:
            return carrier.send(peer, lane, frame)
        if not carrier.outbound_up(peer, lane):
            return False
        if self._vanishes(OUT, peer):
            if self._greeting == (peer, lane):
                self._silenced[peer] = None
            return True
        if self._greeting != (peer, lane) and self._drops(OUT, peer):
            return True
        frame = self._corrupted(OUT, peer, frame)
        delay_s = self._delay_s(OUT, peer)
        return self._held.hold(way, frame, delay_s) if delay_s or way in self._held else carrier.send(peer, lane, frame)

    def flush(self) -> None:
        """See `Carrier.flush`."""
        if self._carrier is not None:
            self._carrier.flush()

    def outbound_up(self, peer: str, lane: Lane) -> bool:
        """See `Carrier.outbound_up`."""
        return self._carrier is not None and self._carrier.outbound_up(peer, lane)

    def reset(self, peer: str | None = None) -> None:
        """See `Carrier.reset`."""
        for way in self._held.ways():
            if peer is None or way[1] == peer:
                self._held.forget(way)
        if self._carrier is not None:
            self._carrier.reset(peer)

    def set_peers(self, peers: tuple[str, ...]) -> None:
        """See `Carrier.set_peers`. Faults of links that there are no more end first."""
        for peer in self._peers:
            if peer not in peers:
                self._silenced.pop(peer, None)  # its links end for good: nothing is to be dialled anew
                self.heal(peer, "both")
        self._peers = peers
        if self._carrier is not None:
            self._carrier.set_peers(peers)

    # --- Receiver -----------------------------------------------------------------------------------------------

    def on_outbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        """See `Receiver.on_outbound`."""
        self._held.forget((OUT, peer, lane))
        self._greeting = (peer, lane) if up else None
        try:
            self._receiver.on_outbound(peer, lane, up, reason)
        finally:
            self._greeting = None

    def on_inbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        """See `Receiver.on_inbound`."""
        self._held.forget((IN, peer, lane))
        if up:
            self._fresh[peer, lane] = None
        else:
            self._fresh.pop((peer, lane), None)
        self._receiver.on_inbound(peer, lane, up, reason)

    def on_frame(self, peer: str, lane: Lane, frame: bytes) -> str | None:
        """See `Receiver.on_frame`."""
        way = (IN, peer, lane)
        first = (peer, lane) in self._fresh
        if first:
            del self._fresh[peer, lane]
        if not self._faults and way not in self._held:
            return self._receiver.on_frame(peer, lane, frame)
        if self._vanishes(IN, peer):
            if first:
                self._silenced[peer] = None
            return None
        if not first and self._drops(IN, peer):
            return None
        frame = self._corrupted(IN, peer, frame)
        delay_s = self._delay_s(IN, peer)
        if delay_s or way in self._held:
            self._held.hold(way, frame, delay_s)  # what does not fit is lost, as on a network
            return None
        return self._receiver.on_frame(peer, lane, frame)

    def _pass_on(self, way: Way, frame: bytes) -> bool:
        """False: the link is gone, and with it everything that was held for it."""
        direction, peer, lane = way
        if self._vanishes(direction, peer) or self._carrier is None:
            return True
        if direction == OUT:
            self._carrier.send(peer, lane, frame)  # refused now is lost on the way: it counted as sent long ago
            return True
        if self._receiver.on_frame(peer, lane, frame) is None:
            return True
        self.reset(peer)  # too late to close it with the sentence: this frame was taken long ago
        return False
