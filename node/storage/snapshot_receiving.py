"""Another node's snapshot on its way to this disk: its file, piece by piece, and used only as a whole.

Why it exists: a snapshot takes as long as its bytes need, and a link or a leader may not last so long. What has come is
kept under a name that says which snapshot it is, so another leader goes on with it if it has the same one; and what
has come proves nothing before all of it was verified. It must not know who sends it.
"""

from collections.abc import Callable

from node import cures
from node.raft.types import SnapshotInfo
from node.storage.errors import failed_for_now
from node.storage.files import FilePort
from node.storage.snapshot_files import Partial, is_part, part_name
from node.storage.snapshot_writing import Ended, publish
from node.storage.spool import Spool
from node.storage.worker import FileWorker


class SnapshotReceiver:
    """`node.runtime.snapshot_ports.SnapshotReceiver`. Made by `Snapshots.receive`."""

    def __init__(
        self,
        files: FilePort,
        worker: FileWorker,
        info: SnapshotInfo,
        offset: int,
        received: Callable[[SnapshotInfo], None],
        in_use: Callable[[], set[str]],
    ) -> None:
        self._files = files
        self._worker = worker
        self._info = info
        self._received = received
        self._in_use = in_use
        self._name = part_name(info)
        self._offset = offset
        self._spool = Spool(files, self._name, offset)
        self._given_up = False
        worker.do(self._remove_others, lambda _: None)

    @property
    def offset(self) -> int:
        """All before it is there."""
        return self._offset

    def write(self, offset: int, data: bytes, done: Callable[[int, str], None]) -> None:
        """The next piece: `done(offset, "")` says from where on the next one is wanted, whatever came; with a sentence
        where it could not be written."""

        def tell(result: tuple[int, str]) -> None:
            self._offset, problem = result
            if not self._given_up:
                done(self._offset, problem)

        self._worker.do(lambda: self._append(offset, data), tell)

    def finish(self, done: Ended) -> None:
        """That was all: verify the whole file and make it durable; `done` as that of a writer. What proves to be no
        such snapshot is gone then, and the next attempt begins anew."""

        def tell(result: tuple[int, str]) -> None:
            self._offset, problem = result
            if not problem:
                self._received(self._info)
            if not self._given_up:
                done(None if problem else self._info, problem)

        self._worker.do(self._publish, tell)

    def give_up(self) -> Partial | None:
        """Take nothing more; what is there stays for the next attempt."""
        self._given_up = True
        self._worker.do(self._spool.close, lambda _: None)
        return Partial(self._name, self._offset) if self._offset else None

    # On the worker

    def _append(self, offset: int, data: bytes) -> tuple[int, str]:
        at = self._spool.offset
        if self._given_up or offset != at or not data:
            return at, ""  # a piece that came twice, or late, or too early
        if at + len(data) > self._info.size_bytes:
            return at, f"a piece ends at byte {at + len(data)} of a snapshot that has {self._info.size_bytes}"
        try:
            self._spool.append(data)
        except OSError as error:
            self._spool.close()
            return self._spool.offset, failed_for_now(error, "write to", f"{self._files.folder}/{self._name}")
        return self._spool.offset, ""

    def _publish(self) -> tuple[int, str]:
        at, size = self._spool.offset, self._info.size_bytes
        if self._given_up or at != size:
            return at, f"{self._files.folder}/{self._name} has {at} of {size} bytes: send the others first"
        problem = publish(self._files, self._spool, self._info, self._in_use, cures.SNAPSHOT_SENT_AGAIN)
        if problem:
            self._spool.offset = 0
        return self._spool.offset, problem

    def _remove_others(self) -> None:
        """What was received of any other snapshot makes room."""
        try:
            for name in self._files.names():
                if is_part(name) and name != self._name:
                    self._files.remove(name)
        except OSError:
            pass  # leftovers for the next start
