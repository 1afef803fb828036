"""The store's own order agrees with what clients saw: one revision for each write, and none against real time.

Why it exists: a store that names revisions says in which order everything happened, across all keys. A revision that is
given twice, or that falls although one write was done before the other was sent, is a lie that no single key shows. It
must not judge what a key holds: see register.py.
"""

from array import array
from collections.abc import Iterator, Sequence

from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.words import PROOF_LINES_MAX, of_op, proof, seconds, short
from chaos.workload.history import Op, by_key

REVISIONS = "revisions-in-order"

NAMED_SHARE_MIN = 0.5
"""Of the acknowledged writes, so many must have been told with a revision: with fewer this says little."""


class _Written:
    """Every write whose revision was told, by its acknowledgement or by who read it, as columns: a long run has half a
    million. `sent_us`: of the write itself; `done_us`: when the first request was over that showed it in place."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.revision, self.value = array("q"), array("q")
        self.sent_us, self.done_us = array("q"), array("q")

    def add(self, op: Op, sent_us: int) -> int:
        """Told by `op` first of all; its place."""
        self.keys.append(op.key)
        for column, number in (
            (self.revision, op.revision),
            (self.value, op.value or 0),
            (self.sent_us, sent_us),
            (self.done_us, op.done_us),
        ):
            column.append(number)
        return len(self.keys) - 1

    def named(self, place: int) -> str:
        return f"{short(self.keys[place])} = {self.value[place]}"


def revisions_in_order(evidence: Evidence) -> Verdict:
    """Whoever tells of a write names the same revision for it; no two writes have the same; and a write that was sent
    after another was done has a higher one."""
    written, sentences, wanted = _Written(), list[str](), list[tuple[str, int]]()
    acknowledged = named = 0
    for key, ops in by_key(evidence.history):
        sent_us = {op.value: op.sent_us for op in ops if op.kind == "write"}
        found: dict[int, int] = {}
        for op in ops:
            good = op.outcome == "ok"
            acknowledged += good and op.kind == "write"
            named += good and op.kind == "write" and bool(op.revision)
            if not good or not op.revision or op.value is None or op.value not in sent_us:
                continue  # what nobody wrote another check names
            place = found.get(op.value)
            if place is None:
                found[op.value] = place = written.add(op, sent_us[op.value])
            if written.revision[place] != op.revision:
                first = next(one for one in ops if (one.value, one.revision) == (op.value, written.revision[place]))
                said = f"has revision {first.revision} by {first.via} and revision {op.revision} by {op.via}"
                sentences.append(f"{short(key)} = {op.value} {said}")
                wanted.append((key, op.value))
    for before, now, why in _disorder(written):
        sentences.append(why)
        wanted += [(written.keys[place], written.value[place]) for place in (before, now)]
    if sentences:
        more = f" ({len(sentences)} such findings in all)" if len(sentences) > 1 else ""
        return Verdict(REVISIONS, "safety", "fail", f"{sentences[0]}{more}.", _proof(evidence.history, wanted))
    if not named or named < NAMED_SHARE_MIN * acknowledged:
        said = f"{named} of {acknowledged} acknowledged writes were told with a revision"
        return Verdict(REVISIONS, "safety", "unknown", f"Whether revisions are in order is unknown: {said}.")
    said = f"The revisions of {len(written.keys)} writes are all different, and in the order in which they were made."
    return Verdict(REVISIONS, "safety", "pass", said)


def _disorder(written: _Written) -> Iterator[tuple[int, int, str]]:
    """By rising revision, beside the write that was sent last of all that are lower: that one must not have been sent
    after this one was done."""
    before = latest = None
    revision, sent_us, done_us = written.revision, written.sent_us, written.done_us
    for now in sorted(range(len(revision)), key=revision.__getitem__):
        if before is not None and revision[before] == revision[now]:
            both = f"{written.named(before)} and {written.named(now)}"
            yield before, now, f"{both} were both given revision {revision[now]}"
        elif latest is not None and done_us[now] < sent_us[latest]:
            yield (
                now,
                latest,
                f"{written.named(latest)}, sent at {seconds(sent_us[latest])}, has revision {revision[latest]}, "
                f"although {written.named(now)} was done at {seconds(done_us[now])} with revision {revision[now]}",
            )
        if latest is None or sent_us[now] > sent_us[latest]:
            latest = now
        before = now


def _proof(history: Sequence[Op], wanted: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """Who told of these writes with a revision, write by write."""
    told: dict[tuple[str, int | None], list[str]] = {one: [] for one in wanted[:PROOF_LINES_MAX]}
    for op in history:
        if op.outcome == "ok" and op.revision and (op.key, op.value) in told:
            told[op.key, op.value].append(of_op(op))
    return proof([line for one in dict.fromkeys(wanted[:PROOF_LINES_MAX]) for line in told[one]])
