"""What the judge of watches says of histories that no watcher may hear."""

from collections.abc import Sequence

import pytest

from node.raft.types import Entry, EntryKind
from node.simulation.invariants import Violation
from node.simulation.invariants.true_changes import TrueChanges
from node.simulation.invariants.watch_guarantees import Asked, Heard, WatchGuarantees
from node.statemachine.writes import (
    Compact,
    Compare,
    DeleteRange,
    KeyValue,
    Put,
    Relation,
    Target,
    Txn,
    Write,
    encode_write,
)

WRITES: list[Write] = [
    Put(b"a", b"1"),  # 2
    Put(b"b", b"1"),  # 3
    Txn(success=(Put(b"b", b"2"), DeleteRange(b"a"), Put(b"c", b"1"))),  # 4
    DeleteRange(b"nothing"),
    Put(b"z", b"1"),  # 5
    DeleteRange(b"a", b"\0"),  # 6
    Put(b"a", b"3"),  # 7
]


def logged(*writes: Write) -> TrueChanges:
    truth = TrueChanges()
    truth.follow([Entry(at, 1, EntryKind.WRITE, encode_write(write)) for at, write in enumerate(writes, 1)])
    return truth


TRUTH = logged(*WRITES)


def at(*revisions: int) -> list[Heard]:
    return [Heard(change) for revision in revisions for change in TRUTH.changes(revision)]


def watcher(revision: int = 1, end: bytes = b"\0", **more: bool) -> WatchGuarantees:
    return WatchGuarantees("w", Asked(b"a", end, revision, **more), TRUTH)


def told(events: Sequence[Heard]) -> list[tuple[bytes, int, bytes | None]]:
    return [(e.change.key, e.change.mod_revision, e.change.value if e.change.version else None) for e in events]


def test_the_truth_is_what_each_revision_changed_in_its_order() -> None:
    assert told(at(2, 3, 4)) == [(b"a", 2, b"1"), (b"b", 3, b"1"), (b"b", 4, b"2"), (b"a", 4, None), (b"c", 4, b"1")]
    assert told(at(5, 6, 7)) == [(b"z", 5, b"1"), (b"b", 6, None), (b"c", 6, None), (b"z", 6, None), (b"a", 7, b"3")]
    assert (TRUTH.revision, TRUTH.before(b"a", 2), TRUTH.before(b"a", 7)) == (7, None, None)
    assert TRUTH.before(b"b", 6) == KeyValue(b"b", b"2", 3, 4, 2)


def test_the_truth_knows_which_branch_was_done_and_what_was_compacted() -> None:
    missing = Compare(b"a", Target.VERSION, Relation.GREATER, 0)
    truth = logged(Txn((missing,), (), (Put(b"y", b""), Put(b"x", b""))), Compact(2), Compact(99))
    assert [change.key for change in truth.changes(2)] == [b"y", b"x"]
    assert truth.compacted == 2


def test_who_hears_all_of_it_in_pieces_and_over_several_connections_complains_of_nothing() -> None:
    watch = watcher()
    watch.created(1)
    watch.heard(at(2, 3), 0)
    watch.progressed(3)
    watch.created(7)
    watch.heard(at(4)[:1], 0, fragment=True)
    watch.heard(at(4)[1:], 0)
    watch.heard(at(5, 6, 7), 0)
    watch.progressed(7)
    watch.ends(7)
    assert (watch.events, watch.next) == (10, 8)


def test_a_part_of_a_response_that_broke_off_is_heard_again() -> None:
    watch = watcher()
    watch.heard(at(2, 3, 4)[:3], 0, fragment=True)
    watch.created(7)
    watch.heard(at(2, 3, 4), 0)


def broken(guarantee: str, watch: WatchGuarantees, *responses: list[Heard]) -> None:
    for response in responses[:-1]:
        watch.heard(response, 0)
    with pytest.raises(Violation, match=f"^w: not {guarantee}: "):
        watch.heard(responses[-1], 0)


