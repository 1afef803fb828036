"""The real carrier: a server for the links that peers dial, and one dialling link for each peer and lane.

Why it exists: it joins both sides into the `Carrier` port and owns their lives. It must not know what frames mean.
"""

import asyncio

import aiohttp

from node.raft.messages import Lane
from node.tls.peers import PeerTls
from node.transport.dialling import Resolver
from node.transport.framework import DialledConnector, DialledSocket
from node.transport.inbound import Acceptor
from node.transport.outbound import OutboundLink
from node.transport.port import NO_PEER, Chance, Receiver
from node.transport.settings import LinkSettings


class WebSocketCarrier:
    """Satisfies `node.transport.port.Carrier`.

    `peers` are the other nodes' names: links are dialled to all of them and accepted from none else, until `set_peers`
    names others. `host` and `port` are where this node listens (port 0: any free one, see `bound_port`). `chance`
    staggers dials and ages. `tls` None: all is plain. Before `start` and after `close` every `send` is refused.
    """

    def __init__(
        self,
        *,
        name: str,
        peers: tuple[str, ...],
        host: str,
        port: int,
        resolver: Resolver,
        receiver: Receiver,
        chance: Chance,
        settings: LinkSettings | None = None,
        tls: PeerTls | None = None,
    ) -> None:
        self._name = name
        self._peers = tuple(peer for peer in peers if peer != name)
        self._host = host
        self._port = port
        self._resolver = resolver
        self._receiver = receiver
        self._chance = chance
        self._settings = settings or LinkSettings()
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._flush_due: asyncio.Handle | None = None
        self._acceptor: Acceptor | None = None
        self._session: aiohttp.ClientSession | None = None
        self._outbound: dict[tuple[str, Lane], OutboundLink] = {}
        self._retired: list[OutboundLink] = []
        """To peers of the past: their goodbyes are under way, or were until lately."""

    @property
    def bound_port(self) -> int:
        """The port that is listened on; 0 before `start`."""
        return self._acceptor.port if self._acceptor is not None else 0

    async def start(self) -> None:
        """Listen, and dial every peer. Raises OSError where the address cannot be bound; nothing runs then."""
        acceptor = Acceptor(
            name=self._name,
            peers=self._peers,
            receiver=_Nudging(self._receiver, self),
            settings=self._settings,
            tls=self._tls,
        )
        acceptor.start(self._host, self._port)
        self._acceptor = acceptor
        self._session = aiohttp.ClientSession(
            connector=DialledConnector(limit=0, force_close=True, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            ws_response_class=DialledSocket,
            timeout=aiohttp.ClientTimeout(total=None),
        )
        for peer in self._peers:
            self._dial(peer, self._session)

    def _dial(self, peer: str, session: aiohttp.ClientSession) -> None:
        for lane in Lane:
            self._outbound[peer, lane] = OutboundLink(
                name=self._name,
                peer=peer,
                lane=lane,
                session=session,
                resolver=self._resolver,
                receiver=self._receiver,
                chance=self._chance,
                settings=self._settings,
                tls=self._tls,
            )

    def set_peers(self, peers: tuple[str, ...]) -> None:
        """See `Carrier.set_peers`. Before `start`: those that will be dialled then."""
        before, self._peers = self._peers, tuple(peer for peer in peers if peer != self._name)
        if self._session is None or self._acceptor is None:
            return
        self._acceptor.set_peers(self._peers)
        self._retired = [link for link in self._retired if not link.ended]
        for peer in before:
            if peer not in self._peers:
                for lane in Lane:
                    link = self._outbound.pop((peer, lane))
                    link.retire(NO_PEER)
                    self._retired.append(link)
        for peer in self._peers:
            if peer not in before:
                self._dial(peer, self._session)

    async def close(self) -> None:
        """Say goodbye to everyone and end every task and socket, within a few `close_timeout_s`."""
        links = [*self._outbound.values(), *self._retired]
        self._retired = []
        acceptor, self._acceptor = self._acceptor, None
        await asyncio.gather(*(link.leave() for link in links), *([acceptor.close()] if acceptor else []))
        self._outbound.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def send(self, peer: str, lane: Lane, frame: bytes) -> bool:
        """See `Carrier.send`."""
        link = self._outbound.get((peer, lane))
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

    def _let_go(self) -> None:
        self._flush_due = None
        for link in tuple(self._outbound.values()):  # whoever hears that one is down may change who the peers are
            link.flush()

    def outbound_up(self, peer: str, lane: Lane) -> bool:
        """See `Carrier.outbound_up`."""
        link = self._outbound.get((peer, lane))
        return link is not None and link.up

    def reset(self, peer: str | None = None) -> None:
        """See `Carrier.reset`."""
        for name in self._peers if peer is None else (peer,):
            for lane in Lane:
                link = self._outbound.get((name, lane))
                if link is not None:
                    link.reset()
            if self._acceptor is not None:
                self._acceptor.reset(name)

    def dial_now(self, peer: str) -> None:
        """The peer dialled us, so it runs: dial it without sitting out the pause."""
        for lane in Lane:
            link = self._outbound.get((peer, lane))
            if link is not None:
                link.dial_now()


class _Nudging:
    """The receiver of the inbound side: as the carrier's own, and a peer's dial wakes the dials towards it."""

    def __init__(self, receiver: Receiver, carrier: WebSocketCarrier) -> None:
        self._receiver = receiver
        self._carrier = carrier
        self.on_frame = receiver.on_frame
        self.on_outbound = receiver.on_outbound

    def on_inbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        if up:
            self._carrier.dial_now(peer)
        self._receiver.on_inbound(peer, lane, up, reason)
