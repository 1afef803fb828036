"""A fixed list of nodes: name -> host and port, where the host may be a DNS name.

Why it exists: it is all that a laptop needs, and every place where names do not move. It must not keep what DNS
answered: a host that is not an IP address is looked up on every call.
"""

import ipaddress
from collections.abc import Mapping

from node.discovery.lookup import Lookup
from node.discovery.port import ResolutionError

PORT_MAX = 65535


class StaticDiscovery:
    """Satisfies `node.discovery.port.Discovery`. `peers`: every node's (host, port), this one included."""

    def __init__(self, peers: Mapping[str, tuple[str, int]], lookup: Lookup | None = None) -> None:
        self._peers = dict(peers)
        self._lookup = lookup or Lookup()

    def names(self) -> tuple[str, ...]:
        """See `Discovery.names`."""
        return tuple(sorted(self._peers))

    async def resolve(self, name: str) -> list[tuple[str, int]]:
        """See `Discovery.resolve`."""
        if name not in self._peers:
            raise ResolutionError(f"{name} is not in the list of nodes ({', '.join(self.names())})")
        host, port = self._peers[name]
        if _is_ip(host):
            return [(host, port)]
        return [(address, port) for address in await self._lookup.addresses(host)]

    async def close(self) -> None:
        """End the look-ups' thread, if there is one."""
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
