"""While users are in force a session is whose it was opened for: nobody else uses up its numbers, is told its answers,
or has a write of its owner taken for done; and nobody's sessions go for those of one who opens many."""

import random
from collections.abc import Iterator

import pytest

from node.raft.types import Entry, EntryKind
from node.statemachine import applying
from node.statemachine import sessions as module
from node.statemachine.auth_writes import AuthDisable, AuthEnable, AuthWrite, UserAdd, UserGrantRole, UserPassword
from node.statemachine.sections import CHUNK_ROWS_MAX, SessionOwnersSection, decode_section, encode_section
from node.statemachine.store import KeyValueStore
from node.statemachine.work import EVERYTHING
from node.statemachine.writes import (
    Put,
    PutResult,
    Refused,
    Register,
    Registered,
    Result,
    as_user,
    encode_write,
    in_session,
)
from tests.statemachine.snapshots import chunks_of, restored, snapshot

SECOND = 1_000_000
BOTH_ROOT: list[AuthWrite] = [
    UserAdd("root", b"h"),
    UserAdd("ann", b"h"),
    UserAdd("bob", b"h"),
    *(UserGrantRole(name, "root") for name in ("root", "ann", "bob")),
]
"""Whoever may write every key may not use another's session either."""


class Log:
    """Entries for a store whose users are in force, each for somebody. `TRUSTED`: a holder of a token of the file."""

    TRUSTED = ""

    def __init__(self) -> None:
        self.store = KeyValueStore()
        self.index = 0
        self.time_us = 0
        for write in (*BOTH_ROOT, AuthEnable()):
            self.apply(self.entry(encode_write(write)))

    def entry(self, data: bytes, session: int = 0, sequence: int = 0) -> Entry:
        self.index += 1
        return Entry(self.index, 1, EntryKind.WRITE, data, self.time_us, session, sequence)

    def as_user(self, user: str, data: bytes) -> bytes:
        return as_user(user, self.store.auth.users[user].since if user else 0, data)

    def apply(self, entry: Entry) -> Result | None:
        (result,) = self.store.apply([entry])
        return result

    def register(self, user: str) -> int:
        result = self.apply(self.entry(self.as_user(user, encode_write(Register(3600 * SECOND)))))
        assert isinstance(result, Registered)
        return result.session

    def once(self, user: str, session: int, sequence: int, value: bytes = b"v", answered: int = 0) -> Result | None:
        data = in_session(encode_write(Put(b"k-%b" % user.encode(), value, prev_kv=True)), answered)
        return self.apply(self.entry(self.as_user(user, data), session, sequence))


def said(result: Result | None) -> str:
    return result.message if isinstance(result, Refused) else "done"


@pytest.mark.parametrize(
    ("owner", "other"), [("ann", "bob"), ("ann", "root"), ("ann", Log.TRUSTED), (Log.TRUSTED, "root")]
)
def test_anothers_session_is_refused_in_one_sentence_and_is_as_it_was(owner: str, other: str) -> None:
    log = Log()
    session = log.register(owner)
    assert said(log.once(owner, session, 1)) == "done"
    before = log.store.digest()
    for sequence, answered in ((1, 0), (2, 0), (2, 1), (900, 899)):
        told = log.once(other, session, sequence, answered=answered)
        assert isinstance(told, Refused)
        assert told == Refused(
            "session-expired",
            f"session {session} was opened by somebody else, so nothing was done now; register a session of your own",
        )
    assert log.store.digest() == before, "not even when it was used last"
    assert said(log.once(owner, session, 2)) == "done"


