"""A write in a session is done once, whatever comes again, when and where; who is forgotten is told so (thesis 6.3)."""

import random
from collections.abc import Iterator
from itertools import count

import pytest

from node.raft.types import Entry, EntryKind
from node.statemachine import sessions as module
from node.statemachine.sessions import KEPT_BYTES, SESSION_BYTES
from node.statemachine.store import KeyValueStore
from node.statemachine.work import EVERYTHING
from node.statemachine.writes import (
    Compact,
    CompactResult,
    Compare,
    DeleteRange,
    DeleteResult,
    FutureRevision,
    KeyValue,
    Put,
    PutResult,
    Range,
    Refused,
    Register,
    Registered,
    Relation,
    Result,
    StoreWrite,
    Target,
    Txn,
    TxnResult,
    Untold,
    encode_result,
    encode_write,
    in_session,
)
from tests.statemachine.snapshots import restored, snapshot, tidied

SECOND = 1_000_000
HOUR = 3600 * SECOND


class Log:
    """Entries for a store, one after the other. `time_us`: of the next."""

    def __init__(self, store: KeyValueStore | None = None, index: int = 0) -> None:
        self.store = store or KeyValueStore()
        self.index = index
        self.time_us = 0

    def entry(self, data: bytes, session: int = 0, sequence: int = 0) -> Entry:
        self.index += 1
        return Entry(self.index, 1, EntryKind.WRITE, data, self.time_us, session, sequence)

    def apply(self, entry: Entry) -> Result | None:
        (result,) = self.store.apply([entry])
        return result

    def register(self, idle_us: int = HOUR) -> int:
        result = self.apply(self.entry(encode_write(Register(idle_us))))
        assert isinstance(result, Registered)
        assert result == Registered(self.index, min(idle_us, module.IDLE_US_MAX))
        return result.session

    def once(self, session: int, sequence: int, write: StoreWrite, answered: int = 0) -> Result | None:
        return self.apply(self.entry(in_session(encode_write(write), answered), session, sequence))

    def value(self, key: bytes) -> bytes | None:
        found = self.store.get(key)
        return found.value if isinstance(found, KeyValue) else None


@pytest.fixture
def log() -> Log:
    return Log()


def code(result: Result | None) -> str:
    return result.code if isinstance(result, Refused) else ""


def test_a_write_that_comes_again_changes_nothing_and_is_answered_as_the_first_time(log: Log) -> None:
    session = log.register()
    first = log.once(session, 1, Put(b"k", b"v", prev_kv=True))
    assert first == PutResult(2)
    state = (log.store.revision, log.value(b"k"))
    for _ in range(3):
        assert log.once(session, 1, Put(b"k", b"v", prev_kv=True)) == first
    assert (log.store.revision, log.value(b"k")) == state
    assert log.once(session, 2, Put(b"k", b"w", prev_kv=True)) == PutResult(3, KeyValue(b"k", b"v", 2, 2, 1))
    assert log.store.sessions.repeats == 3


def test_every_kind_of_result_is_given_again(log: Log) -> None:
    session = log.register()
    same = Compare(b"k", Target.MOD_REVISION, Relation.EQUAL, 0)
    writes: list[StoreWrite] = [
        Put(b"k", b"v"),
        Txn((same,), (Put(b"k", b"2"),), (Range(b"k", keys_only=True),)),
        Put(b"none", b"", ignore_value=True),
        DeleteRange(b"k", prev_kv=True),
        DeleteRange(b"k"),
        Compact(2),
        Compact(99),
        Put(b"", b"v"),
        Txn((), tuple(Put(b"%d" % i, b"v" * 100) for i in range(100))),
    ]
    results = [log.once(session, number, write) for number, write in enumerate(writes, 1)]
    kinds = [
        PutResult,
        TxnResult,
        Refused,
        DeleteResult,
        DeleteResult,
        CompactResult,
        FutureRevision,
        Refused,
        TxnResult,
    ]
    assert [type(result) for result in results] == kinds
    digest, revision = log.store.digest(), log.store.revision
    assert [log.once(session, number, write) for number, write in enumerate(writes, 1)] == results
    assert (log.store.digest(), log.store.revision) == (digest, revision)


def test_writes_may_come_in_any_order_and_each_is_done_once(log: Log) -> None:
    session, order = log.register(), [*range(1, 41)] * 3
    random.Random(7).shuffle(order)
    for number in order:
        log.once(session, number, Put(b"%d" % number, b"v"))
    assert log.store.key_count == 40
    assert log.store.revision == 41


