"""Writing the log: frames into segments of a fixed size, and everything durable when a call returns.

Why it exists: all that touches the disk after the start is here, on one thread at a time, and knows nothing of who
waits for it. A failed write or sync is reported once and must never be retried: after a failed fsync the system may
have dropped the data, and a second fsync would say that all is well.
"""

from collections.abc import Sequence

import msgspec

from node.raft.effects import Persist
from node.raft.types import Entry, HardState
from node.storage.errors import StorageError, from_os_error
from node.storage.files import FilePort, OpenFile
from node.storage.frames import (
    ENTRY_FRAME_BYTES_MAX,
    FRAME_PAYLOAD_BYTES_MAX,
    HEADER_BYTES,
    SECTOR_BYTES,
    FrameBody,
    SegmentHeader,
    encode_frame,
    encode_seal,
    encode_segment_header,
    salt_of,
)
from node.storage.recovery import TEMPORARY_SUFFIX, segment_name

SEGMENT_BYTES = 16 * 1024 * 1024
"""A segment's size. Its space is taken at once, so a full disk shows at rotation and not in the middle, and a write
changes no metadata; larger ones would only make a small cluster take much disk."""

FRAME_BYTES = FRAME_PAYLOAD_BYTES_MAX - 256 * 1024
"""What goes into one frame at most, as `payload_bytes` counts; the rest is room for the fixed part and stuffing."""


class Group(msgspec.Struct):
    """What several Persists come to when they are written as one."""

    hard_state: HardState | None
    truncate_from: int | None
    entries: list[Entry]
    cluster_id: str | None


def payload_bytes(entry: Entry) -> int:
    """What an entry takes in a frame, at most."""
    return ENTRY_FRAME_BYTES_MAX + len(entry.data)


def merge(writes: Sequence[Persist]) -> Group:
    """The one write that leaves the log as `writes` in their order would."""
    group = Group(None, None, [], None)
    for write in writes:
        start = write.truncate_from
        if start is not None:
            if group.entries and start > group.entries[0].index:
                del group.entries[start - group.entries[0].index :]
            else:
                group.entries = []
                group.truncate_from = start  # never above an earlier one: the log ended there
        group.entries.extend(write.entries)
        group.hard_state = write.hard_state or group.hard_state
        group.cluster_id = write.cluster_id or group.cluster_id
    return group


def split(group: Group, durable: HardState, frame_bytes: int = FRAME_BYTES) -> list[FrameBody]:
    """The frames of a group, each within `frame_bytes`; almost always one.

    A crash may come between two of them, so the first carries term and vote (never an entry of a term that the node
    does not know), and only the last the commit index (never beyond the entries).
    """
    parts: list[list[Entry]] = [[]]
    room = frame_bytes
    for entry in group.entries:
        cost = payload_bytes(entry)
        if cost > room and parts[-1]:
            parts.append([])
            room = frame_bytes
        parts[-1].append(entry)
        room -= cost
    state = group.hard_state
    if len(parts) == 1 or state is None:
        states: list[HardState | None] = [state] + [None] * (len(parts) - 1)
    else:
        early = HardState(state.term, state.vote, min(state.commit, durable.commit))
        states = [early] + [None] * (len(parts) - 2) + [state]
    return [
        FrameBody(state, group.truncate_from if number == 0 else None, part)
        for number, (state, part) in enumerate(zip(states, parts, strict=True))
    ]