def test_no_write_of_the_owner_is_taken_for_done_and_no_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants can make two writes whose checksums are equal: they have 32 bits, and are no secret."""
    monkeypatch.setattr(applying, "crc32", lambda _data: 7)
    log = Log()
    session = log.register("ann")
    assert said(log.once("ann", session, 1, b"secret")) == "done"
    assert "somebody else" in said(log.once("bob", session, 1)), "it would be told what ann was"
    assert "somebody else" in said(log.once("bob", session, 2)), "it would stand for ann's"
    done = log.once("ann", session, 2, b"after")
    assert isinstance(done, PutResult)
    assert done.prev is not None
    assert done.prev.value == b"secret"


def test_a_session_stays_its_owners_with_another_password_and_while_users_are_not_in_force() -> None:
    log = Log()
    session = log.register("ann")
    log.apply(log.entry(log.as_user("root", encode_write(UserPassword("ann", b"other")))))
    assert said(log.once("ann", session, 1)) == "done"
    log.apply(log.entry(log.as_user("root", encode_write(AuthDisable()))))
    bare = in_session(encode_write(Put(b"k", b"v")), 0)
    assert said(log.apply(log.entry(bare, session, 2))) == "done", "nobody has to say who they are"
    log.apply(log.entry(encode_write(AuthEnable())))
    assert "somebody else" in said(log.once("bob", session, 3))
    assert said(log.once("ann", session, 3)) == "done"


def test_what_was_opened_before_there_were_users_is_no_users() -> None:
    log = Log()
    opened = log.apply(log.entry(encode_write(Register(SECOND))))
    assert isinstance(opened, Registered)
    session = opened.session
    assert "somebody else" in said(log.once("ann", session, 1))
    assert said(log.once(Log.TRUSTED, session, 1)) == "done"


# --- who makes room --------------------------------------------------------------------------------------------


def test_who_opens_many_makes_room_for_them_by_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 10)
    log = Log()
    sessions = {log.register("ann"): "ann", log.register("ann"): "ann", log.register(Log.TRUSTED): ""}
    theirs = [log.register("bob") for _ in range(50)]
    assert len(log.store.sessions) == 10
    for session, owner in sessions.items():
        assert said(log.once(owner, session, 1)) == "done"
    assert [session for session, _ in log.store.sessions.owners() if session in theirs] == theirs[-7:]


def test_who_has_the_most_bytes_makes_room_likewise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_BYTES_MAX", 20_000)
    log = Log()
    session = log.register("ann")
    assert said(log.once("ann", session, 1, b"x" * 1000)) == "done"
    for _ in range(10):
        theirs = log.register("bob")
        for sequence in range(1, 5):
            log.once("bob", theirs, sequence, b"%d" % sequence * 1000)
    assert said(log.once("ann", session, 1, b"x" * 1000)) == "done"
    assert log.store.sessions.repeats == 1
    assert log.store.sessions.size_bytes <= 20_000


# --- snapshots -------------------------------------------------------------------------------------------------


def story(seed: int, log: Log, entries: int) -> Iterator[Entry]:
    chance = random.Random(seed)
    sessions = [0]
    users = ("ann", "bob", "root", Log.TRUSTED)
    for _ in range(entries):
        log.time_us += chance.choice((0, 1, SECOND // 2))
        user = chance.choice(users)
        if chance.random() < 0.3:
            yield log.entry(log.as_user(user, encode_write(Register(chance.choice((SECOND, 9 * SECOND))))))
            sessions.append(log.index)
            continue
        data = in_session(encode_write(Put(b"k", b"v" * chance.randrange(900))), 0)
        yield log.entry(log.as_user(user, data), chance.choice(sessions[-8:]), chance.randrange(1, 9))


@pytest.mark.parametrize("seed", range(20))
def test_equal_entries_give_equal_owners_however_they_are_sliced_or_cut_by_a_snapshot(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 6)
    monkeypatch.setattr(module, "SESSIONS_BYTES_MAX", 12_000)
    log = Log()
    sliced = restored(snapshot(log.store))
    jumping = restored(snapshot(log.store))
    entries = list(story(seed, log, 300))
    results = log.store.apply(entries)
    job = sliced.begin(entries, lambda _index: False)
    while not job.run(1):
        pass
    for at in range(0, len(entries), 37):
        jumping = restored(snapshot(jumping))
        assert jumping.apply(entries[at : at + 37]) == results[at : at + 37]
    assert log.store.digest() == sliced.digest() == jumping.digest()
    chunks = snapshot(log.store)
    assert chunks == snapshot(sliced) == snapshot(jumping) == chunks_of(restored(chunks).begin_snapshot(), 1)
    for store in (log.store, sliced, jumping):
        sessions = store.sessions
        assert sessions.size_bytes == sum(map(module._size, sessions.all())) <= 12_000
        held = sessions._of.values()
        assert sessions.size_bytes == sum(each.size_bytes for each in held)
        assert sorted(id for each in held for id in each.sessions) == sorted(each.id for each in sessions.all())
        assert set(sessions._owners) <= {each.id for each in sessions.all()}
    told = " ".join(map(said, results))
    assert all(word in told for word in ("somebody else", "any more", "done")), "the story is none"
    assert log.store.sessions.evicted > 0


def of_many() -> KeyValueStore:
    log = Log()
    for number in range(CHUNK_ROWS_MAX + 10):
        log.register(("ann", "bob", Log.TRUSTED)[number % 97 % 3])
    return log.store


def test_owners_take_several_chunks_and_none_may_miss_or_come_twice() -> None:
    store = of_many()
    chunks = snapshot(store)
    assert restored(chunks).digest() == store.digest()
    assert restored(chunks).sessions.owners() == store.sessions.owners()


def test_a_snapshot_with_wrong_owners_is_refused() -> None:
    log = Log()
    for _ in range(CHUNK_ROWS_MAX + 10):
        log.register("ann")
    chunks = snapshot(log.store)
    named = [at for at, chunk in enumerate(chunks) if b"session-owners" in chunk[:20]]
    assert len(named) == 2
    for at in named:
        with pytest.raises(ValueError, match="snapshot"):
            restored(chunks[:at] + chunks[at + 1 :])
        with pytest.raises(ValueError, match="snapshot"):
            restored(chunks[: at + 1] + chunks[at:])
    section = decode_section(chunks[named[1]])
    assert isinstance(section, SessionOwnersSection)
    (session, owner), *_ = section.rows
    for wrong in ((1 << 40, owner), (session, ""), (log.store.sessions.owners()[0][0], owner)):
        damaged = encode_section(SessionOwnersSection(section.before, 0, [wrong, *section.rows[1:]]))
        with pytest.raises(ValueError, match="owner of session"):
            restored([*chunks[: named[1]], damaged, *chunks[named[1] + 1 :]])


def test_the_bytes_of_owners_in_a_snapshot_stay_what_they_are() -> None:
    section = SessionOwnersSection(0, 0, [(8, "ann"), (300, "bob")])
    assert encode_section(section) == b"\x94\xaesession-owners\x00\x00\x92\x92\x08\xa3ann\x92\xcd\x01\x2c\xa3bob"


def test_where_no_user_opened_one_there_is_no_such_section() -> None:
    """Whoever never has users can go back to the release before."""
    store = KeyValueStore()
    job = store.begin([Entry(1, 1, EntryKind.WRITE, encode_write(Register(SECOND)))], bool)
    assert job.run(EVERYTHING)
    assert not any(b"session-owners" in chunk for chunk in snapshot(store))
