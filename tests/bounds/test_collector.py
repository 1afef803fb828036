"""Python's cyclic collector stops the process while it walks: over little, however much the store holds.

What is counted is what it would walk over: every element of every container that it tracks.
"""

import gc
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

import node
from node.statemachine.store import KeyValueStore
from node.statemachine.untracked import untracked
from node.statemachine.writes import DeleteRange, Put, Range, SortOrder, SortTarget, Txn
from tests.bounds.store import VALUE, entry, full_store
from tests.statemachine.snapshots import restore, snapshot

WALKED_MAX = 20_000
"""References: each costs up to 0.1 microseconds, in each of two passes."""


def walked() -> int:
    """What a full collection walks over of that which was made since `fresh` froze the rest."""
    return sum(len(each) for each in gc.get_objects() if isinstance(each, list | tuple | dict | set | deque))


@pytest.fixture
def fresh() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def read(store: KeyValueStore, *ranges: Range) -> object:
    job = store.begin_read_txn(Txn((), ranges))
    while not job.run(1_000):
        assert walked() <= WALKED_MAX
    job.close()
    return job.result


def test_a_store_of_200_000_keys_its_past_and_its_answers_are_not_walked_over(fresh: None) -> None:
    store = full_store()
    assert walked() <= WALKED_MAX
    for first in (*range(0, 20_000, 1_000), *range(0, 20_000, 1_000)):
        store.apply([entry(Put(b"key-%06d" % i, VALUE)) for i in range(first, first + 1_000)])
    assert walked() <= WALKED_MAX
    everything = Range(b"\0", b"\0")
    ordered = Range(b"\0", b"\0", sort_order=SortOrder.DESCEND, sort_target=SortTarget.MOD)
    results = read(store, *[everything] * 8, ordered)
    assert walked() <= WALKED_MAX
    del results
    restored = KeyValueStore()
    restore(restored, snapshot(store))
    assert walked() <= WALKED_MAX
    (deleted,) = store.apply([entry(DeleteRange(b"\0", b"\0", prev_kv=True))])
    assert deleted is not None
    assert walked() <= WALKED_MAX


def test_what_is_tracked_would_be_counted(fresh: None) -> None:
    kept = [list(range(WALKED_MAX))]
    assert walked() > WALKED_MAX
    untracked(kept[0])
    assert walked() <= WALKED_MAX


def test_a_container_that_is_not_tracked_works_and_is_freed(fresh: None) -> None:
    before = sys.getallocatedblocks()
    for _ in range(100):
        many = untracked([b"%d" % i for i in range(1_000)])
        many.append(b"more")
        assert many[-1] == b"more"
        assert len(untracked(tuple(many))) == len(untracked(deque(many))) == len(untracked(dict.fromkeys(many)))
    del many
    assert sys.getallocatedblocks() - before < 1_000


def test_a_node_freezes_what_it_began_with() -> None:
    """After the log was read, when the modules and the list of the log's entries are there."""
    code = Path(node.__file__).with_name("app.py").read_text()
    assert code.index("await self._recover") < code.index("gc.freeze()") < code.index("core = assemble(")