class SegmentWriter:
    """The open end of a log. Every method raises `StorageError` when the disk fails; then none may be called again.

    `segment` is the header of the segment that is written, `offset` (bytes), `sequence` and `chain` say where and
    how its next frame begins; `hard_state` is the durable one.
    """

    def __init__(
        self,
        files: FilePort,
        segment: SegmentHeader,
        offset: int,
        sequence: int,
        chain: int,
        hard_state: HardState,
        segment_bytes: int = SEGMENT_BYTES,
        frame_bytes: int = FRAME_BYTES,
    ) -> None:
        self._files = files
        self._segment = segment
        self._salt = salt_of(segment.incarnation)
        self._offset, self._sequence, self._chain = offset, sequence, chain
        self._hard_state = hard_state
        self._segment_bytes, self._frame_bytes = segment_bytes, frame_bytes
        self._file: OpenFile | None = None

    @property
    def _path(self) -> str:
        return f"{self._files.folder}/{segment_name(self._segment.number)}"

    def write(self, writes: Sequence[Persist]) -> None:
        """Make all of `writes` durable: one frame and one sync, more only where they do not fit into one frame."""
        group = merge(writes)
        try:
            bodies = split(group, self._hard_state, self._frame_bytes)
            if group.cluster_id is not None:
                self._give_birth(group.cluster_id, bodies.pop(0))
            for body in bodies:
                self._append(body)
        except OSError as error:
            raise from_os_error(error, "write to", self._path) from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def begin(self) -> None:
        """Create the first segment of an empty folder, durably: from now on the incarnation may be told."""
        self._create(self._segment, b"")

    def seal_previous(self, previous: SegmentHeader, offset: int) -> None:
        """Seal the segment before this one, which is still empty, where its frames end."""
        file = self._files.open(segment_name(previous.number))
        try:
            file.pwrite(offset, encode_seal(self._sequence, self._chain, self._salt))
            file.sync()
        finally:
            file.close()

    def _append(self, body: FrameBody) -> None:
        frame, chain = encode_frame(body, self._sequence, self._chain, self._salt)
        if self._offset + len(frame) + HEADER_BYTES > self._segment.size_bytes:
            self._rotate(len(frame))
        if self._file is None:
            self._file = self._files.open(segment_name(self._segment.number))
        self._file.pwrite(self._offset, frame)
        self._file.sync()
        self._advance(body, len(frame), chain)

    def _advance(self, body: FrameBody, size_bytes: int, chain: int) -> None:
        self._offset += size_bytes
        self._sequence += 1
        self._chain = chain
        self._hard_state = body.hard_state or self._hard_state

    def _rotate(self, frame_bytes: int) -> None:
        previous, offset = self._segment, self._offset
        self.close()
        self._segment = self._header(previous.number + 1, previous.cluster_id, frame_bytes)
        self._offset = SECTOR_BYTES
        self._create(self._segment, b"")
        self.seal_previous(previous, offset)

    def _give_birth(self, cluster_id: str, body: FrameBody) -> None:
        """Replace the empty log by one with the cluster id and its first entry, in one step."""
        if self._segment.number != 1:
            raise StorageError(f"{self._path}: the log of an unborn node has grown beyond one segment")
        self.close()
        kept = FrameBody(body.hard_state or self._hard_state, None, body.entries)
        self._sequence, self._chain, self._offset = 1, 0, SECTOR_BYTES
        frame, chain = encode_frame(kept, 1, 0, self._salt)
        self._segment = self._header(1, cluster_id, len(frame))
        self._create(self._segment, frame)
        self._advance(kept, len(frame), chain)

    def _header(self, number: int, cluster_id: str, frame_bytes: int) -> SegmentHeader:
        needed = SECTOR_BYTES + frame_bytes + HEADER_BYTES
        size = max(self._segment_bytes, (needed + SECTOR_BYTES - 1) // SECTOR_BYTES * SECTOR_BYTES)
        return SegmentHeader(
            number=number,
            size_bytes=size,
            name=self._segment.name,
            incarnation=self._segment.incarnation,
            cluster_id=cluster_id,
            first_sequence=self._sequence,
            chain=self._chain,
        )

    def _create(self, header: SegmentHeader, frames: bytes) -> None:
        """Make a segment appear under its name whole and durable, or not at all."""
        name, content = segment_name(header.number), encode_segment_header(header) + frames
        self._file = self._files.create(name + TEMPORARY_SUFFIX, header.size_bytes)
        self._file.pwrite(0, content)
        self._file.sync()
        self._files.rename(name + TEMPORARY_SUFFIX, name)
        self._files.sync_folder()
