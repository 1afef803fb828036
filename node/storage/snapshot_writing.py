"""A snapshot on its way to the disk: written beside, synced, read back, named; then the one before it may go.

Why it exists: as long as one of these steps is missing nobody may rely on it, and afterwards everybody does. It must
not know what a chunk holds, nor when a snapshot is due.
"""

from collections.abc import Callable

from node import cures
from node.raft.errors import invariant
from node.raft.types import SnapshotInfo
from node.storage.errors import StorageError, failed_for_now
from node.storage.files import TEMPORARY_SUFFIX, FilePort
from node.storage.snapshot_files import SnapshotFile, indices, remove_superseded, snapshot_name
from node.storage.snapshot_format import SnapshotEncoder, SnapshotHeader, check_chunk
from node.storage.spool import Spool
from node.storage.worker import FileWorker

WRITTEN_BYTES = 1024 * 1024
"""Chunks are handed to the worker so many bytes at a time: each hand-over makes the two threads wait for each other,
and on a machine that is short of processors it is the loop that waits."""

Ended = Callable[[SnapshotInfo | None, str], None]


def publish(files: FilePort, spool: Spool, info: SnapshotInfo, in_use: Callable[[], set[str]], cure: str) -> str:
    """Sync a file that was written, read it back, give it its name, and take away what it supersedes; a sentence where
    that cannot be done, with `cure` for damage, and then the file is gone. On the worker."""
    path = f"{files.folder}/{spool.name}"
    try:
        found = indices(files.names())
        if found and found[-1] >= info.base.index:
            problem = f"{files.folder}/{snapshot_name(found[-1])} came first, and holds all that {path} would have held"
        else:
            spool.seal()
            read_back = SnapshotFile(files, spool.name, cure).verify()
            problem = "" if read_back == info else f"{path} is not the snapshot that it should be: {cure}"
        if not problem:
            spool.name_as(snapshot_name(info.base.index))
            remove_superseded(files, in_use())
            return ""
    except StorageError as error:
        problem = str(error)
    except OSError as error:
        problem = failed_for_now(error, "make durable", path)
        Spool(files, snapshot_name(info.base.index)).discard()
    spool.discard()
    return problem


class SnapshotWriter:
    """`node.runtime.snapshot_ports.SnapshotWriter`. Made by `Snapshots.begin`."""

    def __init__(
        self,
        files: FilePort,
        worker: FileWorker,
        header: SnapshotHeader,
        completed: Callable[[SnapshotInfo], None],
        in_use: Callable[[], set[str]],
    ) -> None:
        self._files = files
        self._worker = worker
        self._completed = completed
        self._in_use = in_use
        self._encoder = SnapshotEncoder(header)
        self._spool = Spool(files, snapshot_name(header.base.index) + TEMPORARY_SUFFIX)
        self._problem = ""
        """Why it failed: from then on nothing more is written."""
        self._aborted = False
        self._ended = False
        self._waiting_bytes = 0
        self._records: list[bytes] = []
        """Of the chunks that the worker was not given yet."""
        self._records_bytes = 0
        worker.do(lambda: self._append(self._encoder.head), lambda _: None)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that were given and are not written yet; whoever gives them holds back above a few MiB."""
        return self._waiting_bytes

    def add(self, chunk: bytes) -> None:
        """The next chunk, in order; raises `ValueError` where it is empty or too long."""
        invariant(not self._ended, "a chunk came to a snapshot that had ended")
        check_chunk(chunk)
        if self._aborted:
            return
        self._waiting_bytes += len(chunk)
        self._records.append(self._encoder.chunk(chunk))
        self._records_bytes += len(chunk)
        if self._records_bytes >= WRITTEN_BYTES:
            self._hand_over()

    def _hand_over(self) -> None:
        records, size_bytes = self._records, self._records_bytes
        self._records, self._records_bytes = [], 0

        def written(_: None) -> None:
            self._waiting_bytes -= size_bytes

        self._worker.do(lambda: self._append(b"".join(records)), written)

    def finish(self, done: Ended) -> None:
        """That was all. `done(info, "")` once it is durable and was read back, `done(None, sentence)` if it failed; the
        file is gone then, and nothing else happened."""
        invariant(not self._ended, "a snapshot ended twice")
        self._ended = True

        def tell(result: tuple[SnapshotInfo, str]) -> None:
            info, problem = result
            if not problem:
                self._completed(info)
            if not self._aborted:
                done(None if problem else info, problem)

        if not self._aborted:
            if self._records:
                self._hand_over()
            self._worker.do(self._publish, tell)

    def abort(self) -> None:
        """It is not wanted any more: nobody is told of it again. One that is named already stays."""
        if not self._aborted:
            self._aborted = True
            self._records.clear()
            self._worker.do(self._discard, lambda _: None)

    # On the worker

    def _append(self, record: bytes) -> None:
        if self._problem or self._aborted:
            return
        try:
            self._spool.append(record)
        except OSError as error:
            self._problem = failed_for_now(error, "write to", self._path)
            self._spool.discard()

    def _publish(self) -> tuple[SnapshotInfo, str]:
        closing, info = self._encoder.closing()
        self._append(closing)
        if self._aborted:
            self._problem = self._problem or "it was given up"
        if not self._problem:
            self._problem = publish(self._files, self._spool, info, self._in_use, cures.SNAPSHOT_FAILED)
        return info, self._problem

    def _discard(self) -> None:
        self._spool.discard()

    @property
    def _path(self) -> str:
        return f"{self._files.folder}/{snapshot_name(self._encoder.base.index)}{TEMPORARY_SUFFIX}"
