"""The entries of a log in memory: the newest as they are, those before them packed.

Why it exists: a log keeps a hundred thousand entries and more before a snapshot lets them go, and as objects they stand
among those that stay: what a snapshot lets go did not go back to the operating system, so a node kept the memory of the
longest log that it ever had. Packed, an entry takes two thirds of the memory, and all of it is given back. It must not
know terms or indexes: it is a sequence.

Whoever replicates or applies asks for the newest, which are not packed. A follower that is behind reads pieces one
after the other: each is unpacked once. To remove what a conflict overwrites, at most the piece in which that begins is
unpacked.
"""

import mmap
from collections import deque
from collections.abc import Sequence
from typing import overload

import msgspec

from node.raft.types import Entry

UNPACKED_MIN = 2_048
"""The newest entries that stay as they are: what is not committed or not applied yet is among them, as a rule."""

PACKED_ENTRIES_MAX = 512
PACKED_BYTES_MAX = 256 * 1024
"""A piece is packed and unpacked in one go: it has no more entries, and no more bytes of data but for its last one."""

_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(list[Entry]).decode


class _Piece:
    """So many entries, in memory that is the operating system's again once this is let go."""

    __slots__ = ("_memory", "count")

    def __init__(self, entries: list[Entry]) -> None:
        packed = _ENCODE(entries)
        self.count = len(entries)
        self._memory = mmap.mmap(-1, len(packed), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._memory[:] = packed

    def entries(self) -> list[Entry]:
        return _DECODE(self._memory)


class Entries(Sequence[Entry]):
    """A list of entries that grows at its end, and shrinks at both."""

    def __init__(self) -> None:
        self._packed: deque[_Piece] = deque()
        self._gone = 0
        """Entries at the beginning of the first piece that are removed."""
        self._packed_count = 0
        """Entries in all pieces, those not counted that are removed."""
        self._newest: list[Entry] = []
        self._unpacked: tuple[_Piece, list[Entry]] | None = None
        """The piece that was looked at last."""

    def __len__(self) -> int:
        return self._packed_count + len(self._newest)

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> list[Entry]: ...

    def __getitem__(self, at: int | slice) -> Entry | list[Entry]:
        if isinstance(at, slice):
            begin, end, _ = at.indices(len(self))
            return self.between(begin, end)
        packed = self._packed_count
        if at >= packed:
            return self._newest[at - packed]
        position = at if at >= 0 else at + len(self)
        return self._newest[position - packed] if position >= packed else self._unpack(position, position + 1)[0]

    def between(self, begin: int, end: int) -> list[Entry]:
        """Those of the positions `begin` to `end`, that one left out; both are there, or one beyond the last."""
        packed = self._packed_count
        if begin >= packed:
            return self._newest[begin - packed : end - packed]
        return self._unpack(begin, min(end, packed)) + self._newest[: max(0, end - packed)]

    def extend(self, entries: Sequence[Entry]) -> None:
        """Add them at the end; pack about as many of the others."""
        self._newest += entries
        while len(self._newest) >= UNPACKED_MIN + PACKED_ENTRIES_MAX:
            self._pack()

    def remove_first(self, count: int) -> None:
        """As many as there are, at most."""
        from_packed = min(count, self._packed_count)
        self._packed_count -= from_packed
        self._gone += from_packed
        while self._packed and self._gone >= self._packed[0].count:
            self._gone -= self._packed.popleft().count
        del self._newest[: count - from_packed]
        self._unpacked = None

    def remove_from(self, position: int) -> None:
        """That one and all after it."""
        if position >= self._packed_count:
            del self._newest[position - self._packed_count :]
            return
        self._newest, self._unpacked = [], None
        while self._packed_count > position:
            piece = self._packed.pop()
            self._packed_count -= piece.count - (0 if self._packed else self._gone)
        if self._packed_count < position:  # the piece in which it stands is not packed any more
            begin = 0 if self._packed else self._gone
            self._newest = piece.entries()[begin : begin + position - self._packed_count]
        if not self._packed:
            self._gone = 0

    def _pack(self) -> None:
        end = size_bytes = 0
        while end < PACKED_ENTRIES_MAX and size_bytes < PACKED_BYTES_MAX:
            size_bytes += len(self._newest[end].data)
            end += 1
        self._packed.append(_Piece(self._newest[:end]))
        self._packed_count += end
        del self._newest[:end]

    def _unpack(self, begin: int, end: int) -> list[Entry]:
        """Likewise, of what is packed."""
        found: list[Entry] = []
        before = -self._gone
        for piece in self._packed:
            if before >= end:
                break
            if before + piece.count > begin:
                found += self._entries_of(piece)[max(0, begin - before) : end - before]
            before += piece.count
        return found

    def _entries_of(self, piece: _Piece) -> list[Entry]:
        if self._unpacked is None or self._unpacked[0] is not piece:
            self._unpacked = piece, piece.entries()
        return self._unpacked[1]
