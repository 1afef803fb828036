"""Where peers are, as a port: names in, addresses out, asked anew for every dial.

Why it exists: a static list, the DNS of a headless service and a registry answer the same question. It must not
remember an answer: an address that was true a second ago may belong to somebody else now (architecture, decision 5).
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec


class ResolutionError(OSError):
    """The name has no known address now. One sentence; an OSError, so that dialling code needs no import of this."""


class Seen(msgspec.Struct, frozen=True):
    """What became of the last look-up of a node's host, to be shown to people and never dialled.

    `host` as configured; `addresses` empty with `error` (one sentence) where it failed; `at_s`: the loop's time then,
    None where nobody asked yet."""

    host: str
    port: int
    addresses: tuple[str, ...] = ()
    error: str = ""
    at_s: float | None = None


class Discovery(Protocol):
    """Satisfies `node.transport.dialling.Resolver`."""

    def names(self) -> tuple[str, ...]:
        """The names of all nodes that are configured or known, this one included, sorted."""

    async def resolve(self, name: str) -> list[tuple[str, int]]:
        """The addresses (IP literal, port) of `name` now, best first, at least one. Raises `ResolutionError`."""

    def seen(self) -> dict[str, Seen]:
        """By name: what the last `resolve` of each found, for people. `resolve` itself never looks here."""


class FollowedDiscovery(Discovery, Protocol):
    """One that is told who the peers are, as members come and go."""

    def set_peers(self, peers: Mapping[str, tuple[str, int]]) -> None:
        """From now on this is the list: name to host and port."""

    def look_up_all(self) -> None:
        """Begin to look every name up, for `seen`; one such round at a time."""

    async def close(self) -> None:
        """End the look-ups and their threads."""
