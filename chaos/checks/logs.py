"""Equal places in the logs hold equal entries.

Why it exists: this is what Raft is for (figure 3: log matching, state machine safety), seen without any client. It
looks at committed entries alone, so no two nodes may differ anywhere.
"""

from collections.abc import Mapping
from itertools import pairwise

from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.words import proof
from chaos.model import LogLine

LOGS = "logs-agree"


def logs_agree(evidence: Evidence) -> Verdict:
    """Two nodes that have committed an index have the same entry there; within a log terms never fall."""
    sentences, lines = _falling_terms(evidence.logs)
    first: dict[int, tuple[str, LogLine]] = {}
    compared: set[str] = set()
    for node, log in sorted(evidence.logs.items()):
        for line in log:
            other, theirs = first.setdefault(line.index, (node, line))
            compared |= {node, other} if other != node else set()
            if (line.term, line.checksum) != (theirs.term, theirs.checksum):
                kind = "another entry of the same term" if line.term == theirs.term else f"an entry of term {line.term}"
                sentences.append(
                    f"{node} has {kind} committed at index {line.index} where {other} has one of term {theirs.term}"
                )
                lines += [_told(other, theirs), _told(node, line)]
    if sentences:
        more = f" ({len(sentences)} differences in all)" if len(sentences) > 1 else ""
        return Verdict(LOGS, "safety", "fail", f"{sentences[0]}{more}.", proof(lines))
    missing = sorted(set(evidence.voters) - compared)
    if missing or not compared:
        which = f"the log of {', '.join(missing)} could not be compared" if missing else "no two logs could be compared"
        return Verdict(LOGS, "safety", "unknown", f"Whether the logs agree is unknown: {which}.")
    said = f"The logs of {len(compared)} nodes agree in all {len(first)} entries."
    return Verdict(LOGS, "safety", "pass", said)


def _falling_terms(logs: Mapping[str, tuple[LogLine, ...]]) -> tuple[list[str], list[str]]:
    sentences: list[str] = []
    lines: list[str] = []
    for node, log in sorted(logs.items()):
        for before, line in pairwise(log):
            if line.term < before.term:
                sentences.append(
                    f"The log of {node} falls from term {before.term} to {line.term} at index {line.index}"
                )
                lines += [_told(node, before), _told(node, line)]
    return sentences, lines


def _told(node: str, line: LogLine) -> str:
    return f"{node}: index {line.index}, term {line.term}, checksum {line.checksum}"
