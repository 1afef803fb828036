"""A file that grows from its beginning to its end, and is synced on the way.

Why it exists: a snapshot that is taken and one that is received are written in the same way. What is written at once
and synced at the end makes one long sync, and the log's own syncs wait for it: a few megabytes at a time they do not.
It must not know what the bytes are. Methods raise `OSError`.
"""

import contextlib

from node.storage.files import FilePort, OpenFile

SYNC_BYTES = 4 * 1024 * 1024
"""After so many bytes the file is synced."""


class Spool:
    """The file `name`, from `offset` on; it is made, or opened where it is there already, with the first write."""

    def __init__(self, files: FilePort, name: str, offset: int = 0) -> None:
        self._files = files
        self.name = name
        self.offset = offset
        self._file: OpenFile | None = None
        self._unsynced = 0

    def append(self, data: bytes) -> None:
        """At the end. Where this fails, the next one overwrites what it left."""
        if self._file is None:
            self._file = self._open()
        self._file.pwrite(self.offset, data)
        self.offset += len(data)
        self._unsynced += len(data)
        if self._unsynced >= SYNC_BYTES:
            self._file.sync()
            self._unsynced = 0

    def seal(self) -> None:
        """Make all of it durable; nothing is added any more."""
        if self._file is None:
            self._file = self._open()
        self._file.sync()
        self.close()

    def name_as(self, name: str) -> None:
        """Give it that name, durably."""
        self._files.rename(self.name, name)
        self._files.sync_folder()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def discard(self) -> None:
        """Close and remove it; what cannot be removed is a leftover for the next start."""
        self.close()
        with contextlib.suppress(OSError):
            self._files.remove(self.name)

    def _open(self) -> OpenFile:
        if self.name in self._files.names():
            if self.offset:
                return self._files.open(self.name)
            self._files.remove(self.name)  # left over from an attempt that could not remove it
        return self._files.create(self.name, 0)