def test_numbers_mean_nothing_in_entries_of_before_there_were_sessions(log: Log) -> None:
    """The headers went into the log without a meaning: such a log must be applied as it was."""
    for _ in range(2):
        assert code(log.apply(log.entry(encode_write(Put(b"k", b"v")), 70, 1))) == ""
    assert log.store.revision == 3
    assert len(log.store.sessions) == 0


def test_what_the_client_waits_for_no_more_is_forgotten_and_refused(log: Log) -> None:
    session = log.register()
    for number in (1, 2, 3):
        log.once(session, number, Put(b"k", b"%d" % number))
    size_bytes = log.store.sessions.size_bytes
    log.once(session, 5, Put(b"k", b"5"), answered=2)
    assert log.store.sessions.size_bytes < size_bytes
    for number in (1, 2):
        assert code(log.once(session, number, Put(b"k", b"%d" % number))) == "sequence-answered"
    assert log.once(session, 3, Put(b"k", b"3")) == PutResult(4)
    assert log.once(session, 4, Put(b"k", b"4")) == PutResult(6), "it was given up by nobody"
    log.once(session, 6, Put(b"k", b"6"), answered=5)
    assert code(log.once(session, 4, Put(b"k", b"4"))) == "sequence-answered", "a late copy of what was given up"
    assert log.value(b"k") == b"6"
    assert code(log.once(session, 7, Put(b"k", b"7"), answered=1)) == "", "an old word takes nothing back"
    assert code(log.once(session, 5, Put(b"k", b"5"))) == "sequence-answered"


def test_a_number_that_stands_for_another_write_is_refused(log: Log) -> None:
    session = log.register()
    log.once(session, 1, Put(b"a", b"v"))
    assert code(log.once(session, 1, Put(b"b", b"v"))) == "sequence-reused"
    assert log.value(b"b") is None
    assert log.store.sessions.repeats == 0


@pytest.mark.parametrize(("session", "sequence", "answered"), [(0, 1, 0), (1, 0, 0), (1, 3, 3), (1, 3, 9)])
def test_numbers_that_cannot_be_are_refused(log: Log, session: int, sequence: int, answered: int) -> None:
    log.register()
    assert code(log.once(session, sequence, Put(b"k", b"v"), answered)) == "malformed"
    assert log.store.revision == 1


def test_what_is_no_write_is_refused_each_time_and_no_session_is_inside_another(log: Log) -> None:
    session = log.register()
    for number, data in enumerate((b"", b"\xc1", encode_write(Register(1)), in_session(b"", 0)), 1):
        for _ in range(2):
            assert code(log.apply(log.entry(in_session(data, 0), session, number))) == "malformed"
    assert (log.store.revision, len(log.store.sessions)) == (1, 1)


def test_a_session_that_never_was_is_refused_like_one_that_ended(log: Log) -> None:
    result = log.once(99, 1, Put(b"k", b"v"))
    assert code(result) == "session-expired"
    assert isinstance(result, Refused)
    assert "whether the same write was done before is not known here" in result.message
    assert log.value(b"k") is None


# --- time and room -----------------------------------------------------------------------------------------------


def test_a_session_ends_when_it_was_not_used_for_its_time_and_not_before(log: Log) -> None:
    session = log.register(10 * SECOND)
    for number in range(1, 4):
        log.time_us += 10 * SECOND
        assert code(log.once(session, number, Put(b"k", b"v"))) == ""
    log.time_us += 10 * SECOND + 1
    assert code(log.once(session, 3, Put(b"k", b"v"))) == "session-expired", "never taken for a new write"
    assert code(log.once(session, 4, Put(b"k", b"v"))) == "session-expired"
    assert log.store.revision == 4
    assert (len(log.store.sessions), log.store.sessions.size_bytes, log.store.sessions.expired) == (0, 0, 1)


def test_a_short_session_ends_in_its_time_also_behind_a_longer_one(log: Log) -> None:
    log.register(HOUR)
    short = log.register(SECOND)
    log.time_us = SECOND + 1
    assert code(log.once(short, 1, Put(b"k", b"v"))) == "session-expired"
    assert (len(log.store.sessions), log.store.sessions.size_bytes) == (1, SESSION_BYTES)


def test_what_expired_goes_by_itself_a_few_at_each_write_of_others(log: Log) -> None:
    for _ in range(20):
        log.register(SECOND)
    log.time_us = 2 * SECOND
    left = []
    for _ in range(4):
        log.register(HOUR)
        left.append(len(log.store.sessions))
    assert left == [20 + 1 - 8, 20 + 2 - 16, 3, 4]


def test_no_session_may_be_idle_for_ever(log: Log) -> None:
    session = log.register(10**15)
    log.time_us = module.IDLE_US_MAX + 1
    assert code(log.once(session, 1, Put(b"k", b"v"))) == "session-expired"


