"""The key-value store that the log drives: revisions, transactions, reads of the past, as etcd has them.

Why it exists: it is the meaning of the log. Equal entries give equal state and equal results, for ever: no clock,
no chance, no iteration over sets. It must not raise on account of what an entry holds: the entry is committed, so
refusing it is a result like any other.

The store's revision begins at 1; each write that changes something adds 1, whatever the number of keys. Nothing
takes long: entries are applied, and larger reads read, in slices. Whoever reads sees the entries that are done and
nothing of one that is half done.
"""

from collections.abc import Callable, Sequence
from typing import cast
from zlib import crc32

from msgspec.msgpack import encode

from node.raft.errors import InvariantViolation
from node.raft.types import Entry
from node.statemachine.applying import ApplyJob, State
from node.statemachine.auth import Auth
from node.statemachine.executing import transacting, unreadable
from node.statemachine.leases import Lease, Leases, Part, in_order
from node.statemachine.leftovers import Leftovers
from node.statemachine.ranges import count_now, one_key, ranging
from node.statemachine.reading import ReadJob
from node.statemachine.restoring import RestoreJob
from node.statemachine.results import decode, encode_bounded
from node.statemachine.sessions import Sessions
from node.statemachine.snapshotting import SnapshotJob
from node.statemachine.untracked import untracked
from node.statemachine.versions import Versions
from node.statemachine.work import EVERYTHING, Meter, Slices, at_once
from node.statemachine.writes import (
    KeyValue,
    LeaseExpire,
    LeaseNumbers,
    LeaseView,
    Range,
    RangeResult,
    ReadError,
    Result,
    Txn,
    encode_write,
)


