"""Who has links with this node and is no member as far as it knows: who asks to be let in, and a leader that was let in
while this node was away.

Why it exists: guests are bounded in number, and forgotten when they fall silent; the same rules serve the real network
and the simulated one, so it is free of asyncio and clock. It must not decide who is let in.
"""

from collections.abc import Callable

import msgspec

from node.runtime.membership import Membership

GUESTS_MAX = 16
"""Nodes that are no members and have links all the same."""

GUEST_NAMES_MAX = 256
"""Different names of them that one process lets come, ever: what is counted by name is kept for as long as it runs."""

GUEST_SILENCE_S = 5.0
"""Whoever is not heard for so long, twice in a row, is dialled no more."""


class _Guest(msgspec.Struct):
    """Where it is dialled. `was_silent`: when it was last looked for."""

    address: tuple[str, int]
    was_silent: bool = False


class Guests:
    """`hears`: whether a link of that name is up; `forget`: one is gone; `changed`: the list is another now; `later`
    runs something after so many seconds. Satisfies `node.transport.links.Door`."""

    def __init__(
        self,
        membership: Membership,
        guests_max: int,
        hears: Callable[[str], bool],
        forget: Callable[[str], None],
        changed: Callable[[], None],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._membership = membership
        self._guests_max, self._hears, self._forget = guests_max, hears, forget
        self._changed, self._later = changed, later
        self._guests: dict[str, _Guest] = {}
        self._names: dict[str, None] = {}
        """Of all guests that this process has had."""
        self._sweeping = False

    def addresses(self) -> dict[str, tuple[str, int]]:
        """Where each is dialled, by name."""
        return {name: guest.address for name, guest in self._guests.items()}

    def is_guest(self, name: str) -> bool:
        """See `Door.is_guest`."""
        return name not in self._membership.peers

    def admit(self, name: str, host: str, port: int) -> str:
        """See `Door.admit`: who says where it listens is dialled there, so that it gets its answers."""
        if not self.is_guest(name):
            return ""
        if not host:
            return f"{name} is no member as far as {self._membership.own_name} knows, and says no address to answer to"
        if name not in self._guests and len(self._guests) >= self._guests_max:
            return f"{len(self._guests)} others that are no members have links with {self._membership.own_name} already"
        if name not in self._names and len(self._names) >= GUEST_NAMES_MAX:
            return f"{len(self._names)} names that are no members have come to {self._membership.own_name}: restart it"
        self._names[name] = None
        known = self._guests.get(name)
        if known is None or known.address != (host, port):
            self._guests[name] = _Guest((host, port))
            self._changed()
        if not self._sweeping:
            self._sweep_later()
        return ""

    def _sweep_later(self) -> None:
        self._sweeping = True
        self._later(GUEST_SILENCE_S, self._forget_the_silent)

    def _forget_the_silent(self) -> None:
        self._sweeping = False
        members = self._membership.peers
        silent = [name for name, guest in self._guests.items() if not self._hears(name) and guest.was_silent]
        for name in silent:
            del self._guests[name]
            if name not in members:
                self._forget(name)
        for name, guest in self._guests.items():
            guest.was_silent = not self._hears(name)
        if silent:
            self._changed()
        if self._guests:
            self._sweep_later()
