"""What tests of the log share: writes that a core could have made, and a log together with what it reported."""

import queue
import threading
import time
from collections.abc import Callable

from node.raft.effects import Persist
from node.raft.types import Base, Configuration, Entry, EntryKind, HardState, Member, SnapshotInfo, cluster_id_of
from node.storage.errors import StorageError
from node.storage.files import FilePort
from node.storage.grouping import FRAME_BYTES
from node.storage.recovery import Recovered
from node.storage.segments import SEGMENT_BYTES
from node.storage.snapshot_files import snapshot_name
from node.storage.snapshot_format import SnapshotEncoder, SnapshotHeader
from node.storage.wal import Wal, open_wal

NAME = "node-1"
INCARNATION = "a" * 32
FIRST = Entry(1, 0, EntryKind.CONFIGURATION, Configuration((Member(NAME, INCARNATION),)).encode())
CLUSTER_ID = cluster_id_of(FIRST)
WAIT_SECONDS_MAX = 10.0


def birth(token: int = 1) -> Persist:
    return Persist(token, HardState(0, "", 0), None, (FIRST,), cluster_id=CLUSTER_ID)


def command(index: int, term: int = 1, data: bytes = b"x") -> Entry:
    return Entry(index, term, EntryKind.WRITE, data, time_us=1_700_000_000_000_000 + index)


def append(token: int, *entries: Entry, truncate_from: int | None = None, state: HardState | None = None) -> Persist:
    return Persist(token, state, truncate_from, entries)


def snapshot_at(files: FilePort, base: Base, *chunks: bytes, made_by: str = "") -> SnapshotInfo:
    """A whole and durable snapshot in the folder, whatever is in the log."""
    encoder = SnapshotEncoder(SnapshotHeader(base, made_by))
    records = [encoder.head, *(encoder.chunk(chunk) for chunk in chunks)]
    closing, info = encoder.closing()
    name = snapshot_name(base.index)
    file = files.create(name + ".new", 0)
    file.pwrite(0, b"".join((*records, closing)))
    file.sync()
    file.close()
    files.rename(name + ".new", name)
    files.sync_folder()
    return info


def rebase(token: int, base: Base, *entries: Entry, state: HardState | None = None) -> Persist:
    """A log that goes on after `base`, as where a snapshot was installed."""
    return Persist(token, state, None, entries, base=base)


class Log:
    """A `Wal`, the tokens it reported as durable, and the faults it reported. Threaded: reports wait in a queue.

    With a `clock` (and `threaded`) a quick disk is waited for; `own_clock`: of ages."""

    def __init__(
        self,
        files: FilePort,
        *,
        threaded: bool = False,
        clock: Callable[[], float] | None = None,
        own_clock: Callable[[], float] = time.perf_counter,
        segment_bytes: int = SEGMENT_BYTES,
        frame_bytes: int = FRAME_BYTES,
        name: str = NAME,
        incarnation: str = INCARNATION,
    ) -> None:
        self.done: list[int] = []
        self.fatal: list[StorageError] = []
        self._reports: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.wal: Wal
        self.recovered: Recovered
        self.wal, self.recovered = open_wal(
            files,
            name,
            incarnation,
            self.fatal.append,
            deliver=self._reports.put if threaded else None,
            adaptive=clock is not None,
            clock=clock or own_clock,
            segment_bytes=segment_bytes,
            frame_bytes=frame_bytes,
        )
        self._threaded = threaded
        self._last_token = 0

    def submit(self, *writes: Persist) -> None:
        for write in writes:
            self.wal.submit(write, self.done.append)
            self._last_token = write.token

    def write(self, *writes: Persist) -> None:
        """Submit, flush, and wait until all is reported."""
        self.submit(*writes)
        self.wal.flush()
        self.settle()

    def settle(self) -> None:
        """Run reports, as an event loop would, until the last token or a fault has come."""
        while self._threaded and not self.fatal and (not self.done or self.done[-1] < self._last_token):
            self._reports.get(timeout=WAIT_SECONDS_MAX)()

    def close(self) -> None:
        self.wal.close()

    def join(self) -> None:
        """Wait for the worker of a log that could not be closed in time."""
        for thread in threading.enumerate():
            if thread.name.startswith("wal-"):
                thread.join(WAIT_SECONDS_MAX)


def read_back(files: FilePort) -> Recovered:
    """What the next start would begin with."""
    log = Log(files, segment_bytes=1024)
    log.close()
    return log.recovered
