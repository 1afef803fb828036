"""How storage fails: one exception, one sentence, fit to be shown to a person as it is.

Why it exists: a storage fault stops the node (architecture, decision 13), so the sentence is all that its operator
gets. It names the file, where it matters the byte offset, what is wrong, and the cure.
"""

import errno
import os

from node import cures

_CURES = {
    errno.ENOSPC: cures.FREE_SPACE,
    errno.EDQUOT: cures.RAISE_QUOTA,
    errno.EROFS: cures.MAKE_WRITABLE,
    errno.EACCES: cures.GRANT_ACCESS,
    errno.EPERM: cures.GRANT_ACCESS,
    errno.ENOENT: cures.CREATE_FOLDER,
    errno.ENOTDIR: cures.CHOOSE_FOLDER,
    errno.EFBIG: cures.RAISE_FILE_SIZE,
    errno.EMFILE: cures.RAISE_OPEN_FILES,
    errno.EIO: cures.CHECK_DISK,
}


class StorageError(Exception):
    """The durable log cannot be read or written; the node must stop. `str()` of it is one sentence.

    `file` is the path concerned (empty where none is), `offset` the byte in it, or None.
    """

    def __init__(self, sentence: str, *, file: str = "", offset: int | None = None) -> None:
        super().__init__(sentence)
        self.file = file
        self.offset = offset


def damaged(file: str, offset: int, what: str, cure: str = cures.MEMBER_LOST) -> StorageError:
    """The sentence for a file whose contents cannot be trusted."""
    return StorageError(f"{file}, byte {offset}: {what}: {cure}", file=file, offset=offset)


def failed_for_now(error: OSError, doing: str, file: str) -> str:
    """The sentence for a system call on a snapshot; that it fails stops nothing, and the same is tried again later."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"cannot {doing} {file} ({reason}): {cures.SNAPSHOT_NO_SPACE if full else cures.SNAPSHOT_FAILED}"


def from_os_error(error: OSError, doing: str, file: str) -> StorageError:
    """The sentence for a system call that failed; `doing` is what was attempted, as in "write to"."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    cure = _CURES.get(error.errno or 0, cures.LOOK_AT_MOUNT)
    return StorageError(f"cannot {doing} {file} ({reason}): {cure}", file=file)
