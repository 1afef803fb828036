"""The names of snapshots in the folder, and what a start finds under them.

Why it exists: two snapshots may lie there for a while, and what a crash left of a third; which one counts must not be
decided in two places. This module only reads, but for `remove_superseded`.

    snapshot-<index>.snap                            whole, durable, and verified by who gave it that name
    snapshot-<index>.snap.tmp                        one that was being taken: nothing, after a crash
    snapshot-<index>-<term>-<bytes>-<crc>.part       one that was being received, of exactly this identity: goes on
"""

import contextlib
import re
from collections.abc import Collection

import msgspec

from node import cures
from node.raft.types import Base, SnapshotInfo
from node.storage.errors import damaged, from_os_error
from node.storage.files import TEMPORARY_SUFFIX, FilePort
from node.storage.frames import LaterFormat, Malformed
from node.storage.snapshot_format import SnapshotHeader, SnapshotReader, intact_bytes

_NAME = re.compile(r"snapshot-(\d{16,})\.snap")
_PART_NAME = re.compile(r"snapshot-(\d{16,})-\d+-\d+-[0-9a-f]{8}\.part")


def snapshot_name(index: int) -> str:
    """The file name of the snapshot whose last entry is `index`."""
    return f"snapshot-{index:016d}.snap"


def part_name(info: SnapshotInfo) -> str:
    """The file name of that snapshot while it is received."""
    return f"snapshot-{info.base.index:016d}-{info.base.term}-{info.size_bytes}-{info.crc:08x}.part"


def indices(names: Collection[str]) -> list[int]:
    """The indices of the snapshots among these names, ascending."""
    return sorted(int(match[1]) for match in map(_NAME.fullmatch, names) if match)


def is_part(name: str) -> bool:
    return _PART_NAME.fullmatch(name) is not None


class Partial(msgspec.Struct, frozen=True):
    """A snapshot that was received up to `offset`, under the name that tells which one it is."""

    name: str
    offset: int


class SnapshotsFound(msgspec.Struct, frozen=True):
    """What lies in the folder: the newest snapshot, which is whole; what can go on; and names that mean nothing."""

    latest: SnapshotInfo | None
    partial: Partial | None
    leftovers: tuple[str, ...]


class SnapshotFile:
    """A snapshot that is read in order, each chunk verified. Methods raise `StorageError`, with `cure`, for damage, and
    `OSError`. `size_bytes`: how much of the file it is; None: all."""

    def __init__(
        self, files: FilePort, name: str, cure: str = cures.MEMBER_LOST, size_bytes: int | None = None
    ) -> None:
        self._path = f"{files.folder}/{name}"
        self._cure = cure
        try:
            size = files.size(name) if size_bytes is None else size_bytes
            self._reader = SnapshotReader(lambda offset, most: files.read_range(name, offset, most), size)
        except Malformed as error:
            later = isinstance(error, LaterFormat)
            raise damaged(self._path, 0, str(error), cures.LATER_RELEASE if later else cure) from error

    @property
    def header(self) -> SnapshotHeader:
        return self._reader.header

    @property
    def offset(self) -> int:
        """Where the next chunk begins."""
        return self._reader.position.offset

    def chunk(self) -> bytes | None:
        """The next one; None after the last."""
        try:
            return self._reader.chunk()
        except Malformed as error:
            raise damaged(self._path, self.offset, str(error), self._cure) from error

    def verify(self) -> SnapshotInfo:
        """Read all that is left; what the file is."""
        while self.chunk() is not None:
            pass
        return self.info

    @property
    def info(self) -> SnapshotInfo:
        """What the file is, once `chunk` has said that there are no more."""
        return self._reader.info


def verified(files: FilePort, index: int, cure: str = cures.MEMBER_LOST) -> SnapshotInfo:
    """The snapshot of that name, read as a whole; raises `StorageError` for damage, and `OSError`."""
    name = snapshot_name(index)
    info = SnapshotFile(files, name, cure).verify()
    if info.base.index != index:
        what = f"this is the snapshot of entry {info.base.index} under the name of another"
        raise damaged(f"{files.folder}/{name}", 0, what, cure)
    return info


def look(files: FilePort, log: Base | None) -> SnapshotsFound:
    """What a start finds beside a log with the base `log`; raises `StorageError` where the newest snapshot is damaged,
    or another cluster's. Changes nothing."""
    try:
        names = files.names()
    except OSError as error:
        raise from_os_error(error, "read the folder", files.folder) from error
    found = indices(names)
    latest = _latest(files, found, log) if found else None
    older = [snapshot_name(index) for index in found[:-1]]
    temporary = [name for name in names if name.startswith("snapshot-") and name.endswith(TEMPORARY_SUFFIX)]
    parts = sorted(filter(is_part, names))
    partial = _partial(files, parts[-1], found[-1] if found else 0) if parts else None
    parts = [name for name in parts if partial is None or name != partial.name]
    return SnapshotsFound(latest, partial, tuple(older + temporary + parts))


def _latest(files: FilePort, found: list[int], log: Base | None) -> SnapshotInfo:
    before = found[-2] if len(found) > 1 else 0
    cure = cures.MOVE_SNAPSHOT if log is not None and log.index <= before else cures.MEMBER_LOST
    path = f"{files.folder}/{snapshot_name(found[-1])}"
    try:
        info = verified(files, found[-1], cure)
    except OSError as error:
        raise from_os_error(error, "read", path) from error
    ours, theirs = log.cluster_id if log is not None else "", info.base.cluster_id
    if ours and ours != theirs:
        what = f"the snapshot belongs to cluster {theirs or '(none)'}, the log to {ours}"
        raise damaged(path, 0, what, cure)
    return info


def _partial(files: FilePort, name: str, newest_index: int) -> Partial | None:
    match = _PART_NAME.fullmatch(name)
    if match is None or int(match[1]) <= newest_index:
        return None
    try:
        kept = intact_bytes(lambda offset, size: files.read_range(name, offset, size), files.size(name))
    except OSError as error:
        raise from_os_error(error, "read", f"{files.folder}/{name}") from error
    return Partial(name, kept) if kept else None


def remove_superseded(files: FilePort, in_use: Collection[str] = ()) -> None:
    """Remove all snapshots but the newest and those that are being read; what cannot be removed stays for later."""
    with contextlib.suppress(OSError):
        for index in indices(files.names())[:-1]:
            if snapshot_name(index) not in in_use:
                files.remove(snapshot_name(index))
