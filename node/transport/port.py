"""The carrier's port: named peers, two lanes, frames of bytes, links that go up and down.

Why it exists: handshake and codec (`links.py`) stand above it, so other carriers can come, and the simulator puts a
network of its own below the very same handshake and codec. It must not know what a frame means.

Direction matters: everything A says to B goes over what A dialled, so a one-way cut means something. Each carrier
therefore has, for each peer and lane, one *outbound* link (dialled here, written here) and accepts one *inbound*
link (dialled there, read here). A newer inbound link of the same peer and lane replaces the older.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from node.raft.messages import Lane

FRAME_BYTES_MAX = 4 * 1024 * 1024
"""A longer frame is refused by both sides; messages are built to stay far below."""

QUEUE_FRAMES_MAX = 4096
"""Frames that wait for one outbound link; above that, `send` refuses (a lost message is ordinary to Raft)."""

QUEUE_BYTES_MAX = 32 * 1024 * 1024
"""Bytes that wait for one outbound link."""

GOODBYE = "goodbye"
"""The reason of a link that the peer closed on purpose: its process leaves, or the link reached its age limit."""

LOST = "connection lost"
"""The reason of a link that broke without a goodbye: the other end, or the network, reset or closed it."""

NO_PEER = "no peer any more"
"""The reason of links that end because `Carrier.set_peers` no longer names the peer."""

REFUSED = "refused"
"""The reason of a dial that was refused: the peer's machine answers, and nothing listens there."""


class Receiver(Protocol):
    """Who is told what the carrier hears. Called on the carrier's thread, one call at a time, must not block.

    For one inbound link the calls are: up, frames, down; a replacing link comes up after the old one went down, and
    no frame of a link arrives once it is down. `send` may be called from within; `reset` may not.
    """

    def on_outbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        """The outbound link is up (frames sent from now on travel on it, in order), or down (what was queued is
        gone). `reason` is a sentence when down; `GOODBYE` when the peer closed on purpose, `LOST` when the link broke
        without that, `REFUSED` when nothing listens there (decision 8 treats these apart from silence). While a link
        stays down, a failed dial is reported again whenever its reason differs from the last one: `LOST` is followed
        by `REFUSED` where the process is gone; and soon, for a link that stood for a while is dialled anew at once."""

    def on_inbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        """An inbound link of that name came up or went down; reasons as above."""

    def on_frame(self, peer: str, lane: Lane, frame: bytes) -> str | None:
        """A frame came in on the inbound link. Return None, or a sentence: the link is then closed with it."""


class Carrier(Protocol):
    """Moves frames to named peers. Never blocks, never raises on the network's account."""

    def send(self, peer: str, lane: Lane, frame: bytes) -> bool:
        """Queue a frame on the outbound link. False: certainly not sent (unknown peer, link down, queue full, or
        the frame is longer than `FRAME_BYTES_MAX`). A frame alone in its queue always has room in bytes."""

    def flush(self) -> None:
        """Let what was sent leave now, as far as the network takes it; without this call it leaves in the loop's next
        turn. The receiver may be told within this call that a link is down."""

    def outbound_up(self, peer: str, lane: Lane) -> bool:
        """Whether frames can be sent now."""

    def reset(self, peer: str | None = None) -> None:
        """Drop all links with `peer` (None: with everyone), both directions, without goodbye, and dial anew. The
        receiver is told within this call; nothing that was queued before travels on the new links."""

    def set_peers(self, peers: tuple[str, ...]) -> None:
        """From now on these are the peers: dial those that are new, and accept what they dial. Links with those that
        are peers no more end, both directions, with goodbye (`NO_PEER`): what was queued for them is still written
        where it can be. The receiver is told within this call; the links of the others go on untouched."""


class RunningCarrier(Carrier, Protocol):
    """A carrier with its life: what a node is put together with."""

    async def start(self) -> None:
        """Listen, and dial every peer. Raises OSError where it cannot listen; nothing runs then."""

    async def close(self) -> None:
        """Say goodbye to everyone and end every task, in bounded time."""

    def dial_now(self, peer: str) -> None:
        """The peer was just heard of: dial it without sitting out the pause."""


class Chance(Protocol):
    """A source of chance, such as `random.Random`."""

    def random(self) -> float: ...


class Carried(NamedTuple):
    """What any carrier of a node needs to know."""

    name: str
    peers: tuple[str, ...]
    receiver: Receiver
    chance: Chance
    guests_max: int


CarrierMaker = Callable[[Carried], RunningCarrier]
"""Makes the carrier of a node, within its loop."""
