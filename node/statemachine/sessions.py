"""Clients' sessions: what was answered to the writes of each, so that one that comes twice is done once (thesis 6.3).

Why it exists: a client that got no answer sends its write again, and only what the log drives can tell for ever whether
it was done. What is remembered, and what is forgotten for time or for room, depends on entries alone: on their
order, bytes and log time. It must not know what a write means, nor what users may do.

Whoever is forgotten is told so: a write in a session that is not there is refused, never done as if it were new.

While users are in force a session is whose it was opened for: whoever else knows its number, which is no secret, could
use up the owner's numbers, have a write of the owner taken for done that never was, or be told the owner's answers.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from itertools import pairwise
from operator import attrgetter

import msgspec

from node.raft.types import Entry
from node.statemachine.results import decode, encode_bounded
from node.statemachine.writes import (
    SEQUENCE_ANSWERED,
    SEQUENCE_REUSED,
    SESSION_EXPIRED,
    Natural,
    Refused,
    Registered,
    Result,
    Untold,
)

SESSIONS_MAX = 10_000
"""Sessions of all clients; of more, one of whoever has most goes, the one that was idle for longest."""

SESSIONS_BYTES_MAX = 32 * 1024 * 1024
"""What they take in memory, about: results, and the constants below. Likewise."""

RESULTS_MAX = 256
"""Results that are kept of one session; of more, the one of the lowest sequence number goes."""

RESULT_BYTES_MAX = 64 * 1024
"""A longer result, as `encode_bounded` counts, is not kept: when its write comes again, all that is said is that it was
done."""

EXPIRED_PER_ENTRY_MAX = 8
"""Sessions that are looked for at each write in a session, and let go, because their time is over."""

IDLE_US_MAX = 24 * 3600 * 1_000_000
"""The longest that a session may ask to be idle, in log time."""

SESSION_BYTES = 500
KEPT_BYTES = 200
"""What a session, and a result in it, take in memory beside the bytes of the result, about."""

_SEQUENCE = attrgetter("sequence")


class Kept(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What was answered to one write, in bytes; empty where that was too long. `checksum`: of the write."""

    sequence: Natural
    checksum: Natural
    result: bytes


