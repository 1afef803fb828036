"""A lease lives as long as its client was told, and its keys with it; and it ends soon after, where somebody leads.

Judged by what clients were told, in the time of the world, whose clocks all run alike: a client counts from before it
asked. Nothing is taken from what the servers think that log time is, but for how late a lease ends.
"""

import msgspec

from node.simulation.invariants.violation import fail
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import KeyValue

LATE_US_MAX = 1_000_000
"""How long after its end a lease may live under a leader that can commit."""


class Held(msgspec.Struct):
    """A lease that somebody was told of, `index` being that of the entry which told so. `until_us`: it certainly lives
    until then. `key`: one that was put with it, by an entry up to `index`."""

    id: int
    until_us: int
    index: int
    key: bytes = b""


class LeaseTime:
    """What all clients were told."""

    def __init__(self) -> None:
        self._held: dict[int, Held] = {}
        self.ended = 0
        """Leases that were not there any more when their clients asked, or were looked for."""

    def lives(self, number: int, asked_us: int, ttl_s: int, index: int) -> None:
        """Granted or kept alive, by an entry of that index; asked for at `asked_us`."""
        until_us = asked_us + ttl_s * 1_000_000
        held = self._held.get(number)
        if held is None:
            self._held[number] = Held(number, until_us, index)
        else:
            held.until_us, held.index = max(held.until_us, until_us), max(held.index, index)

    def put(self, number: int, key: bytes, index: int) -> None:
        """`key`, which nobody else writes, was put with it."""
        held = self._held.get(number)
        if held is not None:
            held.key, held.index = key, max(held.index, index)

    def left(self, number: int) -> None:
        """Its client writes its key without it from now on, or revokes it."""
        self._held.pop(number, None)

    def gone(self, number: int, now: int) -> None:
        """Its client was told that there is no such lease."""
        held = self._held.pop(number, None)
        self.ended += 1
        if held is not None and now < held.until_us:
            fail(f"lease {number} was gone {held.until_us - now} us before its end")

    def stepped(self, name: str, store: KeyValueStore, applied: int, now: int) -> None:
        """A server has applied so much: what it applied is there as long as it must be."""
        for held in list(self._held.values()):
            if now >= held.until_us:
                del self._held[held.id]
            elif applied >= held.index:
                lease = store.lease(held.id)
                if lease is None:
                    fail(f"{name}: lease {held.id} ended {held.until_us - now} us early")
                found = store.get(held.key) if held.key else None
                if held.key and not (isinstance(found, KeyValue) and found.lease == held.id):
                    fail(f"{name}: {held.key!r} of lease {held.id} is gone {held.until_us - now} us early: {found!r}")

    def late(self, name: str, store: KeyValueStore, log_time_us: int) -> None:
        """Call while `name` leads, and can commit what it proposes."""
        due_us = store.due_us
        if due_us is not None and log_time_us > due_us + LATE_US_MAX:
            fail(f"{name}: a lease whose time is over lives on for {log_time_us - due_us} us under a leader")
