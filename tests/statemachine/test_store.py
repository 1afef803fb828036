"""What the store promises, one behaviour a test."""

import msgspec
import pytest

from node.raft.errors import InvariantViolation
from node.raft.types import Entry, EntryKind
from node.runtime.ports import StateMachine
from node.statemachine.applying import PURGE_STEPS_PER_JOB
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import (
    TXN_DEPTH_MAX,
    TXN_OPERATIONS_MAX,
    WRITE_BYTES_MAX,
    Branches,
    Compact,
    Compacted,
    Compare,
    DeleteRange,
    KeyValue,
    KeyWrite,
    Nested,
    Put,
    PutResult,
    Range,
    RangeResult,
    Refused,
    Relation,
    SortOrder,
    SortTarget,
    Target,
    Txn,
    TxnResult,
    decode_write,
    encode_write,
    prefix_end,
)
from tests.statemachine.test_against_a_naive_model import run


def nested_to(depth: int) -> Txn:
    """Transactions inside each other, `depth` of them, the innermost a put."""
    inside = tuple(Branches((), (Nested(i + 1),)) for i in range(depth - 2))
    return Txn((), (Nested(0),), (), (*inside, Branches((), (Put(b"k", b"v"),))))


def test_the_store_is_what_the_runtime_drives() -> None:
    machine: StateMachine = KeyValueStore()
    assert machine.begin([], lambda _index: True).run(1)


def test_an_empty_store_is_at_revision_1() -> None:
    assert KeyValueStore().revision == 1


def test_entries_that_are_not_commands_have_no_result_and_change_nothing() -> None:
    store = KeyValueStore()
    entries = [Entry(1, 1, EntryKind.CONFIGURATION, b"\x90"), Entry(2, 1, EntryKind.NOOP)]
    assert store.apply(entries) == [None, None]
    assert store.digest() == KeyValueStore().digest()


@pytest.mark.parametrize(
    ("write", "code"),
    [
        (Put(b"", b"x"), "empty-key"),
        (DeleteRange(b""), "empty-key"),
        (Put(b"k" * WRITE_BYTES_MAX, b"x"), "too-large"),
        (Txn((), (Put(b"k", b"x" * WRITE_BYTES_MAX),)), "too-large"),
        (Put(b"k", b"x", lease=7), "lease-not-found"),
        (Put(b"k", b"x", lease=-1), "lease-not-found"),
        (Put(b"k", b"x", lease=2**63), "malformed"),
        (Put(b"k", b"", ignore_value=True), "key-not-found"),
        (Put(b"k", b"x", ignore_lease=True), "key-not-found"),
        (Txn((), (Put(b"a", b"x"), Put(b"k", b"", ignore_value=True))), "key-not-found"),
        (Txn((), (Nested(0),)), "malformed"),
        (Txn((), (Nested(0),), (Nested(0),), (Branches(),)), "malformed"),
        (Txn((), (), (), (Branches(),)), "malformed"),
        (Txn((), (Nested(0),), (), (Branches((), (Nested(0),)),)), "malformed"),
        (Txn((), (Nested(1),), (), (Branches(), Branches((), (Nested(0),)))), "malformed"),
        (nested_to(TXN_DEPTH_MAX + 1), "malformed"),
        (Txn((), (Put(b"k", b"1"), Nested(0)), (), (Branches((), (Put(b"k", b"2"),)),)), "duplicate-key"),
        (Txn((), (Put(b"k", b"1"), Put(b"k", b"2"))), "duplicate-key"),
        (Txn((), (), (Put(b"k", b"1"), DeleteRange(b"a", b"z"))), "duplicate-key"),
        (Txn((Compare(b"", Target.VERSION, Relation.EQUAL, 0),)), "empty-key"),
        (Txn((Compare(b"k", Target.VALUE, Relation.EQUAL, 0),)), "malformed"),
        (Txn((Compare(b"k", Target.VERSION, Relation.EQUAL, b"0"),)), "malformed"),
        (Txn((), tuple(Put(b"%d" % i, b"") for i in range(TXN_OPERATIONS_MAX + 1))), "too-many-operations"),
        (Txn((Compare(b"k", Target.VERSION, Relation.EQUAL, 0),) * (TXN_OPERATIONS_MAX + 1)), "too-many-operations"),
        (Compact(2**63), "malformed"),
    ],
)
def test_a_command_that_cannot_be_done_is_refused_and_changes_nothing(write: KeyWrite, code: str) -> None:
    store = KeyValueStore()
    (result,) = run(store, write)
    assert isinstance(result, Refused)
    assert result.code == code
    assert store.digest() == KeyValueStore().digest()


