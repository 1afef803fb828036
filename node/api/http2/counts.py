"""What is counted of all HTTP/2 connections of a node, for its metrics, and what bounds them together.

Why it exists: each connection has bounds of its own, and there may be thousands of them. It must not decide anything.
"""

from dataclasses import dataclass, field

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
    faults: dict[str, int] = field(default_factory=dict)
    """Connections that were ended for what their client did, by why: an error code, or which flood it was."""

    @property
    def full(self) -> bool:
        """Whether no more may be held."""
        return self.held_bytes >= HELD_BYTES_MAX

    def fault(self, why: str) -> None:
        """One more."""
        self.faults[why] = self.faults.get(why, 0) + 1
