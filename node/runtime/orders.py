"""Operators' commands that wait for this node's own core, and what is remembered of each that waits.

Why it exists: the same promise as for writes, in small: bounded, and each is answered exactly once. A command that
left for another node waits in `onehop.py` instead. It must not judge outcomes: see relaying.py.
"""

from collections.abc import Callable, Iterator

import msgspec

from node.runtime.ports import CommandOutcome

ORDERS_MAX = 64
"""Commands that may wait on one node, here and elsewhere together."""


class PendingOrder(msgspec.Struct, frozen=True):
    """`to`: the node it was relayed to; empty: this node's own core."""

    command: str
    to: str
    deadline_us: int
    reply: Callable[[CommandOutcome], None]


class Orders:
    """Few at a time, so plain searches do."""

    def __init__(self) -> None:
        self._next_request = 1
        self._waiting: dict[int, PendingOrder] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, order: PendingOrder) -> int:
        """Returns the number of the request."""
        request = self._next_request
        self._next_request += 1
        self._waiting[request] = order
        return request

    def take(self, request: int) -> PendingOrder | None:
        """Remove and return it; None when it was answered before."""
        return self._waiting.pop(request, None)

    def expired(self, now: int) -> Iterator[PendingOrder]:
        """Remove and yield what waited too long."""
        late = [request for request, order in self._waiting.items() if order.deadline_us <= now]
        for request in late:
            yield self._waiting.pop(request)

    @property
    def deadline(self) -> int | None:
        return min((order.deadline_us for order in self._waiting.values()), default=None)

    def drain(self) -> list[PendingOrder]:
        """Remove and return everything: the node stops."""
        orders = list(self._waiting.values())
        self._waiting.clear()
        return orders