def test_a_command_of_a_later_format_is_refused_not_misread() -> None:
    fields = msgspec.msgpack.decode(encode_write(Put(b"k", b"v")))
    (result,) = KeyValueStore().apply([Entry(1, 1, EntryKind.WRITE, msgspec.msgpack.encode([*fields, "new"]))])
    assert isinstance(result, Refused)
    assert result.code == "malformed"


def test_the_log_format_does_not_change() -> None:
    """A write is in the log for ever: these very bytes must stay readable."""
    compare = Compare(b"k", Target.MOD_REVISION, Relation.EQUAL, 5)
    nested = Txn((compare,), (Nested(0),), (), (Branches((), (Put(b"k", b"v"),)),))
    assert encode_write(Put(b"k", b"v")).hex() == "97a170c4016bc4017600c2c2c2"
    assert encode_write(DeleteRange(b"k")).hex() == "94a164c4016bc400c2"
    assert encode_write(Compact(9)).hex() == "92a16309"
    assert encode_write(nested).hex() == "95a1749195c4016b020005c4009192a16e00909193909197a170c4016bc4017600c2c2c290"
    assert encode_write(Txn((), (Range(b"k"),))).hex() == "95a17490919da172c4016bc4000000c2c20000000000009090"


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("95a170c4016bc4017600c2", Put(b"k", b"v")),
        ("94a174909090", Txn()),
        (
            "94a1749195c4016b020005c4009195a170c4016bc4017600c290",
            Txn((Compare(b"k", Target.MOD_REVISION, Relation.EQUAL, 5),), (Put(b"k", b"v"),)),
        ),
        ("94a174909197a172c4016bc4000000c2c290", Txn((), (Range(b"k"),))),
    ],
)
def test_what_the_first_version_wrote_is_still_read(written: str, means: KeyWrite) -> None:
    assert decode_write(bytes.fromhex(written)) == means


def test_the_deepest_transaction_is_done_and_answered() -> None:
    store = KeyValueStore()
    (entry,) = [Entry(1, 1, EntryKind.WRITE, encode_write(nested_to(TXN_DEPTH_MAX)))]
    (result,) = store.apply([entry])
    for _ in range(TXN_DEPTH_MAX - 1):
        assert isinstance(result, TxnResult)
        (result,) = result.responses
    assert result == TxnResult(2, True, (PutResult(2),))


def test_nested_compares_look_at_the_state_before_the_transaction() -> None:
    store = KeyValueStore()
    missing = Compare(b"k", Target.VERSION, Relation.EQUAL, 0)
    inner = Branches((missing,), (Put(b"seen", b"before"),), (Put(b"seen", b"after"),))
    run(store, Txn((), (Put(b"k", b"1"), Nested(0)), (), (inner,)))
    found = store.get(b"seen")
    assert isinstance(found, KeyValue)
    assert found.value == b"before"


def test_a_transaction_that_cannot_be_done_at_its_end_changes_nothing_at_its_beginning() -> None:
    store = KeyValueStore()
    inner = Branches((), (Range(b"k", revision=9),))
    run(store, Txn((), (Put(b"k", b"1"), Nested(0)), (), (inner,)))
    assert store.digest() == KeyValueStore().digest()


def test_what_is_equal_is_sorted_by_its_keys() -> None:
    store = KeyValueStore()
    run(store, *(Put(key, value) for key, value in ((b"b", b"1"), (b"a", b"1"), (b"c", b"0"))))
    for order, keys in ((SortOrder.ASCEND, b"cab"), (SortOrder.DESCEND, b"abc")):
        found = store.read(Range(b"a", b"\0", sort_order=order, sort_target=SortTarget.VALUE))
        assert isinstance(found, RangeResult)
        assert b"".join(kv.key for kv in found.kvs) == keys


def test_a_delete_of_nothing_does_not_use_a_revision() -> None:
    store = KeyValueStore()
    run(store, DeleteRange(b"k"), Txn((), (DeleteRange(b"k"),), ()), Txn())
    assert store.revision == 1


def test_a_key_created_again_begins_at_version_1() -> None:
    store = KeyValueStore()
    run(store, Put(b"k", b"1"), Put(b"k", b"2"), DeleteRange(b"k"), Put(b"k", b"3"))
    kv = store.get(b"k")
    assert kv is not None
    assert not isinstance(kv, Compacted)
    assert (kv.version, kv.create_revision, kv.mod_revision) == (1, 5, 5)  # type: ignore[union-attr]


