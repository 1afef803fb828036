"""The history by revision against a naive model: what each revision changed, in order, through compactions, snapshots
and restores."""

from hypothesis import given, settings
from hypothesis import strategies as st

from node.statemachine.history import KEYS_AT_ONCE, REVISIONS_PER_BLOCK, History
from node.statemachine.sections import ChangedKeys, ChangesSection, decode_section, encode_section
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import Branches, Compact, DeleteRange, KeyValue, Nested, Put, Range, Txn
from tests.statemachine.model import Found, Model, inside
from tests.statemachine.snapshots import restored, snapshot, tidied, write
from tests.statemachine.test_against_a_naive_model import writes

STEPS = st.lists(st.one_of(writes, writes, writes, st.sampled_from(["restore", "tidy"])), max_size=25)


KeyWrite = Put | DeleteRange | Txn | Compact


class Recording(Model):
    """The model, which also notes what keys each revision changed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.changed: dict[int, list[bytes]] = {}
        self._touched: list[bytes] = []

    def write(self, state: Found, op: Put | DeleteRange, revision: int) -> None:
        found = [op.key] if isinstance(op, Put) else sorted(k for k in state if inside(k, op.key, op.range_end))
        self._touched += found
        super().write(state, op, revision)

    def apply(self, write: KeyWrite) -> str:
        self._touched = []
        said = super().apply(write)
        if self._touched and said == "done":
            self.changed[self.revision] = list(dict.fromkeys(self._touched))
        return said


def changes(store: KeyValueStore) -> dict[int, list[bytes]]:
    """All that the store tells, by revision."""
    first = max(2, store.compact_revision)
    return {at: list(dict.fromkeys(store.changed(at))) for at in range(first, store.revision + 1)}


def test_the_order_inside_a_revision_and_a_delete_at_the_compacted_one_outlive_a_restore() -> None:
    store = KeyValueStore()
    write(store, Put(b"a", b"1"), Put(b"b", b"1"))
    write(store, Txn((), (Put(b"d", b""), Put(b"c", b""), DeleteRange(b"a", b"c"), Put(b"e", b"")), ()))
    write(store, DeleteRange(b"c", b"e"), Compact(5))
    copy = tidied(restored(snapshot(tidied(store))))
    assert changes(copy) == {5: [b"c", b"d"]}
    assert copy.version(b"c", 5) is None

    store = KeyValueStore()
    write(store, Put(b"a", b"1"), Txn((), (Put(b"d", b""), Put(b"c", b""), DeleteRange(b"a")), ()))
    assert changes(restored(snapshot(store))) == {2: [b"a"], 3: [b"d", b"c", b"a"]}


def test_a_snapshot_from_before_there_was_a_history_is_read() -> None:
    store = KeyValueStore()
    write(store, Txn((), (Put(b"d", b""), Put(b"c", b"")), ()), DeleteRange(b"c"), Compact(3))
    old = [chunk for chunk in snapshot(store) if chunk[2:9] != b"changes"]
    assert len(old) < len(snapshot(store))
    copy = restored(old)
    assert changes(copy) == {3: []}
    write(copy, Put(b"x", b""))
    assert changes(copy)[4] == [b"x"]


def test_a_revision_whose_keys_do_not_fit_in_a_chunk_is_told_in_several() -> None:
    store = KeyValueStore()
    keys = [b"%06d" % number + b"x" * 500 for number in range(400)]
    for key in keys:
        write(store, Put(key, b""))
    write(store, DeleteRange(keys[0], b"9"), Compact(402))
    chunks = snapshot(store)
    sections = [decode_section(chunk) for chunk in chunks if chunk[2:9] == b"changes"]
    assert len(sections) > 1
    assert changes(restored(chunks)) == {402: keys}


def test_changes_that_contradict_the_versions_are_refused() -> None:
    store = KeyValueStore()
    write(store, Put(b"a", b""), Txn((), (Put(b"d", b""), Put(b"c", b"")), ()))
    chunks = snapshot(store)
    wrong: list[tuple[int, list[bytes]]] = [
        (3, [b"d"]),
        (3, [b"d", b"c", b"c"]),
        (3, [b"d", b"x"]),
        (3, [b"d", b"c", b"x"]),
        (9, [b"d", b"c"]),
        (2, [b"b"]),
    ]
    for row in wrong:
        forged = ChangesSection([ChangedKeys(*row)])
        try:
            restored([*chunks[:-2], encode_section(forged), chunks[-1]])
        except ValueError:
            continue
        raise AssertionError(f"{row} was taken")
    try:
        restored([chunks[0], chunks[-2], *chunks[1:-2], chunks[-1]])
    except ValueError:
        return
    raise AssertionError("changes were taken before the versions")


def test_what_is_before_a_revision_goes_in_bounded_steps() -> None:
    history = History()
    for revision in range(4 * REVISIONS_PER_BLOCK):
        history.add(revision, b"k")
    for _ in range(10 * KEYS_AT_ONCE):
        history.add(0, b"l")
    calls = 0
    while history.cut(3 * REVISIONS_PER_BLOCK + 5, 40):
        calls += 1
        assert calls < 1000
    assert calls > 5
    assert [*history._blocks] == [3]
    assert history.changed(3 * REVISIONS_PER_BLOCK + 5) == (b"k",)


def test_nothing_goes_while_somebody_reads_there() -> None:
    store = KeyValueStore()
    for number in range(2 * REVISIONS_PER_BLOCK):
        write(store, Put(b"k", b"%d" % number))
    job = store.begin_snapshot()
    write(store, Compact(store.revision))
    tidied(store)
    assert len(store._versions.changes._blocks) == 3
    job.close()
    tidied(store)
    assert len(store._versions.changes._blocks) == 1


def test_nested_transactions_tell_their_changes_in_order() -> None:
    store = KeyValueStore()
    inner = Put(b"b", b""), Range(b"z")
    txn = Txn((), (Put(b"c", b""), Nested(0), Put(b"a", b"")), (), nested=(Branches((), inner, ()),))
    write(store, txn)
    assert changes(store) == {2: [b"c", b"b", b"a"]}
    assert isinstance(store.version(b"b", 2), KeyValue)


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_each_revision_tells_what_it_changed(steps: list[KeyWrite | str]) -> None:
    store, model = KeyValueStore(), Recording()
    for step in steps:
        if step == "restore":
            chunks = snapshot(store)
            store = restored(chunks)
            assert snapshot(store) == chunks
        elif isinstance(step, str):
            tidied(store)
        else:
            write(store, step)
            model.apply(step)
        told = changes(store)
        assert told == {at: keys for at, keys in model.changed.items() if at >= store.compact_revision}
        for at, keys in told.items():
            for key in keys:
                found, cell = store.version(key, at), model.history[at].get(key)
                assert (found is None) == (cell is None)
                if found is not None and cell is not None:
                    assert (found.value, found.mod_revision) == (cell.value, at)
