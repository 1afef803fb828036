"""The write-ahead log: opening one, and the `Storage` that the runtime writes to.

Why it exists: it joins reading (`recovery.py`), opening (`opening.py`), writing (`segments.py`) and group commit
(`commit.py`), and refuses what no log could take before it reaches the disk. It must not touch a file.
"""

from collections.abc import Callable

from node.raft.effects import Persist
from node.raft.errors import InvariantViolation, invariant
from node.raft.types import Base, base_of_birth
from node.storage.adaptive import AdaptiveCommit
from node.storage.commit import Clock, Deliver, Done, GroupCommit, InlineCommit
from node.storage.continuity import join, missing
from node.storage.errors import StorageError
from node.storage.files import FilePort
from node.storage.frames import SECTOR_BYTES
from node.storage.grouping import FRAME_BYTES, payload_bytes
from node.storage.opening import begin, lock, resume
from node.storage.recovery import Recovered, survey
from node.storage.replay import fixed_index
from node.storage.segments import SEGMENT_BYTES, SegmentWriter
from node.storage.snapshot_files import look
from node.storage.swapping import refuse_half_swapped
from node.storage.threaded import ThreadedCommit


class Wal:
    """A durable log, open for writing: `node.runtime.ports.Storage`, and `close`. Made by `open_wal`.

    A write that no log could take (a gap, a commit index beyond the end, an entry that fits into no frame) raises
    `InvariantViolation` from `submit`: found here, it is a bug; found on the disk, it would be damage.
    """

    def __init__(
        self, files: FilePort, writer: SegmentWriter, commit: GroupCommit, recovered: Recovered, frame_bytes: int
    ) -> None:
        self._files = files
        self._writer = writer
        self._commit = commit
        self._base = recovered.base
        self._last_index = recovered.base.index + len(recovered.entries)
        self._commit_index = recovered.hard_state.commit
        self._frame_bytes = frame_bytes
        self._closed = False

    def submit(self, write: Persist, done: Done) -> None:
        """Queue `write`; `done(token)` is called once it and all before it are durable, never within this call."""
        if self._closed:
            raise _impossible(write, "came after the log was closed")
        if not write.empty or write.cluster_id is not None:
            self._check(write)
        self._commit.submit(write, done)

    def flush(self) -> None:
        """Write everything submitted: one frame, one sync. Inline: durable and reported when this returns."""
        self._commit.flush()

    def compact(self, index: int) -> None:
        """A durable snapshot has all up to `index`: remove the segments that hold nothing else, where they are in the
        way of nobody. What cannot be removed now may be at the next call."""
        invariant(
            index <= self._last_index,
            "entries up to {} cannot be superfluous in a log that ends at {}",
            index,
            self._last_index,
        )
        self._writer.compact(index)
        self._commit.look_for_chores()

    def close(self) -> None:
        """Finish what was submitted, then let go of files, thread and lock. May be called twice.

        Takes `CLOSE_SECONDS_MAX` (threaded.py) at most where a thread writes, and raises `StorageError` where that was
        not enough. Whoever closes has nothing else to do any more: this waits.
        """
        if self._closed:
            return
        self._closed = True
        self._commit.close()
        self._writer.close()
        self._files.unlock()

    def _check(self, write: Persist) -> None:
        last, entries = self._last_index, write.entries
        if write.base is not None:
            self._base = self._rebase(write, write.base)
            last = write.base.index
        if write.truncate_from is not None:
            if not fixed_index(self._base) < write.truncate_from <= last + 1:
                raise _impossible(write, f"truncates from {write.truncate_from}, the log ends at {last}")
            last = write.truncate_from - 1
        if entries:
            if entries[0].index != last + 1 or entries[-1].index != last + len(entries):
                raise _impossible(write, f"begins at entry {entries[0].index}, the log ends at {last}")
            last += len(entries)
            largest = max(map(payload_bytes, entries))
            if largest > self._frame_bytes:
                raise _impossible(write, f"holds an entry of {largest} bytes")
        if write.cluster_id is not None:
            self._base = self._birth(write)
        if entries and not self._base.cluster_id:
            raise _impossible(write, "holds entries before birth")
        if write.hard_state is not None:
            if write.hard_state.commit > last:
                raise _impossible(write, f"commits {write.hard_state.commit}, the log ends at {last}")
            self._commit_index = write.hard_state.commit
        self._last_index = last

    def _rebase(self, write: Persist, base: Base) -> Base:
        if not base.cluster_id or base.cluster_id != (self._base.cluster_id or base.cluster_id):
            raise _impossible(write, f"has a base of cluster {base.cluster_id or '(none)'}")
        if base.index < max(self._commit_index, 1):
            raise _impossible(write, f"has base {base.index}, but {self._commit_index} is committed")
        return base

    def _birth(self, write: Persist) -> Base:
        if self._base.cluster_id or not write.entries:
            raise _impossible(write, "gives birth to a log that is not empty, or without an entry")
        base = base_of_birth(write.entries[0])
        if write.cluster_id != base.cluster_id:
            raise _impossible(write, "names a cluster id that is not that of entry 1")
        return base


