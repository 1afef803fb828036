"""Requests that nobody took because nobody leads, or the lead changes hands, while they wait for who has it next.

Why it exists: a client that is refused comes again after a pause of its own choice, or calls it a failure; an election
then costs it that pause and another round trip. Only what was certainly not proposed waits, and only for a time: a
cluster without a quorum must say so, and whoever can go to another node must learn it while that still helps. It must
not send, or know who leads.

A write is held here, with its data. A read stays where requests wait (`pending.py`), with its own deadline: here is its
number alone, so that as many as there may be cost a leader's end nothing.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from node.runtime.deadlines import Deadlines, earliest
from node.runtime.pending import PendingWrite
from node.runtime.ports import NotProposed, ReadFailed

HELD_US = 3_000_000
"""Since nobody took the first, where the settings (`leaderless_wait_ms`) say nothing else; then all are refused, and so
is what comes, until another leads, a member comes back, or nothing came and nothing was refused for so long."""

HELD_WRITES_MAX = 1024
HELD_BYTES_MAX = 4 * 1024 * 1024
"""What may wait, since all of it may be offered in one step; more is refused at once. One larger write waits alone."""

HELD_READS_MAX = 20_000
"""As many as may wait on a node at all (`PENDING_REQUESTS_MAX`); more numbers, of reads that are over, are none."""

AGAIN_US = 10_000
"""A leader that refused is asked again after so long: it may be handing over, or was deposed and nobody knows yet."""

MAY_WAIT = ("no-leader", "no-link", "transferring")
"""Why nobody took it, where the next leader would."""


class HeldReads(NamedTuple):
    """Numbers of requests, and what those are refused for that still wait at `until_us`."""

    until_us: int
    failed: ReadFailed
    requests: list[int]


class BetweenLeaders:
    """Every write that is held leaves once: offered anew, or refused as it was before. So does every number of a read.
    `held_us`: how long they wait, 0: not at all."""

    def __init__(self, held_us: int = HELD_US) -> None:
        self._held_us = held_us
        self._writes: dict[int, tuple[PendingWrite, NotProposed]] = {}
        """In the order in which they came."""
        self._next_number = 1
        self._bytes = 0
        self._deadlines = Deadlines()
        self._reads: deque[HeldReads] = deque()
        """By `until_us`, which never goes back."""
        self._reads_count = 0
        self._until_us: int | None = None
        self._asked_us = 0
        self._again_us: int | None = None

    def __len__(self) -> int:
        """Writes: reads are counted where they wait."""
        return len(self._writes)

    @property
    def any(self) -> bool:
        """Whether there is anything; asked in every turn."""
        return bool(self._writes or self._reads)

    def hold(self, write: PendingWrite, refusal: NotProposed, now: int) -> bool:
        """Whether `write`, which was refused, waits now."""
        if refusal.code not in MAY_WAIT or not write.may_forward:
            return False
        until_us = min(self._end_of_wait(now), write.deadline_us)
        size_bytes = len(write.data)
        full = len(self._writes) >= HELD_WRITES_MAX or (self._writes and self._bytes + size_bytes > HELD_BYTES_MAX)
        if full or now >= until_us:
            return False
        self._writes[self._next_number] = (write, refusal)
        self._deadlines.add(self._next_number, until_us)
        self._next_number += 1
        self._bytes += size_bytes
        return True

    def hold_reads(self, requests: Sequence[int], failed: ReadFailed, now: int) -> bool:
        """Whether these reads, which were refused, wait now; each until its own time is up at the latest."""
        if failed.code not in MAY_WAIT:
            return False
        until_us = self._end_of_wait(now)
        if self._reads_count + len(requests) > HELD_READS_MAX or now >= until_us:
            return False
        if not (self._reads and self._reads[-1][:2] == (until_us, failed)):
            self._reads.append(HeldReads(until_us, failed, []))
        self._reads[-1].requests.extend(requests)
        self._reads_count += len(requests)
        return True

    def refused_by_leader(self, now: int) -> None:
        """Who leads as far as is known took nothing: what is held waits a little before it is asked again."""
        self._again_us = now + AGAIN_US

    def somebody_came(self) -> None:
        """A link to a member is up, with whom somebody may be elected now: what is refused from here on waits anew."""
        self._until_us = None

    def leader_changed(self) -> None:
        """What follows is another change of leaders."""
        self._until_us = self._again_us = None

    def may_be_offered(self, now: int) -> bool:
        """Whether somebody is to be asked again."""
        if self._again_us is not None and now >= self._again_us:
            self._again_us = None
        return self.any and self._again_us is None

    def take_writes(self) -> list[PendingWrite]:
        """They wait no more: offer each of them, in this order."""
        return [write for write, _ in self.drain()]

    def take_reads(self) -> list[int]:
        """Likewise the reads."""
        held = [request for reads in self._reads for request in reads.requests]
        self._reads.clear()
        self._reads_count = 0
        return held

    def expired(self, now: int) -> tuple[list[tuple[PendingWrite, NotProposed]], list[HeldReads]]:
        """Take away and return what waited too long, with what it is refused for. `deadline` has passed."""
        self._asked_us = now
        writes = [self._writes.pop(number) for number in self._deadlines.due(now, HELD_WRITES_MAX)]
        self._bytes -= sum(len(write.data) for write, _ in writes)
        reads: list[HeldReads] = []
        while self._reads and now >= self._reads[0].until_us:
            reads.append(self._reads.popleft())
            self._reads_count -= len(reads[-1].requests)
        return writes, reads

    @property
    def deadline(self) -> int | None:
        """When one has waited too long, or somebody is to be asked again; None: none waits."""
        if not self.any:
            return None
        return earliest(self._deadlines.next, self._reads[0].until_us if self._reads else None, self._again_us)

    def drain(self) -> list[tuple[PendingWrite, NotProposed]]:
        """Take away and return every write: the node stops. Reads end where they wait."""
        held, self._writes = list(self._writes.values()), {}
        self._bytes = 0
        self._deadlines.clear()
        return held

    def _end_of_wait(self, now: int) -> int:
        """When what is refused now has waited long enough."""
        if self._until_us is None or now - self._asked_us > self._held_us:
            self._until_us = now + self._held_us
        self._asked_us = now
        return self._until_us
