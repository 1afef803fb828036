"""Operators' commands that wait: for the core's `Ordered`, or for another node's reply.

Why it exists: the same promise as for writes, in small: bounded, and each is answered exactly once. It must not judge
outcomes: see driver.py.
"""

from collections.abc import Callable, Iterator

import msgspec

from node.runtime.ports import CommandOutcome

ORDERS_MAX = 64
"""Commands that may wait on one node."""


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

    @property
    def full(self) -> bool:
        return len(self._waiting) >= ORDERS_MAX

    def add(self, order: PendingOrder) -> int:
        """Returns the number of the request."""
        request = self._next_request
        self._next_request += 1
        self._waiting[request] = order
        return request

    def get(self, request: int) -> PendingOrder | None:
        return self._waiting.get(request)

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
