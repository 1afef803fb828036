"""Joins three doors: who belongs (`Membership`), where that is (`Discovery`), the links that lead there (`Carrier`).

Why it exists: the runtime, discovery and transport may not know each other, and a change of members concerns all three:
first it is known where the new ones are, then they are dialled. So do those that are no members yet, or not known as
such: see `Door`. Like app.py it may know every side; it must not decide who belongs.
"""

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from node.discovery.static import StaticDiscovery
from node.runtime.membership import Membership
from node.runtime.ports import Address
from node.transport.port import Carrier
from node.transport.websocket import WebSocketCarrier

GUESTS_MAX = 16
"""Nodes that are no members and have links all the same."""

GUEST_NAMES_MAX = 256
"""Different names of them that one process lets come, ever: what is counted by name is kept for as long as it runs."""

GUEST_SILENCE_S = 5.0
"""Whoever is not heard for so long, twice in a row, is dialled no more."""


class _Guest(msgspec.Struct):
    """Where it is dialled. `was_silent`: when it was last looked for."""

    address: tuple[str, int]
    was_silent: bool = False


class PeerNetwork:
    """`edge`: the carrier, or the faults that wrap it. Guests are those that no configuration here lists: who asks to
    be let in, and a leader that was let in while this node was away. They get links as members do, and nothing else.

    Satisfies `node.runtime.commanding.Network`."""

    def __init__(
        self,
        membership: Membership,
        discovery: StaticDiscovery,
        carrier: WebSocketCarrier,
        edge: Carrier,
        guests_max: int = 0,
        hears: Callable[[str], bool] = lambda _name: False,
        forget: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._membership, self._discovery, self._carrier = membership, discovery, carrier
        self._edge = edge
        self._guests_max, self._hears, self._forget = guests_max, hears, forget
        self._guests: dict[str, _Guest] = {}
        self._names: dict[str, None] = {}
        """Of all guests that this process has had."""
        self._sweep: asyncio.TimerHandle | None = None
        self.reset = edge.reset
        membership.observe(self._follow)

    def addresses(self) -> Mapping[str, Address]:
        """Where each node is dialled, by name: for people, never for a dial."""
        now_s = asyncio.get_running_loop().time()
        return {
            name: Address(
                seen.host,
                seen.port,
                seen.addresses,
                seen.error,
                None if seen.at_s is None else int((now_s - seen.at_s) * 1e6),
            )
            for name, seen in self._discovery.seen().items()
        }

    def look_up(self) -> None:
        """Look every name up anew, and dial at once whom no link leads to."""
        self._discovery.look_up_all()
        for peer in self._membership.peers:
            self._carrier.dial_now(peer)

    # --- guests: Satisfies `node.transport.links.Door` ------------------------------------------------------------

    def is_guest(self, name: str) -> bool:
        """See `Door.is_guest`."""
        return name not in self._membership.peers

    def admit(self, name: str, host: str, port: int) -> str:
        """See `Door.admit`: who says where it listens is dialled there, so that it gets its answers."""
        if not self.is_guest(name):
            return ""
        if not host:
            return f"{name} is no member as far as {self._membership.own_name} knows, and says no address to answer to"
        if name not in self._guests and len(self._guests) >= self._guests_max:
            return f"{len(self._guests)} others that are no members have links with {self._membership.own_name} already"
        if name not in self._names and len(self._names) >= GUEST_NAMES_MAX:
            return f"{len(self._names)} names that are no members have come to {self._membership.own_name}: restart it"
        self._names[name] = None
        known = self._guests.get(name)
        if known is None or known.address != (host, port):
            self._guests[name] = _Guest((host, port))
            self._follow()
        if self._sweep is None:
            self._sweep_later()
        return ""

    def close(self) -> None:
        """Forget them all."""
        if self._sweep is not None:
            self._sweep.cancel()

    def _sweep_later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(GUEST_SILENCE_S, self._forget_the_silent)

    def _forget_the_silent(self) -> None:
        self._sweep = None
        members = self._membership.peers
        silent = [name for name, guest in self._guests.items() if not self._hears(name) and guest.was_silent]
        for name in silent:
            del self._guests[name]
            if name not in members:
                self._forget(name)
        for name, guest in self._guests.items():
            guest.was_silent = not self._hears(name)
        if silent:
            self._follow()
        if self._guests:
            self._sweep_later()

    def _follow(self) -> None:
        """The membership changed, or the guests."""
        members = self._membership.peers
        guests = {name: guest.address for name, guest in self._guests.items()}
        self._discovery.set_peers(guests | self._membership.addresses())
        self._edge.set_peers((*members, *(name for name in guests if name not in members)))
