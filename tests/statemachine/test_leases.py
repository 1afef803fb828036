"""Leases: how long they live, in log time, what dies with them, and that no reader sees a half of it."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.raft.types import Entry, EntryKind
from node.statemachine import leases as leases_module
from node.statemachine import leasing
from node.statemachine.leases import TTL_S_MAX, Lease, Leases
from node.statemachine.reading import ReadJob
from node.statemachine.store import KeyValueStore
from node.statemachine.versions import Versions
from node.statemachine.writes import (
    Compact,
    Compare,
    DeleteRange,
    KeyValue,
    LeaseExpire,
    LeaseGrant,
    LeaseGranted,
    LeaseKeepAlive,
    LeaseKept,
    LeaseNumbers,
    LeaseRevoke,
    LeaseRevoked,
    LeasesExpired,
    LeaseView,
    Put,
    PutResult,
    Range,
    RangeResult,
    Refused,
    Relation,
    Result,
    StoreWrite,
    Target,
    Txn,
    TxnResult,
    encode_write,
)
from tests.statemachine.small import small_pieces
from tests.statemachine.snapshots import chunks_of, restore, restored, snapshot, tidied

SECOND = 1_000_000
EVERYTHING = (b"\0", b"\0")


class Log:
    """A store, and entries for it; `at_s`: log time."""

    def __init__(self) -> None:
        self.store = KeyValueStore()
        self.at_s = 0.0
        self._index = 0

    def entry(self, write: StoreWrite) -> Entry:
        self._index += 1
        return Entry(self._index, 1, EntryKind.WRITE, encode_write(write), int(self.at_s * SECOND))

    def do(self, write: StoreWrite) -> Result | None:
        return self.store.apply([self.entry(write)])[0]

    def expire(self) -> int:
        done = self.do(LeaseExpire())
        assert isinstance(done, LeasesExpired)
        return done.ended

    def keys(self) -> list[bytes]:
        found = self.store.range(*EVERYTHING)
        assert isinstance(found, RangeResult)
        return [kv.key for kv in found.kvs]


@pytest.fixture
def log() -> Log:
    return Log()


def read(job: ReadJob, work_max: int = 1_000) -> object:
    try:
        while not job.run(work_max):
            pass
        return job.result
    finally:
        job.close()


def look(store: KeyValueStore, number: int) -> LeaseView:
    view = read(store.begin_read_lease(number, keys=True))
    assert isinstance(view, LeaseView)
    return view


def numbers(store: KeyValueStore) -> tuple[int, ...]:
    found = read(store.begin_read_leases())
    assert isinstance(found, LeaseNumbers)
    return found.ids


# --- how long --------------------------------------------------------------------------------------------------


def test_a_lease_lives_as_long_as_was_asked_for_and_not_a_microsecond_less(log: Log) -> None:
    log.at_s = 100
    assert log.do(LeaseGrant(7, 10)) == LeaseGranted(1, 7, 10)
    log.do(Put(b"k", b"v", 7))
    log.at_s = 110 - 1e-6
    assert log.expire() == 0
    assert log.keys() == [b"k"]
    log.at_s = 110
    assert log.expire() == 1
    assert log.keys() == []
    assert look(log.store, 7).ttl_s == -1


@pytest.mark.parametrize(("asked", "given_s"), [(-5, 2), (0, 2), (1, 2), (2, 2), (3, 3), (TTL_S_MAX + 1, TTL_S_MAX)])
def test_a_time_to_live_out_of_bounds_is_moved_to_the_bound(log: Log, asked: int, given_s: int) -> None:
    assert log.do(LeaseGrant(7, asked)) == LeaseGranted(1, 7, given_s)


def test_a_keep_alive_gives_the_whole_time_anew(log: Log) -> None:
    log.do(LeaseGrant(7, 10))
    log.at_s = 9
    assert log.do(LeaseKeepAlive(7)) == LeaseKept(1, 7, 10)
    assert log.store.due_us == 19 * SECOND
    log.at_s = 18.9
    assert log.expire() == 0
    log.at_s = 19
    assert log.expire() == 1


def test_a_keep_alive_behind_an_expire_that_was_proposed_before_it_comes_too_late_for_nothing(log: Log) -> None:
    """An expire looks at the log time of its own entry: what was kept alive before it in the log goes on."""
    log.do(LeaseGrant(7, 10))
    log.at_s = 9.9
    log.do(LeaseKeepAlive(7))
    log.at_s = 10
    assert log.expire() == 0
    assert look(log.store, 7).expiry_us == 19_900_000


def test_who_is_kept_alive_after_its_time_is_told_that_it_is_dead(log: Log) -> None:
    log.do(LeaseGrant(7, 10))
    log.at_s = 10
    assert log.do(LeaseKeepAlive(7)) == LeaseKept(1, 7, 0)
    assert log.expire() == 1
    assert log.do(LeaseKeepAlive(7)) == LeaseKept(1, 7, 0)
    assert log.do(LeaseKeepAlive(0)) == LeaseKept(1, 0, 0)


def test_what_ends_first_is_what_is_due_first_however_often_it_is_kept(log: Log) -> None:
    assert log.store.due_us is None
    log.do(LeaseGrant(-1, 30))
    log.do(LeaseGrant(2, 20))
    log.do(LeaseGrant(3, 10))
    assert [log.store.due_us, numbers(log.store)] == [10 * SECOND, (3, 2, -1)]
    log.at_s = 5
    log.do(LeaseKeepAlive(3))
    log.do(LeaseRevoke(2))
    assert [log.store.due_us, numbers(log.store)] == [15 * SECOND, (3, -1)]


def test_one_entry_ends_a_bounded_number_and_the_next_ones_the_rest(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases_module, "ENDED_PER_ENTRY_MAX", 3)
    monkeypatch.setattr(leasing, "ENDED_KEYS_MAX", 4)
    for number in range(1, 9):
        log.do(LeaseGrant(number, 9 + number))
        for key in range(2):
            log.do(Put(b"%d-%d" % (number, key), b"", number))
    log.at_s = 100
    assert [log.expire() for _ in range(5)] == [2, 2, 2, 2, 0]
    assert log.keys() == []
    for number in range(1, 9):
        log.do(LeaseGrant(number, 5))
    log.at_s = 200
    assert [log.expire() for _ in range(4)] == [3, 3, 2, 0]


def test_there_is_a_bound_for_the_number_of_leases(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "LEASES_MAX", 2)
    log.do(LeaseGrant(1, 5))
    log.do(LeaseGrant(2, 5))
    refused = log.do(LeaseGrant(3, 5))
    assert isinstance(refused, Refused)
    assert refused.code == "too-many-leases"
    log.do(LeaseRevoke(1))
    assert log.do(LeaseGrant(3, 5)) == LeaseGranted(1, 3, 5)


# --- what dies with it -------------------------------------------------------------------------------------------


def test_a_revoked_lease_takes_all_its_keys_at_one_revision(log: Log) -> None:
    log.do(LeaseGrant(7, 10))
    for key in (b"c", b"a", b"b"):
        log.do(Put(key, b"v", 7))
    log.do(Put(b"other", b"v"))
    assert look(log.store, 7).keys == (b"a", b"b", b"c")
    assert log.do(LeaseRevoke(7)) == LeaseRevoked(6)
    assert log.keys() == [b"other"]
    refused = log.do(LeaseRevoke(7))
    assert isinstance(refused, Refused)
    assert refused.code == "lease-not-found"


def test_keys_of_many_pieces_go_at_one_revision(log: Log) -> None:
    with small_pieces():
        log.do(LeaseGrant(7, 10))
        for number in range(20):
            log.do(Put(b"%02d" % number, b"v", 7))
        assert log.do(LeaseRevoke(7)) == LeaseRevoked(22)
        assert log.keys() == []


def test_a_key_that_has_left_its_lease_outlives_it_although_the_index_still_names_it(log: Log) -> None:
    log.do(LeaseGrant(1, 10))
    for key in (b"moved", b"left", b"kept"):
        log.do(Put(key, b"v", 1))
    past = log.store.begin_read(Range(*EVERYTHING))  # while somebody reads the index forgets nothing
    log.do(LeaseGrant(2, 100))
    log.do(Put(b"moved", b"v", 2))
    log.do(Put(b"left", b"v"))
    log.at_s = 10
    assert log.expire() == 1
    assert log.keys() == [b"left", b"moved"]
    past.close()


def test_leases_that_end_together_have_a_revision_each_and_those_without_keys_none(log: Log) -> None:
    for number in (1, 2, 3):
        log.do(LeaseGrant(number, 10))
    log.do(Put(b"a", b"", 1))
    log.do(Put(b"b", b"", 3))
    log.at_s = 10
    assert log.do(LeaseExpire()) == LeasesExpired(5, 3)
    assert log.store.get(b"a", 4) is None
    assert isinstance(log.store.get(b"b", 4), KeyValue)


def test_a_key_leaves_its_lease_when_it_is_put_without_or_with_another_or_deleted(log: Log) -> None:
    log.do(LeaseGrant(1, 10))
    log.do(LeaseGrant(2, 10))
    for key in (b"gone", b"moved", b"left", b"kept", b"dropped"):
        log.do(Put(key, b"v", 1))
    log.do(DeleteRange(b"gone"))
    log.do(Put(b"moved", b"v", 2))
    log.do(Put(b"left", b"v"))
    log.do(Put(b"kept", b"w", ignore_lease=True))
    log.do(Txn((), (DeleteRange(b"dropped", b"dropped\0"),), ()))
    assert look(log.store, 1).keys == (b"kept",)
    assert look(log.store, 2).keys == (b"moved",)
    log.do(LeaseRevoke(1))
    assert log.keys() == [b"left", b"moved"]


def test_a_key_that_comes_back_to_a_number_that_was_granted_again_belongs_to_the_new_lease(log: Log) -> None:
    log.do(LeaseGrant(1, 10))
    log.do(Put(b"k", b"v", 1))
    log.do(LeaseRevoke(1))
    log.do(LeaseGrant(1, 10))
    assert look(log.store, 1).keys == ()
    log.do(Put(b"k", b"v", 1))
    tidied(log.store)
    assert look(log.store, 1).keys == (b"k",)
    log.do(LeaseRevoke(1))
    assert log.keys() == []


def test_a_put_with_a_lease_that_is_not_there_is_refused_alone_and_in_a_transaction(log: Log) -> None:
    for write in (Put(b"k", b"v", 9), Txn((), (Put(b"a", b""), Put(b"k", b"v", 9)), ())):
        refused = log.do(write)
        assert isinstance(refused, Refused)
        assert refused.code == "lease-not-found"
    assert log.keys() == []
    log.do(LeaseGrant(9, 10))
    assert log.do(Put(b"k", b"v", 9)) == PutResult(2)


def test_compares_see_the_lease_of_a_key(log: Log) -> None:
    log.do(LeaseGrant(9, 10))
    log.do(Put(b"k", b"v", 9))
    for operand, holds in ((9, True), (0, False)):
        result = log.do(Txn((Compare(b"k", Target.LEASE, Relation.EQUAL, operand),), (), ()))
        assert isinstance(result, TxnResult)
        assert result.succeeded is holds


def test_a_number_that_is_taken_is_not_granted(log: Log) -> None:
    log.do(LeaseGrant(5, 10))
    refused = log.do(LeaseGrant(5, 20))
    assert isinstance(refused, Refused)
    assert refused.code == "lease-exists"
    assert look(log.store, 5).ttl_s == 10


def test_a_number_that_nobody_chose_is_made_from_the_entry_and_is_free(log: Log) -> None:
    made, other = log.do(LeaseGrant(0, 10)), Log()
    assert isinstance(made, LeaseGranted)
    assert 0 < made.id < 2**63
    other.do(LeaseGrant(made.id, 10))
    other._index = 0
    next_best = other.do(LeaseGrant(0, 10))
    assert isinstance(next_best, LeaseGranted)
    assert next_best.id not in (made.id, 0)
    many = {log.do(LeaseGrant(0, 10)) for _ in range(200)}
    assert len(many) == 200


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), -1, 1])
def test_every_number_finds_its_own_keys_and_no_others(log: Log, number: int) -> None:
    others = [other for other in (2**63 - 1, -(2**63), -1, 1) if other != number]
    for each in (number, *others):
        log.do(LeaseGrant(each, 10))
        log.do(Put(b"\xff" * 9 + b"%d" % each, b"", each))
        log.do(Put(b"\0%d" % each, b"", each))
    assert len(look(log.store, number).keys) == 2
    log.do(LeaseRevoke(number))
    assert len(log.keys()) == 6


# --- slices, readers, snapshots ----------------------------------------------------------------------------------


def store_of(keys: int, leases: int = 1) -> Log:
    log = Log()
    for number in range(1, leases + 1):
        log.do(LeaseGrant(number, 10))
        for key in range(keys):
            log.do(Put(b"%d-%03d" % (number, key), b"", number))
    return log


@pytest.mark.parametrize("write", [LeaseRevoke(1), LeaseExpire()])
def test_nobody_sees_a_lease_or_its_keys_half_ended(write: StoreWrite) -> None:
    with small_pieces():
        log = store_of(20, leases=2)
        before, keys = look(log.store, 1), log.keys()
        revision = log.store.revision
        log.at_s = 10
        job = log.store.begin([log.entry(write)], lambda _index: True)
        slices = 0
        while not (job.run(3) or job.finished):
            slices += 1
            assert (look(log.store, 1), log.keys(), log.store.revision) == (before, keys, revision)
            assert numbers(log.store) == (1, 2)
        assert slices > 10
        while not job.run(1_000):
            pass
        assert look(log.store, 1).ttl_s == -1


def test_who_reads_the_keys_of_a_lease_sees_one_moment_of_it() -> None:
    with small_pieces():
        log = store_of(12)
        expected = look(log.store, 1)
        job = log.store.begin_read_lease(1, keys=True)
        job.run(1)
        log.do(LeaseRevoke(1))
        log.do(LeaseGrant(1, 10))
        log.do(Put(b"1-000a", b"", 1))
        log.do(Compact(log.store.revision))
        log.store.tidy(1_000)
        assert read(job, 1) == expected
        tidied(log.store)
        assert look(log.store, 1).keys == (b"1-000a",)
        assert len(log.store._leases._index) == 1


def test_the_index_forgets_what_is_not_true_any_more() -> None:
    log = store_of(30)
    for key in range(0, 30, 2):
        log.do(Put(b"1-%03d" % key, b""))
    log.do(DeleteRange(b"1-001"))
    log.do(DeleteRange(b"1-002", b"1-006"))
    tidied(log.store)
    assert len(log.store._leases._index) == 12
    log.do(LeaseRevoke(1))
    tidied(log.store)
    assert len(log.store._leases._index) == 0
    assert not log.store._leases.has_keys


def test_a_walk_over_all_leases_sees_the_moment_at_which_it_began() -> None:
    log = Log()
    for number in range(1, 600):
        log.do(LeaseGrant(number, 10))
    expected = snapshot(log.store)
    job, listing = log.store.begin_snapshot(), log.store.begin_read_leases()
    log.at_s = 5
    for number in range(1, 600, 2):
        log.do(LeaseKeepAlive(number))
        log.do(LeaseRevoke(number + 1))
        log.do(LeaseGrant(number + 10_000, 10))
    assert chunks_of(job, 7) == expected
    found = read(listing, 7)
    assert isinstance(found, LeaseNumbers)
    assert found.ids == tuple(range(1, 600))
    assert len(numbers(log.store)) == 599 + 1


GOLDEN = [
    b"\x93\xa5store\x04\x04",
    b"\x92\xa6leases\x02",
    b"\x92\xaalease-rows\x92"
    b"\x93\xd3\x80\x00\x00\x00\x00\x00\x00\x00\x02\xce\x00\x1e\x84\x85"
    b"\x93\x05\x0a\xce\x01\x12\xa8\x80",
    b"\x92\xa8versions\x92\x96\xc4\x01a\xc4\x01v\x02\x02\x01\x05\x96\xc4\x01b\xc4\x01v\x03\x04\x02\x00",
    b"\x93\xa3end\x02\x02",
]
"""Snapshots outlive the code that made them. A change of these bytes is a new section, not a new form of an old one."""


def small_store() -> KeyValueStore:
    log = Log()
    log.at_s = 5e-6
    log.do(LeaseGrant(-(2**63), 1))
    log.at_s = 8
    log.do(LeaseGrant(5, 10))
    log.do(Put(b"a", b"v", 5))
    log.do(LeaseGrant(6, 10))
    log.do(Put(b"b", b"v", 6))
    log.do(Put(b"b", b"v"))
    log.do(LeaseRevoke(6))
    log.do(Compact(4))
    return tidied(log.store)


def test_leases_are_kept_in_snapshots_and_go_on_where_they_were() -> None:
    log = store_of(20, leases=3)
    log.at_s = 3
    log.do(LeaseKeepAlive(2))
    log.do(Put(b"2-000", b""))
    other = Log()
    restore(other.store, snapshot(log.store))
    assert other.store.digest() == log.store.digest()
    for number in (1, 2, 3):
        assert look(other.store, number) == look(log.store, number)
    other.at_s = 10
    assert other.expire() == 2
    assert other.keys() == [b"2-%03d" % key for key in range(20)]
    assert other.store.due_us == 13 * SECOND


def test_equal_states_give_equal_bytes_whatever_led_to_them() -> None:
    one, other = Log(), Log()
    for number in range(1, 50):
        one.do(LeaseGrant(number, 10))
    for number in (*range(100, 300), *reversed(range(1, 50))):
        other.do(LeaseGrant(number, 10))
    for number in range(100, 300):
        other.do(LeaseRevoke(number))
    assert snapshot(one.store) == snapshot(other.store)


# --- against a naive model ---------------------------------------------------------------------------------------

NUMBERS = st.sampled_from([1, 2, 3, -1])
KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
LEASED = st.one_of(st.just(0), NUMBERS)
puts = st.builds(Put, KEYS, st.binary(max_size=1), LEASED)
deletes = st.builds(DeleteRange, KEYS, st.sampled_from([b"", b"\0", b"c"]))
acts = st.one_of(
    puts,
    puts,
    deletes,
    st.builds(Txn, st.just(()), st.lists(st.one_of(puts, deletes), max_size=3, unique_by=lambda o: o.key).map(tuple)),
    st.builds(LeaseGrant, NUMBERS, st.integers(1, 6)),
    st.builds(LeaseGrant, NUMBERS, st.integers(1, 6)),
    st.builds(LeaseKeepAlive, NUMBERS),
    st.builds(LeaseRevoke, NUMBERS),
    st.just(LeaseExpire()),
    st.just(LeaseExpire()),
    st.integers(1, 5),
    st.sampled_from(["restore", "tidy", "compact"]),
)


class Naive:
    """What leases are, said as plainly as possible: when each ends, and which key has which."""

    def __init__(self) -> None:
        self.ends: dict[int, tuple[int, int]] = {}
        self.lease_of: dict[bytes, int] = {}
        self.at_s = 0

    def do(self, write: StoreWrite) -> None:
        match write:
            case Put() | DeleteRange():
                self._operate((write,))
            case Txn():
                self._operate(write.success)
            case LeaseGrant(number, ttl_s) if number not in self.ends:
                self.ends[number] = max(2, ttl_s), self.at_s + max(2, ttl_s)
            case LeaseKeepAlive(number) if self.ends.get(number, (0, 0))[1] > self.at_s:
                self.ends[number] = self.ends[number][0], self.at_s + self.ends[number][0]
            case LeaseRevoke(number):
                self._end(number)
            case LeaseExpire():
                for number in [number for number, (_, end) in self.ends.items() if end <= self.at_s]:
                    self._end(number)

    def _operate(self, operations: tuple[object, ...]) -> None:
        if any(isinstance(o, Put) and o.lease and o.lease not in self.ends for o in operations):
            return
        deleted = [d for d in operations if isinstance(d, DeleteRange) and d.range_end not in (b"", b"\0")]
        put = [o.key for o in operations if isinstance(o, Put)]
        if any(d.key <= key < d.range_end for d in deleted for key in put):
            return  # written twice: refused
        for operation in operations:
            if isinstance(operation, Put):
                self.lease_of[operation.key] = operation.lease
            elif isinstance(operation, DeleteRange):
                end = {b"": operation.key + b"\0", b"\0": b"\xff"}.get(operation.range_end, operation.range_end)
                self.lease_of = {k: v for k, v in self.lease_of.items() if not operation.key <= k < end}

    def _end(self, number: int) -> None:
        if self.ends.pop(number, None) is not None:
            self.lease_of = {key: lease for key, lease in self.lease_of.items() if lease != number}


def sliced(store: KeyValueStore, entry: Entry, works: Iterator[int]) -> None:
    job = store.begin([entry], lambda _index: False)
    while not job.run(next(works)):
        pass


@settings(max_examples=120, deadline=None)
@given(st.lists(acts, max_size=40), st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_leases_are_what_the_naive_model_says(script: list[StoreWrite | int | str], sizes: list[int]) -> None:
    log, naive = Log(), Naive()
    works = (size for _ in iter(int, 1) for size in sizes)
    with small_pieces():
        for act in script:
            if isinstance(act, int):
                log.at_s = naive.at_s = naive.at_s + act
            elif act == "restore":
                chunks = snapshot(log.store)
                log.store = restored(chunks)
                assert snapshot(log.store) == chunks
            elif act == "tidy":
                log.store.tidy(3)
            elif act == "compact":
                log.do(Compact(log.store.revision))
            elif not isinstance(act, str):
                sliced(log.store, log.entry(act), works)
                naive.do(act)
            assert log.store.due_us == min((end * SECOND for _, end in naive.ends.values()), default=None)
        assert sorted(numbers(log.store)) == sorted(naive.ends)
        for number, (ttl_s, end) in naive.ends.items():
            keys = tuple(sorted(key for key, lease in naive.lease_of.items() if lease == number))
            assert look(log.store, number) == LeaseView(log.store.revision, number, ttl_s, end * SECOND, keys)
        assert log.keys() == sorted(naive.lease_of)
        tidied(log.store)
        assert len(log.store._leases._index) == sum(bool(lease) for lease in naive.lease_of.values())


def test_the_bytes_of_leases_in_a_snapshot_stay_what_they_are() -> None:
    assert snapshot(small_store()) == GOLDEN
    assert snapshot(restored(GOLDEN)) == GOLDEN


def test_the_bytes_of_writes_about_leases_stay_what_they_are() -> None:
    assert encode_write(LeaseGrant(5, 10)) == b"\x93\xa1g\x05\x0a"
    assert encode_write(LeaseRevoke(5)) == b"\x92\xa1v\x05"
    assert encode_write(LeaseKeepAlive(5)) == b"\x92\xa1k\x05"
    assert encode_write(LeaseExpire()) == KeyValueStore().due_write == b"\x91\xa1x"


def test_a_lease_takes_no_more_memory_than_it_counts_for() -> None:
    import tracemalloc

    leases = Leases(Versions())
    tracemalloc.start()
    for number in range(5_000):
        leases.grant(1 << 40 | number, 60, 1 << 42)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < leases.size_bytes == 5_000 * leases_module.LEASE_BYTES
    assert isinstance(leases.get(1 << 40), Lease)
