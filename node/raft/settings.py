"""The numbers that shape the algorithm. Durations are integer microseconds, sizes bytes.

Why it exists: every limit has one name and one place. It must not read where a number came from.
"""

import msgspec

from node.raft.errors import invariant


class RaftSettings(msgspec.Struct, frozen=True):
    """`election_min_us`..`election_max_us` is the range of the randomised election timeout (section 5.2)."""

    heartbeat_us: int = 100_000
    election_min_us: int = 150_000
    election_max_us: int = 300_000
    append_bytes_max: int = 1024 * 1024
    """Entries in one Append; one larger entry still travels alone."""
    append_entries_max: int = 1024
    """Entries in one Append: each costs a follower two or three microseconds, however small it is."""
    step_bytes_max: int = 2 * 1024 * 1024
    """Entries sent to all followers in one step, and at most one Append more; the rest follows in the next step."""
    step_entries_max: int = 2048
    """The same, counted; an Append without entries counts as one."""
    compact_entries_max: int = 2048
    """Entries that are let go in one step once a snapshot holds them: each costs a tenth of a microsecond or two."""
    inflight_messages_max: int = 64
    """Appends on the way to one follower that it has not acknowledged."""
    inflight_bytes_max: int = 8 * 1024 * 1024
    uncommitted_bytes_max: int = 32 * 1024 * 1024
    """A leader refuses proposals above this: a leader cut off from its quorum must not fill its memory."""
    uncommitted_entries_max: int = 100_000
    """A leader refuses proposals above this: all of them may have to be truncated in one step."""
    log_bytes_max: int = 256 * 1024 * 1024
    """A leader refuses proposals above this: what is not committed, or not in a snapshot yet, cannot be let go."""
    commit_told_us: int = 10_000
    """How soon followers learn of a commit that no other message has told them, where nobody there waits for it. A
    stale read there may be older by so much. 0: at once."""
    apply_bytes_max: int = 1024 * 1024
    """Entries in one Apply, so that replaying a long log does not hold up the loop."""
    apply_entries_max: int = 512
    """The same, counted."""
    disk_silence_timeouts: int = 4
    """How many of the longest election timeouts a disk may owe an answer before its server leads no more. Fewer would
    take the lead from a server whose disk hesitates (a cloud volume does so for a second now and then), and with it
    every read; more would keep a cluster waiting longer than its clients do."""
    gone_wait_us: int = 8_000
    """With its own evidence that the leader's process is gone, a server asks for votes after so long: a leader that
    lives, and lost all its links at once, has dialled again by then, which ends the evidence."""
    gone_slot_us: int = 4_000
    """It asks for pre-votes after one such turn for each voter that stands before it in the configuration, and a part
    of one by chance: one asks at a time."""
    gone_tries_max: int = 3
    """How often it asks; then the election timeout decides, as always."""
    wait_in_initial: bool = False
    """Start as INITIAL whatever the log holds, without a vote, until the event `LeaveInitial`."""

    def __post_init__(self) -> None:
        invariant(self.heartbeat_us > 0, "heartbeat_us must be positive")
        invariant(
            self.heartbeat_us < self.election_min_us <= self.election_max_us,
            "need heartbeat_us < election_min_us <= election_max_us, not {}, {}, {}",
            self.heartbeat_us,
            self.election_min_us,
            self.election_max_us,
        )
        invariant(self.disk_silence_timeouts > 0, "disk_silence_timeouts must be positive")
        invariant(self.gone_slot_us > 0, "gone_slot_us must be positive: candidates of one moment split the vote")

    @property
    def disk_silence_us(self) -> int:
        return self.disk_silence_timeouts * self.election_max_us
