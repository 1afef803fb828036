"""All checks over one evidence, and the exit code that they add up to.

Why it exists: a run, and a kept run that is judged again, must come to the same verdicts. A check that breaks says
"unknown": it must neither lose the run nor pass for a good one.
"""

from collections.abc import Callable, Sequence

from chaos.checks.aim import AIM, kills, the_leader_was_hit
from chaos.checks.logs import LOGS, logs_agree
from chaos.checks.minority import MINORITY, minorities, minority_acknowledges_nothing
from chaos.checks.recovery import (
    ENOUGH,
    GAP,
    RECOVERED,
    enough_writes,
    longest_write_gap,
    recovered_in_time,
)
from chaos.checks.register import STALE, SURVIVE, acknowledged_writes_survive, no_stale_read
from chaos.checks.revisions import REVISIONS, revisions_in_order
from chaos.checks.terms import (
    COMMIT,
    ONE_LEADER,
    TERMS,
    commit_never_goes_back,
    one_leader_a_term,
    terms_never_go_back,
)
from chaos.checks.verdict import Evidence, Group, Verdict
from chaos.checks.writing import BACK, writes_come_back
from chaos.errors import NOT_EFFECTIVE, NOT_RECOVERED, PASSED, UNSAFE

Check = Callable[[Evidence], Verdict]

SAFETY: dict[str, Check] = {
    ONE_LEADER: one_leader_a_term,
    TERMS: terms_never_go_back,
    COMMIT: commit_never_goes_back,
    LOGS: logs_agree,
    SURVIVE: acknowledged_writes_survive,
    STALE: no_stale_read,
    REVISIONS: revisions_in_order,
}
_CODES: dict[Group, int] = {"safety": UNSAFE, "recovery": NOT_RECOVERED, "effect": NOT_EFFECTIVE}


def judge(evidence: Evidence, gap_limit_us: int | None = None) -> tuple[Verdict, ...]:
    """Every check that applies: the one about minorities only where nodes were cut off from every majority, the one
    about the leader only where one was killed or paused."""
    verdicts = [_safely(name, "safety", check, evidence) for name, check in SAFETY.items()]
    if minorities(evidence):
        verdicts.append(_safely(MINORITY, "safety", minority_acknowledges_nothing, evidence))
    if evidence.faults:
        verdicts.append(_safely(RECOVERED, "recovery", recovered_in_time, evidence))
        verdicts.append(_safely(BACK, "recovery", writes_come_back, evidence))
    verdicts.append(_safely(GAP, "recovery", lambda given: longest_write_gap(given, gap_limit_us), evidence))
    verdicts.append(_safely(ENOUGH, "effect", enough_writes, evidence))
    if kills(evidence):
        verdicts.append(_safely(AIM, "effect", the_leader_was_hit, evidence))
    return tuple(verdicts)


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """A violated promise weighs most, then a cluster that did not recover, then a run that proves nothing: one
    without enough writes, or with a check that lacked what it needs."""
    failed = [_CODES[verdict.group] for verdict in verdicts if verdict.outcome == "fail"]
    if failed:
        return min(failed)
    return NOT_EFFECTIVE if any(verdict.outcome == "unknown" for verdict in verdicts) else PASSED


def _safely(name: str, group: Group, check: Check, evidence: Evidence) -> Verdict:
    try:
        return check(evidence)
    except Exception as error:
        return Verdict(name, group, "unknown", f"This check broke ({type(error).__name__}: {error}): please report it.")
