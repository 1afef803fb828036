"""What the core says of itself: plain values, a copy, safe to keep.

Why it exists: operators, tests and the dashboard look at the algorithm through this and nothing else.
"""

import msgspec

from node.raft.types import Member, Role


class PeerStatus(msgspec.Struct, frozen=True):
    """One other member as this node sees it.

    `contact_age_us`: microseconds since any message of it arrived, None for never in this process.
    `progress` is "probe", "replicate" or "snapshot" on a leader, else empty; the numbers after it are 0 elsewhere.
    """

    name: str
    incarnation: str
    contact_age_us: int | None
    progress: str = ""
    match_index: int = 0
    next_index: int = 0
    inflight_messages: int = 0
    inflight_bytes: int = 0


class CoreStatus(msgspec.Struct, frozen=True):
    """One server's view. Indexes count entries from 1; sizes are bytes; durations microseconds."""

    name: str
    incarnation: str
    cluster_id: str
    role: Role
    term: int
    vote: str
    leader: str
    commit: int
    applied: int
    durable: int
    first_index: int
    last_index: int
    last_term: int
    log_bytes: int
    log_limit_bytes: int
    deadline_in_us: int | None
    voters: tuple[Member, ...]
    learners: tuple[Member, ...]
    peers: tuple[PeerStatus, ...]
    waiting_for: str
    """INITIAL only: what birth waits for, a sentence for people; otherwise empty."""
    election_timeout_us: int = 0
    """The timeout that is drawn now (section 5.2)."""
    election_due_in_us: int | None = None
    """Until this server would campaign; None where it would not: on a leader, in INITIAL, without a vote."""
    transferring_to: str = ""
    """Leader only: to whom the lead is being handed; empty: nobody."""
    disk_silent_us: int | None = None
    """How long the oldest write that is not confirmed has been waiting for this server's disk; None: none waits."""
