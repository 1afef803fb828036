"""The store's own order agrees with what clients saw: one revision for each write, and none against real time.

Why it exists: a store that names revisions says in which order everything happened, across all keys. A revision that is
given twice, or that falls although one write was done before the other was sent, is a lie that no single key shows. It
must not judge what a key holds: see register.py.
"""

from collections.abc import Iterable

import msgspec

from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.words import of_op, proof, seconds, short
from chaos.workload.history import Op

REVISIONS = "revisions-in-order"

NAMED_SHARE_MIN = 0.5
"""Of the acknowledged writes, so many must have been told with a revision: with fewer this says little."""


class Written(msgspec.Struct):
    """One write whose revision was told, by its acknowledgement or by who read it. `sent_us`: of the write itself;
    `done_us`: when the first request was over that showed it in place."""

    key: str
    value: int
    revision: int
    sent_us: int
    done_us: int
    said: Op


def revisions_in_order(evidence: Evidence) -> Verdict:
    """Whoever tells of a write names the same revision for it; no two writes have the same; and a write that was sent
    after another was done has a higher one."""
    sentences: list[str] = []
    lines: list[str] = []
    written: dict[tuple[str, int], Written] = {}
    writes = {(op.key, op.value): op for op in evidence.history if op.kind == "write"}
    for op in evidence.history:
        if op.outcome != "ok" or not op.revision or op.value is None:
            continue
        write = writes.get((op.key, op.value))
        if write is None:
            continue  # nobody wrote it: another check says so
        found = written.setdefault(
            (op.key, op.value), Written(op.key, op.value, op.revision, write.sent_us, op.done_us, op)
        )
        found.done_us = min(found.done_us, op.done_us)
        if found.revision != op.revision:
            sentences.append(
                f"{short(op.key)} = {op.value} has revision {found.revision} by {found.said.via} and revision "
                f"{op.revision} by {op.via}"
            )
            lines += [of_op(found.said), of_op(op)]
    for found, other, why in _disorder(written.values()):
        sentences.append(why)
        lines += [of_op(found.said), of_op(other.said)]
    if sentences:
        more = f" ({len(sentences)} such findings in all)" if len(sentences) > 1 else ""
        return Verdict(REVISIONS, "safety", "fail", f"{sentences[0]}{more}.", proof(lines))
    acknowledged = [op for op in evidence.history if op.kind == "write" and op.outcome == "ok"]
    named = sum(bool(op.revision) for op in acknowledged)
    if not named or named < NAMED_SHARE_MIN * len(acknowledged):
        said = f"{named} of {len(acknowledged)} acknowledged writes were told with a revision"
        return Verdict(REVISIONS, "safety", "unknown", f"Whether revisions are in order is unknown: {said}.")
    said = f"The revisions of {len(written)} writes are all different, and in the order in which they were made."
    return Verdict(REVISIONS, "safety", "pass", said)


def _disorder(written: Iterable[Written]) -> Iterable[tuple[Written, Written, str]]:
    """By rising revision, beside the write that was sent last of all that are lower: that one must not have been sent
    after this one was done."""
    before: Written | None = None
    latest: Written | None = None
    for now in sorted(written, key=lambda each: each.revision):
        if before is not None and before.revision == now.revision:
            yield before, now, f"{_named(before)} and {_named(now)} were both given revision {now.revision}"
        elif latest is not None and now.done_us < latest.sent_us:
            yield (
                now,
                latest,
                f"{_named(latest)}, sent at {seconds(latest.sent_us)}, has revision {latest.revision}, although "
                f"{_named(now)} was done at {seconds(now.done_us)} with revision {now.revision}",
            )
        if latest is None or now.sent_us > latest.sent_us:
            latest = now
        before = now


def _named(written: Written) -> str:
    return f"{short(written.key)} = {written.value}"
