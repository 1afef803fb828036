"""The store against a dictionary of its whole history, over random writes with few keys."""

from hypothesis import given, settings
from hypothesis import strategies as st

from node.raft.types import Entry, EntryKind
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import (
    Compact,
    Compacted,
    Compare,
    DeleteRange,
    DeleteResult,
    FutureRevision,
    KeyValue,
    KeyWrite,
    Put,
    PutResult,
    Range,
    RangeResult,
    Refused,
    Registered,
    Relation,
    Result,
    Target,
    Txn,
    TxnResult,
    Untold,
    encode_write,
)
from tests.statemachine.model import Cell, Model

KEYS = st.sampled_from([b"a", b"a", b"a\0", b"b", b"\xff"])
ENDS = st.sampled_from([b"", b"", b"\0", b"a", b"b", b"c", b"\xff\xff"])
REVISIONS = st.integers(0, 12)
puts = st.builds(Put, KEYS, st.binary(max_size=2), st.just(0), st.booleans())
deletes = st.builds(DeleteRange, KEYS, ENDS, st.booleans())
ranges = st.builds(Range, KEYS, ENDS, REVISIONS, st.integers(0, 3))
number_compares = st.builds(
    Compare,
    KEYS,
    st.sampled_from([t for t in Target if t is not Target.VALUE]),
    st.sampled_from(Relation),
    st.integers(0, 6),
    ENDS,
)
value_compares = st.builds(Compare, KEYS, st.just(Target.VALUE), st.sampled_from(Relation), st.binary(max_size=2), ENDS)
branches = st.lists(st.one_of(puts, puts, deletes, ranges), max_size=4).map(tuple)
txns = st.builds(Txn, st.lists(st.one_of(number_compares, value_compares), max_size=2).map(tuple), branches, branches)
writes = st.one_of(puts, puts, deletes, txns, txns, st.builds(Compact, st.integers(0, 7)))


def run(store: KeyValueStore, *given_commands: KeyWrite) -> list[Result]:
    entries = [Entry(i, 1, EntryKind.WRITE, encode_write(c)) for i, c in enumerate(given_commands, 1)]
    results = store.apply(entries)
    assert None not in results
    return [result for result in results if result is not None]


def cell(kv: KeyValue) -> tuple[bytes, Cell]:
    return kv.key, Cell(kv.value, kv.create_revision, kv.mod_revision, kv.version)


def compare_everything_readable(store: KeyValueStore, model: Model) -> None:
    assert store.revision == model.revision
    assert store.compact_revision == max(0, model.compacted)
    for revision in (0, *range(1, model.revision + 3)):
        expected = model.find(b"\0", b"\0", revision)
        got = store.range(b"\0", b"\0", revision=revision)
        if expected == "future":
            assert got == FutureRevision(revision, model.revision)
        elif expected == "compacted":
            assert got == Compacted(revision, model.compacted)
        else:
            assert isinstance(got, RangeResult)
            assert [cell(kv) for kv in got.kvs] == expected
            assert (got.count, got.more) == (len(expected), False)
            for key, wanted in expected:
                found = store.get(key, revision)
                assert isinstance(found, KeyValue)
                assert cell(found) == (key, wanted)


@settings(max_examples=300, deadline=None)
@given(st.lists(writes, max_size=20), KEYS, ENDS, st.integers(0, 3))
def test_every_revision_reads_as_the_naive_history_says(
    script: list[KeyWrite], start: bytes, end: bytes, limit: int
) -> None:
    store, model = KeyValueStore(), Model()
    for write in script:
        before = store.digest()
        (result,) = run(store, write)
        if model.apply(write) == "refused":
            assert isinstance(result, (Refused, Compacted, FutureRevision))
            assert store.digest() == before
        else:
            assert not isinstance(result, (Refused, Compacted, FutureRevision, Registered, Untold, type(None)))
            assert result.revision == model.revision
    compare_everything_readable(store, model)
    for revision in (0, model.revision, max(1, model.compacted)):
        expected = model.find(start, end, revision)
        got = store.range(start, end, revision=revision, limit=limit)
        assert isinstance(got, RangeResult)
        assert [cell(kv) for kv in got.kvs] == expected[: limit or None]
        assert (got.count, got.more) == (len(expected), bool(limit) and len(expected) > limit)


@settings(max_examples=100, deadline=None)
@given(st.lists(writes, max_size=20))
def test_batches_and_single_entries_give_equal_state_and_results(script: list[KeyWrite]) -> None:
    one, other = KeyValueStore(), KeyValueStore()
    assert run(one, *script) == [run(other, write)[0] for write in script]
    assert one.digest() == other.digest()


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=40),
        writes.map(encode_write).flatmap(
            lambda data: st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)).map(
                lambda flip: data[: flip[0]] + bytes((flip[1],)) + data[flip[0] + 1 :]
            )
        ),
    )
)
def test_bytes_that_are_no_command_give_a_result_and_never_an_exception(data: bytes) -> None:
    store = KeyValueStore()
    (result,) = store.apply([Entry(1, 1, EntryKind.WRITE, data)])
    if isinstance(result, Refused):
        assert store.digest() == KeyValueStore().digest()


def test_a_put_answers_with_what_it_replaced_only_when_asked() -> None:
    store = KeyValueStore()
    first, second, third = run(store, Put(b"k", b"1"), Put(b"k", b"2", prev_kv=True), DeleteRange(b"k", prev_kv=True))
    assert first == PutResult(2)
    assert second == PutResult(3, KeyValue(b"k", b"1", 2, 2, 1))
    assert third == DeleteResult(4, 1, (KeyValue(b"k", b"2", 2, 3, 2),))


def test_a_range_inside_a_transaction_sees_the_writes_before_it() -> None:
    store = KeyValueStore()
    (result,) = run(store, Txn((), (Put(b"a", b"1"), Range(b"a"), Put(b"b", b"2"), Range(b"a", b"\0", revision=1)), ()))
    written = KeyValue(b"a", b"1", 2, 2, 1)
    assert result == TxnResult(
        2, True, (PutResult(2), RangeResult(2, (written,), 1, False), PutResult(2), RangeResult(2, (), 0, False))
    )
