"""A disk in memory that loses what was not synced, tears the last write, fails on demand and flips bits.

Why it exists: the production log runs on it in the simulator (`node.storage.files.FilePort` is the door), and its
conformance suite is the real disk's, so it is no kinder than a real one. Everything it does follows from the calls and
from the `rng` handed in (an object with `.random()`), so the same seed gives the same disk.

Model: a file is an inode of sectors of 512 bytes, written whole or not at all; names are entries of one folder, whose
changes become durable with `sync_folder` alone. `crash` is a power failure, `kill` the end of the process only (what
was written stays in the cache, synced or not). After a failed sync the sectors concerned count as clean: they are in
the cache, but no later sync writes them (as Linux does; PostgreSQL learned of it in 2018).
"""

import errno
import os
from typing import TypeVar

from node.simulation.chance import Chance
from node.storage.files import LOCK_NAME, FolderInUse

SECTOR_BYTES = 512
T = TypeVar("T")


class _Inode:
    def __init__(self, size_bytes: int) -> None:
        self.cached = bytearray(size_bytes)
        self.durable = bytearray()
        self.dirty: dict[int, None] = {}
        self.clean_but_lost: dict[int, None] = {}

    def write(self, offset: int, data: bytes) -> None:
        if not data:
            return
        end = offset + len(data)
        if end > len(self.cached):
            self.cached.extend(bytes(end - len(self.cached)))
        self.cached[offset:end] = data
        for sector in range(offset // SECTOR_BYTES, (end - 1) // SECTOR_BYTES + 1):
            self.dirty.pop(sector, None)
            self.clean_but_lost.pop(sector, None)
            self.dirty[sector] = None

    def _keep(self, sector: int) -> None:
        start = sector * SECTOR_BYTES
        content = self.cached[start : start + SECTOR_BYTES]
        if len(self.durable) < start + len(content):
            self.durable.extend(bytes(start + len(content) - len(self.durable)))
        self.durable[start : start + len(content)] = content

    def sync(self) -> None:
        for sector in self.dirty:
            self._keep(sector)
        self.dirty.clear()
        if len(self.durable) < len(self.cached):
            self.durable.extend(bytes(len(self.cached) - len(self.durable)))

    def lose_sync(self) -> None:
        self.clean_but_lost.update(self.dirty)
        self.dirty.clear()

    def crash(self, rng: Chance) -> None:
        """Of what was not synced, nothing, all, the first part or any part survives; also the size by itself."""
        unsynced = [*self.clean_but_lost, *self.dirty]
        for sector in _survivors(unsynced, rng):
            self._keep(sector)
        if len(self.durable) < len(self.cached) and rng.random() < 0.5:
            self.durable.extend(bytes(len(self.cached) - len(self.durable)))
        self.cached = bytearray(self.durable)
        self.dirty.clear()
        self.clean_but_lost.clear()


def _survivors(changes: list[T], rng: Chance) -> list[T]:
    kind = rng.random()
    if kind < 0.2:
        return []
    if kind < 0.3:
        return changes
    if kind < 0.6:
        return changes[: int(rng.random() * (len(changes) + 1))]
    return [change for change in changes if rng.random() < 0.5]


class SimulatedFile:
    """`node.storage.files.OpenFile` on a `SimulatedDisk`; dead after a crash or kill."""

    def __init__(self, disk: "SimulatedDisk", inode: _Inode) -> None:
        self._disk = disk
        self._inode = inode
        self._boot = disk.boots
        self._open = True

    def _require_open(self) -> None:
        if not self._open or self._boot != self._disk.boots:
            raise OSError(errno.EBADF, "this file was opened before the crash, or closed")

    def pwrite(self, offset: int, data: bytes) -> None:
        self._require_open()
        try:
            self._disk.count("pwrite")
        except OSError:
            part = (offset + len(data) // 2) // SECTOR_BYTES * SECTOR_BYTES - offset
            self._inode.write(offset, data[: max(0, part)])  # a failing write may have written whole sectors
            raise
        self._inode.write(offset, data)

    def sync(self) -> None:
        self._require_open()
        try:
            self._disk.count("sync")
        except OSError:
            self._inode.lose_sync()
            raise
        self._inode.sync()

    def close(self) -> None:
        self._open = False


class SimulatedDisk:
    """`node.storage.files.FilePort` in memory, and the means to break it.

    `operations` counts the calls by name: "pwrite", "sync", "create", "open", "rename", "remove", "sync_folder",
    "read", "read_range", "size", "names", "lock". `boots` counts crashes and kills.
    """

    def __init__(self, folder: str = "disk") -> None:
        self._folder = folder
        self._names: dict[str, _Inode] = {}
        self._durable_names: dict[str, _Inode] = {}
        self._changes: list[dict[str, _Inode | None]] = []
        self._failures: dict[str, tuple[int, int]] = {}
        self._locked = False
        self.boots = 0
        self.operations: dict[str, int] = {}

    @property
    def folder(self) -> str:
        return self._folder

    # What a log calls

    def lock(self) -> None:
        self.count("lock")
        if self._locked:
            raise FolderInUse("1")
        self._locked = True
        if LOCK_NAME not in self._names:
            self._change({LOCK_NAME: _Inode(0)})

    def unlock(self) -> None:
        self._locked = False

    def names(self) -> list[str]:
        self.count("names")
        return sorted(self._names)

    def read(self, name: str) -> bytes:
        self.count("read")
        return bytes(self._inode(name).cached)

    def size(self, name: str) -> int:
        self.count("size")
        return len(self._inode(name).cached)

    def read_range(self, name: str, offset: int, size_bytes: int) -> bytes:
        self.count("read_range")
        return bytes(self._inode(name).cached[offset : offset + size_bytes])

    def create(self, name: str, size_bytes: int) -> SimulatedFile:
        self.count("create")
        if name in self._names:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        inode = _Inode(size_bytes)
        self._change({name: inode})
        return SimulatedFile(self, inode)

    def open(self, name: str) -> SimulatedFile:
        self.count("open")
        return SimulatedFile(self, self._inode(name))

    def rename(self, old: str, new: str) -> None:
        self.count("rename")
        self._change({new: self._inode(old), old: None})

    def remove(self, name: str) -> None:
        self.count("remove")
        self._inode(name)
        self._change({name: None})

    def sync_folder(self) -> None:
        self.count("sync_folder")
        self._durable_names = dict(self._names)
        self._changes.clear()

    # What breaks it

    def fail(self, operation: str, error: int, after_calls: int = 0) -> None:
        """From the call after the next `after_calls` of `operation` on, raise `OSError(error)`, until `heal`."""
        self._failures[operation] = (self.operations.get(operation, 0) + after_calls, error)

    def make_read_only(self) -> None:
        """Everything that changes something fails with EROFS, until `heal`."""
        for operation in ("lock", "create", "open", "pwrite", "rename", "remove"):
            self.fail(operation, errno.EROFS)

    def heal(self) -> None:
        """Nothing fails any more; what was lost stays lost."""
        self._failures.clear()

    def flip(self, name: str, offset: int, mask: int) -> None:
        """Damage one byte of a file, in the cache and on the medium: exclusive-or with `mask`."""
        inode = self._inode(name)
        inode.cached[offset] ^= mask
        if offset < len(inode.durable):
            inode.durable[offset] ^= mask

    def kill(self) -> None:
        """The process ends, as by kill -9: open files and the lock are gone, the cache is not."""
        self.boots += 1
        self._locked = False

    def crash(self, rng: Chance) -> None:
        """The power fails: of what was not synced, chance decides what is there afterwards."""
        self.kill()
        for change in _survivors(self._changes, rng):
            _apply(self._durable_names, change)
        self._changes.clear()
        seen: list[_Inode] = []
        for inode in self._durable_names.values():
            if all(inode is not other for other in seen):
                seen.append(inode)
                inode.crash(rng)
        self._names = dict(self._durable_names)

    def content(self) -> dict[str, bytes]:
        """Every file as a reader sees it now; not counted as an operation."""
        return {name: bytes(inode.cached) for name, inode in sorted(self._names.items())}

    def load(self, content: dict[str, bytes]) -> None:
        """Hold exactly these files, durably."""
        self._names = {}
        for name, data in content.items():
            inode = _Inode(0)
            inode.cached, inode.durable = bytearray(data), bytearray(data)
            self._names[name] = inode
        self._durable_names = dict(self._names)
        self._changes.clear()

    def count(self, operation: str) -> None:
        calls = self.operations.get(operation, 0)
        self.operations[operation] = calls + 1
        if operation in self._failures and calls >= self._failures[operation][0]:
            error = self._failures[operation][1]
            raise OSError(error, os.strerror(error))

    def _inode(self, name: str) -> _Inode:
        if name not in self._names:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return self._names[name]

    def _change(self, change: dict[str, _Inode | None]) -> None:
        _apply(self._names, change)
        self._changes.append(change)


def _apply(names: dict[str, _Inode], change: dict[str, _Inode | None]) -> None:
    for name, inode in change.items():
        if inode is None:
            names.pop(name, None)
        else:
            names[name] = inode
