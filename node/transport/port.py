"""The carrier's port: named peers, two lanes, frames of bytes, links that go up and down.

Why it exists: handshake and codec (`links.py`) stand above it, so other carriers can come, and the simulator puts a
network of its own below the very same handshake and codec. It must not know what a frame means.

Direction matters: everything A says to B goes over what A dialled, so a one-way cut means something. Each carrier
therefore has, for each peer and lane, one *outbound* link (dialled here, written here) and accepts one *inbound*
link (dialled there, read here). A newer inbound link of the same peer and lane replaces the older.
"""

from typing import Protocol

from node.raft.messages import Lane

FRAME_BYTES_MAX = 4 * 1024 * 1024
"""A longer frame is refused by both sides; messages are built to stay far below."""

QUEUE_FRAMES_MAX = 4096
"""Frames that wait for one outbound link; above that, `send` refuses (a lost message is ordinary to Raft)."""

QUEUE_BYTES_MAX = 32 * 1024 * 1024
"""Bytes that wait for one outbound link."""


class Receiver(Protocol):
    """Who is told what the carrier hears. Called on the carrier's thread, one call at a time, must not block."""

    def on_outbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        """The outbound link is up (frames sent from now on travel on it, in order), or down (what was queued is
        gone). `reason` is a sentence when down; "goodbye" when the peer closed on purpose, "refused" when nothing
        listens there (decision 8 treats these two apart from silence)."""

    def on_inbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        """An inbound link of that name came up or went down."""

    def on_frame(self, peer: str, lane: Lane, frame: bytes) -> str | None:
        """A frame came in on the inbound link. Return None, or a sentence: the link is then closed with it."""


class Carrier(Protocol):
    """Moves frames to named peers. Never blocks, never raises on the network's account."""

    def send(self, peer: str, lane: Lane, frame: bytes) -> bool:
        """Queue a frame on the outbound link. False: certainly not sent (link down, or queue full)."""

    def outbound_up(self, peer: str, lane: Lane) -> bool:
        """Whether frames can be sent now."""

    def reset(self, peer: str | None = None) -> None:
        """Drop all links with `peer` (None: with everyone), both directions, and dial anew."""
