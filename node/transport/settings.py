"""The named limits of the WebSocket carrier, in one value, so that tests can shorten a wait without patching.

Why it exists: every wait, queue and retry is bounded by a name with its unit. It must not hold addresses or names.
"""

import msgspec

from node.transport.port import FRAME_BYTES_MAX, QUEUE_BYTES_MAX, QUEUE_FRAMES_MAX


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`_s` are seconds."""

    dial_timeout_s: float = 1.0
    """One dial, all of it: look-up of the name, connection, handshake of the WebSocket."""
    redial_min_s: float = 0.02
    redial_max_s: float = 1.0
    """The pause before a dial doubles from the first to the second, each time cut to 50-100 % by chance. A link that
    stayed up as long as the longest pause is dialled anew at once, and starts again with
    the shortest."""
    redial_gone_s: float = 0.1
    """The shortest pause once a link broke and its dial is refused: that tells what there is to tell, and an election
    is about to need the processors. A process that comes back dials by itself."""
    ping_interval_s: float = 0.5
    pong_timeout_s: float = 2.0
    """An outbound link without an answer for this long is given up, unless bytes still leave its buffer."""
    inbound_silence_s: float = 5.0
    """An inbound link on which nothing came for this long (the peer pings) is dropped."""
    age_max_s: float = 600.0
    """A link is closed with goodbye and dialled anew at 75-100 % of this age, by chance, so that not all go at once:
    a network policy then takes hold of it, and a moved name is looked up again."""
    handshake_timeout_s: float = 2.0
    """From the accepted connection to its first frame."""
    close_timeout_s: float = 0.2
    """How long a goodbye waits for the peer's own."""
    half_open_max: int = 64
    """Accepted connections that have not said which peer they are; further ones are closed at once."""
    guests_max: int = 0
    """Names that are no peers and may open links all the same, to ask to be let in or to help one that is behind; more
    are refused. `Receiver.on_frame` decides whether they may stay."""
    frame_bytes_max: int = FRAME_BYTES_MAX
    queue_frames_max: int = QUEUE_FRAMES_MAX
    queue_bytes_max: int = QUEUE_BYTES_MAX
