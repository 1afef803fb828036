"""The whole state in chunks, made in slices while the store goes on.

Why it exists: the log must not be kept for ever, and a store of a million keys takes seconds to write down. The walk
sees the revision at which it was begun: what is written meanwhile is stepped over, what it still has to see is not
purged. It must not know where chunks go.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from node.raft.errors import InvariantViolation
from node.statemachine.applying import State
from node.statemachine.auth import Auth, Role, Token, User
from node.statemachine.changes import telling
from node.statemachine.leases import Part, in_order
from node.statemachine.sections import (
    CHUNK_BYTES,
    CHUNK_ROWS_MAX,
    CHUNK_VERSIONS_MAX,
    AuthSection,
    ClosingSection,
    LeaseRowsSection,
    LeasesSection,
    RolesSection,
    Section,
    SessionOwnersSection,
    SessionRowsSection,
    SessionsSection,
    StoreSection,
    TokensSection,
    UsersSection,
    VersionsSection,
    encode_section,
)
from node.statemachine.sessions import Kept, Session
from node.statemachine.work import BYTES_PER_UNIT, Meter, Slices, Work
from node.statemachine.writes import KeyValue

BYTES_BESIDE = 24
"""What a version takes in a chunk beside its key and value, about."""

ROW_BYTES_BESIDE = 40
RESULT_BYTES_BESIDE = 16
"""What a session, and a result in it, take in a chunk beside the bytes of the result, about."""

KEY_UNITS = 2
"""What a key costs: it, its version and the value are far from each other in memory, and from those of the next key."""

VERSION_UNITS = 3
"""What a version of a key with several costs: but for the newest they are bytes, and made into versions first."""

LEASES_PER_UNIT = 4
"""Leases that are encoded for one unit."""

HISTORY_AT_ONCE = 64
"""Versions of one key that are looked up in one go."""

USER_BYTES = 256
"""What a user, a role or a token takes in a chunk, about."""

T = TypeVar("T")


class SnapshotJob:
    """One snapshot under way. Whoever began it calls `close`, in a `finally`; one that is forgotten holds nothing back
    once it is garbage. `revision`: the store's, which it sees."""

    def __init__(self, state: State) -> None:
        versions, leases, sessions, _ = state
        self.revision = versions.last
        self._versions = versions
        self._chunks: list[bytes] = []
        meter = Meter()
        making = _Making(state, leases.view() if len(leases) else (), sessions.all(), self._chunks, meter)
        self._work: Work[None] | None = Work(making.everything(), meter)
        self._done = False
        versions.hold(self)

    def run(self, work_max: int) -> bool:
        """One slice of at most `work_max` units (at least 1) and a small constant. True: all chunks are made."""
        if self._work is None:
            if not self._done:
                raise InvariantViolation("a snapshot was continued that had been closed")
        elif self._work.run(work_max):
            self._done = True
            self.close()
        return self._done

    def take(self) -> list[bytes]:
        """The chunks that were made since the last call, in order. Whoever takes them after each slice bounds what
        they hold in memory."""
        taken = self._chunks[:]
        self._chunks.clear()
        return taken

    def close(self) -> None:
        """It reads no more. Chunks that are made stay."""
        work, self._work = self._work, None
        if work is not None:
            work.close()
            self._versions.release(self)


