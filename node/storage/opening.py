"""Opening a log: the lock, the first segment of an empty folder, and tidying up after a crash.

Why it exists: it is the only one that changes files which a former process left, and only once the whole log has been
found good. It must not decide what is damage (`recovery.py` does). Every function raises `StorageError`, one sentence.
"""

import contextlib

import msgspec

from node import cures
from node.raft.types import Base, HardState
from node.storage.errors import StorageError, from_os_error
from node.storage.files import FilePort, FolderInUse
from node.storage.frames import NAME_BYTES_MAX, SECTOR_BYTES, SegmentHeader
from node.storage.recovery import TEMPORARY_SUFFIX, Recovered, Survey, segment_name
from node.storage.segments import SegmentWriter


def lock(files: FilePort) -> None:
    """Make this process the folder's only user."""
    try:
        files.lock()
    except FolderInUse as error:
        holder = f"process {error.holder}" if error.holder else "another process"
        what = f"{files.folder} is in use by {holder}: {cures.STOP_OTHER}"
        raise StorageError(what, file=files.folder) from error
    except OSError as error:
        raise from_os_error(error, "use the data folder", files.folder) from error


def begin(
    files: FilePort, name: str, incarnation: str, base: Base, segment_bytes: int, frame_bytes: int
) -> tuple[SegmentWriter, Recovered]:
    """Make the log of a node whose folder holds none, durably."""
    if len(name.encode()) > NAME_BYTES_MAX:
        raise StorageError(f"the node name {name[:20]}... is longer than {NAME_BYTES_MAX} bytes: {cures.SHORTER_NAME}")
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


def resume(files: FilePort, found: Survey, segment_bytes: int, frame_bytes: int) -> tuple[SegmentWriter, Recovered]:
    """Go on where a log that was found good ends, once nothing of it is only in the cache."""
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
        writer.open()
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
