"""Opening a log: the lock, the first segment of an empty folder, and tidying up after a crash.

Why it exists: it is the only one that changes files which a former process left, and only once the whole log has been
found good. It must not decide what is damage (`scanning.py` does). Every function raises `StorageError`, one sentence.
"""

import contextlib
from collections.abc import Sequence

import msgspec

from node import cures
from node.raft.effects import Persist
from node.raft.types import UNBORN, HardState
from node.storage.errors import StorageError, from_os_error
from node.storage.files import TEMPORARY_SUFFIX, FilePort, FolderInUse
from node.storage.frames import NAME_BYTES_MAX, SECTOR_BYTES, SegmentHeader
from node.storage.recovery import Recovered, Survey
from node.storage.scanning import SegmentScan, segment_name
from node.storage.segments import SegmentWriter
from node.storage.starts import Starts


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
    files: FilePort, name: str, incarnation: str, leftovers: Sequence[str], segment_bytes: int, frame_bytes: int
) -> tuple[SegmentWriter, Recovered]:
    """Make the log of a node whose folder holds none, durably. `leftovers`: files that mean nothing."""
    if len(name.encode()) > NAME_BYTES_MAX:
        raise StorageError(f"the node name {name[:20]}... is longer than {NAME_BYTES_MAX} bytes: {cures.SHORTER_NAME}")
    header = SegmentHeader(
        number=1,
        size_bytes=segment_bytes,
        name=name,
        incarnation=incarnation,
        cluster_id="",
        first_sequence=1,
        chain=0,
    )
    state = HardState()
    writer = SegmentWriter(files, header, SECTOR_BYTES, 1, 0, state, Starts(), 1, segment_bytes, frame_bytes)
    try:
        _remove_leftovers(files, *leftovers)
        writer.begin()
    except OSError as error:
        writer.close()
        with contextlib.suppress(OSError):
            _remove_leftovers(files)
        raise from_os_error(error, "make a log in", files.folder) from error
    return writer, Recovered(name, incarnation, state, UNBORN, ())


def resume(
    files: FilePort, found: Survey, joined: Recovered, leftovers: Sequence[str], segment_bytes: int, frame_bytes: int
) -> tuple[SegmentWriter, Recovered]:
    """Go on where a log that was found good ends, once nothing of it is only in the cache; or after the base of
    `joined`, if that is another. `leftovers`: files that mean nothing, or nothing any more."""
    last, before = found.last, found.before_last
    writer = SegmentWriter(
        files,
        last.header,
        last.end,
        found.sequence,
        found.chain,
        found.recovered.hard_state,
        found.starts,
        found.first,
        segment_bytes,
        frame_bytes,
    )
    try:
        _remove_leftovers(files)
        if last.torn_bytes:
            joined = _keep_torn(files, last, joined)
        _make_durable(files, found)
        _remove(files, [segment_name(number) for number in found.leftovers])
        _remove(files, leftovers)
        writer.open()
        if before is not None and last.untouched:  # also where it is sealed: perhaps only in the cache
            writer.seal_previous(before.header, before.end)
    except OSError as error:
        raise from_os_error(error, "tidy up the log in", files.folder) from error
    if joined.base != found.recovered.base:
        writer.write([Persist(0, joined.hard_state, base=joined.base)])
        while writer.due:
            writer.prepare()  # the segments of the log that was discarded
    return writer, joined


def _remove_leftovers(files: FilePort, *others: str) -> None:
    """A segment that was never given its name holds nothing that anyone was told of."""
    names = [name for name in files.names() if name.startswith("segment-") and name.endswith(TEMPORARY_SUFFIX)]
    _remove(files, (*names, *others))


def _remove(files: FilePort, names: Sequence[str]) -> None:
    for name in names:
        files.remove(name)


def _keep_torn(files: FilePort, last: SegmentScan, joined: Recovered) -> Recovered:
    """Copy a torn frame to a file beside, durably, before `_make_durable` overwrites it with zeros."""
    names = files.names()
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
    return msgspec.structs.replace(joined, torn_files=(kept,))


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
