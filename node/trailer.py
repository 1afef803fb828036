"""What follows a backup that etcd's tools have saved: `etcdctl snapshot save` refuses a file without it.

Why it exists: etcd ends its copy with a SHA-256, and its client looks whether the length is that of such a file. So the
file of a backup goes to those clients with zeros, its own length and a SHA-256 after it, and `raft-node restore` takes
both. It must not know what is in a backup.

    the file | zeros | length of the file u64, little-endian | SHA-256 of all before it
"""

import hashlib
from collections.abc import Callable

BLOCK_BYTES = 512
"""All but the SHA-256 is a multiple of it."""

SHA256_BYTES = 32
_LENGTH_BYTES = 8
_READ_BYTES = 1024 * 1024


class Trailer:
    """Of a file that goes by, piece by piece."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = 0

    def add(self, piece: bytes) -> None:
        """The next piece."""
        self._hash.update(piece)
        self._size += len(piece)

    def end(self) -> bytes:
        """What follows the last one."""
        zeros = -(self._size + _LENGTH_BYTES) % BLOCK_BYTES
        before = bytes(zeros) + self._size.to_bytes(_LENGTH_BYTES, "little")
        self._hash.update(before)
        return before + self._hash.digest()


def length_before(read: Callable[[int, int], bytes], size: int) -> int:
    """How long the file is before its trailer; `size` where it has none, or where that does not match. `read`: (offset,
    how many bytes)."""
    content = size - SHA256_BYTES
    if content < BLOCK_BYTES or content % BLOCK_BYTES:
        return size
    length = int.from_bytes(read(content - _LENGTH_BYTES, _LENGTH_BYTES), "little")
    if not 0 <= content - _LENGTH_BYTES - length < BLOCK_BYTES:
        return size
    found = hashlib.sha256()
    for at in range(0, content, _READ_BYTES):
        found.update(read(at, min(_READ_BYTES, content - at)))
    return length if found.digest() == read(content, SHA256_BYTES) else size
