"""Worlds whose clients take turns at a lock: no two ever believe to hold it, or the planted bug is found."""

from collections import Counter
from collections.abc import Callable
from operator import attrgetter

import pytest

from node.runtime.snapshot_ports import UnreadableSnapshot
from node.simulation.invariants import Violation
from node.simulation.invariants.lock_order import LockOrder
from node.simulation.locking import Locking
from node.statemachine import ranges, sorting
from node.statemachine.leases import Leases
from node.statemachine.versions import Versions
from node.statemachine.writes import KeyValue, Range, SortTarget
from tests.simulation.batch import play_worlds, replay
from tests.simulation.test_leasing import end_a_moment_early, end_whatever_is_there_when_the_entry_comes

FIXED_WORLDS = 16
FEW_WORLDS = 3
WORLDS_MAX = 30
COVERED = (
    "locks taken at once",
    "locks taken after others",
    "locks lost with their leases",
    "locks that were left alone",
    "waits that a watch ended",
    "writes under a lock",
    "snapshots installed under load",
    "starts with a snapshot and a log",
)

# From Python 3.12 on, forking warns where the framework's threads are about; a world touches none of them
pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.timeout(300),
]


@pytest.mark.parametrize("worlds", [FEW_WORLDS, pytest.param(FIXED_WORLDS, marks=pytest.mark.slowest)])
def test_no_two_hold_a_lock_and_tokens_grow(worlds: int) -> None:
    outcomes: Counter[str] = Counter()
    for played in play_worlds([("locks", seed) for seed in range(1, worlds + 1)]):
        if played.violation:
            pytest.fail(f"seed {played.seed}: {played.violation}\nreplay: {replay(played)}", pytrace=False)
        outcomes.update(played.outcomes)
    missing = [name for name in COVERED if not outcomes[name]]
    assert worlds == FEW_WORLDS or not missing, outcomes
    assert outcomes["locks taken at once"] + outcomes["locks taken after others"] > 3 * worlds, outcomes


def call_a_key_created_anew_whenever_it_is_put(patch: pytest.MonkeyPatch) -> None:
    """Whoever proclaims goes to the end of the queue, and holds the lock all the same."""
    put = Versions.put

    def anew(self: Versions, key: bytes, value: bytes, lease: int, revision: int) -> KeyValue | None:
        before = put(self, key, value, lease, revision)
        kv = self._newest.part(key)[key]
        self._newest.part(key)[key] = KeyValue(kv.key, kv.value, revision, revision, kv.version, kv.lease)
        return before

    patch.setattr(Versions, "put", anew)


def take_the_first_by_name_for_the_oldest(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sorting._KEYS, SortTarget.CREATE, attrgetter("key"))


def overlook_an_older_key_that_was_put_again(patch: pytest.MonkeyPatch) -> None:
    def passes(kv: KeyValue, wanted: Range) -> bool:
        return not (wanted.max_create_revision and kv.mod_revision > wanted.max_create_revision)

    patch.setattr(ranges, "_passes", passes)


def forget_which_keys_a_lease_has(patch: pytest.MonkeyPatch) -> None:
    """The lock of who is gone is held for ever."""
    patch.setattr(Leases, "attach", lambda *_: None)


PLANTS: list[Callable[[pytest.MonkeyPatch], None]] = [
    end_a_moment_early,
    end_whatever_is_there_when_the_entry_comes,
    call_a_key_created_anew_whenever_it_is_put,
    take_the_first_by_name_for_the_oldest,
    overlook_an_older_key_that_was_put_again,
    forget_which_keys_a_lease_has,
]
SELDOM = (end_a_moment_early,)
"""Found in one of many worlds."""


@pytest.mark.parametrize(
    "plant",
    [pytest.param(plant, id=plant.__name__, marks=pytest.mark.slowest if plant in SELDOM else ()) for plant in PLANTS],
)
def test_a_planted_bug_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in range(1, WORLDS_MAX + 1):
        try:
            Locking(seed).run()
        except UnreadableSnapshot:
            return  # a key without its lease is refused by whoever is to restore it, too
        except Violation as error:
            if "holds the lock" in str(error) or "outlived their leases" in str(error):
                return
            raise
    pytest.fail(f"{WORLDS_MAX} worlds did not notice: {plant.__name__}")


FIRST, SECOND = KeyValue(b"lock/1", b"", 3, 3, 1), KeyValue(b"lock/2", b"", 5, 5, 1)
BOTH = {FIRST.key: FIRST, SECOND.key: SECOND}


def held() -> LockOrder:
    """`one` believes to hold it until 100, with token 3."""
    order = LockOrder(b"lock/")
    order.believes("one", FIRST.key, 3, until_us=100, now=0)
    order.stepped(BOTH, 50)
    return order


def test_two_may_not_believe_at_once_and_one_after_the_other_may() -> None:
    with pytest.raises(Violation, match="two holds the lock with token 5, and one with 3 for 1 us yet"):
        held().believes("two", SECOND.key, 5, until_us=200, now=99)
    held().believes("two", SECOND.key, 5, until_us=200, now=100)
    order = held()
    order.lives("one", 150)
    with pytest.raises(Violation, match="for 50 us yet"):
        order.believes("two", SECOND.key, 5, until_us=200, now=100)
    order.lets_go("one")
    order.believes("two", SECOND.key, 5, until_us=200, now=100)


def test_tokens_may_not_be_reversed() -> None:
    order = held()
    order.lets_go("one")
    with pytest.raises(Violation, match="with token 3, after somebody with 3"):
        order.believes("two", FIRST.key, 3, until_us=200, now=100)
    order.written(KeyValue(b"guarded", b"5", 6, 6, 1))
    with pytest.raises(Violation, match="the holder of token 3 wrote after the one of 5"):
        order.written(KeyValue(b"guarded", b"3", 6, 7, 2))


def test_the_log_must_have_the_key_of_who_believes_and_none_that_is_older() -> None:
    with pytest.raises(Violation, match="its key of revision 3 is None"):
        held().stepped({SECOND.key: SECOND}, 99)
    held().stepped({SECOND.key: SECOND}, 100)
    with pytest.raises(Violation, match="its key of revision 3 is KeyValue"):
        held().stepped({FIRST.key: KeyValue(FIRST.key, b"", 4, 4, 1)}, 99)
    with pytest.raises(Violation, match=r"b'lock/0' of 2 is there"):
        held().stepped({**BOTH, b"lock/0": KeyValue(b"lock/0", b"", 2, 2, 1)}, 99)