class Session(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One client. `used_us`: log time of its last write. `answered`: what comes with a number up to this is too late.
    `results`: of higher numbers, in their order. A value: a snapshot keeps it while the session goes on."""

    id: Natural
    idle_us: Natural
    used_us: Natural
    answered: Natural
    results: tuple[Kept, ...] = ()


class Sessions:
    """All of them. `repeats`, `expired`, `evicted`: counts of this process, for people, and no part of the state."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.repeats = 0
        self.expired = 0
        self.evicted = 0
        self._by_id: OrderedDict[int, Session] = OrderedDict()
        """The one that was idle for longest comes first."""
        self._owners: dict[int, str] = {}
        """Of those that users opened; the others are of whoever has no name: the nodes' own holders of tokens, and
        everybody while users are not in force."""
        self._of: dict[str, _Owned] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def register(self, session: int, idle_us: int, now_us: int, owner: str = "") -> Registered:
        """A new one. `session`: the index of its entry, which no other has. `owner`: a user; empty: nobody's name."""
        self._expire(now_us)
        made = Session(session, min(idle_us, IDLE_US_MAX), now_us, 0)
        self._by_id[session] = made
        if owner:
            self._owners[session] = owner
        self._enter(made)
        self._make_room()
        return Registered(session, made.idle_us)

    def known(self, entry: Entry, answered: int, checksum: int, user: str | None = None) -> Result | None:
        """What `entry`, a write in a session, is answered without being done; None: do it, then call `keep`. `user`:
        who asks; None: it is nobody's business, for users are not in force."""
        number, sequence = entry.session, entry.sequence
        if not (number > 0 and 0 <= answered < sequence):
            return Refused("malformed", f"no session has a write {sequence} that comes after answer {answered}")
        self._expire(entry.time_us)
        session = self._by_id.get(number)
        if session is None or _is_over(session, entry.time_us):
            self._drop_expired(session)
            return _expired(number)
        if user is not None and self._owners.get(number, "") != user:
            return _anothers(number)
        kept = session.results
        at = bisect_left(kept, sequence, key=_SEQUENCE)
        found = kept[at] if at < len(kept) and kept[at].sequence == sequence else None
        session = self._used(session, entry.time_us, answered)
        if sequence <= session.answered:
            return _answered(number, sequence, session.answered)
        if found is None:
            return None
        if found.checksum != checksum:
            return Refused(
                SEQUENCE_REUSED, f"write {sequence} of session {number} was another one; nothing was done now"
            )
        self.repeats += 1
        return decode(found.result) if found.result else Untold()

    def keep(self, entry: Entry, checksum: int, result: Result | None) -> None:
        """`entry` was done; it is the one that `known` has just been asked about."""
        session = self._by_id[entry.session]
        kept = Kept(entry.sequence, checksum, encode_bounded(result, RESULT_BYTES_MAX) or b"")
        at = bisect_left(session.results, entry.sequence, key=_SEQUENCE)
        results = (*session.results[:at], kept, *session.results[at:])
        self._count(entry.session, KEPT_BYTES + len(kept.result))
        self._put(session, results, session.answered if len(results) <= RESULTS_MAX else results[0].sequence)
        self._make_room()

    def count_on(self, before: "Sessions") -> None:
        """This state takes the place of that one: the counts of the process go on."""
        self.repeats, self.expired, self.evicted = before.repeats, before.expired, before.evicted

    # --- the whole state -------------------------------------------------------------------------------------

    def all(self) -> list[Session]:
        """As they are now, the one that was idle for longest first."""
        return list(self._by_id.values())

    def owners(self) -> list[tuple[int, str]]:
        """Sessions that users opened, with their names, in the order of `all`."""
        return [(session, self._owners[session]) for session in self._by_id if session in self._owners]

    def load_owner(self, session: int, owner: str) -> None:
        """Whose a session is that was loaded; in the order of `owners`. Raises `ValueError` where it cannot be."""
        if session not in self._by_id or session in self._owners or not owner:
            raise ValueError(f"the owner of session {session} stands in the snapshot where it cannot, or twice")
        loaded = self._by_id[session]
        self._leave(loaded)
        self._owners[session] = owner
        self._enter(loaded)

    def load(self, session: Session) -> None:
        """The next one of a whole state. Raises `ValueError` where it cannot be."""
        sequences = [session.answered, *map(_SEQUENCE, session.results)]
        ascending = all(before < after for before, after in pairwise(sequences))
        if session.id in self._by_id or not session.id or not ascending:
            raise ValueError(f"session {session.id} stands in the snapshot where it cannot, or twice")
        self._by_id[session.id] = session
        self._enter(session)

    def load_more(self, session: Session) -> None:
        """More results of the last one; likewise."""
        before = next(reversed(self._by_id.values()), None)
        first = session.results[0].sequence if session.results else 0
        last = before.results[-1].sequence if before is not None and before.results else 0
        if before is None or msgspec.structs.replace(session, results=before.results) != before or first <= last:
            raise ValueError(f"results of session {session.id} stand in the snapshot where they cannot")
        del self._by_id[before.id]
        self._leave(before)
        self.load(msgspec.structs.replace(before, results=before.results + session.results))

    @property
    def held(self) -> bool:
        """Whether somebody reads in here: who reads has a list of his own."""
        return False

    def emptying(self) -> Iterator[int]:
        """Let everything go, piece by piece, and tell for each in how many steps."""
        while self._by_id:
            yield 1 + len(self._by_id.popitem()[1].results)

    # --- what is forgotten -----------------------------------------------------------------------------------

    def _used(self, session: Session, now_us: int, answered: int) -> Session:
        """It was used now, and waits no more for what was answered."""
        session = msgspec.structs.replace(session, used_us=now_us)
        self._by_id.move_to_end(session.id)
        self._held(session.id).sessions.move_to_end(session.id)
        return self._put(session, session.results, max(session.answered, answered))

    def _put(self, session: Session, results: tuple[Kept, ...], answered: int) -> Session:
        """Replace it; of `results` only those that are not `answered` stay."""
        passed = bisect_right(results, answered, key=_SEQUENCE)
        for kept in results[:passed]:
            self._count(session.id, -KEPT_BYTES - len(kept.result))
        session = msgspec.structs.replace(session, results=results[passed:], answered=answered)
        self._by_id[session.id] = session
        return session

    def _expire(self, now_us: int) -> None:
        for _ in range(EXPIRED_PER_ENTRY_MAX):
            oldest = next(iter(self._by_id.values()), None)
            if oldest is None or not _is_over(oldest, now_us):
                break
            self._drop_expired(oldest)

    def _drop_expired(self, session: Session | None) -> None:
        if session is not None:
            self.expired += 1
            self._drop(session)

    def _drop(self, session: Session) -> None:
        del self._by_id[session.id]
        self._leave(session)
        self._owners.pop(session.id, None)

    def _held(self, session: int) -> "_Owned":
        """What its owner has; whoever has nothing has no place here."""
        owner = self._owners.get(session, "")
        return self._of.get(owner) or self._of.setdefault(owner, _Owned())

    def _count(self, session: int, size: int) -> None:
        """So many more bytes are in it, or fewer."""
        self._held(session).size_bytes += size
        self.size_bytes += size

    def _enter(self, session: Session) -> None:
        self._held(session.id).sessions[session.id] = None
        self._count(session.id, _size(session))

    def _leave(self, session: Session) -> None:
        self._count(session.id, -_size(session))
        held = self._held(session.id)
        del held.sessions[session.id]
        if not held.sessions:
            del self._of[self._owners.get(session.id, "")]

    def _make_room(self) -> None:
        """Whoever has most makes it, so that nobody's sessions go for those of one who opens many."""
        while self._is_crowded():
            crowd = len(self._by_id) > SESSIONS_MAX
            held = max(self._of.items(), key=lambda each: each[1].rank(crowd, each[0]))[1]
            while held.sessions and self._is_crowded():
                self.evicted += 1
                self._drop(self._by_id[next(iter(held.sessions))])

    def _is_crowded(self) -> bool:
        return len(self._by_id) > SESSIONS_MAX or self.size_bytes > SESSIONS_BYTES_MAX


class _Owned:
    """What one user has, or all who have no name; the one that was idle for longest first."""

    __slots__ = ("sessions", "size_bytes")

    def __init__(self) -> None:
        self.sessions: OrderedDict[int, None] = OrderedDict()
        self.size_bytes = 0

    def rank(self, crowd: bool, owner: str) -> tuple[int, str]:
        """Whoever has the highest makes room, for too many sessions or for too many bytes."""
        return len(self.sessions) if crowd else self.size_bytes, owner


def _is_over(session: Session, now_us: int) -> bool:
    return now_us - session.used_us > session.idle_us


def _size(session: Session) -> int:
    return SESSION_BYTES + sum(KEPT_BYTES + len(kept.result) for kept in session.results)


def _expired(number: int) -> Refused:
    return Refused(
        SESSION_EXPIRED,
        f"there is no session {number} (any more), so nothing was done now; whether the same write was done before is "
        "not known here: read what it should have written, then register a new session",
    )


def _anothers(number: int) -> Refused:
    return Refused(
        SESSION_EXPIRED,
        f"session {number} was opened by somebody else, so nothing was done now; register a session of your own",
    )


def _answered(number: int, sequence: int, answered: int) -> Refused:
    return Refused(
        SEQUENCE_ANSWERED,
        f"session {number} waits no more for write {sequence} (answered up to {answered}), so nothing was done now; "
        "number writes upwards, and name as answered only what nobody waits for",
    )
