"""Worlds whose clients hold leases: none ends early, none lives on long, or the planted bug is found."""

from collections import Counter
from collections.abc import Callable, Generator

import pytest

from node.raft.errors import InvariantViolation
from node.raft.events import Proposal
from node.runtime.expiring import Expiring
from node.runtime.snapshot_ports import UnreadableSnapshot
from node.simulation.invariants import Violation
from node.simulation.leasing import Leasing
from node.statemachine import leasing
from node.statemachine.leases import Leases
from node.statemachine.snapshotting import SnapshotJob
from tests.simulation.batch import play_worlds, replay

FIXED_WORLDS = 12
FEW_WORLDS = 2
WORLDS_MAX = 30
COVERED = (
    "leases kept alive",
    "leases revoked",
    "leases that were left alone",
    "leases that ended while their clients were away",
    "snapshots installed under load",
    "starts with a snapshot and a log",
)

# From Python 3.12 on, forking warns where the framework's threads are about; a world touches none of them
pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.timeout(300),
]


@pytest.mark.parametrize("worlds", [FEW_WORLDS, pytest.param(FIXED_WORLDS, marks=pytest.mark.slowest)])
def test_a_lease_lives_as_long_as_its_client_was_told_and_not_much_longer(worlds: int) -> None:
    outcomes: Counter[str] = Counter()
    for played in play_worlds([("leases", seed) for seed in range(1, worlds + 1)]):
        if played.violation:
            pytest.fail(f"seed {played.seed}: {played.violation}\nreplay: {replay(played)}", pytrace=False)
        outcomes.update(played.outcomes)
    missing = [name for name in COVERED if not outcomes[name]]
    assert worlds == FEW_WORLDS or not missing, outcomes


def keep_alive_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Leases, "keep", lambda self, number, _now_us: self.get(number))


def end_a_moment_early(patch: pytest.MonkeyPatch) -> None:
    due = Leases.due
    patch.setattr(Leases, "due", lambda self, now_us: due(self, now_us + 300_000))

    def early_us(leases: Leases) -> int | None:
        first = leases._by_expiry.first
        return None if first is None else max(0, int.from_bytes(first[:8]) - 300_000)

    patch.setattr(Leases, "next_expiry_us", property(early_us))


def leave_leases_out_of_snapshots(patch: pytest.MonkeyPatch) -> None:
    begin = SnapshotJob.__init__
    patch.setattr(
        SnapshotJob,
        "__init__",
        lambda self, state: begin(self, state._replace(leases=Leases(state.versions))),
    )


def end_whatever_is_there_when_the_entry_comes(patch: pytest.MonkeyPatch) -> None:
    """The leader knew that something was due: the entry looks at no time any more."""
    patch.setattr(Leases, "due", lambda self, _now_us: [lease.id for part in self.view() for lease in part.values()])


def nobody_proposes(patch: pytest.MonkeyPatch) -> None:
    def look(self: Expiring, now: int, _proposals: list[Proposal]) -> None:
        self._now = now

    patch.setattr(Expiring, "look", look)


def keys_outlive_their_lease(patch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> Generator[None, None, int]:
        yield from ()
        return 0

    patch.setattr(leasing, "_deleting_keys_of", nothing)


PLANTS: list[Callable[[pytest.MonkeyPatch], None]] = [
    keep_alive_nothing,
    end_a_moment_early,
    leave_leases_out_of_snapshots,
    end_whatever_is_there_when_the_entry_comes,
    nobody_proposes,
    keys_outlive_their_lease,
]


@pytest.mark.longest
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in range(1, WORLDS_MAX + 1):
        try:
            Leasing(seed).run()
        except (Violation, InvariantViolation, UnreadableSnapshot):
            return
    pytest.fail(f"{WORLDS_MAX} worlds did not notice: {plant.__name__}")
