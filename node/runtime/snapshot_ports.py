"""The doors through which a snapshot goes: out of the state machine, into it, to the disk and from there.

Why it exists: as ports.py, for the state of the machine as a whole; the simulator puts its own disk behind them. It
must not import a concrete class.
"""

from collections.abc import Callable
from typing import Protocol

from node.raft.types import Base, SnapshotInfo


class UnreadableSnapshot(Exception):
    """A snapshot that took the place of the log cannot be read, or holds no state that this version knows: there is
    nothing left to go on with. The message is one sentence."""


class SnapshotJob(Protocol):
    """The state of one moment, walked in slices. `close` it, whether it ended or not."""

    def run(self, work_max: int) -> bool:
        """One slice, units as above; True: all is done."""

    def take(self) -> list[bytes]:
        """The chunks that are complete since the last call, in order."""

    def close(self) -> None: ...


class RestoreJob(Protocol):
    """The chunks of such a job, taken over in slices. Methods raise ValueError for what no snapshot holds."""

    def feed(self, chunk: bytes) -> None:
        """The next one, in order."""

    def run(self, work_max: int) -> bool:
        """One slice; True: all that was fed is taken over."""

    def finish(self) -> None:
        """This was all: from now on it is the state of the machine. What that was is let go by `tidy`."""

    def close(self) -> None:
        """Always called in the end; what was taken over and is not the state then is let go by `tidy`."""


class SnapshotWriter(Protocol):
    """A snapshot on its way to the disk. `waiting_bytes`: given and not written yet; it is not to be given much more
    than a few MiB ahead."""

    @property
    def waiting_bytes(self) -> int: ...

    def add(self, chunk: bytes) -> None:
        """The next chunk, in order."""

    def finish(self, done: Callable[[SnapshotInfo | None, str], None]) -> None:
        """That was all. `done(info, "")` once it is durable and was read back, `done(None, sentence)` if it failed."""

    def abort(self) -> None:
        """It is not wanted any more."""


class SnapshotReceiver(Protocol):
    """The file of another node's snapshot on its way to the disk. `offset`: all before it is there."""

    @property
    def offset(self) -> int: ...

    def write(self, offset: int, data: bytes, done: Callable[[int, str], None]) -> None:
        """The next piece; `done(offset, "")` once it is written, with a sentence where it could not be."""

    def finish(self, done: Callable[[SnapshotInfo | None, str], None]) -> None:
        """That was all: verify it and make it durable; `done` as that of a writer."""


class Snapshots(Protocol):
    """Snapshots on disk. Nothing waits for the disk here: what is asked for comes with `done`, on the thread of the
    loop, and never within the call. A snapshot that fails is not fatal, unlike a log that does."""

    @property
    def latest(self) -> SnapshotInfo | None:
        """The newest that is durable, from wherever it came."""

    def begin(self, base: Base) -> SnapshotWriter:
        """One of this node's own state. One at a time, and not while one is received."""

    def receive(self, info: SnapshotInfo) -> SnapshotReceiver:
        """One of another node; goes on where an earlier attempt of the same one ended. One at a time."""

    def read(self, info: SnapshotInfo, offset: int, bytes_max: int, done: Callable[[bytes], None]) -> None:
        """A piece of its file; empty: it is not there any more."""

    def hold(self, info: SnapshotInfo) -> Callable[[], None]:
        """Keep its file, however many newer ones there are, until what this returns is called."""

    def read_chunks(
        self, info: SnapshotInfo, position: int, bytes_max: int, done: Callable[[list[bytes], int | None, str], None]
    ) -> None:
        """Its chunks from `position` (0 at first) on, verified; the next position, None after the last; and a sentence
        where it cannot be read."""

    def compact(self, index: int) -> None:
        """The log on disk need not keep entries up to `index`, which the latest snapshot holds."""
