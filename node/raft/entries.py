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
from bisect import bisect_right
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
    """So many entries, in memory that is the operating system's again once this is let go. `begin`: the place of the
    first one, counted from the first that the log ever had."""

    __slots__ = ("_memory", "begin", "count")

    def __init__(self, begin: int, entries: list[Entry]) -> None:
        packed = _ENCODE(entries)
        self.begin, self.count = begin, len(entries)
        self._memory = mmap.mmap(-1, len(packed), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._memory[:] = packed

    def entries(self) -> list[Entry]:
        return _DECODE(self._memory)


class Entries(Sequence[Entry]):
    """A list of entries that grows at its end, and shrinks at both. A position counts from the first that is there, a
    place from the first that ever was."""

    def __init__(self) -> None:
        self._removed = 0
        """Entries that were removed at the beginning: the place of the first that is there."""
        self._packed: list[_Piece] = []
        """In order, without a gap."""
        self._newest: list[Entry] = []
        self._newest_begin = 0
        """The place of the first of them, where the last piece ends. What is kept first may begin before `_removed`."""
        self._unpacked: tuple[_Piece, list[Entry]] | None = None
        """The piece that was looked at last."""

    def __len__(self) -> int:
        return self._newest_begin - self._removed + len(self._newest)

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> list[Entry]: ...

    def __getitem__(self, at: int | slice) -> Entry | list[Entry]:
        if isinstance(at, slice):
            begin, end, _ = at.indices(len(self))
            return self.between(begin, end)
        place = at + self._removed if at >= 0 else at + self._newest_begin + len(self._newest)
        if place >= self._newest_begin:
            return self._newest[place - self._newest_begin]
        return self._unpack(place, place + 1)[0]

    def between(self, begin: int, end: int) -> list[Entry]:
        """Those of the positions `begin` to `end`, that one left out; both are there, or one beyond the last."""
        newest = self._newest_begin - self._removed
        if begin >= newest:
            return self._newest[begin - newest : end - newest]
        return self._unpack(begin + self._removed, end + self._removed) + self._newest[: max(0, end - newest)]

    def extend(self, entries: Sequence[Entry]) -> None:
        """Add them at the end; pack about as many of the others."""
        self._newest += entries
        while len(self._newest) >= UNPACKED_MIN + PACKED_ENTRIES_MAX:
            self._pack()

    def remove_first(self, count: int) -> None:
        """As many as there are, at most."""
        self._removed += min(count, len(self))
        self._unpacked = None
        del self._packed[: bisect_right(self._packed, self._removed, key=_end_of)]
        if self._removed > self._newest_begin:
            del self._newest[: self._removed - self._newest_begin]
            self._newest_begin = self._removed

    def remove_from(self, position: int) -> None:
        """That one and all after it."""
        place = position + self._removed
        if place >= self._newest_begin:
            del self._newest[place - self._newest_begin :]
            return
        first = bisect_right(self._packed, place, key=_end_of)
        piece = self._packed[first]
        self._newest_begin, self._newest = piece.begin, piece.entries()[: place - piece.begin]
        self._unpacked = None
        del self._packed[first:]

    def _pack(self) -> None:
        end = size_bytes = 0
        while end < PACKED_ENTRIES_MAX and size_bytes < PACKED_BYTES_MAX:
            size_bytes += len(self._newest[end].data)
            end += 1
        self._packed.append(_Piece(self._newest_begin, self._newest[:end]))
        self._newest_begin += end
        del self._newest[:end]

    def _unpack(self, begin: int, end: int) -> list[Entry]:
        """Those of the places `begin` to `end`, that one left out, as far as they are packed."""
        found: list[Entry] = []
        for number in range(bisect_right(self._packed, begin, key=_end_of), len(self._packed)):
            piece = self._packed[number]
            if piece.begin >= end:
                break
            found += self._entries_of(piece)[max(0, begin - piece.begin) : end - piece.begin]
        return found

    def _entries_of(self, piece: _Piece) -> list[Entry]:
        if self._unpacked is None or self._unpacked[0] is not piece:
            self._unpacked = piece, piece.entries()
        return self._unpacked[1]


def _end_of(piece: _Piece) -> int:
    return piece.begin + piece.count
