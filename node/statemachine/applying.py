"""Committed entries being applied, in as many slices as it takes.

Why it exists: one entry may delete 100,000 keys, and a restarted node applies its whole log; heartbeats must be
answered meanwhile. What an entry does never depends on how it was sliced. It must not be shared: one job at a time.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple
from zlib import crc32

import msgspec

from node.raft.types import Entry, EntryKind
from node.statemachine.auth import Auth
from node.statemachine.auth_writes import AsUser
from node.statemachine.decoding import decoding, is_long
from node.statemachine.executing import doing, put
from node.statemachine.leases import Leases
from node.statemachine.permitting import NOBODY, TRUSTED, Asker, may_not_do
from node.statemachine.sessions import Sessions
from node.statemachine.versions import Versions
from node.statemachine.work import BYTES_PER_UNIT, Meter, Slices, Work
from node.statemachine.writes import (
    AUTH_REFUSALS,
    InSession,
    Put,
    Refused,
    Register,
    Result,
    StoreWrite,
    decode_write,
)

PURGE_STEPS_PER_JOB = 512
"""Versions looked at at the end of a job, to remove what a compaction or a restore freed. One more for each unit that
its entries took: what is overwritten all the time must not grow faster than it goes."""

PUT_UNITS = 4
"""What an entry costs that is a put: decoding, doing and answering it."""

DROPPED_PER_UNIT = 16
"""Compares and operations that are let go for one unit: a nested transaction may have 384 of them."""


class State(NamedTuple):
    """All that entries change."""

    versions: Versions
    leases: Leases
    sessions: Sessions
    auth: Auth


class HalfDone(NamedTuple):
    """What the store was before the entry that is half done: revision, and living keys."""

    revision: int
    living: int


class ApplyJob:
    """Satisfies `node.runtime.ports.Job`.

    `results`: by index, of the entries that are done and that somebody waited for (`wanted`) when they were begun.
    `finished`: how many entries are done. `half_done`: None unless one is begun and not done.
    """

    def __init__(
        self,
        state: State,
        entries: Sequence[Entry],
        wanted: Callable[[int], bool],
        tidy: Callable[[int], int],
    ) -> None:
        """`tidy(steps_max)` removes a part of what is not needed any more, and returns the steps."""
        self.results: dict[int, object] = {}
        self.finished = 0
        self.half_done: HalfDone | None = None
        self._state = state
        self._versions, self._leases, _, self._auth = state
        self._entries = entries
        self._wanted = wanted
        self._meter = Meter()
        self._under_way: Work[Result | None] | None = None
        self._waited_for = False
        self._tidy = tidy
        self._purge_steps = PURGE_STEPS_PER_JOB

    def run(self, work_max: int) -> bool:
        """One slice of at most `work_max` units (at least 1) and a small constant. True: all is done."""
        meter = self._meter
        meter.left = work_max
        while self.finished < len(self._entries):
            if meter.left <= 0:
                self._purge_steps += work_max - meter.left
                return False
            if self._under_way is None:
                self._begin(self._entries[self.finished])
            elif self._under_way.resume():
                self._end(self._entries[self.finished], self._under_way.value)
        self._purge_steps += work_max - meter.left
        return self._purge()

    @property
    def done(self) -> bool:
        """Whether nothing is left to be applied."""
        return self.finished == len(self._entries)

    def _begin(self, entry: Entry) -> None:
        """Do what is short; of anything else, begin it."""
        meter, data = self._meter, entry.data
        meter.left -= PUT_UNITS + len(data) // BYTES_PER_UNIT
        if entry.kind is not EntryKind.WRITE:
            self.finished += 1
            return
        wanted = self._waited_for = self._wanted(entry.index)
        if is_long(data):
            meter.left += len(data) // BYTES_PER_UNIT
            self._pause(_doing_long(self._state, NOBODY, entry, data, meter, wanted))
            return
        try:
            write = decode_write(data)
        except msgspec.MsgspecError as error:
            self._end(entry, _malformed(entry, error))
            return
        if isinstance(write, Put) and not self._auth.enabled:
            self._end(entry, put(self._versions, self._leases, write, wanted))
        elif isinstance(write, AsUser):
            asker = Asker(write.user, write.since) if write.user else TRUSTED
            self._pause(_doing_inner(self._state, asker, entry, write.write, meter, wanted))
        elif isinstance(write, InSession):
            self._pause(_doing_once(self._state, NOBODY, entry, write, meter))
        elif isinstance(write, Register):
            self._end(entry, self._state.sessions.register(entry.index, write.idle_us, entry.time_us))
        else:
            self._pause(_permitted(self._state, NOBODY, write, entry, meter, wanted))

    def _pause(self, slices: Slices[Result | None]) -> None:
        self.half_done = HalfDone(self._versions.last, self._versions.living)
        self._under_way = Work(slices, self._meter)

    def _end(self, entry: Entry, result: Result | None) -> None:
        self.half_done = self._under_way = None
        self.finished += 1
        if self._waited_for and result is not None:
            self.results[entry.index] = result

    def _purge(self) -> bool:
        steps_max = min(self._purge_steps, max(1, self._meter.left))
        steps = self._tidy(steps_max)
        self._purge_steps -= steps
        return steps < steps_max or self._purge_steps <= 0


def _permitted(
    state: State, asker: Asker, write: StoreWrite, entry: Entry, meter: Meter, wanted: bool
) -> Slices[Result | None]:
    """Do it, if who asks may now."""
    versions, leases, _, auth = state
    refusal = yield from may_not_do(auth, asker, leases, write, meter)
    return refusal or (yield from doing(versions, leases, auth, write, entry, meter, wanted))


def _doing_inner(
    state: State, asker: Asker, entry: Entry, data: bytes, meter: Meter, wanted: bool
) -> Slices[Result | None]:
    """Do what somebody asks for."""
    if is_long(data):
        meter.left -= len(data) // BYTES_PER_UNIT
        return (yield from _doing_long(state, asker, entry, data, meter, wanted))
    try:
        write = decode_write(data)
    except msgspec.MsgspecError as error:
        return _malformed(entry, error)
    if isinstance(write, InSession):
        return (yield from _doing_once(state, asker, entry, write, meter))
    if isinstance(write, Register):
        return state.sessions.register(entry.index, write.idle_us, entry.time_us, asker.user)
    if isinstance(write, AsUser):
        return Refused("malformed", f"entry {entry.index} is for two users")
    return (yield from _permitted(state, asker, write, entry, meter, wanted))


def _doing_once(state: State, asker: Asker, entry: Entry, write: InSession, meter: Meter) -> Slices[Result | None]:
    """Do what is in a session, unless it was done before. Its result is made in any case: every node keeps it. What was
    refused because of who asked was not done, so it may come again; and whoever may not do it is not told of it."""
    checksum = crc32(write.write)
    user = asker.user if state.auth.enabled else None
    result: Result | None = state.sessions.known(entry, write.answered, checksum, user)
    if result is not None:
        return (yield from _telling(state, asker, entry, write.write, result, meter))
    result = yield from _doing_bytes(state, asker, entry, write.write, meter)
    if not (isinstance(result, Refused) and result.code in AUTH_REFUSALS):
        state.sessions.keep(entry, checksum, result)
    return result


def _telling(
    state: State, asker: Asker, entry: Entry, data: bytes, result: Result, meter: Meter
) -> Slices[Result | None]:
    """The result of what was done before, to whoever may do it now."""
    if not state.auth.enabled or asker == TRUSTED:
        return result
    try:
        write = (yield from decoding(data, meter)).write if is_long(data) else decode_write(data)
    except msgspec.MsgspecError as error:
        return _malformed(entry, error)
    if isinstance(write, InSession | Register | AsUser):
        return result
    return (yield from may_not_do(state.auth, asker, state.leases, write, meter)) or result


def _doing_bytes(state: State, asker: Asker, entry: Entry, data: bytes, meter: Meter) -> Slices[Result | None]:
    if is_long(data):
        meter.left -= len(data) // BYTES_PER_UNIT
        return (yield from _doing_long(state, asker, entry, data, meter, wanted=True))
    try:
        write = decode_write(data)
    except msgspec.MsgspecError as error:
        return _malformed(entry, error)
    if isinstance(write, InSession | Register | AsUser):
        return Refused("malformed", f"entry {entry.index} holds a session in a session")
    return (yield from _permitted(state, asker, write, entry, meter, wanted=True))


def _doing_long(
    state: State, asker: Asker, entry: Entry, data: bytes, meter: Meter, wanted: bool
) -> Slices[Result | None]:
    """Decode in slices, do it, and let go in slices what was decoded."""
    try:
        write, parts = yield from decoding(data, meter)
    except msgspec.MsgspecError as error:
        return _malformed(entry, error)
    result = yield from _permitted(state, asker, write, entry, meter, wanted)
    while parts:
        part = parts.pop()
        meter.left -= 1 + (len(part.compare) + len(part.success) + len(part.failure)) // DROPPED_PER_UNIT
        if meter.left <= 0:
            yield
    return result


def _malformed(entry: Entry, error: Exception) -> Refused:
    return Refused("malformed", f"entry {entry.index} holds no write: {error}")
