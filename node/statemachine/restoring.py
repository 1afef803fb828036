"""A whole state made from chunks, in slices, and put in the place of the store's own at the end.

Why it exists: a node that starts, or was left far behind, gets a snapshot instead of the log. The chunks may have come
over a network: whatever is no whole snapshot is refused, and nobody has seen anything of it. It must not know where
chunks come from.
"""

from collections import deque
from collections.abc import Callable

from node.raft.errors import InvariantViolation, invariant
from node.statemachine.applying import State
from node.statemachine.auth import Auth
from node.statemachine.auth_loading import AuthLoading
from node.statemachine.changes import ChangesLoading
from node.statemachine.leases import Lease, Leases
from node.statemachine.results import decode
from node.statemachine.sections import (
    AuthRows,
    AuthSection,
    ChangesSection,
    ClosingSection,
    LeaseRowsSection,
    LeasesSection,
    SessionOwnersSection,
    SessionRowsSection,
    SessionsSection,
    StoreSection,
    VersionsSection,
    check_head,
    decode_section,
)
from node.statemachine.sessions import Session, Sessions
from node.statemachine.versions import FIRST_REVISION, Versions
from node.statemachine.work import BYTES_PER_UNIT, Meter, Slices, Work
from node.statemachine.writes import KeyValue

LEASE_UNITS = 3
"""What it costs to load a lease."""

LOADED_AT_ONCE = 64
"""Versions that are checked and loaded in one go."""


class RestoreJob:
    """One restore under way. Whoever began it calls `close`, in a `finally`: what was loaded in vain is then let go
    in slices. `feed`, `run` and `finish` raise `ValueError` for what is no snapshot; after `run` did, all do."""

    def __init__(
        self,
        install: Callable[[State], None],
        discard: Callable[[Versions | Leases | Sessions], None],
    ) -> None:
        self._install = install
        self._discard = discard
        self._versions: Versions | None = Versions()
        self._leases = Leases(self._versions)
        self._sessions = Sessions()
        self._meter = Meter()
        self._auth = Auth()
        state = State(self._versions, self._leases, self._sessions, self._auth)
        self._loading = _Loading(state, self._meter)
        self._chunks: deque[bytes] = deque()
        self._work: Work[None] | None = None
        self._refusal = ""

    def feed(self, chunk: bytes) -> None:
        """The next chunk. It is only looked at here; `run` loads it."""
        self._loaded()
        check_head(chunk)
        self._chunks.append(chunk)

    def run(self, work_max: int) -> bool:
        """One slice of at most `work_max` units (at least 1), and one chunk decoded. True: all that was fed is
        loaded."""
        self._loaded()
        self._meter.left = work_max
        try:
            while self._chunks or self._work is not None:
                if self._meter.left <= 0:
                    return False
                if self._work is None:
                    self._work = Work(self._loading.load(self._chunks.popleft()), self._meter)
                if self._work.resume():
                    self._work = None
        except ValueError as error:
            self._refusal = str(error)
            raise
        return True

    def finish(self) -> None:
        """All chunks were fed and loaded: from now on this is the store's state. Call it between entries."""
        versions = self._loaded()
        invariant(not self._chunks and self._work is None, "a restore was to finish before all of it was loaded")
        self._loading.check_whole()
        self._install(State(versions, self._leases, self._sessions, self._auth))
        self._versions = None

    def close(self) -> None:
        """No more will come; no harm after `finish`."""
        versions, self._versions, self._work = self._versions, None, None
        self._chunks.clear()
        if versions is not None:
            self._discard(versions)
            self._discard(self._leases)
            self._discard(self._sessions)

    def _loaded(self) -> Versions:
        if self._refusal:
            raise ValueError(self._refusal)
        if self._versions is None:
            raise InvariantViolation("a restore was continued that had ended")
        return self._versions


def _check_results(session: Session) -> None:
    for kept in session.results:
        try:
            if kept.result:
                decode(kept.result)
        except ValueError as error:
            raise ValueError(
                f"the result of write {kept.sequence} of session {session.id} is damaged: {error}"
            ) from None


