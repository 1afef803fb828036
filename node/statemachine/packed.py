"""Superseded versions as bytes, in blocks of memory that are the operating system's again once nothing in them is kept.

Why it exists: Python's own allocator gives memory back in pieces of a mebibyte, each only once no object at all is in
it. Old versions live for an hour beside what lives for ever, and go together, so most of what they took stayed with
the process: 100,000 keys that were written ten times kept more than four times what they take. Here a version is bytes
at an address; an object is made when it is read. It must not decide which versions may go.

What is written comes in the order in which it was superseded, so whoever looks for what a compaction freed goes over
the blocks (`due`). What is loaded comes in another order, before all that is written, and is not gone over.
"""

import mmap
import struct
from collections.abc import Iterator

from node.statemachine.writes import KeyValue

BLOCK_BYTES = 1024 * 1024
"""What is taken of the operating system at once. Of it only what was written to takes memory."""

COPIED_BYTES_MAX = 4096
"""Longer keys and values stay objects: copying them would take time, and what is so long goes back by itself."""

_OFFSET_BITS = 21
"""An address is the number of its block, where in that the version is, and a bit that marks a tombstone."""

TOMBSTONE = 1
"""That bit."""

_OFFSET = (1 << _OFFSET_BITS) - 1
_HEAD = struct.Struct("<qiiqqqq")
"""When it was superseded (0: not told), lengths of key and value, mod_revision, create_revision, version, lease."""

_HEAD_BYTES = _HEAD.size
_ORDER = struct.Struct("<qii")
_REVISION = struct.Struct("<q")
_REVISION_AT = _ORDER.size
_NOT_COPIED = -1
"""As the length of a key: it stayed an object."""

_NONE = -1
"""As the length of a value: it is a tombstone."""


class Packed:
    """Versions by address. An address is known to whoever added it, and void once it was dropped."""

    def __init__(self) -> None:
        self._blocks: dict[int, mmap.mmap] = {}
        self._kept: dict[int, int] = {}
        """How many versions in each block are kept."""
        self._long: dict[int, KeyValue] = {}
        """Those that were not copied."""
        self._last = -1
        """The block that is being filled, and how much of it is."""
        self._filled = BLOCK_BYTES
        self._next: tuple[int, int] | None = None
        """The block, and where in it, that `due` goes on with; None: nothing was written yet."""

    def add(self, kv: KeyValue, superseded_at: int) -> int:
        """It was just superseded, at that revision. Its address."""
        if self._next is None:
            self._begin_block()
            self._next = self._last, 0
        return self.load(kv, superseded_at)

    def load(self, kv: KeyValue, superseded_at: int = 0) -> int:
        """It was superseded some time before anything is added. Its address."""
        key, value, version = kv.key, kv.value, kv.version
        key_bytes, value_bytes = len(key), len(value)
        copied = key_bytes + value_bytes
        if copied > COPIED_BYTES_MAX:
            key_bytes, copied = _NOT_COPIED, 0
        begin = self._filled
        end = begin + _HEAD_BYTES + copied
        if end > BLOCK_BYTES:
            self._begin_block()
            begin, end = 0, _HEAD_BYTES + copied
        number = self._last
        address = number << _OFFSET_BITS | begin << 1
        if not version:
            address, value_bytes = address | TOMBSTONE, _NONE
        if not copied:
            self._long[address] = kv
            key = value = b""
        head = _HEAD.pack(superseded_at, key_bytes, value_bytes, kv.mod_revision, kv.create_revision, version, kv.lease)
        self._blocks[number][begin:end] = head + key + value
        self._filled = end
        self._kept[number] += 1
        return address

    def get(self, key: bytes, address: int) -> KeyValue:
        """The version there, which is one of `key`."""
        block, begin = self._blocks[address >> _OFFSET_BITS], (address & _OFFSET) >> 1
        _, key_bytes, value_bytes, revision, created, version, lease = _HEAD.unpack_from(block, begin)
        if key_bytes == _NOT_COPIED:
            return self._long[address]
        begin += _HEAD_BYTES + key_bytes
        return KeyValue(key, block[begin : begin + max(0, value_bytes)], created, revision, version, lease)

    def revision(self, address: int) -> int:
        """The `mod_revision` of the version there."""
        block, begin = self._blocks[address >> _OFFSET_BITS], (address & _OFFSET) >> 1
        found: int = _REVISION.unpack_from(block, begin + _REVISION_AT)[0]
        return found

    def key(self, address: int) -> bytes:
        """Whose version is there, or was; b"" where nobody knows any more."""
        block, begin = self._blocks.get(address >> _OFFSET_BITS), (address & _OFFSET) >> 1
        if block is None:
            return b""
        _, key_bytes, _ = _ORDER.unpack_from(block, begin)
        if key_bytes == _NOT_COPIED:
            return self._long[address].key if address in self._long else b""
        begin += _HEAD_BYTES
        return block[begin : begin + key_bytes]

    def drop(self, address: int) -> int:
        """Forget the version there: how long its value was."""
        number = address >> _OFFSET_BITS
        _, key_bytes, value_bytes = _ORDER.unpack_from(self._blocks[number], (address & _OFFSET) >> 1)
        if key_bytes == _NOT_COPIED:
            del self._long[address]
        kept = self._kept[number] - 1
        if kept:
            self._kept[number] = kept
        else:
            del self._blocks[number], self._kept[number]
            if number == self._last:
                self._filled = BLOCK_BYTES
        return 0 if value_bytes == _NONE else int(value_bytes)

    def due(self, revision: int) -> Iterator[tuple[int, bytes]]:
        """Address and key of each version that was added, and superseded at `revision` or before it: each once, also of
        those that were dropped, unless their block is gone. Whoever stops goes on with the next call."""
        unpack = _ORDER.unpack_from
        while self._next is not None:
            number, begin = self._next
            block, end = self._blocks.get(number), begin + _HEAD_BYTES
            while block is not None and end <= len(block):
                superseded_at, key_bytes, value_bytes = unpack(block, begin)
                if superseded_at > revision:
                    return
                if not superseded_at:
                    break
                address = number << _OFFSET_BITS | begin << 1 | (value_bytes == _NONE)
                if key_bytes == _NOT_COPIED:
                    key = self._long[address].key if address in self._long else b""
                else:
                    key = block[end : end + key_bytes]
                    end += key_bytes if value_bytes == _NONE else key_bytes + value_bytes
                self._next = number, end
                yield address, key
                begin, end = end, end + _HEAD_BYTES
            if number == self._last:
                return
            self._next = number + 1, 0  # there is nothing, or nothing any more, from here to the end of the block

    def emptying(self) -> Iterator[int]:
        """Let all versions go, piece by piece, and tell for each how many bytes."""
        while self._long:
            yield len(self._long.popitem()[1].value)
        while self._blocks:
            self._blocks.popitem()
            yield BLOCK_BYTES

    @property
    def bytes(self) -> int:
        """Of all blocks."""
        return len(self._blocks) * BLOCK_BYTES

    def _begin_block(self) -> None:
        self._last += 1
        self._blocks[self._last] = mmap.mmap(-1, BLOCK_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._kept[self._last] = self._filled = 0
