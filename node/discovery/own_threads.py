"""aiohttp's resolver, on the threads of a `Lookup`: no process waits for these at its end.

Why it exists: aiohttp asks the event loop's default executor, and a name server that is silent would hold up the way
out for as long as `getaddrinfo` waits, which may be a minute.
"""

import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from node.discovery.lookup import Lookup


class OwnThreads(AbstractResolver):
    """For one session; its `lookup` is the maker's to close."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """See aiohttp's."""
        found = []
        for address in await self._lookup.addresses(host):
            of = socket.AF_INET6 if ":" in address else socket.AF_INET
            if family in (socket.AF_UNSPEC, of):
                flags = socket.AI_NUMERICHOST
                found.append(ResolveResult(hostname=host, host=address, port=port, family=of, proto=0, flags=flags))
        return found

    async def close(self) -> None:
        """The look-up is its maker's to close."""
