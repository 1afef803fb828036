"""What `raft-node log dump DIR` and `raft-node log verify DIR` show: plain values, read only, without the lock.

Why it exists: a log that refuses to open must still be looked at, and one that is in use as well. It must not judge
by rules of its own: everything comes from `scanning.scan`, `snapshot_files.look` and `continuity.join`, so people see
exactly what a start would see.

Of a log in use, the last frame may be seen half written; it then looks torn, and the next look shows it whole. What its
node removes meanwhile is said to be gone, and `verify` looks again.
"""

from collections.abc import Iterator

from node import cures
from node.storage.continuity import join, missing
from node.storage.errors import StorageError, from_os_error
from node.storage.files import FilePort
from node.storage.inspect_lines import (
    DamageLine,
    FrameLine,
    LeftoverLine,
    Line,
    PartLine,
    SegmentLine,
    SnapshotLine,
    TornLine,
    Verdict,
)
from node.storage.recovery import Recovered
from node.storage.replay import Replay
from node.storage.scanning import SegmentScan, scan, segment_name, segment_numbers, without_leftovers
from node.storage.snapshot_files import SnapshotFile, SnapshotsFound, look, snapshot_name

LOOKS_MAX = 3
"""How often `verify` begins anew where files went away meanwhile."""


def dump(files: FilePort) -> Iterator[Line]:
    """Every segment and frame in order, then the snapshot, up to the damage if there is any. Raises nothing for what is
    in the folder."""
    replay = Replay()
    try:
        for result in scan(files, replay):
            yield from _lines(result)
            if result.damage is not None:
                return
        found = _Found(files, replay)
        yield from found.lines()
        found.judge()
    except StorageError as error:
        yield DamageLine(error.file, error.offset, _sentence(error))


class _Found:
    """The snapshots beside a log that was replayed. Raises `StorageError` as a start would."""

    def __init__(self, files: FilePort, replay: Replay) -> None:
        self._files = files
        self._replay = replay
        numbers, self._segments = without_leftovers(segment_numbers(files))
        self._snapshots: SnapshotsFound = look(files, replay.base if self._segments else None)
        self.leftovers = (*map(segment_name, numbers), *self._snapshots.leftovers)

    @property
    def snapshot(self) -> SnapshotLine | None:
        info = self._snapshots.latest
        if info is None:
            return None
        name = snapshot_name(info.base.index)
        try:
            made_by = SnapshotFile(self._files, name).header.made_by
        except OSError as error:
            raise from_os_error(error, "read", self._path(name)) from error
        return SnapshotLine(self._path(name), info.base, info.size_bytes, info.chunks, info.crc, made_by)

    @property
    def part(self) -> PartLine | None:
        partial = self._snapshots.partial
        return PartLine(self._path(partial.name), partial.offset) if partial is not None else None

    def lines(self) -> Iterator[Line]:
        yield from (line for line in (self.snapshot, self.part) if line is not None)
        yield from (LeftoverLine(self._path(name)) for name in self.leftovers)

    def judge(self) -> bool:
        """Whether a start would discard the log."""
        if self._segments:
            replay = self._replay
            log = Recovered("", "", replay.hard_state, replay.base, tuple(replay.entries))
            return join(self._files, log, self._segments[0], self._snapshots).base != replay.base
        if self._snapshots.latest is not None:
            raise missing(self._files, self._snapshots)
        return False

    def _path(self, name: str) -> str:
        return f"{self._files.folder}/{name}"


def _gone(error: StorageError) -> bool:
    return isinstance(error.__cause__, FileNotFoundError) and error.file.endswith((".wal", ".snap"))


def _sentence(error: StorageError) -> str:
    if _gone(error):
        what = "went away while the log was read, because its node runs and has a newer snapshot"
        return f"{error.file} {what}: {cures.LOOK_AGAIN}"
    return str(error)


def _lines(result: SegmentScan) -> Iterator[Line]:
    head = result.header
    yield SegmentLine(
        result.file, head.number, head.size_bytes, head.name, head.incarnation, head.cluster_id, head.first_sequence
    )
    for frame in result.frames:
        body = frame.body
        entries = tuple(body.entries)
        yield FrameLine(
            result.file,
            frame.offset,
            frame.size_bytes,
            frame.sequence,
            body.truncate_from,
            entries,
            body.hard_state,
            body.base,
            body.start,
        )
    if result.damage is not None:
        yield DamageLine(result.damage.file, result.damage.offset, str(result.damage))
    elif result.torn_bytes:
        yield TornLine(result.file, result.end, len(result.torn_bytes))


def verify(files: FilePort) -> Verdict:
    """Read everything as a start would, and say what it would find. Raises nothing for what is in the folder."""
    for _ in range(LOOKS_MAX - 1):
        verdict, error = _verify(files)
        if error is None or not _gone(error):
            return verdict
    return _verify(files)[0]


def _verify(files: FilePort) -> tuple[Verdict, StorageError | None]:
    replay, segments, frames, used, torn, head = Replay(), 0, 0, 0, 0, None
    error, snapshot, part, discarded, leftovers = None, None, None, False, 0
    try:
        for result in scan(files, replay):
            head = result.header
            segments += 1
            frames += len(result.frames)
            used += result.end
            torn += len(result.torn_bytes)
            error = result.damage
        if error is None:
            found = _Found(files, replay)
            snapshot, part, leftovers = found.snapshot, found.part, len(found.leftovers)
            discarded = found.judge()
    except StorageError as refused:
        error = refused
    verdict = Verdict(
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
        damage=_sentence(error) if error is not None else "",
        snapshot=snapshot,
        part=part,
        discarded=discarded,
        leftovers=leftovers,
    )
    return verdict, error
