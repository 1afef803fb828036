"""A registry beside the list: where a node says that it is now, and where the list has it.

Why it exists: a node may be anywhere, and move, while settings and configuration name it. The registry is asked for
every dial; what it says is tried first, then the list, so a registry that is wrong, empty or gone costs a moment and
not a node. Its last word is tried while it is silent, for then nobody has a newer one; whoever answers there must say
the right name, and prove it where there is TLS. It must not believe the registry about anything but places.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Protocol

from node.discovery.lookup import Lookup
from node.discovery.port import ResolutionError, Seen
from node.discovery.static import StaticDiscovery, is_ip
from node.discovery.words import PER_NAME_MAX, Found

LAST_WORDS_MAX = 256
"""Names whose last answer is kept."""
LIST_S_MAX = 0.2
"""How long the list's own look-up is waited for where the registry gave an address already."""
REGISTERED_S_MAX = 0.2
"""How long the look-ups of registered hosts, side by side, are waited for: whoever registers may name what no name
server knows, and the list must be tried all the same within the time of a dial."""

Place = tuple[str, int]


class Finder(Protocol):
    """Satisfied by `RegistryClient`."""

    url: str

    async def find(self, name: str) -> Found: ...


class RegistryDiscovery:
    """Satisfies `node.discovery.port.FollowedDiscovery`. `incarnation`: the disk of a name that is a member as the log
    says; empty where it says nothing. `listed` is closed with this; the registry's client is its maker's to close."""

    def __init__(
        self, listed: StaticDiscovery, registry: Finder, incarnation: Callable[[str], str], lookup: Lookup | None = None
    ) -> None:
        self._listed, self._registry, self._incarnation = listed, registry, incarnation
        self._lookup = lookup or Lookup()
        self._last: dict[str, tuple[Place, ...]] = {}
        self._seen: dict[str, Seen] = {}
        self._round: asyncio.Task[None] | None = None
        self.names = listed.names

    def set_peers(self, peers: Mapping[str, Place]) -> None:
        """See `FollowedDiscovery.set_peers`. What the registry said of those that are gone is forgotten."""
        self._listed.set_peers(peers)
        self._seen = {name: seen for name, seen in self._seen.items() if name in peers}
        self._last = {name: places for name, places in self._last.items() if name in peers}

    async def resolve(self, name: str) -> list[Place]:
        """See `Discovery.resolve`."""
        silence = ""
        if name not in self._listed.names():
            return await self._listed.resolve(name)  # which says so: a registry makes nobody a peer
        try:
            places = self._places_of(await self._registry.find(name), name)
        except ResolutionError as error:
            places, silence = self._last.get(name, ()), str(error)
        else:
            if places and (name in self._last or len(self._last) < LAST_WORDS_MAX):
                self._last[name] = places
        registered = await self._addresses(places)
        self._saw(name, places, registered, silence)
        try:
            async with asyncio.timeout(LIST_S_MAX if registered else None):
                listed = await self._listed.resolve(name)
        except TimeoutError:
            listed = []
        except ResolutionError as error:
            if not registered:
                said = silence or f"{name} is not registered at {self._registry.url}"
                raise ResolutionError(f"{said}; {error}") from None
            listed = []
        return _alternating(registered, listed)

    def _places_of(self, found: Found, name: str) -> tuple[Place, ...]:
        """The member's own disk first, whoever else took its name; then the newest process."""
        ours = self._incarnation(name)
        said = [each.registration for each in found.registrations if each.registration.port]
        said.sort(key=lambda each: each.incarnation != ours)  # stable: newest first among equals
        return tuple(dict.fromkeys((each.host, each.port) for each in said))[:PER_NAME_MAX]

    async def _addresses(self, places: tuple[Place, ...]) -> list[Place]:
        """Of those that are found in time, in the order of `places`."""
        found = await asyncio.gather(*map(self._addresses_of, places))
        return [address for addresses in found for address in addresses]

    async def _addresses_of(self, place: Place) -> list[Place]:
        host, port = place
        if is_ip(host):
            return [place]
        try:
            async with asyncio.timeout(REGISTERED_S_MAX):
                return [(address, port) for address in await self._lookup.addresses(host)]
        except (ResolutionError, TimeoutError):
            return []

    def _saw(self, name: str, places: tuple[Place, ...], addresses: list[Place], silence: str) -> None:
        if not places or name not in self._listed.names():
            self._seen.pop(name, None)
            return
        host, port = places[0]
        at_s = asyncio.get_running_loop().time()
        self._seen[name] = Seen(host, port, tuple(address for address, _ in addresses), silence, at_s)

    def seen(self) -> dict[str, Seen]:
        """See `Discovery.seen`: what the registry said, and of whom it said nothing, what the list has."""
        return self._listed.seen() | self._seen

    def look_up_all(self) -> None:
        """See `FollowedDiscovery.look_up_all`."""
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._look_up_all(), name="look up all names")

    async def _look_up_all(self) -> None:
        await asyncio.gather(*(self.resolve(name) for name in self.names()), return_exceptions=True)

    async def close(self) -> None:
        """See `FollowedDiscovery.close`."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait([self._round])
        await self._lookup.close()
        await self._listed.close()


def _alternating(registered: Sequence[Place], listed: Sequence[Place]) -> list[Place]:
    """The registry's first word comes first: what a node said of itself is newer than what was written of it. But a
    dial tries a few addresses alone, and no number of registrations may push the list out of those."""
    pairs = zip_longest(registered, listed)
    return list(dict.fromkeys(place for pair in pairs for place in pair if place is not None))
