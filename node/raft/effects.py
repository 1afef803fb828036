"""What the core wants done. Effects are executed in order; only `Persist.then` waits, for the disk.

Why it exists: the core's only door out. A vote, a vote request and an append acknowledgement exist only inside
`Persist.then`, so no driver can send one too early (pitfalls 3 and 4).
"""

import msgspec

from node.raft.errors import Refusal
from node.raft.messages import RaftMessage
from node.raft.types import Base, Configuration, Entry, HardState, Member, Role


class Send(msgspec.Struct, frozen=True):
    """Send now; losing it is allowed."""

    to: str
    message: RaftMessage


class Persist(msgspec.Struct, frozen=True):
    """Make durable, in this order: base, truncation, entries, hard state; then send `then`, report `Persisted(token)`.

    `token` grows by one per Persist. Persists complete in order. One with nothing to write is a barrier: it completes
    when all before it have. `hard_state` None: unchanged. `truncate_from` None: nothing to remove, else the first
    index to remove. `entries` follow the log (after the truncation) without a gap. `cluster_id` is set once, with
    entry 1, at birth. `base` None: the log goes on; else all that it held goes, and it begins anew after that base,
    whose snapshot is durable (section 7).
    """

    token: int
    hard_state: HardState | None = None
    truncate_from: int | None = None
    entries: tuple[Entry, ...] = ()
    then: tuple[Send, ...] = ()
    cluster_id: str | None = None
    base: Base | None = None

    @property
    def empty(self) -> bool:
        """Nothing to write: a barrier."""
        return self.hard_state is None and self.truncate_from is None and not self.entries and self.base is None


class Apply(msgspec.Struct, frozen=True):
    """Committed and durable here: give these to the state machine, then report `Applied(last index)`."""

    entries: tuple[Entry, ...]


class Restore(msgspec.Struct, frozen=True):
    """Replace the whole state of the state machine by that of the snapshot with this base, which is durable here, then
    report `Applied(base.index)`. What was being applied is void, and so is an earlier Restore that is not done."""

    base: Base


class Accepted(msgspec.Struct, frozen=True):
    """The proposals with these numbers were appended at `first_index`, `first_index + 1`, ... in `term`."""

    requests: tuple[int, ...]
    term: int
    first_index: int


class Refused(msgspec.Struct, frozen=True):
    """These proposals or reads were not taken; nothing of them will happen."""

    requests: tuple[int, ...]
    reason: Refusal


class ReadReady(msgspec.Struct, frozen=True):
    """These reads are linearizable now: the state machine holds everything up to `index`."""

    requests: tuple[int, ...]
    index: int


class Ordered(msgspec.Struct, frozen=True):
    """What became of an operator's order: `done`, or refused or failed; `message` is one sentence for people. With
    `unknown` it may be done yet. `reason` is for programs: why a change of members was refused, else empty."""

    request: int
    done: bool
    message: str
    unknown: bool = False
    reason: str = ""


class ConfigChanged(msgspec.Struct, frozen=True):
    """The configuration in force changed (at birth, later by the log). `self_member` is this node in it, or None.
    `leaving`: who is not in it any more, and is reached until it is committed: then this comes once more, without."""

    configuration: Configuration
    cluster_id: str
    self_member: Member | None
    leaving: tuple[Member, ...] = ()


class Trace(msgspec.Struct, frozen=True):
    """Something a person would want to know happened; observers add node, time and sequence number.

    `kind` is one of `node.observe.events.KINDS`; `detail` holds plain values only.
    """

    kind: str
    term: int
    detail: dict[str, str | int | bool]
    role: Role = Role.INITIAL


Effect = Persist | Send | Apply | Restore | Accepted | Refused | ReadReady | Ordered | ConfigChanged | Trace
