"""Writing the log: frames into segments of a fixed size, and everything durable when a call returns.

Why it exists: all that touches the disk after the start is here, on one thread at a time, and knows nothing of who
waits for it. A failed write or sync is reported once and must never be retried: after a failed fsync the system may
have dropped the data, and a second fsync would say that all is well.
"""

import contextlib
from collections.abc import Sequence

import msgspec

from node.raft.effects import Persist
from node.raft.types import HardState
from node.storage.errors import StorageError, from_os_error
from node.storage.files import TEMPORARY_SUFFIX, FilePort, OpenFile
from node.storage.frames import (
    HEADER_BYTES,
    SECTOR_BYTES,
    FrameBody,
    SegmentHeader,
    encode_frame,
    encode_seal,
    encode_segment_header,
    salt_of,
)
from node.storage.grouping import FRAME_BYTES, merge, split
from node.storage.removal import Removal
from node.storage.scanning import segment_name
from node.storage.starts import Starts

SEGMENT_BYTES = 16 * 1024 * 1024
"""A segment's size. Its space is taken at once, so a full disk shows at rotation and not in the middle, and a write
changes no metadata; larger ones would only make a small cluster take much disk."""

AHEAD_PARTS = 8
"""When half a segment is full the next one's file is made; where that fails, again after such a part of it."""


