"""Whether the process behind a name is there, judged by what the links with it say: pure, for any carrier.

Why it exists: to say that a process is gone takes all of its links together (decision 8), and the rules for it are the
same on the real network and the simulated one. It must not know what a leader is.

A process is gone when no link with it stands, in either direction, and one that this node had dialled broke without
goodbye and is refused when it is dialled anew. A process that lives with its port closed still has the links that it
dialled itself. Silence, a name without an address, an answer that refuses the link, or a link that was ended from here
say nothing.
"""

from typing import Protocol

from node.raft.messages import Lane
from node.raft.types import Member
from node.transport.port import LOST, REFUSED


class OnProcess(Protocol):
    """Told of a process of a peer. `boot` is new in every process."""

    def __call__(self, member: Member, boot: str, /) -> None: ...


class Processes:
    """Fed with every change of the links; `on_gone` is told once, until a link stands again."""

    def __init__(self, on_gone: OnProcess) -> None:
        self._on_gone = on_gone
        self._standing: dict[tuple[str, Lane, str], None] = {}
        self._broken: dict[tuple[str, Lane], bool] = {}
        """Dialled links that broke without goodbye; True: and are refused now."""
        self._last: dict[str, tuple[Member, str]] = {}
        """Who said hello last under each name, until it was told that it is gone."""

    def hello(self, member: Member, boot: str) -> None:
        """A process says who it is, on a link that stands."""
        self._last[member.name] = member, boot

    def outbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        """As `Receiver.on_outbound` says it."""
        link = (peer, lane)
        if up:
            self._standing[peer, lane, "out"] = None
            self._broken.pop(link, None)
            return
        stood = self._standing.pop((peer, lane, "out"), False) is None
        if stood and reason == LOST:
            self._broken[link] = False
        elif stood:
            self._broken.pop(link, None)
        elif link in self._broken:
            self._broken[link] = reason == REFUSED
        self._judge(peer)

    def inbound(self, peer: str, lane: Lane, up: bool) -> None:
        """As `Receiver.on_inbound` says it."""
        if up:
            self._standing[peer, lane, "in"] = None
        else:
            self._standing.pop((peer, lane, "in"), None)
            self._judge(peer)

    def _judge(self, peer: str) -> None:
        if any((peer, lane, way) in self._standing for lane in Lane for way in ("in", "out")):
            return
        if any(self._broken.get((peer, lane)) for lane in Lane) and peer in self._last:
            self._on_gone(*self._last.pop(peer))
