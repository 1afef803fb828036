"""Whether a process should be restarted (livez) and whether it should get traffic (readyz): two questions.

Why it exists: a node that lost its quorum must not be killed for it, so liveness looks at the driver's loop alone;
a node that leads nobody and follows nobody must get no traffic, so readiness looks at the algorithm. Pure functions.
"""

import msgspec

from node.raft.status import CoreStatus
from node.raft.types import Role

LIVE_LOOP_AGE_US_MAX = 10_000_000
"""The driver's loop ran within this time. Far above any pause that a busy machine makes."""

READY_LAG_ENTRIES_MAX = 1000
"""Entries that may be committed and not yet applied while the node is called ready."""


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


def readyz(core: CoreStatus) -> Verdict:
    """Judge whether requests sent here can be served."""
    if core.role is Role.INITIAL:
        return Verdict(False, f"the node belongs to no cluster yet: {core.waiting_for or 'waiting for birth'}")
    if not core.leader:
        return Verdict(False, "no leader is known")
    lag = core.commit - core.applied
    if lag > READY_LAG_ENTRIES_MAX:
        return Verdict(False, f"{lag} committed entries are not applied yet, more than {READY_LAG_ENTRIES_MAX}")
    return Verdict(True, f"{core.leader} leads and everything but {max(0, lag)} entries is applied")