class KeyValueStore:
    """Satisfies `node.runtime.ports.StateMachine`; its reading half is what the API sees."""

    def __init__(self) -> None:
        self._versions = Versions()
        self._leases = Leases(self._versions)
        self.sessions = Sessions()
        """To look at, between entries."""
        self.auth = Auth()
        """Users, roles and permissions: to look at, likewise."""
        self._leftovers = Leftovers()
        self._job = ApplyJob(self._state, (), lambda _index: False, self._tidy)

    @property
    def revision(self) -> int:
        """The revision of the last change; 1 when there was none."""
        half_done = self._job.half_done
        return self._versions.last if half_done is None else half_done.revision

    @property
    def compact_revision(self) -> int:
        """The oldest readable revision; 0 when nothing was compacted."""
        return max(0, self._versions.compacted)

    @property
    def key_count(self) -> int:
        """Living keys."""
        half_done = self._job.half_done
        return self._versions.living if half_done is None else half_done.living

    @property
    def size_bytes(self) -> int:
        """About what all kept versions take in memory: keys, values, and a constant for each. It grows with every
        write, and shrinks once a compaction is through. Leases count, too."""
        return self._versions.size_bytes + self._leases.size_bytes

    @property
    def lease_count(self) -> int:
        """Leases that were granted and did not end."""
        return len(self._leases)

    @property
    def _state(self) -> State:
        return State(self._versions, self._leases, self.sessions, self.auth)

    # --- the log ---------------------------------------------------------------------------------------------

    def begin(self, entries: Sequence[Entry], wanted: Callable[[int], bool]) -> ApplyJob:
        """Take committed entries in order, each exactly once; a job must be done before the next begins.

        `wanted(index)`: whether somebody waits for the result of that entry. Only those are made."""
        if not self._job.done:
            raise InvariantViolation("entries were to be applied while earlier ones still are")
        self._job = ApplyJob(self._state, entries, wanted, self._tidy)
        return self._job

    def apply(self, entries: Sequence[Entry]) -> list[Result | None]:
        """The same at once, with every result (None of what is no write): for tests and tools."""
        job = self.begin(entries, lambda _index: True)
        while not job.run(EVERYTHING):
            pass
        return [cast(Result | None, job.results.get(entry.index)) for entry in entries]

    def encode_result(self, result: object, bytes_max: int) -> bytes | None:
        """A result in bytes, for a peer; None where that takes more than `bytes_max`. Takes time in `bytes_max`."""
        return encode_bounded(result, bytes_max)

    def decode_result(self, data: bytes) -> Result:
        """What a peer encoded; raises `ValueError` for anything else."""
        return decode(data)

    def tidy(self, work_max: int) -> bool:
        """Remove a part of what nobody needs any more; for when there is nothing to apply. True: that was all, until
        something is compacted or restored, or a read or snapshot that held it back ends."""
        return self._tidy(work_max) < work_max

    def _tidy(self, steps_max: int) -> int:
        steps = self._versions.purge(steps_max)
        steps += self._leases.purge(steps_max - steps)
        return steps + self._leftovers.free(steps_max - steps)

    # --- what ends by itself -----------------------------------------------------------------------------------

    @property
    def due_us(self) -> int | None:
        """From which log time on `due_write` has something to do; None: nothing ends by itself."""
        return self._leases.next_expiry_us

    @property
    def due_write(self) -> bytes:
        """What a leader proposes then; again, while there is more."""
        return _EXPIRE

    # --- snapshots -------------------------------------------------------------------------------------------

    def begin_snapshot(self) -> SnapshotJob:
        """Write down the whole state, as it is now. Begin it between entries, and close it."""
        if self._job.half_done is not None:
            raise InvariantViolation("a snapshot was to begin while an entry was half done")
        return SnapshotJob(self._state)

    def begin_restore(self) -> RestoreJob:
        """Replace the whole state by that of a snapshot, once all of it is there. Close it."""
        return RestoreJob(self._replace, self._leftovers.add)

    def _replace(self, state: State) -> None:
        """Whatever was being applied is void with the state that it changed."""
        versions, leases, sessions, auth = state
        self._leftovers.add(self._versions)
        self._leftovers.add(self._leases)
        self._leftovers.add(self.sessions)
        sessions.count_on(self.sessions)
        auth.go_on_from(self.auth)
        self._versions, self._leases, self.sessions, self.auth = versions, leases, sessions, auth
        self._job = ApplyJob(state, (), lambda _index: False, self._tidy)

    # --- reads -----------------------------------------------------------------------------------------------

    def get(self, key: bytes, revision: int = 0) -> KeyValue | ReadError | None:
        """The version of `key` at `revision` (0: now), None where there is none."""
        now = self.revision
        return unreadable(revision, now, self._versions.compacted) or self._versions.at(key, revision or now)

    def changed(self, revision: int) -> Sequence[bytes]:
        """The keys that `revision` changed, in the order in which it did; it lies from `compact_revision` to
        `revision`. One that it changed twice may be there twice."""
        return self._versions.changes.changed(revision)

    def version(self, key: bytes, revision: int) -> KeyValue | None:
        """The version that lived at such a revision."""
        return self._versions.at(key, revision)

    def begin_read(self, wanted: Range) -> ReadJob:
        """Read what `wanted` describes, as it is now. Begin it after the barrier, and close it."""
        versions, now = self._versions, self.revision
        error = unreadable(wanted.revision, now, versions.compacted)
        if error is not None or not wanted.range_end:
            return ReadJob(versions, now, error or one_key(versions, wanted, now))
        count = count_now(versions, wanted, now)
        return ReadJob(versions, now, None, lambda meter: ranging(versions, wanted, now, meter, count))

    def begin_read_txn(self, txn: Txn) -> ReadJob:
        """Do a transaction that only reads, without putting it through the log; likewise. `run` raises `ValueError`
        where it writes."""
        versions, now, compacted = self._versions, self.revision, self._versions.compacted
        leases = self._leases
        return ReadJob(versions, now, None, lambda meter: _reading(versions, leases, txn, now, compacted, meter))

    def lease(self, number: int) -> Lease | None:
        """The lease of that number, now; None: there is none (any more)."""
        return self._leases.get(number)

    def begin_read_lease(self, number: int, *, keys: bool) -> ReadJob:
        """What there is of a lease, with its `keys` if they are wanted: the result is a `LeaseView`. Likewise."""
        versions, leases, now = self._versions, self._leases, self.revision
        lease = leases.get(number)
        if lease is None:
            return ReadJob(versions, now, LeaseView(now, number, -1, 0))
        if not keys:
            return ReadJob(versions, now, LeaseView(now, number, lease.ttl_s, lease.expiry_us))
        return ReadJob(versions, now, None, lambda meter: _looking_at(leases, lease, now, meter))

    def begin_read_leases(self) -> ReadJob:
        """Numbers of all leases, the one that ends first coming first: the result is `LeaseNumbers`. Likewise."""
        versions, now, parts = self._versions, self.revision, self._leases.view()
        return ReadJob(versions, now, None, lambda meter: _listing(parts, now, meter))

    def read(self, wanted: Range) -> RangeResult | ReadError:
        """What `wanted` describes, at once: for one key (without `range_end`), and for tests."""
        error = unreadable(wanted.revision, self.revision, self._versions.compacted)
        if error is not None:
            return error
        if not wanted.range_end:
            return one_key(self._versions, wanted, self.revision)
        return cast(RangeResult, _result_of(self.begin_read(wanted)))

    def read_txn(self, txn: Txn) -> Result:
        """The result of a transaction that only reads, at once: for tests."""
        return _result_of(self.begin_read_txn(txn))

    def range(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        revision: int = 0,
        limit: int = 0,
        keys_only: bool = False,
        count_only: bool = False,
    ) -> RangeResult | ReadError:
        """Keys in [key, range_end) at `revision` (0: now), in order, at once: for tests. `range_end` empty: `key`
        alone; b"\\0": all from `key` on. `limit` 0: all."""
        return self.read(Range(key, range_end, revision, limit, keys_only, count_only))

    def digest(self) -> str:
        """A hash (hex) of everything readable, of all sessions and leases, and of who may what, for comparing nodes in
        tests; takes time in the size of the store."""
        sessions = self.sessions.all()
        leases = at_once(in_order(self._leases.view(), meter := Meter()), meter)
        auth = [] if self.auth.is_blank else [self.auth.enabled, self.auth.revision, self.auth.everything()]
        beside = [found for found in (sessions, self.sessions.owners(), leases, auth) if found]
        return " ".join((self._versions.digest(), *(f"{crc32(encode(found)):08x}" for found in beside)))


