"""A write in a client's session is done once, however often it comes (thesis 6.3).

What clients were told is compared with what the store counts: a key has as many versions as writes to it were done.
"""

from node.simulation.invariants.violation import fail
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import KeyValue


class ExactlyOnce:
    """One client's writes to a key of its own, one at a time."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._revisions: dict[bytes, int] = {}
        """Of each value that was acknowledged, by its first answer; in their order."""
        self._doubtful = 0
        """Writes that the client gave up without knowing what became of them."""
        self._late: dict[bytes, int] = {}
        self._doubts_since = 0
        """Of those, the ones since the last that was acknowledged: no earlier one may come after that."""

    def acknowledged(self, value: bytes, revision: int) -> None:
        """The client was told that its value was written with that revision: for the first time, or for a copy."""
        if value not in self._revisions:
            self._doubts_since = 0
        if self._revisions.setdefault(value, revision) != revision:
            fail(f"{self._key!r}={value!r} was answered with revision {self._revisions[value]}, and now {revision}")

    def late(self, value: bytes, revision: int) -> None:
        """A copy of a write that was given up was answered with that revision."""
        self._late[value] = revision

    def given_up(self) -> None:
        """The client will never know of one more."""
        self._doubtful += 1
        self._doubts_since += 1

    def judge(self, store: KeyValueStore, pending: int) -> None:
        """In the end. `pending`: how many writes are under way."""
        found = store.get(self._key)
        versions = found.version if isinstance(found, KeyValue) else 0
        done = len(self._revisions)
        if not done <= versions <= done + self._doubtful + pending:
            fail(
                f"{self._key!r} was written {versions} times: {done} writes were acknowledged, "
                f"{self._doubtful + pending} are of unknown outcome"
            )
        order = list(self._revisions.values())
        if order != sorted(set(order)):
            fail(f"{self._key!r} was written in another order than its client wrote: {order}")
        for value, revision in self._revisions.items():
            kv = store.get(self._key, revision)
            if not isinstance(kv, KeyValue) or kv.mod_revision != revision or not kv.value.startswith(value):
                fail(f"{self._key!r}={value!r} was acknowledged with revision {revision}, which shows {kv!r}")
        for value, revision in self._late.items():
            after = [
                number for number, known in self._revisions.items() if int(number) > int(value) and known < revision
            ]
            if after:
                fail(f"{self._key!r}={value!r}, given up, was written at {revision}, after {after[0]!r} was")
        latest = order[-1] if order else 0
        if isinstance(found, KeyValue) and found.mod_revision > latest and not (pending or self._doubts_since):
            fail(f"{self._key!r} was written at {found.mod_revision}, behind its client's back: it knows of {latest}")
