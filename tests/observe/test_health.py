"""Liveness never asks for a quorum; readiness does."""

from node.observe.health import (
    LIVE_LOOP_AGE_US_MAX,
    READY_DISK_SILENT_US_MAX,
    READY_LAG_ENTRIES_MAX,
    READY_LEADERLESS_TIMEOUTS,
    Verdict,
    livez,
    readyz,
    startupz,
)
from node.raft.status import CoreStatus
from node.raft.types import Member, Role
from tests.observe.status import core_status


def test_a_process_is_alive_while_its_loop_runs_and_nothing_fatal_happened() -> None:
    assert livez(0).ok
    assert livez(LIVE_LOOP_AGE_US_MAX).ok
    assert not livez(LIVE_LOOP_AGE_US_MAX + 1).ok
    assert "disk" in livez(0, "the disk is full").reason


def test_a_process_that_stood_still_for_a_minute_is_not_killed_for_it() -> None:
    assert livez(60_000_000).ok


def test_whoever_can_ask_hears_that_the_start_is_over_unless_the_node_must_stop() -> None:
    assert startupz().ok
    assert not startupz("the disk is full").ok


def test_a_learner_is_not_ready_so_that_a_rollout_waits_for_its_vote() -> None:
    own = Member(core_status().name, core_status().incarnation)
    assert "has no vote yet" in ready(core_status(role=Role.FOLLOWER, leader="n2", learners=(own,))).reason
    assert ready(core_status(role=Role.FOLLOWER, leader="n2", learners=(Member("n9", "d"), Member(own.name, "d")))).ok


TIMEOUT_US = 300_000
AT_LAST_US = READY_LEADERLESS_TIMEOUTS * TIMEOUT_US
FOLLOWER_OF_NOBODY = core_status(role=Role.FOLLOWER, leader="")


def ready(core: CoreStatus, caught_up: bool = True, leaderless_us: int | None = 0, leaving: bool = False) -> Verdict:
    return readyz(
        core, caught_up=caught_up, leaderless_us=leaderless_us, election_timeout_us=TIMEOUT_US, leaving=leaving
    )


def test_a_node_is_ready_when_a_leader_is_known_and_it_has_caught_up() -> None:
    assert ready(core_status()).ok
    assert ready(core_status(role=Role.FOLLOWER, leader="n2")).ok
    assert not ready(core_status(), caught_up=False).ok
    assert ready(core_status(commit=9 + READY_LAG_ENTRIES_MAX)).ok
    assert not ready(core_status(commit=10 + READY_LAG_ENTRIES_MAX)).ok


def test_a_node_that_never_knew_a_leader_is_not_ready() -> None:
    assert not ready(FOLLOWER_OF_NOBODY, leaderless_us=None).ok


def test_a_failover_takes_nobody_out_of_service_before_three_election_timeouts() -> None:
    assert AT_LAST_US == 3 * TIMEOUT_US
    assert ready(FOLLOWER_OF_NOBODY, leaderless_us=AT_LAST_US).ok
    verdict = ready(FOLLOWER_OF_NOBODY, leaderless_us=AT_LAST_US + 1)
    assert (verdict.ok, verdict.reason) == (False, "no leader is known for 900 ms, longer than 900 ms")


def test_a_node_without_a_vote_and_one_that_leaves_are_not_ready() -> None:
    verdict = ready(core_status(role=Role.INITIAL, waiting_for="its disk was lost"))
    assert (verdict.ok, "its disk was lost" in verdict.reason) == (False, True)
    assert ready(core_status(), leaving=True).reason.startswith("leaving")
    assert not ready(core_status(), leaving=True).ok


def disk(silent_us: int | None) -> Verdict:
    return readyz(
        core_status(), caught_up=True, leaderless_us=0, election_timeout_us=TIMEOUT_US, disk_silent_us=silent_us
    )


def test_one_that_was_removed_is_not_ready_and_says_so() -> None:
    core = core_status(removed=True, waiting_for="it was removed")
    found = readyz(core, caught_up=True, leaderless_us=0, election_timeout_us=1)
    assert (found.ok, found.reason) == (False, "it was removed")


def test_a_node_whose_disk_does_not_answer_is_not_ready_and_says_so() -> None:
    assert disk(None).ok
    assert disk(READY_DISK_SILENT_US_MAX).ok
    silent = disk(READY_DISK_SILENT_US_MAX + 1_000_000)
    assert silent == Verdict(False, "the disk of this node has not answered for 4000 ms, longer than 3000 ms")
