"""The links that other ranks dial: who may, what they said last, and the frames of it.

Why it exists: what `node.transport.inbound` does on sockets, in words of MPI. A rank is who mpiexec says that it is,
and the name that it says must be that rank's. It must not send anything but pongs and why a link ended.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from node.raft.messages import Lane
from node.transport.mpi.words import Kind, Word, spoken
from node.transport.packing import PackError, frames_of
from node.transport.port import GOODBYE, LOST, NO_PEER, Receiver
from node.transport.settings import LinkSettings

REASON_BYTES_MAX = 120
"""As over a WebSocket: the rest of a sentence is cut off."""


class Poster(Protocol):
    """What it needs of the MPI world."""

    def post(self, rank: int, lane: Lane, message: bytes) -> bool: ...


class _Link:
    def __init__(self, number: int, now_s: float) -> None:
        self.number = number
        self.heard_s = now_s


class Acceptor:
    """`ranks`: every name of this world, and where it is."""

    def __init__(
        self,
        *,
        name: str,
        peers: tuple[str, ...],
        ranks: Mapping[str, int],
        world: Poster,
        receiver: Receiver,
        settings: LinkSettings,
    ) -> None:
        self._name, self._peers = name, peers
        self._ranks = dict(ranks)
        self._names = {rank: other for other, rank in ranks.items()}
        self._world, self._receiver, self._settings = world, receiver, settings
        self._links: dict[tuple[str, Lane], _Link] = {}
        self._loop = asyncio.get_running_loop()
        self._listens = True
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._sweep()

    def hear(self, rank: int, lane: Lane, word: Word) -> None:
        """What a rank that dials says."""
        peer = self._names.get(rank, "")
        if word.kind is Kind.DIAL:
            self._dialled(rank, peer, lane, word)
            return
        link = self._links.get((peer, lane))
        if link is None or link.number != word.link:
            if word.kind in (Kind.PACK, Kind.PING):
                self._say(rank, lane, Kind.LOST, word.link)
            return
        link.heard_s = self._loop.time()
        if word.kind is Kind.PING:
            self._say(rank, lane, Kind.PONG, word.link)
        elif word.kind is Kind.PACK:
            reason = self._hand_over(peer, lane, link, word.rest)
            if reason:
                self._end(peer, lane, reason)
                self._say(rank, lane, Kind.CLOSED, word.link, reason)
        elif word.kind is Kind.BYE:
            self._end(peer, lane, GOODBYE)
        elif word.kind is Kind.RESET:
            self._end(peer, lane, LOST)

    def set_peers(self, peers: tuple[str, ...]) -> None:
        """Accept these from now on; links that others dialled end, with goodbye."""
        self._peers = peers
        for peer, lane in list(self._links):
            if peer not in peers:
                self._close(peer, lane, NO_PEER)

    def reset(self, peer: str) -> None:
        """Drop the links that `peer` dialled, without goodbye."""
        for lane in Lane:
            self._drop(peer, lane, "reset")

    def leave(self) -> None:
        """Say goodbye to everyone who dialled, and listen no more."""
        self._deafen()
        for peer, lane in list(self._links):
            self._close(peer, lane, "this process leaves")

    def abort(self) -> None:
        """Listen no more, as if this port were closed by force: what was dialled is lost, new dials are refused."""
        self._deafen()
        for peer, lane in list(self._links):
            self._drop(peer, lane, LOST)

    def _deafen(self) -> None:
        self._listens = False
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()

    def _dialled(self, rank: int, peer: str, lane: Lane, word: Word) -> None:
        caller, _, called = word.rest.decode(errors="replace").partition("\0")
        if not self._listens:
            self._say(rank, lane, Kind.NOBODY, word.link)
            return
        if caller != peer or called != self._name:
            self._say(rank, lane, Kind.NO, word.link, f"rank {rank} is {peer or 'nobody'}, and this is {self._name}")
            return
        if peer not in self._peers and not self._has_room_for(peer):
            self._say(rank, lane, Kind.NO, word.link, f"{peer} is no peer of {self._name}")
            return
        if (peer, lane) in self._links:
            self._end(peer, lane, "replaced by a newer link")
        self._links[peer, lane] = _Link(word.link, self._loop.time())
        self._say(rank, lane, Kind.OPEN, word.link)
        self._receiver.on_inbound(peer, lane, True, "")

    def _has_room_for(self, name: str) -> bool:
        guests = {peer for peer, _ in self._links if peer not in self._peers}
        return len(guests | {name}) <= self._settings.guests_max

    def _hand_over(self, peer: str, lane: Lane, link: _Link, pack: bytes) -> str | None:
        """Give the frames to the receiver; a sentence if the link must close."""
        try:
            for frame in frames_of(pack):
                if len(frame) > self._settings.frame_bytes_max:
                    return f"a frame of {len(frame)} bytes is over the limit of {self._settings.frame_bytes_max}"
                reason = self._receiver.on_frame(peer, lane, frame)
                if reason or self._links.get((peer, lane)) is not link:
                    return reason
        except PackError as error:
            return str(error)
        return None

    def _end(self, peer: str, lane: Lane, reason: str) -> None:
        if self._links.pop((peer, lane), None) is not None:
            self._receiver.on_inbound(peer, lane, False, reason)

    def _close(self, peer: str, lane: Lane, reason: str) -> None:
        """With goodbye."""
        self._say(self._ranks[peer], lane, Kind.CLOSED, self._links[peer, lane].number)
        self._end(peer, lane, reason)

    def _drop(self, peer: str, lane: Lane, reason: str) -> None:
        link = self._links.get((peer, lane))
        if link is not None:
            self._say(self._ranks[peer], lane, Kind.LOST, link.number)
            self._end(peer, lane, reason)

    def _sweep(self) -> None:
        """Who dialled pings; one that has not for long is dropped."""
        now_s, silence_s = self._loop.time(), self._settings.inbound_silence_s
        for (peer, lane), link in list(self._links.items()):
            if now_s - link.heard_s > silence_s:
                self._drop(peer, lane, f"silence: nothing was heard for {silence_s} s")
        if self._listens:
            self._sweep_timer = self._loop.call_later(silence_s / 10, self._sweep)

    def _say(self, rank: int, lane: Lane, kind: Kind, link: int, reason: str = "") -> None:
        rest = reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore").encode()
        self._world.post(rank, lane, spoken(kind, link, rest))
