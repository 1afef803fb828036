"""Old revisions go by themselves, by time and by number, and only on the leader's word."""

from collections.abc import Callable

from node.compacting import NOTES_PER_RETENTION, AutoCompaction
from node.raft.types import Entry, EntryKind
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import Put, encode_write

HOUR = 3_600.0


class Node:
    """A store, and a clock that a test moves; what is proposed is applied, unless `broken`."""

    def __init__(self, keep_seconds: float = HOUR, keep_revisions: int = 0) -> None:
        self.store = KeyValueStore()
        self.leads = True
        self.broken = False
        self.proposed = 0
        self.waiting: list[tuple[float, Callable[[], None]]] = []
        self._index = 0
        self._now = 0.0
        self.compaction = AutoCompaction(
            lambda: self.leads, self.store, self._propose, self._later, keep_seconds, keep_revisions
        )
        self.compaction.start()

    def write(self, count: int) -> None:
        for _ in range(count):
            self._apply(encode_write(Put(b"k", b"v")))

    def pass_time(self, seconds: float) -> None:
        until = self._now + seconds
        while self.waiting and self.waiting[0][0] <= until + 1e-6:
            self._now, action = self.waiting.pop(0)
            action()
        self._now = until

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        self.waiting.append((self._now + delay_s, action))

    def _propose(self, write: bytes) -> None:
        self.proposed += 1
        if not self.broken:
            self._apply(write)

    def _apply(self, write: bytes) -> None:
        self._index += 1
        self.store.apply([Entry(self._index, 1, EntryKind.WRITE, write)])


def test_what_is_older_than_the_time_that_is_kept_goes_and_what_is_younger_stays() -> None:
    node = Node()
    node.write(10)
    old = node.store.revision
    node.pass_time(HOUR)
    node.write(10)
    assert node.store.compact_revision == 0
    node.pass_time(HOUR / NOTES_PER_RETENTION)
    assert node.store.compact_revision == old
    node.pass_time(2 * HOUR)
    assert node.store.compact_revision == old + 10


def test_by_number_the_newest_are_kept() -> None:
    node = Node(0.0, 7)
    node.write(20)
    node.pass_time(30.0)
    assert node.store.compact_revision == node.store.revision - 7


def test_only_the_leader_proposes_and_a_new_one_knows_the_past() -> None:
    node = Node()
    node.leads = False
    node.write(10)
    node.pass_time(3 * HOUR)
    assert node.proposed == 0
    node.leads = True
    node.pass_time(HOUR / NOTES_PER_RETENTION)
    assert node.store.compact_revision == node.store.revision


def test_nothing_is_proposed_where_nothing_is_older() -> None:
    node = Node()
    node.pass_time(5 * HOUR)
    assert node.proposed == 0
    node.write(1)
    node.pass_time(5 * HOUR)
    assert node.proposed == 1


def test_one_that_failed_is_proposed_again_at_the_next_look() -> None:
    node = Node()
    node.write(10)
    node.broken = True
    node.pass_time(1.2 * HOUR)
    assert node.store.compact_revision == 0
    node.broken = False
    node.pass_time(HOUR / NOTES_PER_RETENTION)
    assert node.store.compact_revision == node.store.revision


def test_without_either_nobody_even_looks() -> None:
    assert Node(0.0, 0).waiting == []
