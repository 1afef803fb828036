"""Equal entries give equal state and results whatever the slices, and whoever reads between two sees one revision."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.raft.types import Entry, EntryKind
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import (
    Branches,
    Compact,
    KeyWrite,
    Nested,
    Operation,
    Put,
    Range,
    SortOrder,
    SortTarget,
    Txn,
    encode_write,
)
from tests.statemachine.model import Model
from tests.statemachine.small import small_pieces
from tests.statemachine.test_against_a_naive_model import (
    compare_everything_readable,
    number_compares,
    value_compares,
    writes,
)
from tests.statemachine.test_against_a_naive_model import deletes as deletes_of_few
from tests.statemachine.test_against_a_naive_model import puts as puts_of_few

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"])
ENDS = st.sampled_from([b"", b"\0", b"d", b"z"])
puts = st.builds(Put, KEYS, st.binary(max_size=2), st.just(0), st.booleans(), st.booleans())
ranges = st.builds(
    Range,
    KEYS,
    ENDS,
    st.integers(0, 9),
    st.integers(0, 4),
    st.booleans(),
    st.booleans(),
    st.sampled_from(SortOrder),
    st.sampled_from(SortTarget),
    st.integers(0, 4),
    st.integers(0, 9),
)
compares = st.lists(st.one_of(number_compares, value_compares), max_size=2).map(tuple)
slices = st.lists(st.integers(1, 4), min_size=1, max_size=40)
many_puts = st.lists(st.one_of(puts, puts_of_few), min_size=4, max_size=12)
many_puts_at_once = st.lists(KEYS, unique=True).map(lambda keys: Txn((), tuple(Put(key, b"v") for key in keys)))


@st.composite
def nested(draw: st.DrawFn) -> Txn:
    """A transaction with others inside, at random places of random branches."""
    operations: st.SearchStrategy[Operation] = st.one_of(puts, puts_of_few, deletes_of_few, ranges)
    branch = st.lists(operations, max_size=2)
    trees: list[tuple[list[Operation], list[Operation]]] = [(draw(branch), draw(branch))]
    for index in range(draw(st.integers(0, 3))):
        parent = trees[draw(st.integers(0, index))][draw(st.integers(0, 1))]
        parent.insert(draw(st.integers(0, len(parent))), Nested(index))
        trees.append((draw(branch), draw(branch)))
    outermost, *inner = [Branches(draw(compares), tuple(success), tuple(failure)) for success, failure in trees]
    return Txn(outermost.compare, outermost.success, outermost.failure, tuple(inner))


scripts = st.tuples(many_puts, st.lists(st.one_of(writes, nested()), max_size=8)).map(lambda both: [*both[0], *both[1]])


def entries_of(script: list[KeyWrite]) -> list[Entry]:
    return [Entry(i, 1, EntryKind.WRITE, encode_write(write)) for i, write in enumerate(script, 1)]


@settings(max_examples=150, deadline=None)
@given(scripts, slices, st.lists(st.booleans(), min_size=20, max_size=20))
def test_slices_and_who_waits_change_neither_state_nor_results(
    script: list[KeyWrite], works: list[int], waiting: list[bool]
) -> None:
    entries = entries_of(script)
    at_once = KeyValueStore()
    results = at_once.apply(entries)
    with small_pieces():
        sliced = KeyValueStore()
        job = sliced.begin(entries, lambda index: waiting[index - 1])
        turn = 0
        while not job.run(works[turn % len(works)]):
            turn += 1
    assert sliced.digest() == at_once.digest()
    assert job.results == {entry.index: results[i] for i, entry in enumerate(entries) if waiting[i]}
    assert (sliced.revision, sliced.key_count) == (at_once.revision, at_once.key_count)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(writes, many_puts_at_once), max_size=12), slices)
def test_between_slices_every_reader_sees_what_was_before_the_unfinished_entry(
    script: list[KeyWrite], works: list[int]
) -> None:
    store, model = KeyValueStore(), Model()
    with small_pieces():
        job = store.begin(entries_of(script), lambda _index: True)
        modelled = turn = 0
        done = False
        while not done:
            done = job.run(works[turn % len(works)])
            turn += 1
            while modelled < job.finished:
                model.apply(script[modelled])
                modelled += 1
            assert store.key_count == len(model.history[model.revision])
            compare_everything_readable(store, model)


@pytest.mark.slowest
@settings(max_examples=100, deadline=None)
@given(scripts, st.lists(st.one_of(writes, nested()), max_size=6), st.lists(ranges, min_size=1, max_size=4), slices)
def test_a_read_in_slices_sees_the_revision_at_which_it_began_whatever_is_applied_meanwhile(
    before: list[KeyWrite], meanwhile: list[KeyWrite], wanted: list[Range], works: list[int]
) -> None:
    still, store = KeyValueStore(), KeyValueStore()
    still.apply(entries_of(before))
    with small_pieces():
        store.apply(entries_of(before))
        reads = [store.begin_read(r) for r in wanted]
        together = store.begin_read_txn(Txn((), tuple(wanted), ()))
        job = store.begin(entries_of([*meanwhile, Compact(store.revision), Put(b"a", b"last")]), lambda _index: False)
        turn, running = 0, [job.run, together.run, *(read.run for read in reads)]
        while running:
            running = [run for run in running if not run(works[turn % len(works)])]
            turn += 1
    assert [read.result for read in reads] == [still.read(r) for r in wanted]
    assert together.result == still.read_txn(Txn((), tuple(wanted), ()))
    assert {read.revision for read in reads} == {still.revision}
