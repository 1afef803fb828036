"""The parts below the store, each against the plainest form of itself."""

from bisect import bisect_left

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.statemachine import decoding, ordered, packed, sorting
from node.statemachine.bykey import PARTS, ByKey
from node.statemachine.ordered import OrderedKeys
from node.statemachine.sorting import Sorter
from node.statemachine.superseded import PIECE_VERSIONS_MAX, Superseded
from node.statemachine.twice import writes_twice
from node.statemachine.work import Meter, Work, at_once
from node.statemachine.writes import (
    Branches,
    Compare,
    KeyValue,
    Nested,
    Operation,
    Put,
    Relation,
    SortTarget,
    Target,
    Txn,
    decode_write,
    encode_write,
)
from tests.statemachine.small import small_pieces
from tests.statemachine.test_slices import nested
from tests.statemachine.twice import written_twice


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("alp"), st.integers(0, 60)), max_size=200), st.integers(1, 9))
def test_keys_stay_in_order_and_counted_while_they_come_live_die_and_go(
    steps: list[tuple[str, int]], piece: int
) -> None:
    state: dict[bytes, bool] = {}
    with small_pieces():
        keys = OrderedKeys(lambda key: state[key])
        for verb, number in steps:
            key = b"%02d" % number
            if verb == "a" and key not in state:
                state[key] = True
                keys.add(key)
            elif verb == "l" and key in state:
                (keys.bury if state[key] else keys.revive)(key)
                state[key] = not state[key]
            elif verb == "p" and state.get(key) is False:
                del state[key]
                keys.remove(key)
        assert len(keys) == len(state)
        assert keys.living == sum(state.values())
        for start, end in ((b"", None), (b"10", b"40"), (b"33", b"34"), (b"5", b"4")):
            inside = [key for key in sorted(state) if start <= key and (end is None or key < end)]
            assert keys.count(start, end) == sum(state[key] for key in inside)
            for living in (False, True):
                found: list[bytes] = []
                following: bytes | None = start
                while following is not None:
                    some, following = keys.piece(following, end, piece, living=living)
                    assert len(some) <= piece
                    found += some
                if living:
                    found, inside = [[k for k in these if state[k]] for these in (found, inside)]
                assert found == inside


def test_blocks_are_neither_too_long_nor_too_many() -> None:
    state: dict[bytes, bool] = {}
    keys = OrderedKeys(lambda key: state[key])
    for i in range(20_000):
        key = b"%05d" % (i * 7919 % 20_000)
        state[key] = True
        keys.add(key)
    assert max(map(len, keys._blocks)) <= ordered.BLOCK_KEYS_MAX
    for key in sorted(state)[: 20_000 - 100]:
        keys.bury(key)
        keys.remove(key)
    assert len(keys) == 100
    assert len(keys._blocks) <= 2


def test_of_many_keys_no_part_is_long_and_in_each_part_hashes_differ_where_a_dictionary_looks() -> None:
    by_key: ByKey[int] = ByKey()
    for number in range(50_000):
        key = b"key-%05d" % number
        by_key.part(key)[key] = number
    assert len(by_key) == 50_000
    assert by_key.of([b"key-00007", b"key-49999"]) == [7, 49_999]
    assert by_key.some_of([b"other", b"key-00007"]) == [None, 7]
    assert max(map(len, by_key.parts)) < 2 * 50_000 / PARTS
    for part in by_key.parts:
        assert len({hash(key) % 64 for key in part}) > 48


def version(revision: int, key: bytes = b"k") -> KeyValue:
    return KeyValue(key, b"v", 1, revision, 1)


@pytest.mark.parametrize("count", [0, 1, 2, 3 * PIECE_VERSIONS_MAX + 1])
def test_superseded_versions_are_found_and_go_oldest_first(count: int) -> None:
    older, revisions = Superseded(), [2 * i for i in range(1, count + 1)]
    for revision in revisions:
        older.add(version(revision), revision + 2)
        older.add(version(revision, b"other"), revision + 2)
    due = [(at, key) for at, key in older.due(10**6) if key == b"k"]
    assert [kv.mod_revision for kv in older.of(b"k")] == revisions
    while revisions:
        oldest = older.oldest(b"k")
        assert oldest is not None
        assert oldest.mod_revision == revisions[0]
        for at in {0, 1, revisions[0], revisions[0] + 1, revisions[-1] - 1, revisions[-1], 10**6}:
            kv = older.at(b"k", at)
            wanted = bisect_left(revisions, at + 1)
            assert (kv.mod_revision if kv else None) == (revisions[wanted - 1] if wanted else None)
        assert older.drop(b"k", due[-1][0]) == ((1, 1) if len(due) == 1 else (0, 0)), "only the oldest goes"
        if len(due) > 1:
            assert older.drop(b"k", due[0][0]) == (1, 1)
        del revisions[0], due[0]
    assert older.oldest(b"k") is None
    assert older.at(b"k", 10**6) is None
    assert len(older) == count


