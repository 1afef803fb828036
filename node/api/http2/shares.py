"""What one client of HTTP/2 has of all that there is: requests under way, and bytes of them.

Why it exists: a connection's bounds do not bound a client, who may have thousands of connections with a thousand
requests each. Long messages share the room of HTTP/1.1's long bodies (`node.api.bodies`), by the same numbers. Shares
are large, and a long message waits before it is refused, for a proxy is one client with all others behind it. It must
not refuse anybody: whoever asks does, in the words of what it speaks.
"""

from collections.abc import Callable
from itertools import islice
from weakref import WeakValueDictionary

from node.addresses import NOBODY
from node.api.bodies import Bodies
from node.api.http2.counts import HELD_BYTES_MAX, REQUESTS_MAX, Counts

REQUESTS_OF_ONE_MAX = REQUESTS_MAX * 3 // 4
"""Requests and streams of one client that are open, and keep-alives of its streams that are not answered. A machine's
own address, which all behind its proxies share, may have all."""

HELD_OF_ONE_BYTES_MAX = HELD_BYTES_MAX * 3 // 4
"""Of one client: requests that are not whole yet, and answers that it does not take. Likewise."""

SHORT_OF_ONE_BYTES_MAX = 16 * 1024 * 1024
"""Of one client: messages that are whole, not long, and not answered. Half of what a leader takes in that is not
committed: what one has under way there leaves room for others."""


UNDER_WAY_MAX = 1_024
"""Of one client: quick calls that wait for their outcome. They stand in the node's queues before those of others, so
what else it asks for is left unread until some are done; as many as one connection may have, and enough to fill any
batch. None of them waits for anything that its client does."""


class Share:
    """One client's. All connections of it have the same."""

    __slots__ = (
        "__weakref__",
        "_bodies",
        "_counts",
        "_waiting",
        "held_bytes",
        "held_max",
        "requests",
        "requests_max",
        "short_bytes",
        "under_way",
        "whose",
    )

    def __init__(self, whose: str, counts: Counts, bodies: Bodies) -> None:
        self.whose = whose
        self._counts, self._bodies = counts, bodies
        self.requests = self.held_bytes = self.short_bytes = self.under_way = 0
        self._waiting: dict[Callable[[], None], None] = {}
        """Connections that are not read while too much is under way."""
        own = whose == NOBODY
        self.requests_max = REQUESTS_MAX if own else REQUESTS_OF_ONE_MAX
        self.held_max = HELD_BYTES_MAX if own else HELD_OF_ONE_BYTES_MAX

    @property
    def exceeded(self) -> bool:
        """Whether it has more than its share, the request included that just began."""
        return self.requests > self.requests_max or self.held_bytes >= self.held_max

    @property
    def crowded(self) -> bool:
        """Whether no more may come in now."""
        return self.under_way >= UNDER_WAY_MAX

    def wait(self, come_in: Callable[[], None]) -> None:
        """Call it once, when more may."""
        self._waiting[come_in] = None

    def leave(self, come_in: Callable[[], None]) -> None:
        """It waits no more."""
        self._waiting.pop(come_in, None)

    def refused(self) -> None:
        """One more was refused for that."""
        self._counts.refused += 1
        self._counts.over_share += 1

    def hold(self, size: int) -> bool:
        """So many more bytes are held for it, or fewer; False: more than it, or all, may have."""
        self.held_bytes += size
        self._counts.held_bytes += size
        return self.held_bytes <= self.held_max and not self._counts.full

    def take_short(self, size: int) -> bool:
        """A message that is not long is whole, and under way from now on, if there is room. It does not wait."""
        if self.short_bytes + size > SHORT_OF_ONE_BYTES_MAX:
            return False
        self.short_bytes += size
        return True

    def take_room(self, size: int) -> int | None:
        """Room for a long message, at once: how many bytes to give back; None: there is none."""
        return self._bodies.take(self.whose, size)

    async def room(self, size: int) -> int:
        """Wait for it. Raises `Problem`."""
        return await self._bodies.room(self.whose, size)

    def give_back(self, short: int, long: int) -> None:
        """What was taken of the one and of the other is not under way any more."""
        self.short_bytes -= short
        self._bodies.give_back(self.whose, long)

    def done(self) -> None:
        """One that was under way is not any more."""
        self.under_way -= 1
        if self._waiting:  # as many as have room: who comes in may ask for nothing of this kind, and wake nobody else
            for come_in in list(islice(self._waiting, max(0, UNDER_WAY_MAX - self.under_way))):
                del self._waiting[come_in]
                come_in()


class Shares:
    """Of all clients that are there, or have something under way."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._bodies = Bodies()
        """For a server without other clients."""
        self._of: WeakValueDictionary[str, Share] = WeakValueDictionary()

    def of(self, whose: str, bodies: Bodies | None) -> Share:
        """That client's."""
        share = self._of.get(whose)
        if share is None:
            share = self._of[whose] = Share(whose, self._counts, bodies or self._bodies)
        return share
