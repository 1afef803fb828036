"""How many bytes of long bodies are held at a time: of all clients together, and of one.

Why it exists: thousands of connections may each send a value of a megabyte at once, which would be gigabytes; and what
one client has on its way into the log stands before the writes of all others, so it may have only so much there. A
body waits for room before it is read, its socket meanwhile is not: in turn among those of its client, and then among
all. It must not know what a body means.

A body that came together with its headers, as one of up to some 250 kB may, is in memory already: it waits all the
same, before it is proposed.

What is held is given back when its request was answered. Where the log has little room, no more comes in than fits
there: a snapshot makes room in a moment, and to wait for it is better than to be refused.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from node.api.answers import Problem, try_again

BODIES_BYTES_MAX = 64 * 1024 * 1024
"""Of all clients."""
BODIES_OF_ONE_BYTES_MAX = 4 * 1024 * 1024
"""Of one. A write is on its way for a few milliseconds, so this is enough for the fastest client, or for a proxy with
all of them; and others' writes wait behind no more than this of one, which is a tenth of a second of a slow disk."""

SHORT_BYTES_MAX = 64 * 1024
"""A body that says that it is no longer waits for nobody and is not counted: it came with its headers, or nearly."""

LOOK_SECONDS = 0.05
"""Between two looks whether the log has room again, while somebody waits."""

ROOM_SECONDS_MAX = 5.0
"""How long a body waits for room; then its request is refused, and nothing was done."""


NO_LOG_ROOM = 507
"""The status of such a refusal where it was the log that had none."""


class _Waiting(NamedTuple):
    whose: str
    size: int
    came_in: asyncio.Future[None]


class Bodies:
    """One for a node. Used on the loop's thread alone."""

    def __init__(self, most: int = BODIES_BYTES_MAX, of_one: int = BODIES_OF_ONE_BYTES_MAX) -> None:
        self._most, self._of_one = most, of_one
        self.log_room: Callable[[], int] = lambda: most
        """How many bytes of long values the log has room for now."""
        self.log_most = most
        """What counts of a longer one there: a log that is smaller must take it all the same."""
        self.held_bytes = 0
        self.waited = 0
        """Bodies that had to wait."""
        self.refused = 0
        """Of those, whose time was up."""
        self._of: Counter[str] = Counter()
        self._waits: Counter[str] = Counter()
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, whose: str, size: int) -> int | None:
        """As `room`, without a wait; None: there is none."""
        if size <= SHORT_BYTES_MAX:
            return 0
        size = min(size, self._of_one)
        if whose in self._waits or not self._fits(whose, size):
            return None
        self._hold(whose, size)
        return size

    async def room(self, whose: str, size: int) -> int:
        """Wait for room for a body of at most so many bytes; how many to give back. Raises `Problem` (503)."""
        taken = self.take(whose, size)
        if taken is not None:
            return taken
        size = min(size, self._of_one)
        self.waited += 1
        mine = _Waiting(whose, size, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        self._waits[whose] += 1
        self._look_again()
        try:
            async with asyncio.timeout(ROOM_SECONDS_MAX):
                await mine.came_in
        except BaseException as error:
            if mine in self._waiting:
                self._waiting.remove(mine)
            else:  # it came in and was broken off at once
                self.give_back(whose, size)
            if isinstance(error, TimeoutError):
                self.refused += 1
                raise (_no_room() if self.log_room() >= min(size, self.log_most) else _log_full()) from None
            raise
        finally:
            self._waits[whose] -= 1
            if not self._waits[whose]:
                del self._waits[whose]
        return size

    def give_back(self, whose: str, size: int) -> None:
        """The request of that body was answered."""
        if not size:
            return
        self.held_bytes -= size
        self._of[whose] -= size
        if not self._of[whose]:
            del self._of[whose]
        self._let_in()
        self._look_again()

    def _look_again(self) -> None:
        """What makes room in the log tells nobody."""
        if self._timer is None and self._waiting and self.log_room() < self._most:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._looked)

    def _looked(self) -> None:
        self._timer = None
        self._let_in()
        self._look_again()

    def _let_in(self) -> None:
        stays: deque[_Waiting] = deque()
        passed: set[str] = set()
        """Clients of whom one waits on: the next of theirs must not overtake it."""
        for waits in self._waiting:
            if waits.whose not in passed and self._fits(waits.whose, waits.size) and not waits.came_in.done():
                self._hold(waits.whose, waits.size)
                waits.came_in.set_result(None)
            else:
                passed.add(waits.whose)
                stays.append(waits)
        self._waiting = stays

    def _fits(self, whose: str, size: int) -> bool:
        if self.held_bytes + size > self._most or self._of[whose] + size > self._of_one:
            return False
        return self.held_bytes + min(size, self.log_most) <= self.log_room()

    def _hold(self, whose: str, size: int) -> None:
        self.held_bytes += size
        self._of[whose] += size


def _log_full() -> Problem:
    message = (
        "the log has no room for a long value until a snapshot lets go of its beginning; where that lasts, see why "
        "none is taken, or raise max_log_bytes on all nodes"
    )
    return Problem(NO_LOG_ROOM, "log-full", message)


def _no_room() -> Problem:
    return try_again(
        "overloaded", f"this client has {BODIES_OF_ONE_BYTES_MAX} bytes of values on their way, or all have too many"
    )
