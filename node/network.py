"""Joins three doors: who belongs (`Membership`), where that is (`Discovery`), the links that lead there (`Carrier`).

Why it exists: the runtime, discovery and transport may not know each other, and a change of members concerns all three:
first it is known where the new ones are, then they are dialled. Like app.py it may know every side; it must not decide
who belongs.
"""

import asyncio
from collections.abc import Mapping

from node.discovery.static import StaticDiscovery
from node.runtime.membership import Membership
from node.runtime.ports import Address
from node.transport.port import Carrier
from node.transport.websocket import WebSocketCarrier


class PeerNetwork:
    """Satisfies `node.runtime.commanding.Network`. `edge`: the carrier, or the faults that wrap it."""

    def __init__(
        self, membership: Membership, discovery: StaticDiscovery, carrier: WebSocketCarrier, edge: Carrier
    ) -> None:
        self._membership, self._discovery, self._carrier = membership, discovery, carrier
        self._edge = edge
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

    def _follow(self) -> None:
        """The membership changed."""
        self._discovery.set_peers(self._membership.addresses())
        self._edge.set_peers(self._membership.peers)
