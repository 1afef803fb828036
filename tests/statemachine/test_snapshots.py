"""A snapshot is the state of one moment, whatever is written meanwhile; a store made from it is the same store."""

import gc
import random
import sys
from collections.abc import Iterator
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.raft.errors import InvariantViolation
from node.raft.types import Entry, EntryKind
from node.statemachine.applying import PURGE_STEPS_PER_JOB
from node.statemachine.ordered import BLOCK_KEYS_MAX
from node.statemachine.sections import CHUNK_BYTES, CHUNK_BYTES_MAX, CHUNK_VERSIONS_MAX, VersionsSection, decode_section
from node.statemachine.store import KeyValueStore
from node.statemachine.versions import VERSION_BYTES
from node.statemachine.writes import (
    WRITE_BYTES_MAX,
    Compact,
    Compacted,
    DeleteRange,
    KeyValue,
    KeyWrite,
    Put,
    Range,
    RangeResult,
    Txn,
    encode_write,
)
from tests.statemachine.model import Model
from tests.statemachine.small import small_pieces
from tests.statemachine.snapshots import chunks_of, really_stored, restore, restored, snapshot, tidied, write
from tests.statemachine.test_against_a_naive_model import compare_everything_readable, writes
from tests.statemachine.test_slices import nested, scripts, slices


@pytest.mark.slowest
@settings(max_examples=100, deadline=None)
@given(scripts, st.lists(st.one_of(writes, nested()), max_size=8), slices)
def test_a_restored_store_is_the_store_of_the_moment_whatever_was_written_during_the_walk(
    before: list[KeyWrite], meanwhile: list[KeyWrite], works: list[int]
) -> None:
    store, still, other = KeyValueStore(), KeyValueStore(), KeyValueStore()
    write(still, *before)
    write(other, Put(b"gone", b"with all else"))
    with small_pieces():
        write(store, *before)
        job, chunks, works_of_slices = store.begin_snapshot(), list[bytes](), cycle(works)
        coming = [*meanwhile, Compact(store.revision), Put(b"a", b"last"), Compact(store.revision + 1)]
        while not job.run(next(works_of_slices)):
            chunks += job.take()
            if coming:
                write(store, coming.pop(0))
        chunks += job.take()
        assert chunks == snapshot(still), "equal states give equal bytes, whatever was purged and written meanwhile"
        restore(other, chunks, works)
        assert other.digest() == still.digest()
        assert (other.revision, other.key_count, other.compact_revision) == (
            still.revision,
            still.key_count,
            still.compact_revision,
        )
        assert write(other, *meanwhile) == write(still, *meanwhile)
        assert other.digest() == still.digest()
        for each in (still, other):
            write(each, Compact(each.revision))
        assert tidied(other)._versions.stored == tidied(still)._versions.stored == other.key_count
        assert other.size_bytes == still.size_bytes


@settings(max_examples=100, deadline=None)
@given(st.lists(writes, max_size=20), st.lists(writes, max_size=5))
def test_every_revision_of_a_restored_store_reads_as_the_naive_history_says(
    before: list[KeyWrite], after: list[KeyWrite]
) -> None:
    store, model = KeyValueStore(), Model()
    with small_pieces():
        write(store, *before)
        store = restored(snapshot(store))
        write(store, *after)
        for each in (*before, *after):
            model.apply(each)
        compare_everything_readable(store, model)


@pytest.mark.parametrize("seed", range(40))
def test_random_writes_deletes_transactions_and_compactions_between_any_two_slices(seed: int) -> None:
    chance, work = random.Random(seed), (1, 7, 60, 300)[seed % 4]
    store = KeyValueStore()

    def some() -> KeyWrite:
        key, kind = b"%03d" % chance.randrange(300), chance.random()
        if kind < 0.7:
            return Put(key, chance.randbytes(chance.choice((0, 5, 400))))
        if kind < 0.85:
            return DeleteRange(key, b"%03d" % chance.randrange(300))
        if kind < 0.9:
            return Compact(chance.randrange(store.revision + 1))
        return Txn((), (DeleteRange(key, b"\0"), Put(b"%03d" % chance.randrange(300), b"v"), Put(b"x", b"")))

    write(store, *(some() for _ in range(2_000)))
    digest, job, chunks, done = store.digest(), store.begin_snapshot(), list[bytes](), False
    while not done:
        done = job.run(work)
        chunks += job.take()
        write(store, some(), some())
        store.tidy(10)
    copy = restored(chunks)
    assert copy.digest() == digest != store.digest()
    assert snapshot(copy) == chunks


