"""What the store promises, one behaviour a test."""

import msgspec
import pytest

from node.raft.types import Entry, EntryKind
from node.runtime.ports import StateMachine
from node.statemachine.commands import (
    KEY_BYTES_MAX,
    TXN_OPERATIONS_MAX,
    VALUE_BYTES_MAX,
    Command,
    Compact,
    Compacted,
    Compare,
    DeleteRange,
    KeyValue,
    Put,
    RangeResult,
    Refused,
    Relation,
    Target,
    Txn,
    encode_command,
    prefix_end,
)
from node.statemachine.store import KeyValueStore
from node.statemachine.versions import PURGE_STEPS_PER_APPLY
from tests.statemachine.test_against_a_naive_model import run


def test_the_store_is_what_the_runtime_drives() -> None:
    machine: StateMachine = KeyValueStore()
    assert machine.apply([]) == []


def test_an_empty_store_is_at_revision_1() -> None:
    assert KeyValueStore().revision == 1


def test_entries_that_are_not_commands_have_an_empty_result_and_change_nothing() -> None:
    store = KeyValueStore()
    entries = [Entry(1, 1, EntryKind.CONFIGURATION, b"\x90"), Entry(2, 1, EntryKind.NOOP)]
    assert store.apply(entries) == [b"", b""]
    assert store.digest() == KeyValueStore().digest()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (Put(b"", b"x"), "empty-key"),
        (DeleteRange(b""), "empty-key"),
        (Put(b"k" * (KEY_BYTES_MAX + 1), b"x"), "too-large"),
        (Put(b"k", b"x" * (VALUE_BYTES_MAX + 1)), "too-large"),
        (Put(b"k", b"x", lease=7), "lease-not-found"),
        (Put(b"k", b"x", lease=-1), "malformed"),
        (Txn((), (Put(b"k", b"1"), Put(b"k", b"2"))), "duplicate-key"),
        (Txn((), (), (Put(b"k", b"1"), DeleteRange(b"a", b"\0"))), "duplicate-key"),
        (Txn((Compare(b"", Target.VERSION, Relation.EQUAL, 0),)), "empty-key"),
        (Txn((Compare(b"k", Target.VALUE, Relation.EQUAL, 0),)), "malformed"),
        (Txn((Compare(b"k", Target.VERSION, Relation.EQUAL, b"0"),)), "malformed"),
        (Txn((), tuple(Put(b"%d" % i, b"") for i in range(TXN_OPERATIONS_MAX + 1))), "too-many-operations"),
        (Txn((Compare(b"k", Target.VERSION, Relation.EQUAL, 0),) * (TXN_OPERATIONS_MAX + 1)), "too-many-operations"),
        (Compact(2**63), "malformed"),
    ],
)
def test_a_command_that_cannot_be_done_is_refused_and_changes_nothing(command: Command, code: str) -> None:
    store = KeyValueStore()
    (result,) = run(store, command)
    assert isinstance(result, Refused)
    assert result.code == code
    assert store.digest() == KeyValueStore().digest()


def test_a_command_of_a_later_format_is_refused_not_misread() -> None:
    fields = msgspec.msgpack.decode(encode_command(Put(b"k", b"v")))
    (result,) = KeyValueStore().apply([Entry(1, 1, EntryKind.COMMAND, msgspec.msgpack.encode([*fields, "new"]))])
    assert b"malformed" in result


def test_the_log_format_does_not_change() -> None:
    """A command is in the log for ever: these very bytes must stay readable."""
    compare = Compare(b"k", Target.MOD_REVISION, Relation.EQUAL, 5)
    assert encode_command(Put(b"k", b"v")).hex() == "95a170c4016bc4017600c2"
    assert encode_command(DeleteRange(b"k")).hex() == "94a164c4016bc400c2"
    assert encode_command(Compact(9)).hex() == "92a16309"
    assert (
        encode_command(Txn((compare,), (Put(b"k", b"v"),))).hex()
        == "94a1749195c4016b020005c4009195a170c4016bc4017600c290"
    )


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
    keys = [b"%d" % i for i in range(2 * PURGE_STEPS_PER_APPLY)]
    for value in (b"1", b"2"):
        run(store, *(Put(key, value) for key in keys))
    run(store, *(DeleteRange(key) for key in keys[:10]))
    versions = store._versions
    everything = 2 * len(keys) + 10
    assert versions.stored == everything
    run(store, Compact(store.revision))
    digest = store.digest()
    assert everything - 2 * PURGE_STEPS_PER_APPLY <= versions.stored < everything
    for _ in range(3):
        store.apply([])
        assert store.digest() == digest
    assert versions.stored == len(keys) - 10
    assert not versions._older
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
