"""Was it too long? Time in which the tool itself stood still decides nothing.

Why it exists: a limit that is only passed because nobody watched is no outage of the cluster, and may hide none. It
must not know what was waited for.
"""

from chaos.checks.verdict import Evidence, Outcome
from chaos.checks.words import seconds


def paused_us(evidence: Evidence, from_us: int, to_us: int) -> int:
    """How long the tool stood still between these moments."""
    return sum(max(0, min(to_us, pause.to_us) - max(from_us, pause.from_us)) for pause in evidence.pauses)


def within(evidence: Evidence, from_us: int, to_us: int, limit_us: int) -> Outcome:
    """ "pass": it took no longer than the limit; "fail": longer, even without the pauses; "unknown": only with them."""
    took_us = to_us - from_us
    if took_us <= limit_us:
        return "pass"
    return "fail" if took_us - paused_us(evidence, from_us, to_us) > limit_us else "unknown"


def of_which_paused(evidence: Evidence, from_us: int, to_us: int) -> str:
    """The end of a sentence about that time; empty: the tool watched all of it."""
    paused = paused_us(evidence, from_us, to_us)
    return f", of which this tool itself stood still for {seconds(paused)}" if paused else ""
