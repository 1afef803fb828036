"""One endpoint of a simulated network, and the links between two.

Why it exists: what one process knows of its own links, apart from what lies between them (network.py).
"""

from collections.abc import Callable
from typing import Protocol

from node.raft.messages import Lane
from node.simulation.weather import NetworkLimits
from node.transport.port import Receiver


class Wiring(Protocol):
    """What an endpoint asks of the network that it hangs on."""

    limits: NetworkLimits

    def transmit(self, link: "Link", frame: bytes) -> bool: ...

    def reset(self, carrier: "SimCarrier", peers: tuple[str, ...]) -> None: ...

    def change_peers(self, carrier: "SimCarrier", before: tuple[str, ...]) -> None: ...


class Link:
    """One connection. Each end is open until it has learned of the end; frames arrive only while the far end is."""

    def __init__(self, source: "SimCarrier", target: "SimCarrier", lane: Lane) -> None:
        self.source = source
        self.target = target
        self.lane = lane
        self.near_open = False
        self.ever_up = False
        self.far_open = True
        self.queued_frames = 0
        self.queued_bytes = 0
        self.sent_frames = 0
        self.floor_us = 0
        self.hello_at_us = 0
        self.held: list[bytes] = []
        self.blocked_since_us: int | None = None


class Dialler:
    """The state of one outbound lane. `attempt` makes scheduled dials of the past recognisable."""

    def __init__(self, pause_us: int) -> None:
        self.link: Link | None = None
        self.attempt = 0
        self.pause_us = pause_us
        self.up_at_us = 0
        self.failing = False
        self.reported: str | None = None


class SimCarrier:
    """One endpoint in one life (a restart makes a new one). Satisfies `node.transport.port.Carrier`."""

    def __init__(
        self, network: Wiring, name: str, peers: tuple[str, ...], receiver: Receiver, label: str, guests_max: int
    ) -> None:
        self.name = name
        self.label = label
        self.peers = tuple(peer for peer in peers if peer != name)
        self.receiver = receiver
        self.guests_max = guests_max
        self.running = True
        self.paused = False
        self.backlog: list[Callable[[], None]] = []
        self.inbound: dict[tuple[str, Lane], Link] = {}
        pause_us = network.limits.redial_min_us
        self.diallers = {(peer, lane): Dialler(pause_us) for peer in self.peers for lane in Lane}
        self._network = network

    def accepts(self, name: str) -> bool:
        """Whether one of that name may dial: a peer, or a guest for whom there is room."""
        if name in self.peers:
            return True
        guests = {dialler: None for dialler, _ in self.inbound if dialler not in self.peers}
        return len(guests | {name: None}) <= self.guests_max

    def send(self, peer: str, lane: Lane, frame: bytes) -> bool:
        """See `Carrier.send`."""
        dialler = self.diallers.get((peer, lane))
        if dialler is None or dialler.link is None or not self.running:
            return False
        return self._network.transmit(dialler.link, frame)

    def flush(self) -> None:
        """See `Carrier.flush`: this network takes everything at once."""

    def outbound_up(self, peer: str, lane: Lane) -> bool:
        """See `Carrier.outbound_up`."""
        dialler = self.diallers.get((peer, lane))
        return dialler is not None and dialler.link is not None

    def reset(self, peer: str | None = None) -> None:
        """See `Carrier.reset`."""
        self._network.reset(self, self.peers if peer is None else (peer,))

    def set_peers(self, peers: tuple[str, ...]) -> None:
        """See `Carrier.set_peers`."""
        before, self.peers = self.peers, tuple(peer for peer in peers if peer != self.name)
        self._network.change_peers(self, before)
