"""What is counted of all HTTP/2 connections of a node, for its metrics, and what bounds them together.

Why it exists: each connection has bounds of its own, and there may be thousands of them. It must not decide anything.
"""

from dataclasses import dataclass, field

REQUESTS_MAX = 20_000
"""Requests and streams of all clients that are open: no more than may wait in a node (`node.runtime.requests`). Above
it new ones are refused, which may be sent again."""

HELD_BYTES_MAX = 64 * 1024 * 1024
"""What may be held for all clients together: requests that are not whole yet, and answers that a client's windows do
not admit. Above it new requests are refused, which may be sent again."""


@dataclass(slots=True)
class Counts:
    """Since the start, but for `connections`, `streams` and `held_bytes`, which are now."""

    connections: int = 0
    streams: int = 0
    held_bytes: int = 0
    requests: int = 0
    refused: int = 0
    """Requests that were not begun: too many at once, or too much is held."""
    over_share: int = 0
    """Of those, whose client had its share."""
    waited: int = 0
    """Times that a connection was not read until others of its client's calls were done."""
    faults: dict[str, int] = field(default_factory=dict)
    """Connections that were ended for what their client did, by why: an error code, or which flood it was."""

    @property
    def full(self) -> bool:
        """Whether no more may be held."""
        return self.held_bytes >= HELD_BYTES_MAX

    @property
    def busy(self) -> bool:
        """Whether no more may begin."""
        return self.streams >= REQUESTS_MAX or self.full

    def fault(self, why: str) -> None:
        """One more."""
        self.faults[why] = self.faults.get(why, 0) + 1
