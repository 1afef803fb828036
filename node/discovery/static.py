"""A list of nodes: name -> host and port, where the host may be a DNS name.

Why it exists: the list is given (by the settings, and by the configuration in force as members come and go), and only
addresses move. It must not use what DNS answered before: a host that is not an IP address is looked up on every
call. What the last look-up found is kept for people to see.
"""

import asyncio
import ipaddress
from collections.abc import Mapping

from node.discovery.lookup import Lookup
from node.discovery.port import ResolutionError, Seen


class StaticDiscovery:
    """Satisfies `node.discovery.port.FollowedDiscovery`. `peers`: every node's (host, port), this one included; until
    `set_peers` gives another list."""

    def __init__(self, peers: Mapping[str, tuple[str, int]], lookup: Lookup | None = None) -> None:
        self._peers: dict[str, tuple[str, int]] = {}
        self._lookup = lookup or Lookup()
        self._round: asyncio.Task[None] | None = None
        self._seen: dict[str, Seen] = {}
        self.set_peers(peers)

    def set_peers(self, peers: Mapping[str, tuple[str, int]]) -> None:
        """From now on this is the list. What was seen of a node counts while its host and port are the same."""
        self._peers = dict(peers)
        unseen = {name: Seen(host, port) for name, (host, port) in peers.items()}
        seen = {name: view for name, view in self._seen.items() if peers.get(name) == (view.host, view.port)}
        self._seen = unseen | seen

    def names(self) -> tuple[str, ...]:
        """See `Discovery.names`."""
        return tuple(sorted(self._peers))

    async def resolve(self, name: str) -> list[tuple[str, int]]:
        """See `Discovery.resolve`."""
        if name not in self._peers:
            raise ResolutionError(f"{name} is not in the list of nodes ({', '.join(self.names())})")
        host, port = self._peers[name]
        if not host:
            raise ResolutionError(f"the list of nodes has no address of {name}")
        try:
            addresses = [host] if is_ip(host) else await self._lookup.addresses(host)
        except ResolutionError as error:
            self._saw(name, Seen(host, port, (), str(error), asyncio.get_running_loop().time()))
            raise
        self._saw(name, Seen(host, port, tuple(addresses), "", asyncio.get_running_loop().time()))
        return [(address, port) for address in addresses]

    def _saw(self, name: str, view: Seen) -> None:
        if self._peers.get(name) == (view.host, view.port):  # the list may have changed during the look-up
            self._seen[name] = view

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


def is_ip(host: str) -> bool:
    """Whether it is an address already."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
