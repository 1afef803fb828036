"""Requests that wait for an outcome: who asked, until when, and where in the log the answer will come from.

Why it exists: the core answers by request number and by log index; clients wait on callbacks and peers on messages.
It must not judge outcomes: see driver.py.
"""

import heapq
from collections.abc import Callable, Iterator

import msgspec

from node.runtime.ports import Outcome, ReadFailed


class PendingWrite(msgspec.Struct):
    """One command that waits. `reply` answers it, here or over a link. `may_forward`: it came from a client of this
    node, so it has its one hop left. `forwarded_to`: the leader it was sent to. `proposed`: it may be in a log."""

    data: bytes
    reply: Callable[[Outcome], None]
    may_forward: bool
    forwarded_to: str = ""
    proposed: bool = False


class Pending:
    """Bounded by `requests_max`; every request leaves it exactly once."""

    def __init__(self, requests_max: int) -> None:
        self._requests_max = requests_max
        self._next_request = 1
        self._writes: dict[int, PendingWrite] = {}
        self._reads: dict[int, Callable[[ReadFailed | None], None]] = {}
        self._deadlines: list[tuple[int, int]] = []
        self._by_index: dict[int, tuple[int, int, int]] = {}
        """Log index -> (term, request, when it was accepted) of an accepted write."""

    @property
    def full(self) -> bool:
        return len(self._writes) + len(self._reads) >= self._requests_max

    @property
    def writes_wait(self) -> bool:
        return bool(self._writes)

    def add_write(self, write: PendingWrite, deadline_us: int) -> int:
        """Returns the number of the request."""
        request = self._number(deadline_us)
        self._writes[request] = write
        return request

    def add_read(self, reply: Callable[[ReadFailed | None], None], deadline_us: int) -> int:
        """Returns the number of the request."""
        request = self._number(deadline_us)
        self._reads[request] = reply
        return request

    def write(self, request: int) -> PendingWrite | None:
        return self._writes.get(request)

    def take_write(self, request: int) -> PendingWrite | None:
        """Remove and return it; None when it was answered before (timed out, say)."""
        return self._writes.pop(request, None)

    def take_read(self, request: int) -> Callable[[ReadFailed | None], None] | None:
        return self._reads.pop(request, None)

    def accepted(self, request: int, index: int, term: int, now: int = 0) -> int | None:
        """The write is in the leader's log at `index`. Returns the request that had waited for that index before:
        its entry was overwritten."""
        previous = self._by_index.get(index)
        self._by_index[index] = (term, request, now)
        write = self._writes.get(request)
        if write is not None:
            write.proposed = True
        return previous[1] if previous else None

    def applied(self, index: int) -> tuple[int, int, int] | None:
        """(term, request, when accepted) of the write that waited for `index`, if one did; it waits no more."""
        return self._by_index.pop(index, None) if self._by_index else None

    def forwarded_elsewhere(self, leader: str) -> list[tuple[int, PendingWrite]]:
        """The writes whose answer would come from another leader than `leader`, with their numbers."""
        return [(n, write) for n, write in self._writes.items() if write.forwarded_to not in ("", leader)]

    def hasten(self, request: int, deadline_us: int) -> None:
        """The request waits until then at most, and no longer than it would have."""
        heapq.heappush(self._deadlines, (deadline_us, request))

    def expired(
        self, now: int
    ) -> Iterator[tuple[int, PendingWrite | None, Callable[[ReadFailed | None], None] | None]]:
        """Remove and yield what waited too long: (request, write, None) or (request, None, read)."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, request = heapq.heappop(self._deadlines)
            write = self._writes.pop(request, None)
            read = self._reads.pop(request, None)
            if write is not None or read is not None:
                yield request, write, read

    @property
    def deadline(self) -> int | None:
        """When the oldest request runs out; None when nothing waits."""
        while self._deadlines and not (self._deadlines[0][1] in self._writes or self._deadlines[0][1] in self._reads):
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def drain(self) -> tuple[list[PendingWrite], list[Callable[[ReadFailed | None], None]]]:
        """Remove and return everything: the node stops."""
        writes, reads = list(self._writes.values()), list(self._reads.values())
        self._writes.clear()
        self._reads.clear()
        self._deadlines.clear()
        self._by_index.clear()
        return writes, reads

    def _number(self, deadline_us: int) -> int:
        request = self._next_request
        self._next_request += 1
        heapq.heappush(self._deadlines, (deadline_us, request))
        return request
