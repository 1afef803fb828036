"""Who holds a lock, as clients believe it and as the log says; and the tokens that tell an old holder from a new one.

A client believes that it holds the lock from the moment in which it learned that no older key is there, until it asks
to give it up or until its lease's time is over by its own clock, which began before it asked for the lease. Four
things hold:

While a client believes it, the log has its key, created at its token's revision, and no older one. For the key goes
with its lease alone, or when the client asks, and a lease lives at least as long as its client counts.

So at no moment two believe it. Whoever is the next one had to see that the key before is gone.

The tokens of those who believe it grow, one after the other: a token is the revision of the key, and the oldest key is
next.

What was written under the lock, each time on the condition that the writer's key is still there, has tokens that never
fall in the order of the log: a holder that was deceived about time, which no world does, would be refused. It is what a
fencing token is for.
"""

from collections.abc import Mapping

import msgspec

from node.simulation.invariants.violation import fail
from node.statemachine.writes import KeyValue


class Belief(msgspec.Struct):
    """`token`: the creation revision of its key. It believes until then."""

    key: bytes
    token: int
    until_us: int


class LockOrder:
    """One lock: the keys that begin with `prefix`."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._believers: dict[str, Belief] = {}
        self._last = 0
        self._written = 0
        self.holders = 0
        """How often somebody came to believe it."""

    def believes(self, name: str, key: bytes, token: int, until_us: int, now: int) -> None:
        """That client has just learned that it holds the lock."""
        for other, belief in self._believers.items():
            if now < belief.until_us:
                left_us = belief.until_us - now
                fail(f"{name} holds the lock with token {token}, and {other} with {belief.token} for {left_us} us yet")
        if token <= self._last:
            fail(f"{name} holds the lock with token {token}, after somebody with {self._last}")
        self._believers = {name: Belief(key, token, until_us)}
        self._last = token
        self.holders += 1

    def lives(self, name: str, until_us: int) -> None:
        """That client's lease was kept alive."""
        belief = self._believers.get(name)
        if belief is not None:
            belief.until_us = max(belief.until_us, until_us)

    def lets_go(self, name: str) -> None:
        """That client asks for nothing more under the lock."""
        self._believers.pop(name, None)

    def stepped(self, living: Mapping[bytes, KeyValue], now: int) -> None:
        """So it is as of all that is committed: what was there when somebody came to believe it is among that."""
        for name, belief in self._believers.items():
            if now < belief.until_us:
                self._is_first(name, belief, living, now)

    def written(self, guarded: KeyValue | None) -> None:
        """The key that holders write, its value being their token, as it was after the next entry."""
        token = int(guarded.value) if guarded is not None else 0
        if token < self._written:
            fail(f"the holder of token {token} wrote after the one of {self._written}")
        self._written = token

    def _is_first(self, name: str, belief: Belief, living: Mapping[bytes, KeyValue], now: int) -> None:
        mine, left_us = living.get(belief.key), belief.until_us - now
        if mine is None or mine.create_revision != belief.token:
            fail(f"{name} holds the lock for {left_us} us yet, and its key of revision {belief.token} is {mine}")
        for kv in living.values():
            if kv.key.startswith(self._prefix) and kv.create_revision < belief.token:
                fail(
                    f"{name} holds the lock with token {belief.token}, and {kv.key!r} of {kv.create_revision} is there"
                )
