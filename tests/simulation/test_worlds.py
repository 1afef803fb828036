"""Seeded worlds: the same ones every time, some new ones every time, and proof that they can fail.

A failing seed prints the command that replays it; what a batch never saw is not covered.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from random import SystemRandom

import pytest

from node.simulation.coverage import COVERAGE, not_covered
from node.simulation.invariants import Violation
from node.simulation.playing import play
from node.simulation.world import World
from tests.simulation.batch import play_worlds, replay

SLOWEST = pytest.mark.slowest
FIXED_SEEDS = range(27, 57)
FEW_SEEDS = range(1, 11)
FRESH_SEEDS = 2
MORE_FRESH_SEEDS = 20
FAULTS_AND_ORDERS = 28
FAULTS_OF_FEW_MIN = 24
"""How many of them ten worlds of each kind have in them at least."""
FIXED_BIRTHS = 12
FEW_BIRTHS = 4
FIXED_SURVIVORS = 12
FEW_SURVIVORS = 3
FIXED_RETURNING = 15
FIXED_MACHINES = 15
FEW_MACHINES = 3

# From Python 3.12 on, forking warns where the framework's threads are about; a world touches none of them
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def _run_all(seeds: Iterable[int], kind: str = "world") -> tuple[Counter[str], Counter[str]]:
    """What was done to all those worlds, and what came of it."""
    faults: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for played in play_worlds([(kind, seed) for seed in seeds]):
        if played.violation:
            pytest.fail(f"seed {played.seed}: {played.violation}\nreplay: {replay(played)}", pytrace=False)
        faults.update(played.faults)
        outcomes.update(played.outcomes)
    return faults, outcomes


@pytest.mark.timeout(300)
def test_a_few_fixed_worlds_hold_and_are_hit_and_served() -> None:
    faults, outcomes = _run_all(FEW_SEEDS)
    changing, of_changes = _run_all(FEW_SEEDS, "members")
    assert len(faults | changing) >= FAULTS_OF_FEW_MIN, faults | changing
    worlds = len(FEW_SEEDS)
    assert outcomes["leaders"] > 2 * worlds, outcomes
    assert outcomes["writes done"] > 30 * worlds, outcomes
    assert of_changes["changes of members committed"] > worlds, of_changes


@SLOWEST
@pytest.mark.timeout(400)
def test_fixed_worlds_hold_and_cover_every_fault_and_case() -> None:
    faults, outcomes = _run_all(FIXED_SEEDS)
    changing, of_changes = _run_all(FIXED_SEEDS, "members")
    # A run that never hit its faults, or never served, proves nothing.
    assert len(faults | changing) == FAULTS_AND_ORDERS, faults | changing
    assert min((faults + changing).values()) >= 3, faults + changing
    assert not not_covered(outcomes + of_changes), outcomes + of_changes
    worlds = len(FIXED_SEEDS)
    assert outcomes["leaders"] > 3 * worlds, outcomes
    assert outcomes["writes done"] > 40 * worlds, outcomes
    assert outcomes["reads done"] > 40 * worlds, outcomes
    assert outcomes["writes of unknown outcome"] > worlds, outcomes
    assert outcomes["orders refused"] > worlds / 2, outcomes
    assert outcomes["snapshots taken"] > 3 * worlds, outcomes
    assert of_changes["changes of members committed"] > 2 * worlds, of_changes


@pytest.mark.timeout(300)
@pytest.mark.parametrize("worlds", [FRESH_SEEDS, pytest.param(MORE_FRESH_SEEDS, marks=SLOWEST)])
@pytest.mark.parametrize("kind", ["world", "members"])
def test_fresh_worlds_hold(kind: str, worlds: int) -> None:
    first = SystemRandom().randrange(1 << 48)
    _run_all(range(first, first + worlds), kind)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("worlds", [FEW_BIRTHS, pytest.param(FIXED_BIRTHS, marks=SLOWEST)])
def test_of_two_processes_of_one_name_and_words_seconds_late_at_most_one_cluster_is_born(worlds: int) -> None:
    _, outcomes = _run_all(range(1, worlds + 1), "births")
    assert outcomes["writes done"] >= 4 * worlds, outcomes


@pytest.mark.timeout(300)
@pytest.mark.parametrize("worlds", [FEW_SURVIVORS, pytest.param(FIXED_SURVIVORS, marks=SLOWEST)])
def test_what_is_left_of_a_cluster_goes_on_with_all_that_it_knew_and_old_disks_do_nothing(worlds: int) -> None:
    _, outcomes = _run_all(range(7, 7 + worlds), "survivors")
    assert outcomes["changes of members committed"] >= 4 * worlds, outcomes
    cases = (
        "committed entries that only lost disks held",
        "entries kept that nobody knew to be committed",
        "survivors that had nothing to add",
        "old disks that came back",
    )
    assert worlds < FIXED_SURVIVORS or all(outcomes[case] > 0 for case in cases), outcomes


@pytest.mark.timeout(300)
@SLOWEST
def test_who_was_removed_comes_back_with_its_disk_and_is_a_late_server_and_no_other() -> None:
    _, outcomes = _run_all(range(1, FIXED_RETURNING + 1), "returning")
    assert outcomes["changes of members committed"] >= 2 * FIXED_RETURNING, outcomes
    assert outcomes["removed disks that came back as voters"] > 0, outcomes
    assert outcomes["removed members told so when they came back"] > 0, outcomes


@pytest.mark.timeout(300)
@pytest.mark.parametrize("worlds", [FEW_MACHINES, pytest.param(FIXED_MACHINES, marks=SLOWEST)])
def test_what_is_said_to_a_machine_that_was_given_up_is_nothing_to_its_successor(worlds: int) -> None:
    _, outcomes = _run_all(range(1, worlds + 1), "machines")
    assert outcomes["changes of members committed"] >= 2 * worlds, outcomes
    assert outcomes["words of machines that were given up"] >= worlds, outcomes


@pytest.mark.parametrize(
    ("seed", "kind"),
    [
        pytest.param(2, "world", marks=SLOWEST),
        (7, "members"),
        pytest.param(11, "world", marks=SLOWEST),
        pytest.param(3, "births", marks=SLOWEST),
        pytest.param(7, "survivors", marks=SLOWEST),
        pytest.param(2, "watches", marks=SLOWEST),
        pytest.param(2, "locks", marks=SLOWEST),
    ],
)
def test_the_same_seed_gives_the_same_bytes_in_another_process(seed: int, kind: str) -> None:
    lines: list[bytes] = []
    played = play(kind, seed, lines.append)
    assert len(lines) > 1000
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-m", "node.cli", "simulate", "--seed", str(seed), "--kind", kind]
        printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        assert f"trace {played.digest[:16]}" in printed


def test_a_violation_prints_how_to_replay_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(world: World) -> None:
        raise Violation("planted")

    monkeypatch.setattr(World, "run", broken)
    with pytest.raises(pytest.fail.Exception, match=r"planted\nreplay: raft-node simulate --seed 5 "):
        _run_all([5])


@pytest.mark.parametrize("name", COVERAGE)
def test_what_a_batch_never_saw_is_not_covered(name: str) -> None:
    seen = {other: 1 for other in COVERAGE if other != name}
    assert not_covered(seen) == [name]
    assert not_covered({**seen, name: 0}) == [name]
    assert not_covered({**seen, name: 1}) == []
