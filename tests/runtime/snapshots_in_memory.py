"""Snapshots on a disk that answers when told: `node.runtime.snapshot_ports.Snapshots` in memory.

Why it exists: what the runtime does while the disk is slow, fails or has just been asked is shown step by step. Files
are chunks with a length before each. It must not be kinder than the real one: `done` is never called within a call.
"""

import zlib
from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec

from node.raft.types import Base, SnapshotInfo

Done = Callable[[SnapshotInfo | None, str], None]


class MemorySnapshots:
    """`complete()` answers all that was asked; `problem`: what is said of the next that ends."""

    def __init__(self) -> None:
        self.latest: SnapshotInfo | None = None
        self.files: dict[int, bytes] = {}
        self.problem = ""
        self.waiting_bytes = 0
        self.compacted: list[int] = []
        self.aborted: list[int] = []
        self.held: list[int] = []
        self.asked: deque[Callable[[], None]] = deque()

    def complete(self) -> None:
        """The disk answers what it was asked by now."""
        asked, self.asked = self.asked, deque()
        for answer in asked:
            answer()

    def begin(self, base: Base) -> "MemoryWriter":
        return MemoryWriter(self, base)

    def receive(self, info: SnapshotInfo) -> "MemoryReceiver":
        return MemoryReceiver(self, info)

    def read(self, info: SnapshotInfo, offset: int, bytes_max: int, done: Callable[[bytes], None]) -> None:
        data = self.files.get(info.base.index, b"")[offset : offset + bytes_max]
        self.asked.append(lambda: done(data))

    def hold(self, info: SnapshotInfo) -> Callable[[], None]:
        self.held.append(info.base.index)
        return lambda: self.held.remove(info.base.index)

    def read_chunks(
        self, info: SnapshotInfo, position: int, bytes_max: int, done: Callable[[list[bytes], int | None, str], None]
    ) -> None:
        chunks = chunks_of(self.files[info.base.index])
        following = position + 1 if position + 1 < len(chunks) else None
        problem, self.problem = self.problem, ""
        self.asked.append(partial(done, chunks[position : position + 1], following, problem))

    def compact(self, index: int) -> None:
        self.compacted.append(index)

    def keep(self, info: SnapshotInfo | None, data: bytes, done: Done) -> None:
        """The end of a file, good or bad."""
        problem, self.problem = self.problem, ""

        def answer() -> None:
            if problem or info is None:
                done(None, problem)
                return
            self.files[info.base.index], self.latest = data, info
            done(info, "")

        self.asked.append(answer)


class MemoryWriter:
    """Satisfies `SnapshotWriter`."""

    def __init__(self, snapshots: MemorySnapshots, base: Base) -> None:
        self._snapshots = snapshots
        self._base = base
        self.chunks: list[bytes] = []

    @property
    def waiting_bytes(self) -> int:
        return self._snapshots.waiting_bytes

    def add(self, chunk: bytes) -> None:
        self.chunks.append(chunk)

    def finish(self, done: Done) -> None:
        file = file_of(self.chunks)
        self._snapshots.keep(info_of(self._base, self.chunks), file, done)

    def abort(self) -> None:
        self._snapshots.aborted.append(self._base.index)


class MemoryReceiver:
    """Satisfies `SnapshotReceiver`."""

    def __init__(self, snapshots: MemorySnapshots, info: SnapshotInfo) -> None:
        self._snapshots = snapshots
        self._info = info
        self._data = b""

    @property
    def offset(self) -> int:
        return len(self._data)

    def write(self, offset: int, data: bytes, done: Callable[[int, str], None]) -> None:
        assert offset == len(self._data)
        problem, self._snapshots.problem = self._snapshots.problem, ""

        def answer() -> None:
            if not problem:
                self._data += data
            done(len(self._data), problem)

        self._snapshots.asked.append(answer)

    def finish(self, done: Done) -> None:
        whole = zlib.crc32(self._data) == self._info.crc
        self._snapshots.keep(self._info if whole else None, self._data, done)


def file_of(chunks: list[bytes]) -> bytes:
    return msgspec.msgpack.encode(chunks)


def chunks_of(file: bytes) -> list[bytes]:
    return msgspec.msgpack.decode(file, type=list[bytes])


def info_of(base: Base, chunks: list[bytes]) -> SnapshotInfo:
    """What is said of a file with these chunks."""
    file = file_of(chunks)
    return SnapshotInfo(base, len(file), len(chunks), zlib.crc32(file))