_EXPIRE = encode_write(LeaseExpire())

LISTED_AT_ONCE = 1024
LISTED_PER_UNIT = 16
"""Numbers of leases that are listed in one go, and for one unit."""


def _looking_at(leases: Leases, lease: Lease, now: int, meter: Meter) -> Slices[LeaseView]:
    """A lease with its keys."""
    found: list[bytes] = untracked([])
    start: bytes | None = b""
    while start is not None:
        some, start = leases.keys(lease.id, start, now, meter.keys())
        found += some
        meter.left -= 1 + len(some)
        if meter.left <= 0:
            yield
    return LeaseView(now, lease.id, lease.ttl_s, lease.expiry_us, untracked(tuple(found)))


def _listing(parts: Sequence[Part], now: int, meter: Meter) -> Slices[LeaseNumbers]:
    found = yield from in_order(parts, meter, by_expiry=True)
    numbers: list[int] = untracked([])
    for at in range(0, len(found), LISTED_AT_ONCE):
        numbers += [lease.id for lease in found[at : at + LISTED_AT_ONCE]]
        meter.left -= LISTED_AT_ONCE // LISTED_PER_UNIT
        if meter.left <= 0:
            yield
    return LeaseNumbers(now, untracked(tuple(numbers)))


def _reading(versions: Versions, leases: Leases, txn: Txn, now: int, compacted: int, meter: Meter) -> Slices[Result]:
    result = yield from transacting(versions, leases, txn, now, compacted, meter, wanted=True, may_write=False)
    if result is None:
        raise InvariantViolation("a read has no result")
    return result


def _result_of(job: ReadJob) -> Result:
    try:
        while not job.run(EVERYTHING):
            pass
        if job.result is None:
            raise InvariantViolation("a read has no result")
        return job.result
    finally:
        job.close()
