"""Requests that wait on this node: who asked, until when, and where in the log the answer will come from.

Why it exists: the core answers by request number and by log index; clients wait on callbacks and peers on messages.
A write that left for another node waits in `onehop.py` instead. It must not judge outcomes: see outcomes.py.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from node.runtime.deadlines import Deadlines
from node.runtime.ports import Outcome, ReadFailed

ReadReply = Callable[[ReadFailed | None], None]


class PendingWrite(msgspec.Struct):
    """One write that waits. `reply` answers it, here or over a link. `may_forward`: it came from a client of this
    node, so it has its one hop left. `proposed`: it may be in a log."""

    data: bytes
    reply: Callable[[Outcome], None]
    may_forward: bool
    deadline_us: int
    session: int = 0
    sequence: int = 0
    proposed: bool = False


class Pending:
    """Every request leaves it exactly once."""

    def __init__(self) -> None:
        self._next_request = 1
        self._writes: dict[int, PendingWrite] = {}
        self._reads: dict[int, ReadReply] = {}
        self._deadlines = Deadlines()
        self._by_index: dict[int, tuple[int, int, int]] = {}
        """Log index -> (term, request, when it was accepted) of an accepted write."""

    def __len__(self) -> int:
        return len(self._writes) + len(self._reads)

    @property
    def writes_wait(self) -> bool:
        return bool(self._writes)

    def add_write(self, write: PendingWrite) -> int:
        """Returns the number of the request."""
        request = self._number(write.deadline_us)
        self._writes[request] = write
        return request

    def add_read(self, reply: ReadReply, deadline_us: int) -> int:
        """Returns the number of the request."""
        request = self._number(deadline_us)
        self._reads[request] = reply
        return request

    def take_write(self, request: int) -> PendingWrite | None:
        """Remove and return it; None when it was answered before (timed out, say)."""
        write = self._writes.pop(request, None)
        if write is not None:
            self._deadlines.discard(request)
        return write

    def take_writes(self, requests: Sequence[int]) -> list[PendingWrite]:
        """Likewise those of `requests` that are writes, and still wait."""
        mine = [request for request in requests if request in self._writes]  # thousands of reads may be among them
        return [write for request in mine if (write := self.take_write(request)) is not None]

    def take_read(self, request: int) -> ReadReply | None:
        """Likewise for a read."""
        read = self._reads.pop(request, None)
        if read is not None:
            self._deadlines.discard(request)
        return read

    def reads_among(self, requests: Sequence[int]) -> list[int]:
        """Those of `requests` that are reads, and still wait."""
        return [request for request in requests if request in self._reads]

    def answers_to_reads(
        self, requests: Sequence[int], failed: ReadFailed | None
    ) -> Iterator[tuple[ReadReply, ReadFailed | None]]:
        """One after the other, those of `requests` that are reads and still wait when it is their turn."""
        for request in requests:
            read = self.take_read(request)
            if read is not None:
                yield read, failed

    def accepted(self, request: int, index: int, term: int, now: int = 0) -> int | None:
        """The write is in the leader's log at `index`. Returns the request that had waited for that index before:
        its entry was overwritten."""
        previous = self._by_index.get(index)
        self._by_index[index] = (term, request, now)
        write = self._writes.get(request)
        if write is not None:
            write.proposed = True
        return previous[1] if previous else None

    def waits_for(self, index: int) -> bool:
        """Whether somebody still waits for the write that was accepted at `index`."""
        waiting = self._by_index.get(index) if self._by_index else None
        return waiting is not None and waiting[1] in self._writes

    def applied(self, index: int) -> tuple[int, int, int] | None:
        """(term, request, when accepted) of the write that waited for `index`, if one did; it waits no more."""
        return self._by_index.pop(index, None) if self._by_index else None

    def begun_anew(self) -> None:
        """The log was replaced by a snapshot: what waits for an index of it will not be told apart any more, and runs
        out of time as unknown."""
        self._by_index.clear()

    def expired(self, now: int, requests_max: int) -> tuple[list[PendingWrite], list[tuple[int, ReadReply]]]:
        """Remove and return what waited too long, reads with their numbers, at most so many: ask again while `deadline`
        has passed."""
        late = self._deadlines.due(now, requests_max)
        writes = [self._writes.pop(request) for request in late if request in self._writes]
        reads = [(request, self._reads.pop(request)) for request in late if request in self._reads]
        return writes, reads

    @property
    def deadline(self) -> int | None:
        """When a request runs out; None when nothing waits."""
        return self._deadlines.next

    def drain(self) -> tuple[list[PendingWrite], list[ReadReply]]:
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
        self._deadlines.add(request, deadline_us)
        return request
