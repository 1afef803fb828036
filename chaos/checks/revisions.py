"""The store's own order agrees with what clients saw: one revision for each write, and none against real time.

Why it exists: a store that names revisions says in which order everything happened, across all keys. A revision that is
given twice, or that falls although one write was done before the other was sent, is a lie that no single key shows. It
must not judge what a key holds: see register.py.
"""

from array import array
from collections.abc import Iterator, Sequence
from math import inf

from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.words import PROOF_LINES_MAX, of_op, proof, seconds, short
from chaos.workload.history import NO_VALUE, History, Part, by_key, columns_of

REVISIONS = "revisions-in-order"

NAMED_SHARE_MIN = 0.5
"""Of the acknowledged writes, so many must have been told with a revision: with fewer this says little."""


Wanted = tuple[str, int]
"""A key and a value: of a write, who told of it."""


class _Written:
    """Every write whose revision was told, by its acknowledgement or by who read it, as places in the history: a long
    run has half a million. `told`: the first request to be over that showed it in place; `sent`: the write itself."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.told, self.sent = array("I"), array("I")
        self.twice: list[tuple[int, int]] = []
        """Requests that name different revisions of one write: the first that told of it, and the other."""

    def add(self, ops: Part) -> None:
        """Those of one key."""
        value, revision = self.history.value, self.history.revision
        writes = {value[place]: place for place in ops.places("write") if value[place] != NO_VALUE}
        found: dict[int, int] = {}
        good = array("I", ops.places(outcome="ok"))
        columns = (map(column.__getitem__, good) for column in (value, revision))
        for place, held, named in zip(good, *columns, strict=True):
            if not named or held not in writes:
                continue  # what nobody wrote another check names
            if held not in found:
                found[held] = place
                self.told.append(place)
                self.sent.append(writes[held])
            elif revision[found[held]] != named:
                self.twice.append((found[held], place))

    def wanted(self, place: int) -> Wanted:
        """Of the write that this request told of."""
        return self.history.key(place), self.history.value[place]

    def named(self, place: int) -> str:
        return f"{short(self.history.key(place))} = {self.history.value[place]}"


def revisions_in_order(evidence: Evidence) -> Verdict:
    """Whoever tells of a write names the same revision for it; no two writes have the same; and a write that was sent
    after another was done has a higher one."""
    history = columns_of(evidence.history)
    written, sentences, wanted = _Written(history), list[str](), list[Wanted]()
    for ops in by_key(history).values():
        written.add(ops)
    for first, other in written.twice:
        said = (
            f"has revision {history.revision[first]} by {history.via(first)} "
            f"and revision {history.revision[other]} by {history.via(other)}"
        )
        sentences.append(f"{written.named(first)} {said}")
        wanted.append(written.wanted(first))
    for before, now, why in _disorder(written):
        sentences.append(why)
        wanted += [written.wanted(before), written.wanted(now)]
    if sentences:
        more = f" ({len(sentences)} such findings in all)" if len(sentences) > 1 else ""
        return Verdict(REVISIONS, "safety", "fail", f"{sentences[0]}{more}.", _proof(history, wanted))
    acknowledged = history.number_of("write", "ok")
    named = sum(map(bool, map(history.revision.__getitem__, history.places("write", "ok"))))
    if not named or named < NAMED_SHARE_MIN * acknowledged:
        said = f"{named} of {acknowledged} acknowledged writes were told with a revision"
        return Verdict(REVISIONS, "safety", "unknown", f"Whether revisions are in order is unknown: {said}.")
    said = f"The revisions of {len(written.told)} writes are all different, and in the order in which they were made."
    return Verdict(REVISIONS, "safety", "pass", said)


def _disorder(written: _Written) -> Iterator[tuple[int, int, str]]:
    """By rising revision, beside the write that was sent last of all that are lower: that one must not have been sent
    after this one was done. Places of who told of both, and why they cannot be."""
    history, before, latest = written.history, -1, -1
    revisions = array("q", map(history.revision.__getitem__, written.told))
    last_sent_us, last_revision = -inf, 0
    order = sorted(range(len(revisions)), key=revisions.__getitem__)
    told, sent = (array("I", map(places.__getitem__, order)) for places in (written.told, written.sent))
    times = map(history.sent_us.__getitem__, sent), map(history.done_us.__getitem__, told)
    for now, revision, sent_us, done_us in zip(told, map(revisions.__getitem__, order), *times, strict=True):
        if revision == last_revision:
            yield before, now, f"{written.named(before)} and {written.named(now)} were both given revision {revision}"
        elif done_us < last_sent_us:
            yield (
                now,
                latest,
                f"{written.named(latest)}, sent at {seconds(int(last_sent_us))}, "
                f"has revision {history.revision[latest]}, "
                f"although {written.named(now)} was done at {seconds(done_us)} with revision {revision}",
            )
        if sent_us > last_sent_us:
            latest, last_sent_us = now, sent_us
        before, last_revision = now, revision


def _proof(history: History, wanted: Sequence[Wanted]) -> tuple[str, ...]:
    """Who told of these writes with a revision, write by write."""
    parts = by_key(history)
    lines = []
    for key, value in dict.fromkeys(wanted[:PROOF_LINES_MAX]):
        told = (place for place in parts[key].places(outcome="ok") if history.value[place] == value)
        lines += [of_op(history[place]) for place in told if history.revision[place]]
    return proof(lines)