class SegmentWriter:
    """The open end of a log. Every method raises `StorageError` when the disk fails; then none may be called again.

    `segment` is the header of the segment that is written, `offset` (bytes), `sequence` and `chain` say where and
    how its next frame begins; `hard_state` is the durable one, `starts` has seen every frame before, and the log
    begins with the segment `first`.
    """

    def __init__(
        self,
        files: FilePort,
        segment: SegmentHeader,
        offset: int,
        sequence: int,
        chain: int,
        hard_state: HardState,
        starts: Starts,
        first: int = 1,
        segment_bytes: int = SEGMENT_BYTES,
        frame_bytes: int = FRAME_BYTES,
    ) -> None:
        self._files = files
        self._segment = segment
        self._salt = salt_of(segment.incarnation)
        self._offset, self._sequence, self._chain = offset, sequence, chain
        self._hard_state = hard_state
        self._starts = starts
        self._removal = Removal(files, starts, first)
        self._segment_bytes, self._frame_bytes = segment_bytes, frame_bytes
        self._file: OpenFile | None = None
        self._ahead: OpenFile | None = None
        self._ahead_name = ""
        self._ahead_from = 0

    @property
    def _path(self) -> str:
        return f"{self._files.folder}/{segment_name(self._segment.number)}"

    def write(self, writes: Sequence[Persist]) -> None:
        """Make all of `writes` durable: one frame and one sync, more only where they do not fit into one frame."""
        group = merge(writes)
        try:
            bodies = split(group, self._hard_state, self._frame_bytes)
            born = group.base.cluster_id if group.base is not None else group.cluster_id
            if born and not self._segment.cluster_id:
                self._give_birth(born, bodies.pop(0))
            for body in bodies:
                self._append(body)
        except OSError as error:
            raise from_os_error(error, "write to", self._path) from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._drop_ahead()

    def open(self) -> None:
        """Open the segment that is written, of a log that was there."""
        if self._file is None:
            self._file = self._files.open(segment_name(self._segment.number))

    def compact(self, index: int) -> None:
        """Nobody needs entries up to `index` any more: `prepare` removes what they alone fill. On any thread."""
        self._removal.want(index)

    @property
    def due(self) -> bool:
        """Whether `prepare` has something to do."""
        return self._removal.due or self._ahead_due

    @property
    def _ahead_due(self) -> bool:
        half = self._segment.size_bytes // 2
        return self._ahead is None and self._offset >= half and self._offset >= self._ahead_from

    def prepare(self) -> None:
        """One piece of what is better done when nobody waits. What fails here is no failure of the log."""
        if self._ahead_due:
            self._make_ahead()
        else:
            self._removal.step()

    def _make_ahead(self) -> None:
        """Make the next segment's file ahead: its space is taken, its descriptor open.

        So rotation needs neither, nor their time; where this fails, rotation tries itself.
        """
        self._ahead_from = self._offset + self._segment.size_bytes // AHEAD_PARTS
        self._ahead_name = segment_name(self._segment.number + 1) + TEMPORARY_SUFFIX
        try:
            self._ahead = self._files.create(self._ahead_name, self._segment_bytes)
            self._ahead.sync()
        except OSError:
            self._drop_ahead()

    def _drop_ahead(self) -> None:
        """Remove the file that was made ahead, if there is one; a start would remove it as well."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
            with contextlib.suppress(OSError):
                self._files.remove(self._ahead_name)

    def begin(self) -> None:
        """Create the first segment of an empty folder, durably: from now on the incarnation may be told."""
        self._create(self._segment, b"")

    def seal_previous(self, previous: SegmentHeader, offset: int) -> None:
        """Seal the segment before this one, to which nothing was added since it was made, where its frames end."""
        file = self._files.open(segment_name(previous.number))
        try:
            self._seal(file, offset)
        finally:
            file.close()

    def _seal(self, file: OpenFile, offset: int) -> None:
        """`file` is that of the segment before the one that is written."""
        file.pwrite(offset, encode_seal(self._segment.first_sequence, self._segment.chain, self._salt))
        file.sync()

    def _append(self, body: FrameBody) -> None:
        data_bytes = sum(len(entry.data) for entry in body.entries)
        if body.base is not None or not self._has_room(data_bytes):  # a large frame is not encoded in vain
            self._rotate(body)
            return
        frame, chain = encode_frame(body, self._sequence, self._chain, self._salt)
        if not self._has_room(len(frame)):
            self._rotate(body)
            return
        file = self._opened()
        file.pwrite(self._offset, frame)
        file.sync()
        self._advance(body, len(frame), chain)

    def _has_room(self, frame_bytes: int) -> bool:
        return self._offset + frame_bytes + HEADER_BYTES <= self._segment.size_bytes

    def _opened(self) -> OpenFile:
        if self._file is None:
            raise StorageError(f"{self._path}: a write came to a log that is not open")
        return self._file

    def _advance(self, body: FrameBody, size_bytes: int, chain: int) -> None:
        self._offset += size_bytes
        self._sequence += 1
        self._chain = chain
        self._hard_state = body.hard_state or self._hard_state
        self._starts.take(self._segment.number, body)
        if body.base is not None:
            self._removal.want(body.base.index)

    def _rotate(self, body: FrameBody) -> None:
        """Go on with `body` in a new segment that a log could begin with, and seal the one before through the
        descriptor that was written until now."""
        before, offset, file = self._segment, self._offset, self._opened()
        start = self._starts.end if body.base is None else None
        if start is not None and start.cluster_id:
            body = msgspec.structs.replace(body, start=start)
        body = msgspec.structs.replace(body, hard_state=body.hard_state or self._hard_state)
        frame, chain = encode_frame(body, self._sequence, self._chain, self._salt)
        self._segment = self._header(before.number + 1, before.cluster_id, len(frame))
        self._offset = SECTOR_BYTES
        try:
            self._create(self._segment, frame)
            self._seal(file, offset)
        finally:
            file.close()
        self._advance(body, len(frame), chain)

    def _give_birth(self, cluster_id: str, body: FrameBody) -> None:
        """Replace the empty log by one with the cluster id and its first entry, or its base, in one step."""
        if self._segment.number != 1:
            raise StorageError(f"{self._path}: the log of an unborn node has grown beyond one segment")
        self.close()
        kept = FrameBody(body.hard_state or self._hard_state, None, body.entries, body.base)
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
        name = segment_name(header.number)
        file = self._file = self._take_ahead(header) or self._files.create(name + TEMPORARY_SUFFIX, header.size_bytes)
        file.pwrite(0, encode_segment_header(header) + frames)
        file.sync()
        self._files.rename(name + TEMPORARY_SUFFIX, name)
        self._files.sync_folder()

    def _take_ahead(self, header: SegmentHeader) -> OpenFile | None:
        """The file that was made ahead for this segment, unless one frame needs a larger one."""
        self._ahead_from = 0
        if header.size_bytes != self._segment_bytes:
            self._drop_ahead()
        made, self._ahead = self._ahead, None
        return made
