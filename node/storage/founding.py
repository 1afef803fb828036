"""A data folder that begins with a whole state: the snapshot of a cluster's first entry here, and a log after it.

Why it exists: a cluster that is restored from a backup, or that goes on without its majority, is a new one with an old
state. Its folders are made by commands while no node runs, and a node then starts on them as on any other. The snapshot
comes before the log: a folder that was left half made is refused by a start, or is whole. It must not know what a chunk
holds, nor who shall be a member.
"""

import hashlib
from collections.abc import Iterable

from node import __version__, cures
from node.raft.effects import Persist
from node.raft.types import Base, Configuration, Entry, EntryKind, HardState, Member, SnapshotInfo, cluster_id_of
from node.storage.errors import StorageError, damaged, from_os_error
from node.storage.files import LOCK_NAME, TEMPORARY_SUFFIX, FilePort
from node.storage.grouping import FRAME_BYTES
from node.storage.opening import begin
from node.storage.segments import SEGMENT_BYTES
from node.storage.snapshot_files import SnapshotFile, snapshot_name
from node.storage.snapshot_format import SnapshotEncoder, SnapshotHeader
from node.storage.spool import Spool

_MEANS_NOTHING = {LOCK_NAME, "lost+found", "restored", "restored.part", "backup.part"}
"""Names that an empty folder may hold: the lock of whoever looks at it, what a new file system has, and what an init
step keeps there that restores it (`raft-node restore --once`)."""

INDEX_GAP = 1_000_000_000
"""How far beyond the old cluster's last known entry the new one begins. What the old one wrote after that entry is
lost, and an index of it may still be known to somebody, as the number of a session: it is not given again."""


def new_base(before: Base, configuration: Configuration, gap: int = INDEX_GAP) -> Base:
    """Where a new cluster of these members begins, which holds all up to `before`: terms and log time go on, indexes
    after a gap.
    Its id is that of a cluster that was born with this configuration, so nobody of an older one is taken for its
    member."""
    birth = configuration.encode()
    cluster_id = cluster_id_of(Entry(1, 0, EntryKind.CONFIGURATION, birth))
    return Base(before.index + gap, before.term, before.time_us, configuration, cluster_id, birth)


def require_empty(files: FilePort) -> None:
    """Raises `StorageError` where the folder holds anything."""
    try:
        names = [name for name in files.names() if name not in _MEANS_NOTHING]
    except OSError as error:
        raise from_os_error(error, "read the folder", files.folder) from error
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        what = f"{files.folder} is not empty (it holds {names[0]}{more})"
        raise StorageError(f"{what}: {cures.EMPTY_FOLDER}", file=files.folder)


def disk_number(name: str, *facts: str) -> str:
    """The number of a member's disk in a new cluster: it follows from all that the cluster is made of, so folders that
    are made apart from each other agree on it."""
    return hashlib.sha256("\n".join((*facts, name)).encode()).hexdigest()[:16]


def found(files: FilePort, member: Member, base: Base, term: int, chunks: Iterable[bytes]) -> SnapshotInfo:
    """Make the folder of `member`, whose state after the entry at `base.index` is `chunks`; `term`: as far as it has
    come. Durable when it returns. Raises `StorageError`, and whatever `chunks` raises."""
    try:
        info = _write_snapshot(files, base, chunks)
        writer, _ = begin(files, member.name, member.incarnation, (), SEGMENT_BYTES, FRAME_BYTES)
        try:
            writer.write([Persist(0, HardState(max(term, base.term), "", base.index), base=base)])
        finally:
            writer.close()
    except (OSError, StorageError) as error:
        reason = error if isinstance(error, OSError) else error.__cause__
        if isinstance(reason, OSError) and getattr(error, "file", files.folder).startswith(files.folder):
            what = f"cannot make {files.folder} ({reason.strerror or reason})"
            raise StorageError(f"{what}: {cures.MAKE_AGAIN}", file=files.folder) from reason
        raise
    return info


def _write_snapshot(files: FilePort, base: Base, chunks: Iterable[bytes]) -> SnapshotInfo:
    encoder = SnapshotEncoder(SnapshotHeader(base, f"raft-node {__version__}"))
    spool = Spool(files, snapshot_name(base.index) + TEMPORARY_SUFFIX)
    try:
        spool.append(encoder.head)
        for chunk in chunks:
            spool.append(encoder.chunk(chunk))
        closing, info = encoder.closing()
        spool.append(closing)
        spool.seal()
        if SnapshotFile(files, spool.name, cures.MAKE_AGAIN).verify() != info:
            raise damaged(f"{files.folder}/{spool.name}", 0, "this is not what was written", cures.MAKE_AGAIN)
        spool.name_as(snapshot_name(base.index))
    except BaseException:
        spool.discard()
        raise
    return info