class _Making:
    """The walk, and the chunk that is being filled."""

    def __init__(
        self,
        state: State,
        leases: Sequence[Part],
        sessions: list[Session],
        chunks: list[bytes],
        meter: Meter,
    ) -> None:
        """`sessions` is emptied on the way: what is not there any more elsewhere is let go in slices, too."""
        versions = self._versions = state.versions
        self._leases = leases
        self._auth = _auth_sections(state.auth)
        self._sessions = sessions
        self._owners = state.sessions.owners()
        self._last, self._compacted = versions.last, versions.compacted
        self._chunks = chunks
        self._meter = meter
        self._filling: list[KeyValue] = []
        self._filled_bytes = 0
        self._keys_made = 0
        self._versions_made = 0

    def everything(self) -> Slices[None]:
        """All chunks, from first to last."""
        self._end(StoreSection(self._last, self._compacted))
        if self._sessions:
            yield from self._everybody()
        if self._leases:
            yield from self._all_leases()
        for section in self._auth:
            self._end(section)
            if self._meter.left <= 0:
                yield
        meter, last, compacted = self._meter, self._last, self._compacted
        start: bytes | None = b""
        while start is not None:
            keys, start = self._versions.keys(start, meter.keys())
            for key, kv in zip(keys, self._versions.soles(keys), strict=True):
                if kv is None:
                    yield from self._history(key)
                elif kv.mod_revision <= last and (kv.version or kv.mod_revision > compacted):
                    self._keys_made += 1
                    self._add(kv)
                meter.left -= KEY_UNITS
                if meter.left <= 0:
                    yield  # what is written meanwhile is later than what is wanted: `soles` stay right
            meter.left -= 1
        self._end_versions()
        yield from telling(self._versions, compacted, last, meter, self._end)
        self._end(ClosingSection(self._keys_made, self._versions_made))

    def _everybody(self) -> Slices[None]:
        """All sessions: values, as they were when the walk began."""
        sessions, meter = self._sessions, self._meter
        self._end(SessionsSection(len(sessions), sum(len(session.results) for session in sessions)))
        meter.left -= len(sessions) // 8
        sessions.reverse()
        rows: list[Session] = []
        filled_bytes = before = 0
        while sessions:
            session = sessions.pop()
            results: list[Kept] = []
            for kept in session.results:
                if filled_bytes >= CHUNK_BYTES:
                    rows.append(msgspec.structs.replace(session, results=tuple(results)))
                    before, filled_bytes, results = self._end_rows(before, rows), 0, []
                results.append(kept)
                filled_bytes += len(kept.result) + RESULT_BYTES_BESIDE
                meter.left -= 1
            rows.append(msgspec.structs.replace(session, results=tuple(results)))
            filled_bytes += ROW_BYTES_BESIDE
            if filled_bytes >= CHUNK_BYTES or len(rows) == CHUNK_ROWS_MAX:
                before, filled_bytes = self._end_rows(before, rows), 0
            meter.left -= 1
            if meter.left <= 0:
                yield
        if rows:
            self._end_rows(before, rows)
        owners = self._owners
        for at in range(0, len(owners), CHUNK_ROWS_MAX):
            some = owners[at : at + CHUNK_ROWS_MAX]
            self._end(SessionOwnersSection(at, len(owners) - at - len(some), some))
            if meter.left <= 0:
                yield

    def _all_leases(self) -> Slices[None]:
        """Values likewise, as they were when the walk began."""
        leases = yield from in_order(self._leases, self._meter)
        self._leases = ()
        self._end(LeasesSection(len(leases)))
        for at in range(0, len(leases), CHUNK_VERSIONS_MAX):
            rows = leases[at : at + CHUNK_VERSIONS_MAX]
            self._end(LeaseRowsSection(rows))
            self._meter.left -= len(rows) // LEASES_PER_UNIT
            if self._meter.left <= 0:
                yield

    def _end_rows(self, before: int, rows: list[Session]) -> int:
        """How many rows there are now."""
        self._end(SessionRowsSection(before, rows))
        before += len(rows)
        rows.clear()
        return before

    def _history(self, key: bytes) -> Slices[None]:
        """Of a key with several versions: what lived at the compacted revision, then what was written since."""
        few = self._versions.few(key, HISTORY_AT_ONCE)
        if few is not None:
            seen = _seen(few, self._compacted, self._last)
            self._keys_made += bool(seen)
            self._meter.left -= VERSION_UNITS * len(few)
            for kv in seen:
                self._add(kv)
                if self._meter.left <= 0:
                    yield
            return
        before = self._versions_made + len(self._filling)
        lived = self._versions.at(key, self._compacted)
        if lived is not None:
            self._add(lived)
        after = self._compacted
        while found := self._versions.history(key, after, self._last, HISTORY_AT_ONCE):
            after = found[-1].mod_revision
            for kv in found:
                self._add(kv)
                self._meter.left -= VERSION_UNITS
                if self._meter.left <= 0:
                    yield
        self._keys_made += self._versions_made + len(self._filling) > before

    def _add(self, kv: KeyValue) -> None:
        self._filling.append(kv)
        self._filled_bytes += len(kv.key) + len(kv.value) + BYTES_BESIDE
        if self._filled_bytes >= CHUNK_BYTES or len(self._filling) == CHUNK_VERSIONS_MAX:
            self._end_versions()

    def _end_versions(self) -> None:
        if self._filling:
            self._versions_made += len(self._filling)
            self._end(VersionsSection(self._filling))
            self._filling, self._filled_bytes = [], 0

    def _end(self, section: Section) -> None:
        chunk = encode_section(section)
        self._meter.left -= len(chunk) // BYTES_PER_UNIT
        self._chunks.append(chunk)


def _auth_sections(auth: Auth) -> list[Section]:
    """Values, as they are now; there are so few that they are put into chunks at once."""
    if auth.is_blank:
        return []
    roles, users, tokens = auth.everything()
    made: list[Section] = [
        AuthSection(auth.enabled, auth.revision, auth.era, len(roles), len(users), len(tokens)),
        *map(RolesSection, _in_chunks(roles, _role_bytes)),
        *map(UsersSection, _in_chunks(users, _user_bytes)),
        *map(TokensSection, _in_chunks(tokens, _token_bytes)),
    ]
    return made


def _role_bytes(role: Role) -> int:
    return USER_BYTES + sum(len(each.key) + len(each.range_end) for each in role.permissions)


def _user_bytes(user: User) -> int:
    return USER_BYTES + len(user.password) + sum(len(role.encode()) for role in user.roles)


def _token_bytes(token: Token) -> int:
    return USER_BYTES + len(token.user.encode())


def _in_chunks(rows: Sequence[T], size: Callable[[T], int]) -> list[list[T]]:
    """As many in each as may be."""
    chunks: list[list[T]] = []
    filled = CHUNK_BYTES
    for row in rows:
        if filled >= CHUNK_BYTES or len(chunks[-1]) == CHUNK_ROWS_MAX:
            chunks.append([])
            filled = 0
        chunks[-1].append(row)
        filled += size(row)
    return chunks


def _seen(versions: list[KeyValue], compacted: int, last: int) -> list[KeyValue]:
    """Of all versions of a key, oldest first: what lived at `compacted`, then what was written until `last`. Of several
    of one revision, the last."""
    seen: list[KeyValue] = []
    for kv in versions:
        if kv.mod_revision > last:
            break
        if seen and (kv.mod_revision == seen[-1].mod_revision or kv.mod_revision <= compacted):
            seen[-1] = kv
        else:
            seen.append(kv)
    if seen and seen[0].mod_revision <= compacted and not seen[0].version:
        del seen[0]
    return seen