GOLDEN = [
    b"\x93\xa5store\x09\x04",
    b"\x92\xa8versions\x97"
    b"\x96\xc4\x01a\xc4\x011\x02\x02\x01\x00"
    b"\x96\xc4\x01b\xc4\x014\x03\x04\x02\x00"
    b"\x96\xc4\x01b\xc4\x00\x00\x06\x00\x00"
    b"\x96\xc4\x01b\xc4\x017\x07\x07\x01\x00"
    b"\x96\xc4\x01c\xc4\x015\x05\x05\x01\x00"
    b"\x96\xc4\x01c\xc4\x00\x00\x08\x00\x00"
    b"\x96\xc4\x02\xff\x00\xc4\x01x\x09\x09\x01\x00",
    b"\x93\xa3end\x04\x07",
]
"""Snapshots outlive the code that made them. A change of these bytes is a new section, not a new form of an old one."""


def small_store() -> KeyValueStore:
    store = KeyValueStore()
    write(store, Put(b"a", b"1"), Put(b"b", b"3"), Put(b"b", b"4"), Put(b"c", b"5"), DeleteRange(b"b"), Put(b"b", b"7"))
    write(store, DeleteRange(b"c"), Txn((), (DeleteRange(b"c"), Put(b"\xff\0", b"x"))), Compact(4))
    return store


def test_the_bytes_of_a_snapshot_stay_what_they_are() -> None:
    store = small_store()
    assert snapshot(store) == GOLDEN
    assert restored(GOLDEN).digest() == store.digest()


def test_an_empty_store_has_a_snapshot_too() -> None:
    chunks = snapshot(KeyValueStore())
    assert chunks == [b"\x93\xa5store\x01\xff", b"\x93\xa3end\x00\x00"]
    store = small_store()
    restore(store, chunks)
    assert store.digest() == KeyValueStore().digest()


def test_what_a_compaction_took_is_in_no_snapshot_whether_it_is_purged_or_not() -> None:
    store = small_store()
    reading = store.begin_read(Range(b"a", b"\0", 5))
    write(store, Compact(9))
    held = snapshot(store)
    reading.close()
    assert snapshot(tidied(store)) == held
    versions = decode_section(held[1])
    assert isinstance(versions, VersionsSection)
    assert [kv.key for kv in versions.versions] == [b"a", b"b", b"\xff\0"]


def test_a_tombstone_that_was_compacted_is_in_no_snapshot_although_it_is_all_that_its_key_has() -> None:
    store = KeyValueStore()
    write(store, Put(b"a", b""), Txn((), (Put(b"k", b"v"), DeleteRange(b"k", b"\0"))))
    copy = restored(snapshot(store))
    assert copy._versions.stored == 2, "of the two versions of one transaction, the last"
    reading = copy.begin_read(Range(b"a", b"\0"))
    write(copy, Compact(3))
    held = snapshot(copy)
    reading.close()
    assert snapshot(tidied(copy)) == held
    assert restored(held).digest() == copy.digest()


# --- chunks ------------------------------------------------------------------------------------------------------


def test_a_chunk_is_about_64_kib_of_few_or_many_versions_and_never_longer_than_the_limit() -> None:
    store = KeyValueStore()
    write(store, *(Put(b"small-%05d" % i, b"") for i in range(5_000)))
    write(store, *(Put(b"middle-%04d" % i, b"v" * 1_000) for i in range(500)))
    write(store, *(Put(b"many", b"%d" % i) for i in range(5_000)))
    longest = Put(b"long", b"v" * (WRITE_BYTES_MAX - 4))
    write(store, *[longest] * 3)
    first, *chunks, last = snapshot(store)
    assert max(len(first), len(last)) < 100
    sections = [decode_section(chunk) for chunk in chunks]
    counts = [len(section.versions) for section in sections if isinstance(section, VersionsSection)]
    assert sum(counts) == 5_000 + 500 + 5_000 + 3
    assert max(counts) <= CHUNK_VERSIONS_MAX
    assert max(map(len, chunks)) <= CHUNK_BYTES_MAX
    others = [len(chunk) for chunk in chunks if len(chunk) < WRITE_BYTES_MAX]
    assert len(others) == len(chunks) - 3
    assert max(others) <= CHUNK_BYTES + 1_100
    assert len(chunks) <= sum(map(len, chunks)) / CHUNK_BYTES + sum(counts) / CHUNK_VERSIONS_MAX + 5, "not too short"
    assert restored([first, *chunks, last]).digest() == store.digest()