def _impossible(write: Persist, what: str) -> InvariantViolation:
    """What `_check` raises; made only where it is needed, because a sentence costs more than all the checks."""
    return InvariantViolation(f"Persist {write.token} {what}")


def open_wal(
    files: FilePort,
    name: str,
    new_incarnation: str,
    on_fatal: Callable[[StorageError], None],
    *,
    deliver: Deliver | None = None,
    adaptive: bool = False,
    clock: Clock = lambda: 0.0,
    segment_bytes: int = SEGMENT_BYTES,
    frame_bytes: int = FRAME_BYTES,
) -> tuple[Wal, Recovered]:
    """Open the log of the node `name`, or make one with `new_incarnation` where the folder holds none.

    `deliver` None: `flush` writes and syncs on the caller's thread. Otherwise one worker thread does, and reports
    through `deliver`, which is the event loop's `call_soon_threadsafe`; where it is `adaptive`, `flush` writes and
    syncs itself while a quick disk has just answered. `clock` counts seconds. `segment_bytes` is a multiple of 512.
    `on_fatal` is called once when a write or sync fails; nothing is reported as durable after that.

    Raises `StorageError` (one sentence) when the folder is in use, cannot be used, or holds a log that is damaged or
    another's; then no file but the lock was changed. When this returns, everything recovered is durable.
    """
    invariant(segment_bytes % SECTOR_BYTES == 0, "segment_bytes must be a multiple of 512")
    lock(files)
    try:
        writer, recovered = _open(files, name, new_incarnation, segment_bytes, frame_bytes)
    except BaseException:
        files.unlock()
        raise
    return Wal(
        files, writer, _group_commit(writer, name, on_fatal, clock, deliver, adaptive), recovered, frame_bytes
    ), recovered


def _open(
    files: FilePort, name: str, new_incarnation: str, segment_bytes: int, frame_bytes: int
) -> tuple[SegmentWriter, Recovered]:
    """Everything is read and judged before anything is changed."""
    refuse_half_swapped(files)
    log = survey(files, name)
    snapshots = look(files, log.recovered.base if log is not None else None)
    if log is not None:
        joined = join(files, log.recovered, log.first, snapshots)
        return resume(files, log, joined, snapshots.leftovers, segment_bytes, frame_bytes)
    if snapshots.latest is not None:
        raise missing(files, snapshots)
    return begin(files, name, new_incarnation, snapshots.leftovers, segment_bytes, frame_bytes)


def _group_commit(
    writer: SegmentWriter,
    name: str,
    on_fatal: Callable[[StorageError], None],
    clock: Clock,
    deliver: Deliver | None,
    adaptive: bool,
) -> GroupCommit:
    if deliver is None:
        return InlineCommit(writer, on_fatal, clock)
    commit = AdaptiveCommit if adaptive else ThreadedCommit
    return commit(writer, on_fatal, clock, deliver, name)
