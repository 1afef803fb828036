"""The links that a carrier dials, one per peer and lane, whatever they are made of; and who wakes them.

Why it exists: to whom links lead, when what was said leaves, and what becomes of links to peers of the past is the same
for every carrier. It must not know what a link is made of, nor who listens.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from node.raft.messages import Lane
from node.transport.port import NO_PEER, Receiver


class DialledLink(Protocol):
    """What of a link is the same for every carrier."""

    @property
    def up(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    def send(self, frame: bytes) -> bool: ...
    def flush(self) -> None: ...
    def reset(self) -> None: ...
    def dial_now(self) -> None: ...
    def retire(self, reason: str) -> None: ...


L = TypeVar("L", bound=DialledLink)


class DialledLinks(Generic[L]):
    """Of the node called `name`. `dial`: begin a link to that peer on that lane. Until `start` there are none."""

    def __init__(self, name: str, peers: tuple[str, ...], dial: Callable[[str, Lane], L]) -> None:
        self._name = name
        self._dial = dial
        self._loop = asyncio.get_running_loop()
        self._flush_due: asyncio.Handle | None = None
        self._links: dict[tuple[str, Lane], L] = {}
        self._retired: list[L] = []
        """To peers of the past: their goodbyes are under way, or were until lately."""
        self.runs = False
        """Whether peers are dialled: between `start` and `stop`."""
        self.peers = self._others(peers)

    def start(self) -> None:
        """Dial every peer."""
        self.runs = True
        for peer in self.peers:
            self._dial_both(peer)

    def set_peers(self, peers: tuple[str, ...]) -> None:
        """Say goodbye to who is no peer any more, and dial who is one now."""
        before, self.peers = self.peers, self._others(peers)
        if not self.runs:
            return
        self._retired = [link for link in self._retired if not link.ended]
        for peer in before:
            if peer not in self.peers:
                for lane in Lane:
                    link = self._links.pop((peer, lane))
                    link.retire(NO_PEER)
                    self._retired.append(link)
        for peer in self.peers:
            if peer not in before:
                self._dial_both(peer)

    def stop(self) -> list[L]:
        """Dial nobody from now on; all links that there are, to be ended by the caller. See `clear`."""
        self.runs = False
        links = [*self._links.values(), *self._retired]
        self._retired = []
        return links

    def clear(self) -> None:
        """Forget them."""
        self._links.clear()
        if self._flush_due is not None:
            self._flush_due.cancel()
            self._flush_due = None

    def get(self, peer: str, lane: Lane) -> L | None:
        """The link to that peer; None: it is none."""
        return self._links.get((peer, lane))

    # --- as in `Carrier` ----------------------------------------------------------------------------------------

    def send(self, peer: str, lane: Lane, frame: bytes) -> bool:
        """See `Carrier.send`."""
        link = self._links.get((peer, lane))
        if link is None or not link.send(frame):
            return False
        if self._flush_due is None:
            self._flush_due = self._loop.call_soon(self._let_go)
        return True

    def flush(self) -> None:
        """See `Carrier.flush`."""
        if self._flush_due is not None:
            self._flush_due.cancel()
            self._let_go()

    def outbound_up(self, peer: str, lane: Lane) -> bool:
        """See `Carrier.outbound_up`."""
        link = self._links.get((peer, lane))
        return link is not None and link.up

    def reset(self, peer: str) -> None:
        """Break the links to that peer."""
        for link in self._to(peer):
            link.reset()

    def dial_now(self, peer: str) -> None:
        """The peer dialled us, so it runs: dial it without sitting out the pause."""
        for link in self._to(peer):
            link.dial_now()

    def _let_go(self) -> None:
        self._flush_due = None
        for link in tuple(self._links.values()):  # whoever hears that one is down may change who the peers are
            link.flush()

    def _to(self, peer: str) -> list[L]:
        return [link for lane in Lane if (link := self._links.get((peer, lane))) is not None]

    def _dial_both(self, peer: str) -> None:
        for lane in Lane:
            self._links[peer, lane] = self._dial(peer, lane)

    def _others(self, peers: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(peer for peer in peers if peer != self._name)


class Nudging:
    """The receiver of the inbound side: as the carrier's own, and a peer's dial wakes the dials towards it."""

    def __init__(self, receiver: Receiver, dial_now: Callable[[str], None]) -> None:
        self._receiver = receiver
        self._dial_now = dial_now
        self.on_frame = receiver.on_frame
        self.on_outbound = receiver.on_outbound

    def on_inbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        """See `Receiver`."""
        if up:
            self._dial_now(peer)
        self._receiver.on_inbound(peer, lane, up, reason)
