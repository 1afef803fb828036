"""A fixed list of nodes: name -> host and port, where the host may be a DNS name.

Why it exists: names are configured (on a laptop by hand, on Kubernetes as the names of a headless Service's pods), and
only addresses move. It must not use what DNS answered before: a host that is not an IP address is looked up on every
call. What the last look-up found is kept for people to see.
"""

import asyncio
import ipaddress
from collections.abc import Mapping

from node.discovery.lookup import Lookup
from node.discovery.port import ResolutionError, Seen

PORT_MAX = 65535


class StaticDiscovery:
    """Satisfies `node.discovery.port.Discovery`. `peers`: every node's (host, port), this one included."""

    def __init__(self, peers: Mapping[str, tuple[str, int]], lookup: Lookup | None = None) -> None:
        self._peers = dict(peers)
        self._lookup = lookup or Lookup()
        self._round: asyncio.Task[None] | None = None
        self._seen = {name: Seen(host, port) for name, (host, port) in self._peers.items()}

    def names(self) -> tuple[str, ...]:
        """See `Discovery.names`."""
        return tuple(sorted(self._peers))

    async def resolve(self, name: str) -> list[tuple[str, int]]:
        """See `Discovery.resolve`."""
        if name not in self._peers:
            raise ResolutionError(f"{name} is not in the list of nodes ({', '.join(self.names())})")
        host, port = self._peers[name]
        try:
            addresses = [host] if _is_ip(host) else await self._lookup.addresses(host)
        except ResolutionError as error:
            self._seen[name] = Seen(host, port, (), str(error), asyncio.get_running_loop().time())
            raise
        self._seen[name] = Seen(host, port, tuple(addresses), "", asyncio.get_running_loop().time())
        return [(address, port) for address in addresses]

    def seen(self) -> dict[str, Seen]:
        """See `Discovery.seen`."""
        return dict(self._seen)

    def look_up_all(self) -> None:
        """Begin to look every name up, for `seen`; one such round at a time."""
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._look_up_all(), name="look up all names")

    async def _look_up_all(self) -> None:
        await asyncio.gather(*(self.resolve(name) for name in self._peers), return_exceptions=True)

    async def close(self) -> None:
        """End the look-ups and their threads."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait([self._round])
        await self._lookup.close()


def parse_peers(text: str) -> dict[str, tuple[str, int]]:
    """`"n1=127.0.0.1:9001,n2=[::1]:9002"` as a mapping. Raises ValueError with one sentence that names the item."""
    peers: dict[str, tuple[str, int]] = {}
    for item in (part.strip() for part in text.split(",") if part.strip()):
        name, equals, address = (piece.strip() for piece in item.partition("="))
        host, colon, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not (name and equals and host and colon and port.isascii() and port.isdigit()):
            raise ValueError(f"the peer {item!r} is not of the form name=host:port")
        if not 0 < int(port) <= PORT_MAX:
            raise ValueError(f"the peer {item!r} has a port that is not between 1 and {PORT_MAX}")
        if name in peers:
            raise ValueError(f"the peer {name!r} is listed twice")
        peers[name] = (host, int(port))
    return peers


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
