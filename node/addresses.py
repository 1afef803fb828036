"""Whose a connection is, as far as its address says: what one client may have is counted by this.

Why it exists: one client that opens thousands of connections must not stand before all others as thousands would. Many
may share an address (a proxy, a machine), so no share is so small that it hurts them. It must not refuse anybody.
"""

from contextvars import ContextVar
from ipaddress import IPv6Address

NOBODY = ""
"""Where no address is known, or it says nothing: a machine's own, which its programs and proxies beside it share. It
may have all connections."""

OWN = ("127.0.0.1", "::1")

ASKING: ContextVar[str] = ContextVar("whose", default=NOBODY)
"""Whose the connection is over which a request came that is done now. Doors set it, as `CURRENT` of node.access."""

NETWORK_BYTES = 8
"""Of an IPv6 address: who has one has all of its /64."""


def whose(address: object) -> str:
    """Of an address as sockets give it: the host of IPv4, the network of IPv6."""
    host = address[0] if isinstance(address, tuple) and address else address
    if not isinstance(host, str) or host in OWN:
        return NOBODY
    if ":" not in host:
        return host
    try:
        six = IPv6Address(host.partition("%")[0])
    except ValueError:
        return NOBODY
    if six.ipv4_mapped is not None:
        return whose(str(six.ipv4_mapped))
    return f"{IPv6Address(six.packed[:NETWORK_BYTES] + bytes(16 - NETWORK_BYTES))}/64"
