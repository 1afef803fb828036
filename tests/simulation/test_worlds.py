"""Seeded worlds: the same ones every time, some new ones every time, and proof that they can fail.

A failing seed prints the command that replays it.
"""

import multiprocessing
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from random import SystemRandom

import pytest

from node.raft.errors import InvariantViolation
from node.simulation.births import Births
from node.simulation.invariants import Violation
from node.simulation.world import World

FIXED_SEEDS = range(1, 61)
FRESH_SEEDS = 20
FIXED_BIRTHS = range(1, 13)

# From Python 3.12 on, forking warns where the framework's threads are about; a world touches none of them
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def _run(seed: int, kind: type[World] = World) -> tuple[Counter[str], Counter[str]]:
    """What happened to a world, and what came of it."""
    world = kind(seed)
    try:
        world.run()
    except (Violation, InvariantViolation) as error:
        births = "" if kind is World else "--births "
        pytest.fail(f"{error}\nreplay: python -m tests.simulation {seed} {births}--trace trace.txt", pytrace=False)
    outcomes = Counter(
        {
            "terms": len(world.invariants.leaders),
            "done": world.tallies.writes_done,
            "unknown": world.tallies.writes_unknown,
            "reads": world.tallies.reads_done,
            "orders obeyed": world.faults.orders.get("ok", 0),
            "orders refused": world.faults.orders.get("refused", 0),
            "damage refused": world.faults.refused_damage,
            "ends of leaders seen": sum(server.told.get("leader-gone", 0) for server in world.servers),
            "wrongly": sum(server.told.get("leader-back", 0) for server in world.servers),
            **world.news,
        }
    )
    return Counter(world.faults.done), outcomes


def _failure_or_run(world: tuple[int, type[World]]) -> str | tuple[Counter[str], Counter[str]]:
    try:
        return _run(*world)
    except pytest.fail.Exception as failed:
        return str(failed)


def _run_all(seeds: Iterable[int], kind: type[World] = World) -> tuple[Counter[str], Counter[str]]:
    """Sums of `_run` of every world, on all processors at once: a world knows nothing of another."""
    faults: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    with multiprocessing.get_context("fork").Pool() as pool:
        for ran in pool.imap(_failure_or_run, [(seed, kind) for seed in seeds]):
            if isinstance(ran, str):
                pytest.fail(ran, pytrace=False)
            faults.update(ran[0])
            outcomes.update(ran[1])
    return faults, outcomes


@pytest.mark.timeout(300)
def test_fixed_worlds_hold_and_cover_every_fault() -> None:
    faults, outcomes = _run_all(FIXED_SEEDS)
    # A run that never hit its faults, or never served, proves nothing.
    assert len(faults) == 21, faults
    assert min(faults.values()) >= 5, faults
    assert outcomes["terms"] > 3 * len(FIXED_SEEDS), outcomes
    assert outcomes["done"] > 50 * len(FIXED_SEEDS), outcomes
    assert outcomes["reads"] > 50 * len(FIXED_SEEDS), outcomes
    assert outcomes["unknown"] > len(FIXED_SEEDS), outcomes
    assert outcomes["orders obeyed"] > len(FIXED_SEEDS) / 2, outcomes
    assert outcomes["orders refused"] > len(FIXED_SEEDS) / 2, outcomes
    assert outcomes["ends of leaders seen"] > len(FIXED_SEEDS), outcomes
    assert outcomes["wrongly"] > len(FIXED_SEEDS) / 4, outcomes
    assert outcomes["damage refused"] > len(FIXED_SEEDS) / 10, outcomes
    assert outcomes["snapshot taken"] > 3 * len(FIXED_SEEDS), outcomes
    assert outcomes["snapshot found at a start"] > len(FIXED_SEEDS), outcomes
    assert outcomes["snapshot-installed"] > len(FIXED_SEEDS) / 3, outcomes


@pytest.mark.timeout(300)
def test_fresh_worlds_hold() -> None:
    first = SystemRandom().randrange(1 << 48)
    _run_all(range(first, first + FRESH_SEEDS))


@pytest.mark.timeout(300)
def test_of_two_processes_of_one_name_and_words_seconds_late_at_most_one_cluster_is_born() -> None:
    _, outcomes = _run_all(FIXED_BIRTHS, Births)
    assert outcomes["done"] >= 4 * len(FIXED_BIRTHS), outcomes


@pytest.mark.parametrize(("seed", "kind"), [(7, World), (11, World), (3, Births)])
def test_the_same_seed_gives_the_same_bytes_in_another_process(seed: int, kind: type[World]) -> None:
    lines: list[bytes] = []
    world = kind(seed, lines.append)
    world.run()
    assert len(lines) > 1000
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-m", "tests.simulation", str(seed), *(["--births"] if kind is Births else [])]
        printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        assert f"trace {world.digest[:16]}" in printed


def test_a_violation_prints_how_to_replay_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(world: World) -> None:
        raise Violation("planted")

    monkeypatch.setattr(World, "run", broken)
    with pytest.raises(pytest.fail.Exception, match=r"planted\nreplay: python -m tests\.simulation 5 "):
        _run(5)
