"""The write-ahead log: opening one, and the `Storage` that the runtime writes to.

Why it exists: it joins reading (`recovery.py`), writing (`segments.py`) and group commit (`commit.py`), and it is the
only one that tidies up after a crash, once the whole log has been found good. It must not decide what is damage.
"""

import contextlib
from collections.abc import Callable

import msgspec

from node.raft.effects import Persist
from node.raft.errors import InvariantViolation, invariant
from node.raft.types import UNBORN, Base, HardState, base_of_birth
from node.storage.adaptive import AdaptiveCommit
from node.storage.commit import Deliver, Done, GroupCommit, InlineCommit, ThreadedCommit
from node.storage.errors import StorageError, from_os_error
from node.storage.files import FilePort, FolderInUse
from node.storage.frames import NAME_BYTES_MAX, SECTOR_BYTES, SegmentHeader
from node.storage.recovery import TEMPORARY_SUFFIX, Recovered, Survey, segment_name, survey
from node.storage.replay import fixed_index
from node.storage.segments import FRAME_BYTES, SEGMENT_BYTES, SegmentWriter, payload_bytes


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

    def close(self) -> None:
        """Finish what was submitted, then let go of files, thread and lock. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._commit.close()
        self._writer.close()
        self._files.unlock()

    def _check(self, write: Persist) -> None:
        last, entries = self._last_index, write.entries
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
        if write.hard_state is not None and write.hard_state.commit > last:
            raise _impossible(write, f"commits {write.hard_state.commit}, the log ends at {last}")
        self._last_index = last

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
    turn: Deliver | None = None,
    clock: Callable[[], float] | None = None,
    base: Base = UNBORN,
    segment_bytes: int = SEGMENT_BYTES,
    frame_bytes: int = FRAME_BYTES,
) -> tuple[Wal, Recovered]:
    """Open the log of the node `name`, or make one with `new_incarnation` where the folder holds none.

    `deliver` None: `flush` writes and syncs on the caller's thread. Otherwise one worker thread does, and reports
    through `deliver`, which is the event loop's `call_soon_threadsafe`. With `turn` (`call_soon`) and `clock` (seconds)
    as well, the worker is used only while the disk is slow. `segment_bytes` is a multiple of 512.
    `base` is what lies before the log: nothing yet, as long as a log keeps its birth.
    `on_fatal` is called once when a write or sync fails; nothing is reported as durable after that.

    Raises `StorageError` (one sentence) when the folder is in use, cannot be used, or holds a log that is damaged or
    another's; then no file but the lock was changed. When this returns, everything recovered is durable.
    """
    invariant(segment_bytes % SECTOR_BYTES == 0, "segment_bytes must be a multiple of 512")
    _lock(files)
    try:
        found = survey(files, name, base)
        if found is None:
            writer, recovered = _begin(files, name, new_incarnation, base, segment_bytes, frame_bytes)
        else:
            writer, recovered = _resume(files, found, segment_bytes, frame_bytes)
    except BaseException:
        files.unlock()
        raise
    commit: GroupCommit
    if deliver is None:
        commit = InlineCommit(writer.write, on_fatal)
    elif turn is not None and clock is not None:
        commit = AdaptiveCommit(writer.write, on_fatal, deliver, name, turn, clock)
    else:
        commit = ThreadedCommit(writer.write, on_fatal, deliver, name)
    return Wal(files, writer, commit, recovered, frame_bytes), recovered


def _lock(files: FilePort) -> None:
    try:
        files.lock()
    except FolderInUse as error:
        holder = f"process {error.holder}" if error.holder else "another process"
        what = f"{files.folder} is in use by {holder}: stop that process, or choose another data folder"
        raise StorageError(what, file=files.folder) from error
    except OSError as error:
        raise from_os_error(error, "use the data folder", files.folder) from error


def _begin(
    files: FilePort, name: str, incarnation: str, base: Base, segment_bytes: int, frame_bytes: int
) -> tuple[SegmentWriter, Recovered]:
    if len(name.encode()) > NAME_BYTES_MAX:
        raise StorageError(f"the node name {name[:20]}... is too long: choose one of at most {NAME_BYTES_MAX} bytes")
    header = SegmentHeader(
        number=1,
        size_bytes=segment_bytes,
        name=name,
        incarnation=incarnation,
        cluster_id=base.cluster_id,
        first_sequence=1,
        chain=0,
    )
    state = HardState()
    writer = SegmentWriter(files, header, SECTOR_BYTES, 1, 0, state, segment_bytes, frame_bytes)
    try:
        _remove_leftovers(files)
        writer.begin()
    except OSError as error:
        writer.close()
        with contextlib.suppress(OSError):
            _remove_leftovers(files)
        raise from_os_error(error, "make a log in", files.folder) from error
    return writer, Recovered(name, incarnation, state, base, ())


def _resume(files: FilePort, found: Survey, segment_bytes: int, frame_bytes: int) -> tuple[SegmentWriter, Recovered]:
    last, before, recovered = found.last, found.before_last, found.recovered
    writer = SegmentWriter(
        files,
        last.header,
        last.end,
        found.sequence,
        found.chain,
        recovered.hard_state,
        segment_bytes,
        frame_bytes,
    )
    try:
        _remove_leftovers(files)
        if last.torn_bytes:
            recovered = _keep_torn(files, found)
        _make_durable(files, found)
        if before is not None and last.end == SECTOR_BYTES:  # also where it is sealed: perhaps only in the cache
            writer.seal_previous(before.header, before.end)
    except OSError as error:
        raise from_os_error(error, "tidy up the log in", files.folder) from error
    return writer, recovered


def _remove_leftovers(files: FilePort) -> None:
    """A segment that was never given its name holds nothing that anyone was told of."""
    for name in files.names():
        if name.startswith("segment-") and name.endswith(TEMPORARY_SUFFIX):
            files.remove(name)


def _keep_torn(files: FilePort, found: Survey) -> Recovered:
    """Copy a torn frame to a file beside, durably, before `_make_durable` overwrites it with zeros."""
    last, names = found.last, files.names()
    plain = f"{segment_name(last.header.number)}.torn-{last.end}"
    kept, number = plain, 1
    while kept in names:
        number += 1
        kept = f"{plain}-{number}"
    file = files.create(kept, 0)
    try:
        file.pwrite(0, last.torn_bytes)
        file.sync()
    finally:
        file.close()
    files.sync_folder()
    return msgspec.structs.replace(found.recovered, torn_files=(kept,))


def _make_durable(files: FilePort, found: Survey) -> None:
    """Let nothing be relied upon that only the page cache holds, and nothing torn be read later.

    What was read may never have reached the disk: after kill -9, or after a failed sync, which leaves pages that count
    as clean. So the last frame is written again before the sync; every frame before it was synced by a success.
    """
    last = found.last
    file = files.open(segment_name(last.header.number))
    try:
        if last.last_frame_bytes:
            file.pwrite(last.end - len(last.last_frame_bytes), last.last_frame_bytes)
        if last.torn_bytes:
            file.pwrite(last.end, bytes(len(last.torn_bytes)))
        file.sync()
    finally:
        file.close()
    files.sync_folder()