def test_of_too_many_sessions_the_one_that_was_idle_for_longest_goes(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 3)
    first, second, third = log.register(), log.register(), log.register()
    log.once(first, 1, Put(b"k", b"1"))
    fourth = log.register()
    assert code(log.once(second, 1, Put(b"k", b"2"))) == "session-expired"
    assert [code(log.once(each, 2, Put(b"k", b"v"))) for each in (first, third, fourth)] == [""] * 3
    assert log.store.sessions.evicted == 1
    assert log.store.sessions.size_bytes == 3 * SESSION_BYTES + 4 * KEPT_BYTES + results_bytes(log)


def results_bytes(log: Log) -> int:
    return sum(len(kept.result) for session in log.store.sessions.all() for kept in session.results)


def test_of_too_many_bytes_likewise(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_BYTES_MAX", 20_000)
    log.apply(log.entry(encode_write(Put(b"long", b"v" * 5_000))))
    sessions = []
    for _ in range(3):
        sessions.append(log.register())
        for number in (1, 2):
            log.once(sessions[-1], number, Put(b"long", b"v" * 5_000, prev_kv=True))
    assert log.store.sessions.size_bytes <= 20_000
    assert [code(log.once(session, 3, Put(b"k", b""))) for session in sessions] == [
        "session-expired",
        "session-expired",
        "",
    ]


def test_of_too_many_results_of_a_session_the_lowest_goes_and_is_never_done_anew(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESULTS_MAX", 3)
    session = log.register()
    for number in (2, 3, 4, 5):
        assert log.once(session, number, Put(b"%d" % number, b"v")) == PutResult(number)
    for number in (1, 2):
        assert code(log.once(session, number, Put(b"%d" % number, b"v"))) == "sequence-answered"
    assert [log.once(session, number, Put(b"%d" % number, b"v")) for number in (3, 4, 5)] == [
        *map(PutResult, (3, 4, 5))
    ]
    assert log.store.revision == 5


def test_an_answer_that_is_too_long_to_be_kept_is_given_once_and_then_it_is_said_that_it_was_done(log: Log) -> None:
    session = log.register()
    log.once(session, 1, Put(b"k", b"v" * module.RESULT_BYTES_MAX))
    result = log.once(session, 2, DeleteRange(b"k", prev_kv=True))
    assert isinstance(result, DeleteResult)
    assert result.deleted == len(result.prev) == 1
    assert log.once(session, 2, DeleteRange(b"k", prev_kv=True)) == Untold()
    log.once(session, 3, Put(b"k", b"again"))
    assert log.once(session, 2, DeleteRange(b"k", prev_kv=True)) == Untold()
    assert log.value(b"k") == b"again"


# --- every node, every slicing, every snapshot -------------------------------------------------------------------


def story(seed: int, entries: int) -> Iterator[Entry]:
    """Sessions that are registered, used in any order, used again, left alone, and time that passes."""
    chance, log = random.Random(seed), Log()
    sessions: list[int] = [1]
    yield log.entry(encode_write(Register(5 * SECOND)))
    for _ in range(entries):
        log.time_us += chance.choice((0, 1, SECOND // 2))
        if chance.random() < 0.1:
            yield log.entry(encode_write(Register(chance.choice((SECOND, 5 * SECOND, HOUR)))))
            sessions.append(log.index)
            continue
        sequence = chance.randrange(1, 30)
        key = b"%d" % (sequence % 7)
        write = chance.choice((Put(key, b"v" * (sequence * 40), prev_kv=True), DeleteRange(key, b"8", prev_kv=True)))
        data = encode_write(write)
        if chance.random() < 0.8:
            data = in_session(data, max(0, sequence - chance.randrange(1, 20)))
        yield log.entry(data, chance.choice(sessions[-6:]), sequence)


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 4)
    monkeypatch.setattr(module, "SESSIONS_BYTES_MAX", 12_000)
    monkeypatch.setattr(module, "RESULTS_MAX", 6)
    monkeypatch.setattr(module, "RESULT_BYTES_MAX", 2_000)


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize("seed", range(20))
def test_equal_entries_give_equal_sessions_however_they_are_sliced_wanted_or_cut_by_a_snapshot(seed: int) -> None:
    entries = list(story(seed, 300))
    whole, sliced, jumping = KeyValueStore(), KeyValueStore(), KeyValueStore()
    results = {entry.index: result for entry, result in zip(entries, whole.apply(entries), strict=True)}
    job = sliced.begin(entries, lambda _index: False)
    while not job.run(1):
        pass
    for at in range(0, len(entries), 37):
        jumping = restored(snapshot(jumping))
        some = entries[at : at + 37]
        assert jumping.apply(some) == [results[entry.index] for entry in some]
    assert whole.digest() == sliced.digest() == jumping.digest()
    assert snapshot(whole) == snapshot(sliced) == snapshot(jumping)
    for store in (whole, sliced, jumping):
        sessions = store.sessions
        assert sessions.size_bytes == sum(map(module._size, sessions.all())) <= 12_000
        assert len(sessions) <= 4
    said = {code(result) for result in results.values()}
    assert {"session-expired", "sequence-answered", "sequence-reused"} <= said, "the story is none"
    assert min(whole.sessions.repeats, whole.sessions.expired, whole.sessions.evicted) > 0


def test_a_walk_sees_the_sessions_of_the_moment_and_writes_go_on(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = [log.register() for _ in range(30)]
    for session in sessions:
        log.once(session, 1, Put(b"%d" % session, b"v"))
    digest, job, chunks = log.store.digest(), log.store.begin_snapshot(), list[bytes]()
    numbers = count(2)
    while not job.run(1):
        chunks += job.take()
        log.once(sessions[next(numbers) % 30], next(numbers), Put(b"later", b"v"), answered=1)
    chunks += job.take()
    assert restored(chunks).digest() == digest != log.store.digest()


def test_a_session_of_many_long_results_takes_several_chunks(log: Log) -> None:
    value = b"v" * (module.RESULT_BYTES_MAX - 500)
    log.apply(log.entry(encode_write(Put(b"k", value))))
    few, many = log.register(), log.register()
    log.once(few, 1, Put(b"k", value))
    for number in range(1, 41):
        log.once(many, number, Put(b"k", value, prev_kv=True))
    chunks = snapshot(log.store)
    rows = [chunk for chunk in chunks if chunk[2:14] == b"session-rows"]
    assert len(rows) >= 8
    assert max(map(len, rows)) < 64 * 1024 + module.RESULT_BYTES_MAX + 1_000
    copy = Log(restored(chunks), log.index)
    assert copy.store.digest() == log.store.digest()
    assert copy.store.sessions.size_bytes == log.store.sessions.size_bytes
    again = copy.once(many, 7, Put(b"k", value, prev_kv=True))
    assert isinstance(again, PutResult)
    assert again.prev is not None


GOLDEN = [
    b"\x93\xa5store\x03\x03",
    b"\x93\xa8sessions\x02\x02",
    b"\x93\xacsession-rows\x00\x92"
    b"\x95\x02\xce\x00\x0f\x42\x40\x00\x00\x90"
    b"\x95\x01\xce\x00\x0f\x42\x40\x05\x01\x92"
    b"\x93\x02\xce\x0b\xa4\x46\xca\xc4\x05\x93\xa1p\x02\xc0"
    b"\x93\x03\xce\x36\xc4\x6f\x7a\xc4\x05\x93\xa1p\x03\xc0",
    b"\x92\xa8versions\x91\x96\xc4\x01k\xc4\x01w\x02\x03\x02\x00",
    b"\x93\xa3end\x01\x01",
]
"""Snapshots outlive the code that made them. A change of these bytes is a new section, not a new form of an old one."""


def small_store() -> KeyValueStore:
    log = Log()
    log.register(SECOND)
    log.register(SECOND)
    log.time_us = 5
    log.once(1, 2, Put(b"k", b"v"), answered=1)
    log.once(1, 3, Put(b"k", b"w"))
    log.apply(log.entry(encode_write(Compact(3))))
    return tidied(log.store)


def test_the_bytes_of_sessions_in_a_snapshot_stay_what_they_are() -> None:
    store = small_store()
    assert snapshot(store) == GOLDEN
    assert restored(GOLDEN).digest() == store.digest()


def test_the_bytes_of_sessions_in_the_log_stay_what_they_are() -> None:
    assert encode_write(Register(SECOND)) == b"\x92\xa1s\xce\x00\x0f\x42\x40"
    assert in_session(b"any", 7) == b"\x93\xa1i\x07\xc4\x03any"
    assert encode_result(Registered(9, SECOND)) == b"\x93\xa1s\x09\xce\x00\x0f\x42\x40"
    assert encode_result(Untold()) == b"\x91\xa1u"


def test_sessions_that_were_replaced_are_let_go_in_steps(log: Log) -> None:
    for session in [log.register() for _ in range(50)]:
        log.once(session, 1, Put(b"k", b"v"))
    old = log.store.sessions
    restored_into = log.store.begin_restore()
    for chunk in GOLDEN:
        restored_into.feed(chunk)
    assert restored_into.run(EVERYTHING)
    restored_into.finish()
    steps = 0
    while len(old):
        before = len(old)
        log.store.tidy(10)
        steps += 1
        assert before - len(old) <= 10
    assert steps >= 10
    assert len(log.store.sessions) == 2
