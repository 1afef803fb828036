"""No slice of anything does more work than it may, however large the store and the request are.

Work is counted, not timed: the lines of the state machine's own code that run, and what one line may do to many keys
at once: keys in a piece, versions in a run that is sorted. That a slice costs the same with ten times the keys is
what shows that nothing in it takes time in the size of the store.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

import pytest

import node.statemachine
from node.raft.types import Entry, EntryKind
from node.statemachine.ordered import BLOCK_KEYS_MAX, OrderedKeys
from node.statemachine.ranges import COUNT_UNITS
from node.statemachine.sorting import RUN_KEYS_MAX
from node.statemachine.store import KeyValueStore
from node.statemachine.versions import FREED_BYTES_PER_STEP
from node.statemachine.work import KEYS_SEEN_PER_UNIT
from node.statemachine.writes import (
    TXN_OPERATIONS_MAX,
    Branches,
    Compact,
    Compare,
    DeleteRange,
    DeleteResult,
    KeyValue,
    Nested,
    Operation,
    Put,
    Range,
    RangeResult,
    Relation,
    SortOrder,
    SortTarget,
    Target,
    Txn,
    TxnResult,
    Write,
    encode_write,
)
from tests.statemachine.snapshots import restored, snapshot

WORK_MAX = 100
LINES_PER_UNIT_MAX = 40
"""Lines that run for one unit: a put runs some 60 and counts 2."""

LINES_BESIDE_MAX = 2 * BLOCK_KEYS_MAX + 8 * RUN_KEYS_MAX + 8 * 6 * TXN_OPERATIONS_MAX
"""What a slice may do beside: count the ends of a range, end a run, go over one nested transaction, begin and end."""

_CODE = node.statemachine.__path__[0]


class Counted:
    """The most that any slice did."""

    def __init__(self) -> None:
        self.lines_max = 0
        self.keys_max = 0
        self.slices = 0
        self._lines = 0
        self._keys = 0

    def run(self, run: Callable[[int], bool]) -> None:
        """To its end, a slice at a time."""
        while True:
            self._lines = self._keys = 0
            sys.settrace(self._trace)
            try:
                done = run(WORK_MAX)
            finally:
                sys.settrace(None)
            self.slices += 1
            self.lines_max = max(self.lines_max, self._lines)
            self.keys_max = max(self.keys_max, self._keys)
            if done:
                return

    def saw(self, keys: int) -> None:
        self._keys += keys

    def check(self) -> None:
        assert self.slices > 1, "this is no test of slices"
        assert self.lines_max <= LINES_PER_UNIT_MAX * WORK_MAX + LINES_BESIDE_MAX
        assert self.keys_max <= 2 * KEYS_SEEN_PER_UNIT * WORK_MAX + 2 * BLOCK_KEYS_MAX

    def _trace(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            self._lines += 1
        return self._trace if frame.f_code.co_filename.startswith(_CODE) else None


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    counted = Counted()
    piece = OrderedKeys.piece

    def counting(self: OrderedKeys, *arguments: Any, **named: Any) -> tuple[list[bytes], bytes | None]:
        keys, following = piece(self, *arguments, **named)
        counted.saw(len(keys))
        return keys, following

    monkeypatch.setattr(OrderedKeys, "piece", counting)
    yield counted
    counted.check()


def entry(write: Write, index: int = 1) -> Entry:
    return Entry(index, 1, EntryKind.WRITE, encode_write(write))


KEYS = 10_000


@pytest.fixture
def store() -> KeyValueStore:
    """10,000 keys, written at revisions 2 to 10,001, each with a value of its own."""
    store = KeyValueStore()
    store.apply([entry(Put(b"%05d" % i, b"%05d" % (i * 7919 % KEYS))) for i in range(KEYS)])
    return store


EVERYTHING = Range(b"\0", b"\0")
PAST = KEYS // 2


@pytest.mark.parametrize(
    ("wanted", "count", "found"),
    [
        (EVERYTHING, KEYS, KEYS),
        (Range(b"\0", b"\0", PAST), PAST - 1, PAST - 1),
        (Range(b"\0", b"\0", PAST, limit=1), PAST - 1, 1),
        (Range(b"\0", b"\0", PAST, count_only=True), PAST - 1, 0),
        (Range(b"\0", b"\0", keys_only=True), KEYS, KEYS),
        (Range(b"\0", b"\0", sort_order=SortOrder.DESCEND), KEYS, KEYS),
        (Range(b"\0", b"\0", sort_order=SortOrder.ASCEND, sort_target=SortTarget.VALUE), KEYS, KEYS),
        (Range(b"\0", b"\0", limit=10, sort_order=SortOrder.DESCEND, sort_target=SortTarget.VALUE), KEYS, 10),
        (Range(b"\0", b"\0", limit=10, min_mod_revision=KEYS), KEYS, 2),
    ],
)
def test_a_read_of_everything_is_done_in_slices(
    store: KeyValueStore, counted: Counted, wanted: Range, count: int, found: int
) -> None:
    job = store.begin_read(wanted)
    counted.run(job.run)
    assert isinstance(job.result, RangeResult)
    assert (job.result.count, len(job.result.kvs)) == (count, found)


@pytest.mark.parametrize(
    "wanted", [Range(b"\0", b"\0", limit=3), Range(b"\0", b"\0", count_only=True), Range(b"00100", b"\0", limit=1)]
)
def test_a_limited_read_or_a_count_of_the_present_does_not_walk(store: KeyValueStore, wanted: Range) -> None:
    assert store.begin_read(wanted).run(COUNT_UNITS + 10)


def test_a_limited_read_does_not_walk_over_blocks_of_dead_keys(store: KeyValueStore) -> None:
    store.apply([entry(DeleteRange(b"\0", b"09990"))])
    job = store.begin_read(Range(b"\0", b"\0", limit=5))
    assert job.run(COUNT_UNITS + 2 * BLOCK_KEYS_MAX)
    assert isinstance(job.result, RangeResult)
    assert [kv.key for kv in job.result.kvs] == [b"0999%d" % i for i in range(5)]
    assert job.result.count == 10


def test_eight_ranges_in_one_transaction_that_only_reads(store: KeyValueStore, counted: Counted) -> None:
    job = store.begin_read_txn(Txn((), (EVERYTHING,) * 8))
    counted.run(job.run)
    assert isinstance(job.result, TxnResult)
    assert [r.count for r in job.result.responses if isinstance(r, RangeResult)] == [KEYS] * 8


def test_a_transaction_that_is_said_to_read_and_writes_is_refused(store: KeyValueStore) -> None:
    digest = store.digest()
    with pytest.raises(ValueError, match="writes"):
        store.read_txn(Txn((), (Put(b"k", b"v"),)))
    assert store.digest() == digest


@pytest.mark.parametrize("prev_kv", [False, True])
def test_a_range_delete_of_everything(store: KeyValueStore, counted: Counted, prev_kv: bool) -> None:
    job = store.begin([entry(DeleteRange(b"\0", b"\0", prev_kv))], lambda _index: True)
    counted.run(job.run)
    result = job.results[1]
    assert isinstance(result, DeleteResult)
    assert (result.deleted, len(result.prev)) == (KEYS, KEYS if prev_kv else 0)
    assert (store.key_count, store.revision) == (0, KEYS + 2)


def test_compares_over_everything(store: KeyValueStore, counted: Counted) -> None:
    compare = Compare(b"\0", Target.CREATE_REVISION, Relation.GREATER, 1, b"\0")
    job = store.begin([entry(Txn((compare,) * 20, (Put(b"k", b"v"),)))], lambda _index: True)
    counted.run(job.run)
    result = job.results[1]
    assert isinstance(result, TxnResult)
    assert result.succeeded


def test_a_compare_with_a_large_value_looks_at_few_keys_a_slice(counted: Counted) -> None:
    store, value = KeyValueStore(), b"v" * 1024 * 1024
    store.apply([entry(Put(b"%d" % i, value)) for i in range(20)])
    compare = Compare(b"\0", Target.VALUE, Relation.EQUAL, value, b"\0")
    counted.run(store.begin_read_txn(Txn((compare,))).run)
    assert counted.keys_max <= 1


def test_many_tiny_nested_transactions(counted: Counted) -> None:
    """Decoding, judging, doing, and letting go."""
    inner: list[Branches] = [Branches((), (Nested(2 * i + 1), Nested(2 * i + 2))) for i in range(127)]
    inner += [Branches((Compare(b"k", Target.VERSION, Relation.EQUAL, 0),), (Put(b"%d" % i, b""),)) for i in range(128)]
    store = KeyValueStore()
    job = store.begin([entry(Txn((), (Nested(0),), (), tuple(inner)))], lambda _index: False)
    counted.run(job.run)
    assert store.key_count == 128


def test_an_entry_of_nothing_but_compares_is_refused_in_slices(counted: Counted) -> None:
    compare = Compare(b"k", Target.VERSION, Relation.EQUAL, 0)
    inner = tuple(Branches((compare,) * TXN_OPERATIONS_MAX) for _ in range(20))
    store = KeyValueStore()
    job = store.begin([entry(Txn((), (), (), inner))], lambda _index: False)
    counted.run(job.run)
    assert store.digest() == KeyValueStore().digest()


def test_puts_under_many_branches_that_delete(counted: Counted) -> None:
    def level(i: int) -> Branches:
        inside: tuple[Operation, ...] = (Nested(i + 1),) if i < 30 else ()
        puts = tuple(Put(b"%d-%d" % (i, j), b"") for j in range(20))
        return Branches((), (DeleteRange(b"x%d" % i), *inside, *puts))

    store = KeyValueStore()
    job = store.begin([entry(Txn((), (Nested(0),), (), tuple(map(level, range(31)))))], lambda _index: False)
    counted.run(job.run)
    assert store.key_count == 20 * 31


def test_a_range_that_nobody_waits_for_is_not_walked_and_not_made(store: KeyValueStore) -> None:
    txn = Txn((), (Put(b"k", b"v"), *(EVERYTHING,) * 100))
    job = store.begin([entry(txn)], lambda _index: False)
    assert job.run(KEYS // KEYS_SEEN_PER_UNIT), "less than one of the ranges would be"
    assert not job.results
    refused = store.begin([entry(Txn((), (Put(b"k", b"w"), Range(b"a", revision=10**9))))], lambda _index: False)
    assert refused.run(WORK_MAX)
    kept = store.get(b"k")
    assert isinstance(kept, KeyValue)
    assert kept.value == b"v", "what is refused must not depend on who waits"


def test_a_compaction_of_one_key_with_many_versions_is_purged_in_small_steps(counted: Counted) -> None:
    store = KeyValueStore()
    store.apply([entry(Put(b"k", b"%d" % i)) for i in range(KEYS)])
    store.apply([entry(Compact(store.revision))])
    while store._versions.stored > 1:
        counted.run(store.begin([], lambda _index: False).run)


def test_entries_of_any_number_are_applied_in_slices(counted: Counted) -> None:
    store = KeyValueStore()
    entries: Sequence[Entry] = [entry(Put(b"%d" % i, b""), i) for i in range(1, 2000)]
    job = store.begin(entries, lambda _index: True)
    counted.run(job.run)
    assert len(job.results) == job.finished == len(entries)


def test_a_snapshot_of_everything_and_of_one_key_with_many_versions(store: KeyValueStore, counted: Counted) -> None:
    store.apply([entry(Put(b"k", b"%d" % i)) for i in range(KEYS)])
    job = store.begin_snapshot()
    counted.run(job.run)
    assert restored(job.take()).digest() == store.digest()


def test_a_restore_and_the_letting_go_of_what_it_replaced(store: KeyValueStore, counted: Counted) -> None:
    store.apply([entry(Put(b"k", b"%d" % i)) for i in range(KEYS)])
    chunks, digest = snapshot(store), store.digest()
    job = store.begin_restore()
    for chunk in chunks:
        job.feed(chunk)
    counted.run(job.run)
    job.finish()
    assert store.digest() == digest
    counted.run(store.tidy)


def test_what_a_restored_store_kept_of_the_past_is_purged_in_slices(store: KeyValueStore, counted: Counted) -> None:
    store.apply([entry(Put(b"k", b"%d" % i)) for i in range(KEYS)])
    store.apply([entry(DeleteRange(b"0", b"1"))])
    copy = restored(snapshot(store))
    copy.apply([entry(Compact(copy.revision))])
    counted.run(copy.tidy)
    assert copy._versions.stored == 1


def test_the_letting_go_of_long_values_takes_few_in_a_slice(counted: Counted) -> None:
    """Steps, not lines: that many bytes are freed takes no lines."""
    store, value = KeyValueStore(), b"v" * 1024 * 1024
    store.apply([entry(Put(b"k", value)) for _ in range(60)])
    store.apply([entry(Compact(store.revision))])
    assert store._versions.stored > 1
    before = store.size_bytes
    store.tidy(WORK_MAX)
    assert 0 < before - store.size_bytes <= (WORK_MAX + 16) * FREED_BYTES_PER_STEP
    counted.run(store.tidy)
    assert store._versions.stored == 1