class _Loading:
    """Takes chunks in order, and checks that they are a snapshot."""

    def __init__(self, state: State, meter: Meter) -> None:
        versions, leases, sessions, auth = state
        self._versions = versions
        self._leases = leases
        self._auth = AuthLoading(auth)
        self._leases_wanted: int | None = None
        self._last_lease: Lease | None = None
        self._sessions = sessions
        self._meter = meter
        self._announced: SessionsSection | None = None
        self._rows_loaded = 0
        self._last_id = -1
        self._results_loaded = 0
        self._owners_loaded = self._owners_left = 0
        self._begun = False
        self._ended = False
        self._before: KeyValue | None = None
        self._keys_loaded = 0
        self._versions_loaded = 0
        self._changes = ChangesLoading(versions, meter)

    def load(self, chunk: bytes) -> Slices[None]:
        """The next one; raises `ValueError` where it is none, or not the next."""
        section = decode_section(chunk)
        self._meter.left -= 1 + len(chunk) // BYTES_PER_UNIT
        if isinstance(section, StoreSection) is self._begun or self._ended:
            raise ValueError("the chunks of the snapshot are not in order: its beginning, its versions, its end")
        if isinstance(section, SessionRowsSection):
            yield from self._load_rows(section)
        elif isinstance(section, StoreSection):
            self._begin(section)
        elif isinstance(section, SessionsSection):
            self._announce(section)
        elif isinstance(section, SessionOwnersSection):
            self._load_owners(section)
        elif isinstance(section, LeasesSection):
            self._announce_leases(section)
        elif isinstance(section, LeaseRowsSection):
            yield from self._load_leases(section.rows)
        elif isinstance(section, AuthSection | AuthRows):
            if self._before is not None:
                raise ValueError("the chunks of the snapshot are not in order: its users come before its versions")
            self._auth.load(section)
            self._meter.left -= 1 if isinstance(section, AuthSection) else len(section.rows)
        else:
            self._check_sessions()
            self._check_leases()
            self._auth.check()
            if isinstance(section, ChangesSection):
                yield from self._changes.load(section)
            elif isinstance(section, VersionsSection):
                yield from self._load_versions(section.versions)
            else:
                self._changes.end()
                self._end(section)

    def check_whole(self) -> None:
        """Raises `ValueError` unless all chunks were loaded."""
        if not self._ended:
            raise ValueError("the snapshot is cut short: its last chunk is missing")

    def _begin(self, section: StoreSection) -> None:
        if section.last < FIRST_REVISION or not -1 <= section.compacted <= section.last:
            raise ValueError(f"no store is at revision {section.last} and compacted to {section.compacted}")
        self._begun = True
        self._versions.last, self._versions.compacted = section.last, section.compacted

    def _announce(self, section: SessionsSection) -> None:
        late = self._before is not None or self._leases_wanted is not None
        if self._announced is not None or late or not section.sessions:
            raise ValueError("the chunks of the snapshot are not in order: its sessions come once, before its versions")
        self._announced = section

    def _load_rows(self, section: SessionRowsSection) -> Slices[None]:
        if self._announced is None or self._before is not None or section.before != self._rows_loaded:
            raise ValueError(
                f"the chunks of the snapshot are not in order: {section.before} rows of sessions come before"
            )
        for row in section.rows:
            if row.id == self._last_id:
                self._sessions.load_more(row)
            else:
                self._sessions.load(row)
            self._last_id = row.id
            _check_results(row)
            self._rows_loaded += 1
            self._results_loaded += len(row.results)
            self._meter.left -= 1 + 2 * len(row.results)
            if self._meter.left <= 0:
                yield

    def _load_owners(self, section: SessionOwnersSection) -> None:
        late = self._before is not None or self._leases_wanted is not None
        follow = self._owners_loaded == 0 or self._owners_left == len(section.rows) + section.more
        if late or not follow or section.before != self._owners_loaded:
            raise ValueError("the chunks of the snapshot are not in order: owners come once, after all sessions")
        for session, owner in section.rows:
            self._sessions.load_owner(session, owner)
        self._owners_loaded, self._owners_left = section.before + len(section.rows), section.more
        self._meter.left -= len(section.rows)

    def _announce_leases(self, section: LeasesSection) -> None:
        if self._leases_wanted is not None or self._before is not None or not section.leases:
            raise ValueError("the chunks of the snapshot are not in order: its leases come once, before its versions")
        self._leases_wanted = section.leases

    def _load_leases(self, rows: list[Lease]) -> Slices[None]:
        if self._leases_wanted is None or self._before is not None:
            raise ValueError("the chunks of the snapshot are not in order: its leases come before its versions")
        for lease in rows:
            if self._last_lease is not None and lease.id <= self._last_lease.id:
                raise ValueError(f"lease {lease.id} stands in the snapshot where it cannot, or twice")
            self._leases.load(lease)
            self._last_lease = lease
            self._meter.left -= LEASE_UNITS
            if self._meter.left <= 0:
                yield

    def _check_leases(self) -> None:
        wanted = self._leases_wanted or 0
        if wanted != len(self._leases):
            raise ValueError(f"the snapshot should hold {wanted} leases, and holds {len(self._leases)}")

    def _attach(self, newest: KeyValue) -> None:
        """Nothing follows of this key: if it lives, it has a lease or none."""
        if newest.lease and newest.version:
            if newest.lease not in self._leases:
                raise ValueError(f"the key {newest.key[:40]!r} has lease {newest.lease}, which is not in the snapshot")
            self._leases.attach(newest.lease, newest.key)
            self._meter.left -= 1

    def _check_sessions(self) -> None:
        wanted = self._announced
        if self._owners_left:
            raise ValueError(f"the snapshot should hold {self._owners_left} more owners of sessions")
        if wanted is None:
            return
        if (wanted.sessions, wanted.results) != (len(self._sessions), self._results_loaded):
            raise ValueError(
                f"the snapshot should hold {wanted.sessions} sessions with {wanted.results} results, "
                f"and holds {len(self._sessions)} with {self._results_loaded}: a part of it is missing"
            )

    def _load_versions(self, kvs: list[KeyValue]) -> Slices[None]:
        if self._changes.begun:
            raise ValueError("the chunks of the snapshot are not in order: its versions, then what changed when")
        for at in range(0, len(kvs), LOADED_AT_ONCE):
            some = kvs[at : at + LOADED_AT_ONCE]
            self._check(some)
            self._versions.load(some)
            self._meter.left -= len(some)
            if self._meter.left <= 0:
                yield
        self._versions_loaded += len(kvs)

    def _check(self, kvs: list[KeyValue]) -> None:
        """Versions that may follow the one before, of a store that is where this one is."""
        before, last, compacted = self._before, self._versions.last, self._versions.compacted
        for kv in kvs:
            key, revision, version = kv.key, kv.mod_revision, kv.version
            if before is None or key > before.key:
                self._keys_loaded += 1
                if before is not None and before.lease:
                    self._attach(before)
                follows = bool(key) and (version > 0 or revision > compacted)
            else:
                follows = key == before.key and revision > max(before.mod_revision, compacted)
            possible = version > 0 or (version == 0 and not kv.value)
            if not (follows and possible and 0 <= kv.create_revision <= revision <= last):
                raise ValueError(f"a version of the key {key[:40]!r} stands in the snapshot where it cannot")
            before = kv
        self._before = before

    def _end(self, section: ClosingSection) -> None:
        if (section.keys, section.versions) != (self._keys_loaded, self._versions_loaded):
            raise ValueError(
                f"the snapshot should hold {section.versions} versions of {section.keys} keys, "
                f"and holds {self._versions_loaded} of {self._keys_loaded}: a part of it is missing"
            )
        if self._before is not None:
            self._attach(self._before)
        self._ended = True