def test_a_key_with_thousands_of_versions_is_walked_in_many_slices_while_more_are_written() -> None:
    store = KeyValueStore()
    write(store, *(Put(b"k", b"%d" % i) for i in range(5_000)), Compact(1_000))
    digest, job, chunks, most = store.digest(), store.begin_snapshot(), list[bytes](), 0
    while not job.run(10):
        write(store, Put(b"k", b"later"), Compact(store.revision))
        some = job.take()
        most = max(most, len(some))
        chunks += some
    chunks += job.take()
    assert store.revision > 5_001 + 300, "this is no test of slices"
    assert most <= 1
    assert restored(chunks).digest() == digest
    write(store, Compact(store.revision))
    assert tidied(store)._versions.stored == 1


@pytest.mark.parametrize("works", [1, 50])
def test_of_long_values_a_slice_takes_few(works: int) -> None:
    store, value = KeyValueStore(), b"v" * (WRITE_BYTES_MAX - 10)
    write(store, *(Put(b"%d" % i, value) for i in range(3)), *(Put(b"many", value) for _ in range(5)))
    job, done, chunks = store.begin_snapshot(), False, list[bytes]()
    while not done:
        done = job.run(works)
        some = job.take()
        assert sum(len(chunk) > WRITE_BYTES_MAX for chunk in some) <= 1
        chunks += some
    assert len(chunks) == 1 + 8 + 1
    assert restored(chunks).digest() == store.digest()


