"""What tests of snapshots share: a node's snapshots together with the turns of its loop."""

import queue
from collections.abc import Callable, Sequence

from node.raft.types import Base, Configuration, Member, SnapshotInfo
from node.storage.errors import StorageError
from node.storage.files import FilePort
from node.storage.recovery import Recovered
from node.storage.snapshots import Snapshots
from node.storage.worker import FileWorker, InlineWorker, ThreadedWorker
from tests.storage.logs import CLUSTER_ID, FIRST, WAIT_SECONDS_MAX

MEMBERS = Configuration((Member("a", "1"), Member("b", "2")))
Result = tuple[SnapshotInfo | None, str]


def base_at(index: int, term: int = 1, cluster_id: str = CLUSTER_ID) -> Base:
    """The base of the log that tests write: `command(index, term)` stands there."""
    return Base(index, term, 1_700_000_000_000_000 + index, MEMBERS, cluster_id, FIRST.data)


class SnapshotBench:
    """`Snapshots` on a port, as the loop sees them: what is reported waits in a queue."""

    def __init__(self, files: FilePort, *, threaded: bool = False, recovered: Recovered | None = None) -> None:
        self._turns: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self.fatal: list[StorageError] = []
        self.compacted: list[int] = []
        worker: FileWorker = (
            ThreadedWorker(self.fatal.append, self._turns.put, "test")
            if threaded
            else InlineWorker(self.fatal.append, self._turns.put)
        )
        self.snapshots = Snapshots(
            files,
            worker,
            latest=recovered.snapshot if recovered else None,
            partial=recovered.partial if recovered else None,
            compact=self.compacted.append,
        )

    def until(self, results: Sequence[object], count: int = 1) -> None:
        """Run turns until there are so many results, or something is fatal."""
        while len(results) < count and not self.fatal:
            self._turns.get(timeout=WAIT_SECONDS_MAX)()

    def drain(self) -> None:
        """Run all turns that are due, of a worker that works inline."""
        while not self._turns.empty():
            self._turns.get()()

    def take(self, base: Base, *chunks: bytes) -> Result:
        """Take a snapshot that holds these chunks."""
        results: list[Result] = []
        writer = self.snapshots.begin(base)
        for chunk in chunks:
            writer.add(chunk)
        writer.finish(lambda info, problem: results.append((info, problem)))
        assert results == [], "nothing is told within the call"
        self.until(results)
        return results[0]

    def taken(self, base: Base, *chunks: bytes) -> SnapshotInfo:
        info, problem = self.take(base, *chunks)
        assert (problem, info) == ("", self.snapshots.latest)
        assert info is not None
        return info

    def pieces(self, info: SnapshotInfo, piece_bytes: int = 1000) -> list[bytes]:
        """The file, as it is sent."""
        results: list[bytes] = []
        for offset in range(0, info.size_bytes, piece_bytes):
            self.snapshots.read(info, offset, piece_bytes, results.append)
        self.until(results, -(-info.size_bytes // piece_bytes))
        return results

    def receive(self, info: SnapshotInfo, data: bytes, piece_bytes: int = 1000) -> Result:
        """Receive a whole file from wherever an earlier attempt ended."""
        receiver = self.snapshots.receive(info)
        told: list[tuple[int, str]] = []
        for count, offset in enumerate(range(receiver.offset, len(data), piece_bytes), 1):
            piece = data[offset : offset + piece_bytes]
            receiver.write(offset, piece, lambda at, problem: told.append((at, problem)))
            self.until(told, count)
            if told[-1][1]:
                return None, told[-1][1]
        results: list[Result] = []
        receiver.finish(lambda info, problem: results.append((info, problem)))
        self.until(results)
        return results[0]

    def chunks(self, info: SnapshotInfo, bytes_max: int = 1) -> tuple[list[bytes], str]:
        """All chunks, read through the worker, and what was wrong with them."""
        chunks: list[bytes] = []
        results: list[tuple[list[bytes], int | None, str]] = []
        at: int | None = 0
        while at is not None:
            self.snapshots.read_chunks(info, at, bytes_max, lambda *result: results.append(result))
            self.until(results)
            more, at, problem = results.pop()
            chunks += more
            if problem:
                return chunks, problem
        return chunks, ""
