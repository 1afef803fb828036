"""How much the store may hold: above it writes that grow are refused, until there is room again.

Why it exists: a store lives in memory, and all members have the same one, so without a limit all of them would end
together. It is looked at before a write is proposed: then nothing of it happened, and deletes and compactions go on.
It must not know a route.
"""

from typing import Protocol

from node.statemachine.writes import Put, Txn

UNBOUNDED = 1 << 62
"""For a store without a limit: tests."""


class Sized(Protocol):
    """What is asked of the store."""

    @property
    def size_bytes(self) -> int: ...


class Quota:
    """`bytes_max`: of all keys, values and versions as the store counts them."""

    def __init__(self, store: Sized, bytes_max: int = UNBOUNDED) -> None:
        self._store = store
        self.bytes_max = bytes_max

    @property
    def exceeded(self) -> bool:
        """Whether writes that grow are refused now."""
        return self._store.size_bytes >= self.bytes_max


def grows(txn: Txn) -> bool:
    """Whether a transaction holds a put, in either branch, at any depth."""
    branches = [txn.success, txn.failure]
    for inner in txn.nested:
        branches += [inner.success, inner.failure]
    return any(isinstance(operation, Put) for operations in branches for operation in operations)
