"""The real carrier: a server for the links that peers dial, and one dialling link for each peer and lane.

Why it exists: it joins both sides into the `Carrier` port and owns their lives. It must not know what frames mean.
"""

import asyncio

import aiohttp

from node.raft.messages import Lane
from node.tls.peers import PeerTls
from node.transport.dialled import DialledLinks, Nudging
from node.transport.dialling import Resolver
from node.transport.framework import DialledConnector, DialledSocket
from node.transport.inbound import Acceptor
from node.transport.outbound import OutboundLink
from node.transport.port import Chance, Receiver
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
        self._host = host
        self._port = port
        self._resolver = resolver
        self._receiver = receiver
        self._chance = chance
        self._settings = settings or LinkSettings()
        self._tls = tls
        self._acceptor: Acceptor | None = None
        self._session: aiohttp.ClientSession | None = None
        self._links = DialledLinks(name, peers, self._dial)
        self.send = self._links.send
        self.flush = self._links.flush
        self.outbound_up = self._links.outbound_up
        self.dial_now = self._links.dial_now

    @property
    def bound_port(self) -> int:
        """The port that is listened on; 0 before `start`."""
        return self._acceptor.port if self._acceptor is not None else 0

    async def start(self) -> None:
        """Listen, and dial every peer. Raises OSError where the address cannot be bound; nothing runs then."""
        acceptor = Acceptor(
            name=self._name,
            peers=self._links.peers,
            receiver=Nudging(self._receiver, self._links.dial_now),
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
        self._links.start()

    def _dial(self, peer: str, lane: Lane) -> OutboundLink:
        assert self._session is not None, "links are dialled between `start` and `close` alone"
        return OutboundLink(
            name=self._name,
            peer=peer,
            lane=lane,
            session=self._session,
            resolver=self._resolver,
            receiver=self._receiver,
            chance=self._chance,
            settings=self._settings,
            tls=self._tls,
        )

    def set_peers(self, peers: tuple[str, ...]) -> None:
        """See `Carrier.set_peers`. Before `start`: those that will be dialled then."""
        if self._acceptor is not None and self._links.runs:
            self._acceptor.set_peers(tuple(peer for peer in peers if peer != self._name))
        self._links.set_peers(peers)

    async def close(self) -> None:
        """Say goodbye to everyone and end every task and socket, within a few `close_timeout_s`."""
        links = self._links.stop()
        acceptor, self._acceptor = self._acceptor, None
        await asyncio.gather(*(link.leave() for link in links), *([acceptor.close()] if acceptor else []))
        self._links.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def reset(self, peer: str | None = None) -> None:
        """See `Carrier.reset`."""
        for name in self._links.peers if peer is None else (peer,):
            self._links.reset(name)
            if self._acceptor is not None:
                self._acceptor.reset(name)
