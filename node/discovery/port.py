"""Where peers are, as a port: names in, addresses out, asked anew for every dial.

Why it exists: a static list, and later the DNS of a headless service, answer the same question. It must not
remember an answer: an address that was true a second ago may belong to somebody else now (architecture, decision 5).
"""

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
