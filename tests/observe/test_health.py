"""Liveness never asks for a quorum; readiness does."""

from node.observe.health import LIVE_LOOP_AGE_US_MAX, READY_LAG_ENTRIES_MAX, livez, readyz
from node.raft.types import Role
from tests.observe.status import core_status


def test_a_process_is_alive_while_its_loop_runs_and_nothing_fatal_happened() -> None:
    assert livez(0).ok
    assert livez(LIVE_LOOP_AGE_US_MAX).ok
    assert not livez(LIVE_LOOP_AGE_US_MAX + 1).ok
    assert "disk" in livez(0, "the disk is full").reason


def test_a_node_is_ready_when_a_leader_is_known_and_it_has_caught_up() -> None:
    assert readyz(core_status()).ok
    assert readyz(core_status(role=Role.FOLLOWER, leader="n2")).ok
    assert not readyz(core_status(role=Role.FOLLOWER, leader="")).ok
    assert not readyz(core_status(role=Role.INITIAL)).ok
    assert readyz(core_status(commit=9 + READY_LAG_ENTRIES_MAX)).ok
    assert not readyz(core_status(commit=10 + READY_LAG_ENTRIES_MAX)).ok
