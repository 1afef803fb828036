"""Where peers are, as a port: names in, addresses out, asked anew for every dial.

Why it exists: a static list, and later the DNS of a headless service, answer the same question. It must not
remember an answer: an address that was true a second ago may belong to somebody else now (architecture, decision 5).
"""

from typing import Protocol


class ResolutionError(OSError):
    """The name has no known address now. One sentence; an OSError, so that dialling code needs no import of this."""


class Discovery(Protocol):
    """Satisfies `node.transport.outbound.Resolver`."""

    def names(self) -> tuple[str, ...]:
        """The names of all nodes that are configured or known, this one included, sorted."""

    async def resolve(self, name: str) -> list[tuple[str, int]]:
        """The addresses (IP literal, port) of `name` now, best first, at least one. Raises `ResolutionError`."""
