"""What a client may do for nothing: so much at once and so much a second; beyond it the connection ends.

Why it exists: resets, pings, settings and empty frames cost their sender next to nothing and us a little each, so a
client that sends nothing else could keep a node busy. Each kind has an allowance that fills with time and, where our
own frames call for it, with those. It must not know a socket or a clock.
"""

from typing import NamedTuple

from node.api.http2.frames import ConnectionFault, ErrorCode


class Allowance(NamedTuple):
    """`most`: at once; `each_s`: what comes back in a second; `each_frame`: what a frame that we sent brings back."""

    name: str
    most: float
    each_s: float
    each_frame: float
    code: ErrorCode
    words: str


PINGS = Allowance("pings", 100, 2, 1, ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")
"""Clients of gRPC ping once for what they were sent, to measure the way, and every few seconds to see who lives."""

SETTINGS = Allowance("settings", 16, 0.5, 0, ErrorCode.ENHANCE_YOUR_CALM, "too many SETTINGS")
RESETS = Allowance("resets", 1000, 100, 0.5, ErrorCode.ENHANCE_YOUR_CALM, "too many streams were reset")
"""A cancelled request may be done all the same. Half of all that are answered may be."""

IDLE = Allowance("idle-frames", 10_000, 1000, 2, ErrorCode.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")
"""Window updates, priorities, empty data, frames of unknown types."""


BLOCKS = Allowance("header-blocks", 0, 0, 0, ErrorCode.ENHANCE_YOUR_CALM, "a header block is too long")
"""None at all: this only names it."""


class Floods:
    """Of one connection. `now` of a call: seconds."""

    __slots__ = ("_frames", "_left")

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float, int]] = {}
        self._frames = 0

    def sent(self, frames: int) -> None:
        """We sent so many that a client may react to."""
        self._frames += frames

    def spend(self, kind: Allowance, now: float) -> None:
        """The client did it once more; raises `ConnectionFault` where that is too much."""
        left, since, frames = self._left.get(kind.name, (kind.most, now, self._frames))
        refill = (now - since) * kind.each_s + (self._frames - frames) * kind.each_frame
        left = min(kind.most, left + refill) - 1
        if left < 0:
            raise Flooded(kind)
        self._left[kind.name] = (left, now, self._frames)


class Flooded(ConnectionFault):
    """With which kind."""

    def __init__(self, kind: Allowance) -> None:
        super().__init__(kind.code, kind.words)
        self.kind = kind.name
