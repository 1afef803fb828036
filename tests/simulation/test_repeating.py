"""Worlds whose clients send their writes again: each is done once, or the planted bug is found."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from node.raft.errors import InvariantViolation
from node.raft.types import Entry
from node.simulation.invariants import Violation
from node.simulation.repeating import Repeating
from node.statemachine import sessions
from node.statemachine.applying import State
from node.statemachine.sessions import Sessions
from node.statemachine.snapshotting import SnapshotJob
from node.statemachine.writes import Result
from tests.simulation.batch import play_worlds, replay

FIXED_WORLDS = 24
FEW_WORLDS = 10
WORLDS_MAX = 40
COVERED = (
    "writes that came again",
    "late copies answered as before",
    "late copies refused",
    "sessions that expired",
    "writes given up",
    "snapshots installed under load",
    "starts with a snapshot and a log",
)

# From Python 3.12 on, forking warns where the framework's threads are about; a world touches none of them
pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.timeout(300),
]


@pytest.mark.parametrize("worlds", [FEW_WORLDS, pytest.param(FIXED_WORLDS, marks=pytest.mark.slowest)])
def test_every_write_is_done_once_whatever_happens_between_two_copies_of_it(worlds: int) -> None:
    outcomes: Counter[str] = Counter()
    for played in play_worlds([("sessions", seed) for seed in range(1, worlds + 1)]):
        if played.violation:
            pytest.fail(f"seed {played.seed}: {played.violation}\nreplay: {replay(played)}", pytrace=False)
        outcomes.update(played.outcomes)
    missing = [name for name in COVERED if not outcomes[name]]
    assert not missing, outcomes


def do_again_what_comes_again(patch: pytest.MonkeyPatch) -> None:
    known, keep = Sessions.known, Sessions.keep

    def forgetful(self: Sessions, *arguments: Any) -> Any:
        before = self.repeats
        result = known(self, *arguments)
        return result if self.repeats == before else None

    def keep_once(self: Sessions, entry: Entry, checksum: int, result: Result | None) -> None:
        if entry.sequence not in {kept.sequence for kept in self._by_id[entry.session].results}:
            keep(self, entry, checksum, result)

    patch.setattr(Sessions, "known", forgetful)
    patch.setattr(Sessions, "keep", keep_once)


def leave_sessions_out_of_snapshots(patch: pytest.MonkeyPatch) -> None:
    begin = SnapshotJob.__init__

    def without(self: SnapshotJob, state: State) -> None:
        begin(self, state._replace(sessions=Sessions()))

    patch.setattr(SnapshotJob, "__init__", without)


def do_what_was_given_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sessions, "_used", lambda self, session, now_us, answered: session)


def expire_by_how_many_have_come(patch: pytest.MonkeyPatch) -> None:
    """Not by what is in the log alone: by how often this process was asked."""
    asked = Counter[int]()

    def is_over(session: sessions.Session, _now_us: int) -> bool:
        asked[session.id] += 1
        return asked[session.id] % 50 == 0

    patch.setattr(sessions, "_is_over", is_over)


PLANTS: list[Callable[[pytest.MonkeyPatch], None]] = [
    do_again_what_comes_again,
    leave_sessions_out_of_snapshots,
    do_what_was_given_up,
    expire_by_how_many_have_come,
]


@pytest.mark.slowest
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in range(1, WORLDS_MAX + 1):
        try:
            Repeating(seed).run()
        except (Violation, InvariantViolation):
            return
    pytest.fail(f"{WORLDS_MAX} worlds did not notice: {plant.__name__}")
