"""The snapshots of one node: taken, received, read, and the last but one let go.

Why it exists: `node.runtime.snapshot_ports.Snapshots`. All file work is the worker's (`worker.py`); what is asked for
comes with `done`, in the loop and never within the call. A snapshot that fails is not fatal, unlike a log that does:
the log keeps what the snapshot would have held. A snapshot that is damaged is, where the state is to be read from it.
"""

from collections.abc import Callable, Iterator

from node.raft.errors import invariant
from node.raft.types import Base, SnapshotInfo
from node.storage.errors import StorageError, from_os_error
from node.storage.files import FilePort
from node.storage.snapshot_files import Partial, SnapshotFile, part_name, snapshot_name
from node.storage.snapshot_format import SnapshotHeader
from node.storage.snapshot_receiving import SnapshotReceiver
from node.storage.snapshot_writing import SnapshotWriter
from node.storage.worker import FileWorker


class Snapshots:
    """`latest` and `partial` are what the start found (`Recovered`), `made_by` is the program's name and version for
    people who look at a file. `compact` is that of the log."""

    def __init__(
        self,
        files: FilePort,
        worker: FileWorker,
        *,
        latest: SnapshotInfo | None = None,
        partial: Partial | None = None,
        compact: Callable[[int], None] = lambda _: None,
        made_by: str = "",
    ) -> None:
        self._files = files
        self._worker = worker
        self._latest = latest
        self._partial = partial
        self._receiver: SnapshotReceiver | None = None
        self._compact = compact
        self._made_by = made_by
        self._read: set[str] = set()
        self._held: list[str] = []
        self._file: tuple[SnapshotInfo, SnapshotFile] | None = None
        """That chunks are read from; the worker's alone."""

    @property
    def latest(self) -> SnapshotInfo | None:
        """The newest that is durable, from wherever it came."""
        return self._latest

    def compact(self, index: int) -> None:
        """The log on disk need not keep entries up to `index`, which the latest snapshot holds."""
        held = self._latest.base.index if self._latest is not None else 0
        invariant(index <= held, "entries up to {} cannot go: the latest snapshot ends at {}", index, held)
        self._compact(index)

    def begin(self, base: Base) -> SnapshotWriter:
        """One of this node's own state, which holds everything up to `base.index`. One at a time."""
        held = self._latest.base.index if self._latest is not None else 0
        invariant(base.index > held, "a snapshot of entry {} is older than the latest, of {}", base.index, held)
        header = SnapshotHeader(base, self._made_by)
        return SnapshotWriter(self._files, self._worker, header, self._completed, self._in_use)

    def receive(self, info: SnapshotInfo) -> SnapshotReceiver:
        """One of another node; goes on where an earlier attempt of the same one ended. One at a time: an earlier one
        takes nothing any more."""
        if self._receiver is not None:
            self._partial = self._receiver.give_up() or self._partial
        name, partial = part_name(info), self._partial
        offset = partial.offset if partial is not None and partial.name == name else 0
        self._partial = None
        self._receiver = SnapshotReceiver(self._files, self._worker, info, offset, self._received, self._in_use)
        return self._receiver

    def read(self, info: SnapshotInfo, offset: int, bytes_max: int, done: Callable[[bytes], None]) -> None:
        """A piece of its file; empty: it is not there any more, or ends before. What is read stays until a second newer
        one is whole."""
        name = snapshot_name(info.base.index)
        self._read.add(name)
        self._worker.do(lambda: self._read_range(name, offset, bytes_max), done)

    def hold(self, info: SnapshotInfo) -> Callable[[], None]:
        """Keep its file, however many newer ones there are, until what this returns is called."""
        name = snapshot_name(info.base.index)
        self._held.append(name)
        return lambda: self._held.remove(name)

    def read_chunks(
        self, info: SnapshotInfo, position: int, bytes_max: int, done: Callable[[list[bytes], int | None, str], None]
    ) -> None:
        """Chunks from `position` (0 at first, then as told) on, verified, one at least: `done(chunks, position, "")`.
        The position is None with the last; a sentence says why it cannot be read, and then there are none."""
        self._worker.do(lambda: self._read_chunks(info, position, bytes_max), lambda result: done(*result))

    def chunks(self, info: SnapshotInfo) -> Iterator[bytes]:
        """All of them in order, verified one by one, on the caller's thread; raises `StorageError`. For a start."""
        name = snapshot_name(info.base.index)
        try:
            file = SnapshotFile(self._files, name)
            while (chunk := file.chunk()) is not None:
                yield chunk
        except OSError as error:
            raise from_os_error(error, "read", f"{self._files.folder}/{name}") from error

    def close(self) -> None:
        """What is under way is given up; a snapshot that was being received goes on after the next start."""
        self._worker.close()

    def _read_range(self, name: str, offset: int, bytes_max: int) -> bytes:
        try:
            return self._files.read_range(name, offset, bytes_max)
        except OSError:
            return b""

    def _read_chunks(self, info: SnapshotInfo, position: int, bytes_max: int) -> tuple[list[bytes], int | None, str]:
        chunks: list[bytes] = []
        try:
            file = self._file_at(info, position)
            while bytes_max > 0:
                chunk = file.chunk()
                if chunk is None:
                    self._file = None
                    return chunks, None, ""
                chunks.append(chunk)
                bytes_max -= len(chunk)
        except StorageError as error:
            self._file = None
            return [], None, str(error)
        except OSError as error:
            self._file = None
            path = f"{self._files.folder}/{snapshot_name(info.base.index)}"
            return [], None, str(from_os_error(error, "read", path))
        return chunks, file.offset, ""

    def _file_at(self, info: SnapshotInfo, position: int) -> SnapshotFile:
        """Where the last call ended, or read up to there anew: each checksum goes on from the one before."""
        if self._file is None or self._file[0] != info or self._file[1].offset > position:
            self._file = (info, SnapshotFile(self._files, snapshot_name(info.base.index)))
        file = self._file[1]
        while file.offset < position and file.chunk() is not None:
            pass
        return file

    def _completed(self, info: SnapshotInfo) -> None:
        if self._latest is None or self._latest.base.index < info.base.index:
            self._latest = info

    def _received(self, info: SnapshotInfo) -> None:
        self._receiver = None
        self._completed(info)

    def _in_use(self) -> set[str]:
        """The snapshots that were read since it was asked last, and those that are held; on the worker's thread."""
        read, self._read = self._read, set()
        return read.union(self._held)
