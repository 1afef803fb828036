"""Joins three doors: who belongs (`Membership`), where that is (`Discovery`), the links that lead there (`Carrier`).

Why it exists: the runtime, discovery and transport may not know each other, and a change of members concerns all three:
first it is known where the new ones are, then they are dialled. So do those that are no members yet, or not known as
such: see `Door`. Like app.py it may know every side; it must not decide who belongs.
"""

import asyncio
from collections.abc import Callable, Mapping

from node.discovery.port import FollowedDiscovery
from node.guests import Guests
from node.runtime.membership import Membership
from node.runtime.ports import Address
from node.transport.port import Carrier, RunningCarrier


class PeerNetwork:
    """`edge`: the carrier, or the faults that wrap it. Guests are those that no configuration here lists: who asks to
    be let in, and a leader that was let in while this node was away. They get links as members do, and nothing else.

    Satisfies `node.runtime.commanding.Network`."""

    def __init__(
        self,
        membership: Membership,
        discovery: FollowedDiscovery,
        carrier: RunningCarrier,
        edge: Carrier,
        guests_max: int = 0,
        hears: Callable[[str], bool] = lambda _name: False,
        forget: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._membership, self._discovery, self._carrier = membership, discovery, carrier
        self._edge = edge
        self._guests = Guests(membership, guests_max, hears, forget, self._follow, self._later)
        self._waits: asyncio.TimerHandle | None = None
        self.is_guest, self.admit = self._guests.is_guest, self._guests.admit
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

    def close(self) -> None:
        """Look for nobody any more."""
        if self._waits is not None:
            self._waits.cancel()

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._waits = asyncio.get_running_loop().call_later(seconds, action)

    def _follow(self) -> None:
        """The membership changed, or the guests."""
        members = self._membership.peers
        guests = self._guests.addresses()
        self._discovery.set_peers(guests | self._membership.addresses())
        self._edge.set_peers((*members, *(name for name in guests if name not in members)))
