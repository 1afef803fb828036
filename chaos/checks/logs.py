"""Equal places in the logs hold equal entries.

Why it exists: this is what Raft is for (figure 3: log matching, state machine safety), seen without any client. It
looks at committed entries alone, so no two nodes may differ anywhere.
"""

from collections.abc import Mapping
from itertools import pairwise

from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.words import proof
from chaos.model import LogLine
from chaos.workload.history import columns_of

LOGS = "logs-agree"

SHARED_SHARE_MIN = 0.1
"""Of all entries that the logs hold, at least so many must be in two of them."""


def logs_agree(evidence: Evidence) -> Verdict:
    """Two nodes that have committed an index have the same entry there; within a log no index is left out, and terms
    never fall. No log may end before what its node showed as committed, or it was not read whole."""
    sentences, lines = _unsound(evidence.logs)
    first: dict[int, tuple[str, LogLine]] = {}
    shared: set[int] = set()
    compared: set[str] = set()
    for node, log in sorted(evidence.logs.items()):
        others: set[str] = set()
        for line in log:
            if line.index not in first:
                first[line.index] = node, line
                continue
            other, theirs = first[line.index]
            if other != node:
                shared.add(line.index)
                others.add(other)
            if (line.term, line.checksum) != (theirs.term, theirs.checksum):
                kind = "another entry of the same term" if line.term == theirs.term else f"an entry of term {line.term}"
                sentences.append(
                    f"{node} has {kind} committed at index {line.index} where {other} has one of term {theirs.term}"
                )
                lines += [_told(other, theirs), _told(node, line)]
        compared |= {node, *others} if others else others
    if sentences:
        more = f" ({len(sentences)} differences in all)" if len(sentences) > 1 else ""
        return Verdict(LOGS, "safety", "fail", f"{sentences[0]}{more}.", proof(lines))
    missing = sorted(set(evidence.voters) - compared)
    if missing or not compared:
        which = f"the log of {', '.join(missing)} could not be compared" if missing else "no two logs could be compared"
        return Verdict(LOGS, "safety", "unknown", f"Whether the logs agree is unknown: {which}.")
    short = _short(evidence)
    if short:
        return Verdict(LOGS, "safety", "unknown", f"Whether the logs agree is unknown: {short}.")
    if len(shared) < SHARED_SHARE_MIN * len(first):
        said = f"only {len(shared)} of {len(first)} entries are in the logs of two nodes"
        return Verdict(LOGS, "safety", "unknown", f"Whether the logs agree is unknown: {said}.")
    alone = len(first) - len(shared)
    apart = f"; {alone} {'is' if alone == 1 else 'are'} in the log of one node alone" if alone else ""
    both = " that two or more of them have" if alone else ""
    said = f"The logs of {len(compared)} nodes agree in all {len(shared)} entries{both}{apart}."
    return Verdict(LOGS, "safety", "pass", said)


def _short(evidence: Evidence) -> str:
    """Whose log ends before what its node, with the disk that it had last, showed as committed before the logs were
    read: a clause; empty: nobody's."""
    if "raft-log" in evidence.lacks:
        return ""  # what stands in for it has another count, and is read to its end or not at all
    clients_ended_us = columns_of(evidence.history).last_sent_us("write") or 0
    views = sorted((v for v in evidence.views if v.answered_us <= clients_ended_us), key=lambda view: view.asked_us)
    disk = {view.name: view.incarnation for view in views}
    for node, log in sorted(evidence.logs.items()):
        shown = max((v.commit for v in views if v.name == node and v.incarnation == disk[node]), default=0)
        if log and log[-1].index < shown:
            return f"the log of {node} was read to index {log[-1].index}, and it had shown {shown} as committed"
    return ""


def _unsound(logs: Mapping[str, tuple[LogLine, ...]]) -> tuple[list[str], list[str]]:
    """What contradicts itself within one log."""
    sentences: list[str] = []
    lines: list[str] = []
    for node, log in sorted(logs.items()):
        for before, line in pairwise(log):
            if line.index != before.index + 1:
                sentences.append(f"The log of {node} goes from index {before.index} to {line.index}")
            elif line.term < before.term:
                sentences.append(
                    f"The log of {node} falls from term {before.term} to {line.term} at index {line.index}"
                )
            else:
                continue
            lines += [_told(node, before), _told(node, line)]
    return sentences, lines


def _told(node: str, line: LogLine) -> str:
    return f"{node}: index {line.index}, term {line.term}, checksum {line.checksum}"
