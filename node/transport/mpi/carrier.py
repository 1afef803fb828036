"""The carrier over MPI: a rank a node, lanes as tags.

Why it exists: where MPI is how machines speak, and sockets are not. It joins both sides into the `Carrier` port, as
`node.transport.websocket` does. What MPI does not have is said in words (words.py); what it cannot say, that a process
is gone, is known by silence alone. A rank that died cannot come back, so its links are dialled in vain until the world
ends. It must not call MPI: the world's thread does.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from node.raft.messages import Lane
from node.transport.dialled import DialledLinks, Nudging
from node.transport.mpi.inbound import Acceptor
from node.transport.mpi.outbound import OutboundLink, Post
from node.transport.mpi.words import BY_DIALLER, Kind, heard, spoken
from node.transport.mpi.world import Hearer
from node.transport.port import Chance, Receiver
from node.transport.settings import LinkSettings

LINKS_PER_LIFE = 1 << 32
"""Numbers of links that one carrier uses on one lane; the next one in this process begins beyond them."""
FAREWELL_LOOK_S = 0.002


class World(Post, Protocol):
    """What a carrier needs of `MpiWorld`."""

    def attach(self, loop: asyncio.AbstractEventLoop, hearer: Hearer) -> None: ...


class MpiCarrier:
    """Satisfies `node.transport.port.Carrier`. `ranks`: the rank of every name; `world`, an `MpiWorld`, was
    joined, and this carrier is attached to it by `start`. `life` grows where one process has several."""

    def __init__(
        self,
        *,
        name: str,
        peers: tuple[str, ...],
        ranks: Mapping[str, int],
        world: World,
        receiver: Receiver,
        chance: Chance,
        settings: LinkSettings | None = None,
        life: int = 0,
    ) -> None:
        self._name = name
        self._ranks, self._world = dict(ranks), world
        self._names = {rank: other for other, rank in ranks.items()}
        self._receiver, self._chance, self._settings = receiver, chance, settings or LinkSettings()
        self._first_link = life * LINKS_PER_LIFE
        self._loop = asyncio.get_running_loop()
        self._acceptor: Acceptor | None = None
        self._links = DialledLinks(name, peers, self._dial)
        self.send = self._links.send
        self.flush = self._links.flush
        self.outbound_up = self._links.outbound_up
        self.dial_now = self._links.dial_now

    async def start(self) -> None:
        """Listen, and dial every peer."""
        self._acceptor = Acceptor(
            name=self._name,
            peers=self._links.peers,
            ranks=self._ranks,
            world=self._world,
            receiver=Nudging(self._receiver, self._links.dial_now),
            settings=self._settings,
        )
        self._world.attach(self._loop, self)
        self._links.start()

    def _dial(self, peer: str, lane: Lane) -> OutboundLink:
        self._first_link += 1 << 16  # a link to one that comes back as a peer has new numbers
        link = OutboundLink(
            name=self._name,
            peer=peer,
            rank=self._ranks.get(peer),
            lane=lane,
            world=self._world,
            receiver=self._receiver,
            chance=self._chance,
            settings=self._settings,
            first_link=self._first_link,
        )
        # Not within this call: the receiver may hear of a failure before its maker is ready.
        self._loop.call_soon(link.start)
        return link

    # --- what the world tells -----------------------------------------------------------------------------------

    def on_message(self, rank: int, lane: Lane, message: bytes) -> None:
        """See `Hearer`."""
        word = heard(message)
        if word is None:
            return
        if word.kind in BY_DIALLER:
            if self._acceptor is not None:
                self._acceptor.hear(rank, lane, word)
            return
        link = self._links.get(self._names.get(rank, ""), lane)
        if link is not None:
            link.hear(word)
        elif word.kind is Kind.OPEN:  # of one that is no peer any more
            self._world.post(rank, lane, spoken(Kind.RESET, word.link))

    def on_room(self, rank: int, lane: Lane) -> None:
        """See `Hearer`."""
        link = self._links.get(self._names.get(rank, ""), lane)
        if link is not None:
            link.flush()

    # --- Carrier ------------------------------------------------------------------------------------------------

    def reset(self, peer: str | None = None) -> None:
        """See `Carrier.reset`."""
        for name in self._links.peers if peer is None else (peer,):
            self._links.reset(name)
            if self._acceptor is not None:
                self._acceptor.reset(name)

    def set_peers(self, peers: tuple[str, ...]) -> None:
        """See `Carrier.set_peers`. Before `start`: those that will be dialled then."""
        if self._acceptor is not None and self._links.runs:
            self._acceptor.set_peers(tuple(peer for peer in peers if peer != self._name))
        self._links.set_peers(peers)

    async def close(self) -> None:
        """Say goodbye to everyone, within a few `close_timeout_s`; the world goes on, and refuses who dials."""
        links = self._links.stop()
        self._links.clear()
        if self._acceptor is not None:
            self._acceptor.leave()
        for link in links:
            link.retire("this process leaves")
        for _ in range(int(2 * self._settings.close_timeout_s / FAREWELL_LOOK_S)):
            if all(link.ended for link in links):
                break
            await asyncio.sleep(FAREWELL_LOOK_S)
        self._end()

    def abandon(self) -> None:
        """End as a process that is killed, in a rank that goes on: everything is lost to the others."""
        for link in self._links.stop():
            link.abandon()
        self._links.clear()
        if self._acceptor is not None:
            self._acceptor.abort()
        self._end()

    def close_port(self) -> None:
        """Listen no more, by force."""
        if self._acceptor is not None:
            self._acceptor.abort()

    def _end(self) -> None:
        self._world.attach(self._loop, Nobody(self._world))


class Nobody:
    """Answers for a rank in which no carrier runs, as a machine does for a port at which nothing listens."""

    def __init__(self, world: World) -> None:
        self._world = world

    def on_message(self, rank: int, lane: Lane, message: bytes) -> None:
        """See `Hearer`."""
        word = heard(message)
        answers = {Kind.DIAL: Kind.NOBODY, Kind.PACK: Kind.LOST, Kind.PING: Kind.LOST, Kind.OPEN: Kind.RESET}
        if word is not None and word.kind in answers:
            self._world.post(rank, lane, spoken(answers[word.kind], word.link))

    def on_room(self, rank: int, lane: Lane) -> None:
        """See `Hearer`."""
