"""Numbers that wait, by when each is due: added, taken away and looked up at the same price however many wait.

Why it exists: requests, and what was asked of other nodes, are mostly answered long before they are due. A heap alone
would keep every one of them until then: a busy node would hold millions, and clear them away in one turn. It must not
know what waits.
"""

import heapq

SPARE_MAX = 1024
"""Numbers in the heap that wait no more, beside as many as do wait; above that it is built anew."""

LOOKED_AT_MAX = 64
"""Numbers that wait no more, and are dropped from the heap's top by one look at `next`."""


def earliest(*moments: int | None) -> int | None:
    """The first of them; None: there is none. Asked several times in every turn, so it makes nothing."""
    first = None
    for at in moments:
        if at is not None and (first is None or at < first):
            first = at
    return first


class Deadlines:
    """`at_us`: microseconds of the caller's clock."""

    def __init__(self) -> None:
        self._waiting: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, number: int, at_us: int) -> None:
        """`number`, which does not wait yet, is due then."""
        self._waiting[number] = at_us
        heapq.heappush(self._heap, (at_us, number))

    def discard(self, number: int) -> None:
        """It waits no more."""
        if self._waiting.pop(number, None) is not None and len(self._heap) > 2 * len(self._waiting) + SPARE_MAX:
            self._heap = [(at_us, waits) for waits, at_us in self._waiting.items()]
            heapq.heapify(self._heap)

    def due(self, now: int, numbers_max: int) -> list[int]:
        """Take away and return what is due, the oldest first. At most `numbers_max` are looked at: ask again while
        `next` has passed."""
        due: list[int] = []
        looked_at = 0
        while self._heap and self._heap[0][0] <= now and looked_at < numbers_max:
            _, number = heapq.heappop(self._heap)
            looked_at += 1
            if self._waiting.pop(number, None) is not None:
                due.append(number)
        return due

    @property
    def next(self) -> int | None:
        """When something is due at the earliest: never too late, seldom too early. None: nothing waits."""
        if not self._waiting:
            return None
        for _ in range(LOOKED_AT_MAX):
            if not self._heap or self._heap[0][1] in self._waiting:
                break
            heapq.heappop(self._heap)
        return self._heap[0][0]

    def clear(self) -> None:
        """Nothing waits any more."""
        self._waiting.clear()
        self._heap.clear()
