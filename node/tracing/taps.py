"""The driver's ports, with somebody who looks on.

Why it exists: what a trace tells of disks and peers passes these two ports, so the driver need not know of traces. A
tap must not change, delay or lose anything that passes.
"""

from collections.abc import Callable

from node.raft.effects import Persist
from node.raft.messages import Message
from node.runtime.ports import Storage, TraceSink
from node.tracing.paths import Paths


class TappedStorage:
    """A `Storage`."""

    def __init__(self, storage: Storage, paths: Paths) -> None:
        self._storage = storage
        self._paths = paths

    def submit(self, write: Persist, done: Callable[[int], None]) -> None:
        """See `Storage`."""
        entries = write.entries
        if not entries:
            self._storage.submit(write, done)
            return

        def durable(token: int) -> None:
            self._paths.disk_done(entries)
            done(token)

        self._paths.disk_began(entries)
        self._storage.submit(write, durable)

    def flush(self) -> None:
        """See `Storage`."""
        self._storage.flush()


class TappedTrace:
    """A `TraceSink`."""

    def __init__(self, trace: TraceSink, paths: Paths) -> None:
        self.transition = trace.transition
        self._trace = trace
        self._paths = paths

    def message(self, sent: bool, peer: str, message: Message) -> None:
        """See `TraceSink`."""
        self._trace.message(sent, peer, message)
        self._paths.message(sent, peer, message)
