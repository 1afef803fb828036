"""What outcomes, checks and roles are called for people.

Why it exists: the first line of a report must say what a run means to somebody who never heard of exit codes. It must
not decide an outcome.
"""

from chaos import errors
from chaos.evidence.record import RunRecord
from chaos.report.scales import count, lasting

OUTCOMES: dict[int, tuple[str, str, str]] = {
    errors.PASSED: ("Passed", "good", "the cluster kept every promise that was checked, and recovered in time."),
    errors.UNSAFE: ("Unsafe", "bad", "a promise was broken."),
    errors.NOT_RECOVERED: (
        "Not recovered",
        "bad",
        "no broken promise was seen, but the cluster was not whole in time.",
    ),
    errors.NOT_EFFECTIVE: ("Proves nothing", "warn", "the fault did not do what it says, or too little was recorded."),
    errors.REFUSED: ("Refused", "warn", "a guard said no before anything was broken."),
    errors.USAGE: ("Wrong usage", "warn", "the command could not be meant."),
    errors.TOOL_FAILED: ("Tool failed", "warn", "the tool itself failed, so the run proves nothing."),
    errors.INTERRUPTED: ("Interrupted", "warn", "the run was ended early, and what had been done was undone."),
}
"""By exit code: a word, how it looks, and what it means."""

CHECKS: dict[str, str] = {
    "one-leader-a-term": "Split brain: at most one leader per term",
    "terms-never-go-back": "Terms never go back",
    "commit-never-goes-back": "Lost entries: what is committed stays committed",
    "logs-agree": "Diverging logs: all logs agree",
    "acknowledged-writes-survive": "Lost writes: every acknowledged write is still there",
    "no-stale-read": "Stale reads, linearizability: no read saw the past",
    "revisions-in-order": "Linearizability across keys: revisions rise in the order of the writes",
    "minority-acknowledges-nothing": "Split brain: a minority acknowledged nothing",
    "recovered-in-time": "Recovery time: the cluster was whole in time",
    "writes-come-back": "Availability: writes came back through every node",
    "longest-write-gap": "Downtime: the longest time without a write",
    "enough-writes": "Enough writes to tell",
    "the-leader-was-hit": "Whoever was killed or paused led until then",
}
"""By check, what people search for and what was promised."""
ROLES: dict[str, tuple[str, str]] = {
    "leader": ("leader", "leads its term"),
    "follower": ("follower", "follows a leader, or waits to hear one"),
    "learner": ("learner", "gets the log, has no vote and counts nowhere"),
    "pre-candidate": ("pre-candidate", "asks whether it could win, in no new term yet"),
    "candidate": ("candidate", "stands for election in a term of its own"),
    "initial": ("waiting", "has no vote and waits, for birth or because its disk was lost"),
}
"""By role, what people call it and what it means: made by `make generated`, the same as on the dashboard."""
GROUPS = {"safety": "Safety", "recovery": "Recovery", "effect": "Worth of the run"}
MARKS = {
    "pass": ("✓", "passed"),
    "fail": ("✗", "failed"),
    "unknown": ("?", "unknown"),
    "not-applicable": ("–", "not applicable"),
}


def outcome(record: RunRecord) -> tuple[str, str, str]:
    """Word, look and meaning of how the run ended."""
    return OUTCOMES.get(record.exit_code, (f"Exit code {record.exit_code}", "warn", "this page does not know it."))


def role(name: str) -> str:
    """A role in words; empty: it did not answer. Its name where a newer node has more roles."""
    return ROLES.get(name, (name, ""))[0] if name else "no answer"


def check(name: str) -> str:
    """A check in words; its name where a newer tool knows more checks."""
    return CHECKS.get(name, name)


def proved(record: RunRecord) -> str:
    """How many checks passed, and on how much."""
    passed = sum(verdict.outcome == "pass" for verdict in record.verdicts)
    figures = record.figures
    if not record.verdicts:
        return "Nothing was checked."
    gap = (
        f" The longest time without an acknowledged write was {lasting(figures.longest_gap_us)}."
        if figures.longest_gap_us is not None
        else ""
    )
    writes = f"{count(figures.acknowledged_writes)} acknowledged writes and {count(figures.good_reads)} reads"
    applied = sum(verdict.outcome != "not-applicable" for verdict in record.verdicts)
    return f"{passed} of {applied} checks passed on {writes}.{gap}"
