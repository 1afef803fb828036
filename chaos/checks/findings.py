"""Contradictions between requests of clients, and the verdict that they make.

Why it exists: several checks name requests that contradict each other, and tell them the same way. It must not judge.
"""

from collections.abc import Iterable

import msgspec

from chaos.checks.verdict import Verdict
from chaos.checks.words import of_op, proof
from chaos.workload.history import Op


class Finding(msgspec.Struct, frozen=True):
    """A contradiction: what it is, and the requests that make it."""

    sentence: str
    ops: tuple[Op, ...]


def failed(check: str, findings: Iterable[Finding]) -> Verdict:
    """A broken promise, by the earliest of them."""
    findings = sorted(findings, key=lambda found: max((op.sent_us for op in found.ops[:2]), default=0))
    more = f" ({len(findings)} such findings in all)" if len(findings) > 1 else ""
    lines = [line for found in findings for line in (found.sentence + ":", *map(of_op, found.ops))]
    return Verdict(check, "safety", "fail", f"{findings[0].sentence}{more}.", proof(lines))