def test_ordered() -> None:
    broken("ordered", watcher(), at(3, 2))
    broken("ordered", watcher(), [*at(2, 3), *reversed(at(4))])


def test_unique() -> None:
    broken("unique", watcher(), at(2, 3), at(3))
    broken("unique", watcher(), at(2, 3), at(2, 3, 4))
    broken("unique", watcher(), [*at(2), *at(2)])
    broken("unique", watcher(), at(2, 3, 4), at(4)[2:])


def test_atomic() -> None:
    broken("atomic", watcher(), [*at(2, 3), *at(4)[:1]])
    broken("atomic", watcher(), [*at(2, 3), *at(4)[1:]])
    watch = watcher()
    watch.heard(at(2), 0, fragment=True)
    with pytest.raises(Violation, match="not atomic"):
        watch.progressed(2)


def test_reliable() -> None:
    broken("reliable", watcher(), at(3))
    broken("reliable", watcher(), at(2), at(4))
    broken("reliable", watcher(), [])
    watch = watcher()
    watch.heard(at(2, 3), 0)
    watch.ends(3)
    with pytest.raises(Violation, match="not reliable: it was never told of put of b'b' at 4"):
        watch.ends(7)


def test_resumable() -> None:
    broken("resumable", watcher(4), at(3))
    watch = watcher()
    watch.heard(at(2, 3), 0)
    watch.gone(5, compacted=5)
    with pytest.raises(Violation, match="not resumable: all from 4 on is kept since 4"):
        watch.gone(4, compacted=5)
    with pytest.raises(Violation, match="not resumable: 6 was said to be compacted, and 5 was at most"):
        watch.gone(6, compacted=5)


def test_bookmarkable() -> None:
    watch = watcher(end=b"")
    watch.heard(at(2), 0)
    with pytest.raises(Violation, match="not bookmarkable: progress to 4 came before delete of b'a' at 4"):
        watch.progressed(4)
    watch.progressed(3)
    late = WatchGuarantees("w", Asked(b"b"), TRUTH)
    late.created(1)
    late.progressed(2)
    with pytest.raises(Violation, match="not bookmarkable"):
        late.heard([Heard(KeyValue(b"b", b"", 2, 2, 1))], 0)


def test_true() -> None:
    broken("true", watcher(), [Heard(KeyValue(b"a", b"2", 2, 2, 1))])
    broken("true", watcher(), [*at(2), Heard(KeyValue(b"x", b"", 3, 3, 1))])
    broken("true", watcher(end=b"b"), at(2, 3))
    broken("true", watcher(no_put=True), at(2))
    broken("true", watcher(7, no_delete=True), [*at(7), Heard(KeyValue(b"a", b"3", 8, 8, 1))])


def test_true_of_what_lived_before() -> None:
    before = KeyValue(b"b", b"1", 3, 3, 1)
    change = at(4)[0].change
    only_b = WatchGuarantees("w", Asked(b"b", b"", 4, prev_kv=True), TRUTH)
    for wrong in (None, change):
        with pytest.raises(Violation, match="not true: before put of b'b' at 4 there was"):
            only_b.heard([Heard(change, wrong)], compacted=3)
        only_b.next = 4
    only_b.heard([Heard(change, before)], compacted=4)
    only_b.next = 4
    only_b.heard([Heard(change)], compacted=4)
    unasked = WatchGuarantees("w", Asked(b"b", b"", 4), TRUTH)
    with pytest.raises(Violation, match="not true"):
        unasked.heard([Heard(change, before)], compacted=0)


def test_a_watch_from_now_on_begins_after_what_its_node_had() -> None:
    watch = watcher(0)
    watch.created(6)
    watch.heard(at(7), 0)
    late = watcher(0)
    late.created(5)
    with pytest.raises(Violation, match="not reliable"):
        late.heard(at(7), 0)