def test_blocks_of_old_versions_go_back_once_nothing_in_them_is_kept() -> None:
    older = Superseded()
    values = [b"", b"v" * 255, b"v" * (packed.COPIED_BYTES_MAX - 10), b"v" * packed.COPIED_BYTES_MAX]
    written = [KeyValue(b"%d" % i, values[i % 4], 1, 2 * i + 2, 1) for i in range(4_000)]
    for kv in written:
        older.add(kv, kv.mod_revision + 1)
    assert [older.at(kv.key, 10**6) for kv in written] == written
    before = older.block_bytes
    assert before >= 4_000 / 4 * packed.COPIED_BYTES_MAX
    for kv, (address, key) in zip(written[:2_000], list(older.due(written[2_000].mod_revision)), strict=True):
        assert key == kv.key
        assert older.drop(key, address) == (1, len(kv.value))
    assert older.block_bytes <= before // 2 + packed.BLOCK_BYTES
    for address, key in older.due(10**6):
        older.drop(key, address)
    assert (older.block_bytes, len(older)) == (0, 0)
    assert list(older.due(10**6)) == [], "each is due once"


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=60), st.booleans(), st.integers(0, 20), st.integers(1, 9))
def test_sorting_in_slices_is_sorting(versions: list[int], descending: bool, keep: int, work: int) -> None:
    kvs = [KeyValue(b"%d" % i, b"", 1, 1, v) for i, v in enumerate(versions)]
    with small_pieces():
        meter = Meter()
        sorter = Sorter(SortTarget.VERSION, descending, keep, meter)
        at_once(sorter.take(kvs), meter)
        sorted_in_slices = Work(sorter.sorted(), meter)
        while not sorted_in_slices.run(work):
            pass
    expected = sorted(kvs, key=lambda kv: kv.version, reverse=descending)[: keep or None]
    assert sorted_in_slices.value == expected


def test_what_is_sorted_in_one_call_is_short_in_bytes_too() -> None:
    meter = Meter()
    sorter = Sorter(SortTarget.VALUE, False, 0, meter)
    at_once(sorter.take([KeyValue(b"%d" % i, b"v" * 100_000, 1, 1, 1) for i in range(20)]), meter)
    assert max(map(len, sorter._runs)) * 100_000 <= sorting.RUN_BYTES_MAX + 100_000


operands = st.one_of(st.binary(max_size=300), st.integers(-5, 2**62))
compares = st.builds(Compare, st.binary(max_size=3), st.sampled_from(Target), st.sampled_from(Relation), operands)
long_txns = st.one_of(nested(), st.builds(Txn, st.lists(compares, max_size=3).map(tuple)))


@settings(max_examples=150, deadline=None)
@given(long_txns.map(encode_write), st.integers(0, 10**6), st.integers(0, 255), st.booleans(), st.integers(1, 5))
def test_decoding_in_slices_takes_the_same_bytes_for_the_same_write(
    data: bytes, at: int, byte: int, broken: bool, work: int
) -> None:
    if broken:
        at %= len(data)
        data = data[:at] + bytes((byte,)) + data[at + 1 :]
    try:
        expected = decode_write(data)
    except msgspec.MsgspecError:
        expected = None
    with small_pieces():
        if not decoding.is_long(data):
            return
        meter = Meter()
        work_of = Work(decoding.decoding(data, meter), meter)
        try:
            while not work_of.run(work):
                pass
            got = work_of.value.write
            assert isinstance(got, Txn)
            got = msgspec.structs.replace(got, nested=tuple(got.nested))
        except msgspec.MsgspecError:
            got = None
    assert got == expected


def test_a_part_of_a_transaction_with_more_values_than_it_can_have_is_not_decoded() -> None:
    endless = Branches((Compare(b"k", Target.VERSION, Relation.EQUAL, 0),) * 5000)
    meter = Meter()
    with pytest.raises(msgspec.MsgspecError, match="more values"):
        at_once(decoding.decoding(encode_write(Txn((), (), (), (endless,))), meter), meter)


@settings(max_examples=100, deadline=None)
@given(nested())
def test_writing_twice_is_found_as_by_joining_what_each_branch_writes(txn: Txn) -> None:
    meter = Meter()
    assert at_once(writes_twice(txn, meter), meter) == written_twice(txn)


def test_the_two_branches_of_a_nested_transaction_may_write_the_same_key_and_what_follows_may_not() -> None:
    either = Branches((), (Put(b"k", b"1"),), (Put(b"k", b"2"),))
    for after, twice in (((), False), ((Put(b"k", b"3"),), True)):
        success: tuple[Operation, ...] = (Nested(0), *after)
        meter = Meter()
        assert at_once(writes_twice(Txn((), success, (), (either,)), meter), meter) is twice