def test_compaction_frees_memory_a_bounded_number_of_versions_at_a_time() -> None:
    store = KeyValueStore()
    keys = [b"%d" % i for i in range(2 * PURGE_STEPS_PER_JOB)]
    for value in (b"1", b"2"):
        run(store, *(Put(key, value) for key in keys))
    run(store, *(DeleteRange(key) for key in keys[:10]))
    versions = store._versions
    everything = 2 * len(keys) + 10
    assert versions.stored == everything
    run(store, Compact(store.revision))
    digest = store.digest()
    assert everything - 2 * PURGE_STEPS_PER_JOB <= versions.stored < everything
    for _ in range(3):
        store.apply([])
        assert store.digest() == digest
    assert versions.stored == len(keys) - 10
    assert not versions._older._last
    assert not versions._superseding


def test_a_compaction_keeps_the_version_that_its_own_revision_reads() -> None:
    store = KeyValueStore()
    run(store, Put(b"k", b"2"), Put(b"k", b"3"), Put(b"other", b"4"), Put(b"k", b"5"), Compact(4))
    kept = store.get(b"k", 4)
    assert isinstance(kept, KeyValue)
    assert kept.value == b"3"
    assert store.get(b"k", 3) == Compacted(3, 4)
    assert store._versions.stored == 3


def test_a_compacted_tombstone_takes_no_memory_even_where_the_key_lives_again() -> None:
    store = KeyValueStore()
    run(store, Put(b"k", b"2"), DeleteRange(b"k"), Put(b"other", b"4"), Put(b"k", b"5"), Compact(4))
    assert store.get(b"k", 4) is None
    assert store._versions.stored == 2


@pytest.mark.parametrize("how", ["finished", "closed", "forgotten"])
def test_a_read_holds_back_what_compaction_frees_as_long_as_it_goes_on(how: str) -> None:
    store = KeyValueStore()
    run(store, Put(b"k", b"1"), Put(b"k", b"2"))
    job = store.begin_read(Range(b"a", b"\0", 2))
    run(store, Compact(3))
    assert store._versions.stored == 2
    if how == "finished":
        while not job.run(1):
            pass
        assert isinstance(job.result, RangeResult)
        assert [kv.value for kv in job.result.kvs] == [b"1"], "although its revision was compacted meanwhile"
    elif how == "closed":
        job.close()
        job.close()
        with pytest.raises(InvariantViolation):
            job.run(1)
    else:
        del job
    store.apply([])
    assert store._versions.stored == 1


def test_a_job_must_be_done_before_the_next_begins() -> None:
    store = KeyValueStore()
    entry = Entry(1, 1, EntryKind.WRITE, encode_write(DeleteRange(b"a", b"b")))
    store.begin([entry], lambda _index: False)
    with pytest.raises(InvariantViolation):
        store.begin([], lambda _index: False)


def test_nodes_that_differ_have_different_digests() -> None:
    one, other = KeyValueStore(), KeyValueStore()
    run(one, Put(b"k", b"1"), Put(b"k", b"2"))
    run(other, Put(b"k", b"0"), Put(b"k", b"2"))
    assert one.digest() != other.digest()
    for store in (one, other):
        run(store, Compact(3))
    assert one.digest() == other.digest()


def test_the_end_of_a_prefix_is_the_first_key_after_it() -> None:
    assert prefix_end(b"a") == b"b"
    assert prefix_end(b"a\xff") == b"b"
    assert prefix_end(b"\xff") == b"\0"
    assert prefix_end(b"") == b"\0"
    store = KeyValueStore()
    run(store, *(Put(key, b"") for key in (b"a", b"a/1", b"a/\xff\xff", b"a0", b"b")))
    found = store.range(b"a/", prefix_end(b"a/"))
    assert isinstance(found, RangeResult)
    assert [kv.key for kv in found.kvs] == [b"a/1", b"a/\xff\xff"]


@pytest.mark.parametrize("operations", [1, 100])
def test_jobs_that_overwrite_all_the_time_free_as_much_as_they_write(operations: int) -> None:
    """However many versions one job writes: what a compaction freed is gone soon, although the node is never idle."""
    store = KeyValueStore()
    keys = [b"%d" % i for i in range(2_000)]
    for _ in range(10):
        puts = [Put(key, b"v") for key in keys]
        run(store, *(Txn((), tuple(puts[at : at + operations])) for at in range(0, len(puts), operations)))
        run(store, Compact(store.revision))
    assert store._versions.stored <= 2 * len(keys)
