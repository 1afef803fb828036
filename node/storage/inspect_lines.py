"""What people are shown of a log and its snapshots, as plain values: the lines of a dump, and the verdict.

Why it exists: `raft-node log` prints them and programs read them as JSON, so their names stay. It must not read files.
"""

import msgspec

from node.raft.types import Base, Configuration, Entry, HardState


class SegmentLine(msgspec.Struct, frozen=True, tag="segment"):
    """A segment's header. `size_bytes` is the file's, `cluster_id` empty before birth."""

    file: str
    number: int
    size_bytes: int
    name: str
    incarnation: str
    cluster_id: str
    first_sequence: int


class FrameLine(msgspec.Struct, frozen=True, tag="frame"):
    """One frame: where it lies, and what it did to the log, in this order: set the base, truncate, append, set the hard
    state. `start`: where the log stood before it, in the first frame of a segment. `does`: each entry in a few words,
    of whoever knows them.
    """

    file: str
    offset: int
    size_bytes: int
    sequence: int
    truncate_from: int | None
    entries: tuple[Entry, ...]
    hard_state: HardState | None
    base: Base | None = None
    start: Base | None = None
    does: tuple[str, ...] = ()


class TornLine(msgspec.Struct, frozen=True, tag="torn"):
    """What lies behind the last frame: a write that was never finished, which the next start cuts off."""

    file: str
    offset: int
    size_bytes: int


class SnapshotLine(msgspec.Struct, frozen=True, tag="snapshot"):
    """The newest snapshot, whole: the state after the entry at `base.index`."""

    file: str
    base: Base
    size_bytes: int
    chunks: int
    crc: int
    made_by: str


class PartLine(msgspec.Struct, frozen=True, tag="part"):
    """A snapshot that was being received: what is there of it, all of it whole records."""

    file: str
    size_bytes: int


class LeftoverLine(msgspec.Struct, frozen=True, tag="leftover"):
    """A file that means nothing, or nothing any more: the next start removes it."""

    file: str


class DamageLine(msgspec.Struct, frozen=True, tag="damage"):
    """Why a start would be refused; always the last line. `offset` is None where a file cannot be read at all."""

    file: str
    offset: int | None
    sentence: str


Line = SegmentLine | FrameLine | TornLine | SnapshotLine | PartLine | LeftoverLine | DamageLine


class Verdict(msgspec.Struct, frozen=True):
    """A whole log in one value. `damage` empty: a start would take it. `torn_bytes` 0: nothing would be cut off.

    Entries are kept from `first_index` on; none are where `last_index` is smaller. `configuration` is the one in force
    before them: at first the one that the cluster was born with; without voters before birth. `snapshot` is what the
    log follows, None where it holds everything. `discarded`: a start would keep nothing of the log but the hard state,
    because the snapshot holds more. `leftovers`: files that a start removes.
    """

    segments: int
    frames: int
    bytes_used: int
    first_index: int
    last_index: int
    hard_state: HardState
    name: str
    incarnation: str
    cluster_id: str
    configuration: Configuration
    torn_bytes: int
    damage: str
    snapshot: SnapshotLine | None = None
    part: PartLine | None = None
    discarded: bool = False
    leftovers: int = 0
