"""Seeded worlds: the same ones every time, some new ones every time, and proof that they can fail.

A failing seed prints the command that replays it.
"""

import os
import subprocess
import sys
from collections import Counter
from random import SystemRandom

import pytest

from node.raft.errors import InvariantViolation
from tests.simulation.invariants import Violation
from tests.simulation.world import World

FIXED_SEEDS = range(1, 101)
FRESH_SEEDS = 40


def _run(seed: int) -> World:
    world = World(seed)
    try:
        world.run()
    except (Violation, InvariantViolation) as error:
        pytest.fail(f"{error}\nreplay: python -m tests.simulation {seed} --trace trace.txt", pytrace=False)
    return world


def test_fixed_worlds_hold_and_cover_every_fault() -> None:
    faults: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for seed in FIXED_SEEDS:
        world = _run(seed)
        faults.update(world.faults)
        outcomes["terms"] += len(world.invariants.leaders)
        outcomes["done"] += world.tallies.writes_done
        outcomes["unknown"] += world.tallies.writes_unknown
        outcomes["reads"] += world.tallies.reads_done
        outcomes["orders obeyed"] += world.orders.get("ok", 0)
        outcomes["orders refused"] += world.orders.get("refused", 0)
    # A run that never hit its faults, or never served, proves nothing.
    assert len(faults) == 13, faults
    assert min(faults.values()) >= 10, faults
    assert outcomes["terms"] > 3 * len(FIXED_SEEDS), outcomes
    assert outcomes["done"] > 50 * len(FIXED_SEEDS), outcomes
    assert outcomes["reads"] > 50 * len(FIXED_SEEDS), outcomes
    assert outcomes["unknown"] > len(FIXED_SEEDS), outcomes
    assert outcomes["orders obeyed"] > len(FIXED_SEEDS) / 2, outcomes
    assert outcomes["orders refused"] > len(FIXED_SEEDS) / 2, outcomes


def test_fresh_worlds_hold() -> None:
    first = SystemRandom().randrange(1 << 48)
    for seed in range(first, first + FRESH_SEEDS):
        _run(seed)


@pytest.mark.parametrize("seed", [7, 11])
def test_the_same_seed_gives_the_same_bytes_in_another_process(seed: int) -> None:
    lines: list[bytes] = []
    world = World(seed, lines.append)
    world.run()
    assert len(lines) > 1000
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-m", "tests.simulation", str(seed)]
        printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        assert f"trace {world.digest[:16]}" in printed


def test_a_violation_prints_how_to_replay_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(world: World) -> None:
        raise Violation("planted")

    monkeypatch.setattr(World, "run", broken)
    with pytest.raises(pytest.fail.Exception, match=r"planted\nreplay: python -m tests\.simulation 5 "):
        _run(5)
