"""The file port: the few operations through which the log reaches its files, and the real ones over `os`.

Why it exists: the simulator puts a disk behind this port that loses, tears and flips, and so runs the very log that
runs in production. It holds what the log and snapshots need and nothing else; it must not know what a file contains.

One port is one folder; names are plain file names in it. Every method may raise `OSError`; nothing is retried.
What is durable when: bytes of a file after `sync` of it, names (created, renamed, removed) after `sync_folder`.
"""

import fcntl
import os
from collections.abc import Callable
from typing import Protocol

from node import cures
from node.storage.errors import StorageError, from_os_error

LOCK_NAME = "lock"
"""The file that one process holds locked while it uses the folder; its text is that process's id."""

TEMPORARY_SUFFIX = ".tmp"
"""What a file's name ends in until all of it is durable: such a file means nothing to a start."""

_sync_data = getattr(os, "fdatasync", os.fsync)


class FolderInUse(Exception):
    """Another process holds the lock; `holder` is its id, or empty where it could not be read."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class OpenFile(Protocol):
    """A file open for writing. It stays the same file when its name changes."""

    def pwrite(self, offset: int, data: bytes) -> None:
        """Write all of `data` at `offset` (bytes); nothing of it is durable before `sync`."""

    def sync(self) -> None:
        """Return once everything written to this file, and its size, is durable (fdatasync)."""

    def close(self) -> None:
        """Give the file back; closing is not syncing."""


class FilePort(Protocol):
    """One folder of files."""

    @property
    def folder(self) -> str:
        """The folder's path, for sentences."""

    def lock(self) -> None:
        """Make this process the folder's only user; raises `FolderInUse` at once where another is."""

    def unlock(self) -> None:
        """Let others in; harmless when not locked."""

    def names(self) -> list[str]:
        """Every name in the folder, sorted."""

    def read(self, name: str) -> bytes:
        """The whole file, as far as written (durable or not)."""

    def size(self, name: str) -> int:
        """How many bytes the file has, as far as written."""

    def read_range(self, name: str, offset: int, size_bytes: int) -> bytes:
        """That part of the file, as far as written; shorter where the file ends before."""

    def create(self, name: str, size_bytes: int) -> OpenFile:
        """Make a file of `size_bytes` zeros, its space reserved where the system can; raises if the name is taken."""

    def open(self, name: str) -> OpenFile:
        """Open an existing file for writing."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing what bore it, as one step."""

    def remove(self, name: str) -> None:
        """Remove a name."""

    def sync_folder(self) -> None:
        """Return once all names made, changed and removed so far are durable."""


AroundSync = Callable[[Callable[[], None]], None]
"""Runs one sync; whoever measures syncs puts a clock round it."""


class OsFile:
    """`OpenFile` over a descriptor. A `new` file's first sync is a full one: its size came without a write."""

    def __init__(self, descriptor: int, around_sync: AroundSync, *, new: bool = False) -> None:
        self._descriptor = descriptor
        self._around_sync = around_sync
        self._new = new

    def pwrite(self, offset: int, data: bytes) -> None:
        written = os.pwrite(self._descriptor, data, offset)
        while written < len(data):  # a nearly full disk takes a part; the next call says why
            written += os.pwrite(self._descriptor, data[written:], offset + written)

    def sync(self) -> None:
        self._around_sync(self._sync)

    def _sync(self) -> None:
        if self._new:
            os.fsync(self._descriptor)
            self._new = False
        else:
            _sync_data(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class OsFiles:
    """`FilePort` over a real folder, which must exist (`prepare_folder` makes it)."""

    def __init__(self, folder: str | os.PathLike[str], around_sync: AroundSync = lambda sync: sync()) -> None:
        self._folder = os.fspath(folder)
        self._around_sync = around_sync
        self._lock_descriptor = -1
        self._folder_descriptor = -1  # kept while locked: who is out of descriptors can still make names durable

    @property
    def folder(self) -> str:
        return self._folder

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def lock(self) -> None:
        descriptor = os.open(self._path(LOCK_NAME), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
            self._folder_descriptor = _open_folder(self._folder)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise FolderInUse(holder) from None
        except OSError:
            os.close(descriptor)
            raise
        self._lock_descriptor = descriptor

    def unlock(self) -> None:
        for descriptor in (self._lock_descriptor, self._folder_descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock_descriptor = self._folder_descriptor = -1

    def names(self) -> list[str]:
        return sorted(os.listdir(self._folder))

    def read(self, name: str) -> bytes:
        with open(self._path(name), "rb") as file:
            return file.read()

    def size(self, name: str) -> int:
        return os.stat(self._path(name)).st_size

    def read_range(self, name: str, offset: int, size_bytes: int) -> bytes:
        with open(self._path(name), "rb", buffering=0) as file:
            file.seek(offset)
            data = file.read(size_bytes) or b""
            while len(data) < size_bytes and (more := file.read(size_bytes - len(data))):
                data += more
            return data

    def create(self, name: str, size_bytes: int) -> OsFile:
        descriptor = os.open(self._path(name), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            if hasattr(os, "posix_fallocate") and size_bytes:
                os.posix_fallocate(descriptor, 0, size_bytes)
            else:
                os.ftruncate(descriptor, size_bytes)
        except OSError:
            os.close(descriptor)
            os.unlink(self._path(name))
            raise
        return OsFile(descriptor, self._around_sync, new=True)

    def open(self, name: str) -> OsFile:
        return OsFile(os.open(self._path(name), os.O_RDWR), self._around_sync)

    def rename(self, old: str, new: str) -> None:
        os.rename(self._path(old), self._path(new))

    def remove(self, name: str) -> None:
        os.unlink(self._path(name))

    def sync_folder(self) -> None:
        if self._folder_descriptor >= 0:
            os.fsync(self._folder_descriptor)
        else:
            _sync_folder(self._folder)


def _open_folder(folder: str) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync_folder(folder: str) -> None:
    descriptor = _open_folder(folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prepare_folder(folder: str | os.PathLike[str], around_sync: AroundSync = lambda sync: sync()) -> OsFiles:
    """Make the folder where it is missing (its parent must exist), durably; raises `StorageError`."""
    path = os.fspath(folder)
    try:
        if not os.path.exists(path):
            os.mkdir(path, 0o755)
            _sync_folder(os.path.dirname(os.path.abspath(path)))
    except OSError as error:
        raise from_os_error(error, "make the data folder", path) from error
    if not os.path.isdir(path):
        raise StorageError(f"{path} is not a folder: {cures.CHOOSE_FOLDER}", file=path)
    return OsFiles(path, around_sync)
