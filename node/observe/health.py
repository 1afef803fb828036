"""Whether a process should be restarted (livez) and whether it should get traffic (readyz): two questions.

Why it exists: a node that lost its quorum must not be killed for it, so liveness looks at the driver's loop alone;
a node that leads nobody and follows nobody must get no traffic, so readiness looks at the algorithm. Pure functions.
"""

import msgspec

from node.raft.status import CoreStatus
from node.raft.types import Role

LIVE_LOOP_AGE_US_MAX = 60_000_000
"""The driver's loop ran within this time. A node that was paused for so long (a frozen container, a machine that
swaps, a disk that hangs) does no harm and goes on by itself; to kill it would add an election and a restart to what
is wrong already. A probe has its own budget on top: this limit only says when the process itself is beyond hope."""

READY_LEADERLESS_TIMEOUTS = 3
"""A node that was ready stays so for this many election timeouts without a leader: elections take one or two, and a
failover must not take every node out of service at once."""

READY_LAG_ENTRIES_MAX = 1000
"""Entries that may be committed and not yet applied while the node is called ready."""

READY_DISK_SILENT_US_MAX = 3_000_000
"""How long the oldest write may wait for this node's disk while the node is called ready. Slow disks take a second now
and then; one that takes longer serves nobody, and its node holds up whoever sends it requests."""


class Verdict(msgspec.Struct, frozen=True):
    """`reason`: one sentence for people."""

    ok: bool
    reason: str


def livez(loop_age_us: int, fatal: str = "") -> Verdict:
    """Judge the process itself; quorum plays no part."""
    if fatal:
        return Verdict(False, f"the node is about to stop: {fatal}")
    if loop_age_us > LIVE_LOOP_AGE_US_MAX:
        limit_ms = LIVE_LOOP_AGE_US_MAX // 1000
        return Verdict(False, f"the driver's loop last ran {loop_age_us // 1000} ms ago, more than {limit_ms} ms")
    return Verdict(True, "the driver's loop runs")


def startupz(fatal: str = "") -> Verdict:
    """Judge whether the start is over. Whoever can ask has the answer: the ports are bound after the log was read."""
    if fatal:
        return Verdict(False, f"the node is about to stop: {fatal}")
    return Verdict(True, "the log was read and the ports are bound")


def readyz(
    core: CoreStatus,
    *,
    caught_up: bool,
    leaderless_us: int | None,
    election_timeout_us: int,
    leaving: bool = False,
    disk_silent_us: int | None = None,
) -> Verdict:
    """Judge whether requests sent here can be served.

    `caught_up`: once since the start, everything that was committed then was applied. `leaderless_us`: microseconds
    since a leader was last known, 0 while one is, None where none ever was. `election_timeout_us`: the longest.
    `disk_silent_us`: how long the oldest write has been waiting for this node's disk, None where none waits.
    """
    if leaving:
        return Verdict(False, "leaving: the node was asked to stop")
    if core.role is Role.INITIAL:
        return Verdict(False, f"the node belongs to no cluster yet: {core.waiting_for or 'waiting for birth'}")
    if core.removed:
        return Verdict(False, core.waiting_for)
    if (core.name, core.incarnation) in {(learner.name, learner.incarnation) for learner in core.learners}:
        return Verdict(False, "it is a learner, and has no vote yet")  # a rollout must not take the next voter before
    if leaderless_us is None:
        return Verdict(False, "no leader is known")
    limit_us = READY_LEADERLESS_TIMEOUTS * election_timeout_us
    if leaderless_us > limit_us:
        return Verdict(False, f"no leader is known for {leaderless_us // 1000} ms, longer than {limit_us // 1000} ms")
    if disk_silent_us is not None and disk_silent_us > READY_DISK_SILENT_US_MAX:
        silent_ms, limit_ms = disk_silent_us // 1000, READY_DISK_SILENT_US_MAX // 1000
        return Verdict(False, f"the disk of this node has not answered for {silent_ms} ms, longer than {limit_ms} ms")
    if not caught_up:
        return Verdict(False, "what was committed when the node started is not applied yet")
    lag = core.commit - core.applied
    if lag > READY_LAG_ENTRIES_MAX:
        return Verdict(False, f"{lag} committed entries are not applied yet, more than {READY_LAG_ENTRIES_MAX}")
    if not core.leader:
        return Verdict(True, f"no leader is known for {leaderless_us // 1000} ms: an election may be under way")
    applied = f"everything but {lag} entries" if lag > 0 else "everything"
    return Verdict(True, f"{core.leader} leads and {applied} is applied")
