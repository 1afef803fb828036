"""`raft-node simulate`: one world, told to people and to programs, and its trace."""

import json
from pathlib import Path

import pytest

from node.cli.simulate import Kind
from node.simulation.invariants import Violation
from node.simulation.playing import KINDS
from node.simulation.world import World
from tests.cli.conftest import raft_node


def test_a_world_is_told_in_tables_and_its_trace_is_written(tmp_path: Path) -> None:
    trace = tmp_path / "trace.txt"
    ran = raft_node("simulate", "--seed", "7", "--trace", str(trace))
    assert (ran.code, ran.err) == (0, "")
    told = ran.out.decode()
    assert told.startswith("world 7: ")
    assert "what was done to it" in told
    assert told.endswith(
        "Every invariant held after every step, and every client was served once it was left in peace.\n"
    )
    assert trace.read_bytes().count(b"\n") > 1_000
    again = json.loads(raft_node("simulate", "--seed", "7", "--json").out)
    assert again["lines"] == trace.read_bytes().count(b"\n")
    assert again["digest"][:16] in told


def test_every_kind_of_world_can_be_named() -> None:
    assert {kind.value for kind in Kind} == set(KINDS)


def test_a_violation_is_exit_code_1_and_says_what_did_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(world: World) -> None:
        world.scheduler.run_until(1_500_000)
        raise Violation("n1 and n2 both lead term 3")

    monkeypatch.setattr(World, "run", broken)
    ran = raft_node("simulate", "--seed", "7")
    assert ran.code == 1
    assert "VIOLATED after 1.500 s: Violation: n1 and n2 both lead term 3" in ran.out.decode()


def test_a_trace_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    ran = raft_node("simulate", "--seed", "7", "--trace", str(tmp_path / "no" / "trace.txt"))
    assert ran.code == 1
    assert ran.err.startswith("raft-node: The trace cannot be written to ")
    assert ran.err.count("\n") == 1
