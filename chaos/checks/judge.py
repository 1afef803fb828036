"""All checks over one evidence, and the exit code that they add up to.

Why it exists: a run, and a kept run that is judged again, must come to the same verdicts. A check that breaks says
"unknown": it must neither lose the run nor pass for a good one.
"""

from collections.abc import Callable, Sequence

import msgspec

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
from chaos.checks.register import STALE, no_stale_read
from chaos.checks.revisions import REVISIONS, revisions_in_order
from chaos.checks.survival import SURVIVE, acknowledged_writes_survive
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

CLUSTER: dict[str, Check] = {
    ONE_LEADER: one_leader_a_term,
    TERMS: terms_never_go_back,
    COMMIT: commit_never_goes_back,
    LOGS: logs_agree,
}
"""What is promised of the nodes, whatever clients do."""
WORKLOADS: dict[str, dict[str, Check]] = {
    "registers": {
        SURVIVE: acknowledged_writes_survive,
        STALE: no_stale_read,
        REVISIONS: revisions_in_order,
    },
}
"""What is promised to clients, by what they did (workload/port.py)."""
NEEDS = {
    ONE_LEADER: "events",
    TERMS: "events",
    LOGS: "log",
    REVISIONS: "revisions",
    MINORITY: "contact-ages",
    AIM: "events",
}
"""What a check cannot do without, of what not every system shows (systems/port.py)."""
_LACKS = {
    "events": "tells of no elections and votes",
    "log": "shows nobody what its nodes have committed",
    "revisions": "names no revisions",
    "contact-ages": "does not show who hears from whom",
}
_CODES: dict[Group, int] = {"safety": UNSAFE, "recovery": NOT_RECOVERED, "effect": NOT_EFFECTIVE}


def judge(evidence: Evidence, gap_limit_us: int | None = None) -> tuple[Verdict, ...]:
    """Every check that applies: the one about minorities only where nodes were cut off from every majority, the one
    about the leader only where one was killed or paused. One that this system cannot feed is told as not applicable."""
    checks = CLUSTER | WORKLOADS.get(evidence.workload, {evidence.workload: _nobody_knows})
    verdicts = [_safely(name, "safety", check, evidence) for name, check in checks.items()]
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


def _nobody_knows(evidence: Evidence) -> Verdict:
    said = f"What clients did ({evidence.workload}) is not known to this raft-chaos: judge it by a newer one."
    return Verdict(evidence.workload, "safety", "unknown", said)


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """A violated promise weighs most, then a cluster that did not recover, then a run that proves nothing: one
    without enough writes, or with a check that lacked what it needs. What is not applicable weighs nothing."""
    failed = [_CODES[verdict.group] for verdict in verdicts if verdict.outcome == "fail"]
    if failed:
        return min(failed)
    return NOT_EFFECTIVE if any(verdict.outcome == "unknown" for verdict in verdicts) else PASSED


def _safely(name: str, group: Group, check: Check, evidence: Evidence) -> Verdict:
    try:
        return _applied(check(evidence), evidence)
    except Exception as error:
        return Verdict(name, group, "unknown", f"This check broke ({type(error).__name__}: {error}): please report it.")


def _applied(verdict: Verdict, evidence: Evidence) -> Verdict:
    """What was found stays found (but where a leak of a cut could not be told from a lie); without what the check needs
    nothing else can be said."""
    need = NEEDS.get(verdict.check, "")
    if need not in evidence.lacks or (verdict.outcome == "fail" and need != "contact-ages"):
        return verdict
    said = f"Not applicable: {evidence.system} {_LACKS[need]}."
    return msgspec.structs.replace(verdict, outcome="not-applicable", sentence=said, proof=())