def test_keys_with_a_past_cost_a_slice_more_than_those_without() -> None:
    """Their older versions are bytes far away in memory; a slice that counted one unit for each took too long."""
    versions_per_slice = []
    for times in (1, 2, 5):
        store = KeyValueStore()
        write(store, *(Put(b"%04d" % (i // times), b"v") for i in range(3_000 * times)))
        slices, job, done = 0, store.begin_snapshot(), False
        while not done:
            done, slices = job.run(300), slices + 1
        versions_per_slice.append(3_000 * times / slices)
    alone, two, five = versions_per_slice
    assert 140 < alone < 160
    assert 60 < two < 80
    assert 80 < five < 100


# --- what holds back, and what is let go -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["finished", "closed", "forgotten"])
def test_purging_waits_for_the_walk_and_goes_on_after_it(how: str) -> None:
    store = KeyValueStore()
    write(store, *(Put(b"%03d" % i, b"1") for i in range(100)))
    digest, job = store.digest(), store.begin_snapshot()
    job.run(1)
    write(store, *(Put(b"%03d" % i, b"2") for i in range(100)), DeleteRange(b"0", b"1"), Compact(202))
    assert store.tidy(1_000), "nothing can go now"
    assert store._versions.stored == 300
    if how == "finished":
        assert restored(chunks_of(job, 3)).digest() == digest
    elif how == "closed":
        job.close()
        job.close()
        with pytest.raises(InvariantViolation):
            job.run(1)
    else:
        del job
    assert not store.tidy(1)
    tidied(store)
    assert (store._versions.stored, store.key_count) == (0, 0)
    assert store.size_bytes == 0


def test_a_read_and_a_walk_that_are_under_way_when_the_state_is_replaced_see_the_old_one_to_their_end() -> None:
    store = KeyValueStore()
    write(store, *(Put(b"%03d" % i, b"old") for i in range(300)))
    digest = store.digest()
    reading, walk = store.begin_read(Range(b"\0", b"\0")), store.begin_snapshot()
    reading.run(1)
    walk.run(1)
    restore(store, GOLDEN)
    old = reading._versions
    assert store.tidy(10_000), "nothing can go as long as it is read"
    write(store, Put(b"000", b"new"), Compact(10))
    while not reading.run(10):
        pass
    assert isinstance(reading.result, RangeResult)
    assert [kv.value for kv in reading.result.kvs] == [b"old"] * 300
    assert store.tidy(10_000), "the walk still reads it"
    assert restored(chunks_of(walk, 10)).digest() == digest
    assert old.stored == 300
    assert not store.tidy(100)
    tidied(store)
    assert (old.stored, store.key_count) == (0, 4)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("by", ["tidy", "apply"])
def test_a_replaced_state_is_let_go_in_steps_by_idle_and_by_busy_nodes(by: str, no_collector: None) -> None:
    store = KeyValueStore()
    write(store, *(Put(b"%05d" % i, b"1") for i in range(5_000)), *(Put(b"%05d" % i, b"2") for i in range(2_500)))
    write(store, *(Put(b"many", b"%d" % i) for i in range(2_000)))
    old = store._versions
    restore(store, GOLDEN)
    assert store.key_count == 3
    everything = sys.getallocatedblocks()
    steps_max, left, most, turns = 100 if by == "tidy" else PURGE_STEPS_PER_JOB, everything, 0, 0
    while old.stored or old._keys._blocks:
        store.tidy(steps_max) if by == "tidy" else store.apply([])
        turns += 1
        most, left = max(most, left - sys.getallocatedblocks()), sys.getallocatedblocks()
    assert everything - left >= 2 * 9_500, "a version and a number of it, at least"
    assert most <= 6 * (steps_max + BLOCK_KEYS_MAX)
    assert turns >= 9_500 // (steps_max + BLOCK_KEYS_MAX)
    assert restored(snapshot(store)).digest() == restored(GOLDEN).digest() == store.digest()


def test_what_a_restored_store_kept_of_the_past_goes_with_the_next_compactions() -> None:
    store = KeyValueStore()
    write(store, *(Put(b"%04d" % (i * 7919 % 1_000), b"1") for i in range(3_000)), DeleteRange(b"0100", b"0200"))
    copy = restored(snapshot(store))
    for revision in (1_500, 2_000, 2_500, 3_002):
        for each in (store, copy):
            write(each, Compact(revision), Put(b"0500", b"more"))
            tidied(each)
        assert copy._versions.stored == store._versions.stored
        assert copy.size_bytes == store.size_bytes
        assert copy.digest() == store.digest()


@settings(max_examples=50, deadline=None)
@given(st.lists(writes, max_size=20))
def test_the_size_of_a_store_is_that_of_all_versions_in_memory(script: list[KeyWrite]) -> None:
    store = KeyValueStore()
    assert store.size_bytes == 0
    with small_pieces():
        for each in script:
            write(store, each)
            assert store.size_bytes == sum(key + value + VERSION_BYTES for key, value in really_stored(store))
        copy = restored(snapshot(store))
        assert copy.size_bytes == sum(key + value + VERSION_BYTES for key, value in really_stored(copy))


def test_a_snapshot_in_the_middle_of_an_entry_is_a_broken_invariant_and_a_new_state_voids_the_entry() -> None:
    store = KeyValueStore()
    write(store, *(Put(b"%d" % i, b"") for i in range(50)))
    entry = Entry(1, 1, EntryKind.WRITE, encode_write(DeleteRange(b"\0", b"\0")))
    restoring = store.begin_restore()
    for chunk in GOLDEN:
        restoring.feed(chunk)
    with pytest.raises(InvariantViolation, match="before all of it was loaded"):
        restoring.finish()
    assert restoring.run(1_000)
    applying = store.begin([entry], lambda _index: False)
    store.begin_snapshot().close()  # nothing of it is done yet
    assert not applying.run(1)
    with pytest.raises(InvariantViolation, match="while an entry was half done"):
        store.begin_snapshot()
    restoring.finish()
    with pytest.raises(InvariantViolation, match="had ended"):
        restoring.run(1)
    assert store.digest() == restored(GOLDEN).digest()
    store.begin_snapshot().close()
    write(store, Put(b"goes on", b""))


def test_nothing_of_a_restore_is_seen_before_its_end_and_nothing_stays_of_one_that_is_given_up() -> None:
    store = KeyValueStore()
    write(store, Put(b"k", b"v"))
    digest, job = store.digest(), store.begin_restore()
    for chunk in GOLDEN:
        job.feed(chunk)
        assert job.run(10_000)
        assert store.digest() == digest
    loaded = job._versions
    assert loaded is not None
    job.close()
    job.close()
    tidied(store)
    assert (store.digest(), loaded.stored) == (digest, 0)
    with pytest.raises(InvariantViolation, match="had ended"):
        job.finish()


def test_old_revisions_of_a_restored_store_are_refused_as_they_were() -> None:
    store = restored(GOLDEN)
    assert store.get(b"b", 3) == Compacted(3, 4)
    kept = store.get(b"b", 5)
    assert isinstance(kept, KeyValue)
    assert (kept.value, kept.version) == (b"4", 2)
