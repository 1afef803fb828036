"""What `raft-node log dump DIR` and `raft-node log verify DIR` show: plain values, read only, without the lock.

Why it exists: a log that refuses to open must still be looked at, and one that is in use as well. It must not judge
by rules of its own: everything comes from `recovery.scan`, so people see exactly what a start would see.

Of a log in use, the last frame may be seen half written; it then looks torn, and the next look shows it whole.
"""

from collections.abc import Iterator

import msgspec

from node.raft.types import Configuration, Entry, HardState
from node.storage.errors import StorageError
from node.storage.files import FilePort
from node.storage.recovery import SegmentScan, scan
from node.storage.replay import Replay


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
    """One frame: where it lies, and what it did to the log, in this order: truncate, append, set the hard state."""

    file: str
    offset: int
    size_bytes: int
    sequence: int
    truncate_from: int | None
    entries: tuple[Entry, ...]
    hard_state: HardState | None


class TornLine(msgspec.Struct, frozen=True, tag="torn"):
    """What lies behind the last frame: a write that was never finished, which the next start cuts off."""

    file: str
    offset: int
    size_bytes: int


class DamageLine(msgspec.Struct, frozen=True, tag="damage"):
    """Why a start would be refused; always the last line. `offset` is None where a file cannot be read at all."""

    file: str
    offset: int | None
    sentence: str


Line = SegmentLine | FrameLine | TornLine | DamageLine


class Verdict(msgspec.Struct, frozen=True):
    """A whole log in one value. `damage` empty: a start would take it. `torn_bytes` 0: nothing would be cut off.

    Entries are kept from `first_index` on; none are where `last_index` is smaller. `configuration` is the one in force
    before them: at first the one that the cluster was born with; without voters before birth.
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


def dump(files: FilePort) -> Iterator[Line]:
    """Every segment and frame in order, up to the damage if there is any. Raises nothing for a log's contents."""
    try:
        for result in scan(files, Replay()):
            yield from _lines(result)
    except StorageError as error:
        yield DamageLine(error.file, error.offset, str(error))


def _lines(result: SegmentScan) -> Iterator[Line]:
    head = result.header
    yield SegmentLine(
        result.file, head.number, head.size_bytes, head.name, head.incarnation, head.cluster_id, head.first_sequence
    )
    for frame in result.frames:
        body = frame.body
        entries = tuple(body.entries)
        yield FrameLine(
            result.file, frame.offset, frame.size_bytes, frame.sequence, body.truncate_from, entries, body.hard_state
        )
    if result.damage is not None:
        yield DamageLine(result.damage.file, result.damage.offset, str(result.damage))
    elif result.torn_bytes:
        yield TornLine(result.file, result.end, len(result.torn_bytes))


def verify(files: FilePort) -> Verdict:
    """Read everything as a start would, and say what it would find. Raises nothing for a log's contents."""
    replay, segments, frames, used, torn, damage, head = Replay(), 0, 0, 0, 0, "", None
    try:
        for result in scan(files, replay):
            head = result.header
            segments += 1
            frames += len(result.frames)
            used += result.end
            torn += len(result.torn_bytes)
            damage = str(result.damage or "")
    except StorageError as error:
        damage = str(error)
    return Verdict(
        segments=segments,
        frames=frames,
        bytes_used=used,
        first_index=replay.base.index + 1,
        last_index=replay.last_index,
        hard_state=replay.hard_state,
        name=head.name if head else "",
        incarnation=head.incarnation if head else "",
        cluster_id=replay.base.cluster_id,
        configuration=replay.base.configuration,
        torn_bytes=torn,
        damage=damage,
    )
