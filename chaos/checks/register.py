"""No read looks back: for each key some order of all requests explains what everybody saw.

Why it exists: each key is written by one client with 1, 2, 3, ..., each value once, so whoever reads a value saw that
very write, and whether an order of all requests exists that explains what everybody saw can be decided exactly and
quickly (Gibbons and Korach 1997, section 4: registers whose values are all different). A write of unknown outcome may
take effect at any later time, once, even after later writes: a value that it may have written is no proof of a lie.
"""

from array import array
from bisect import bisect_left
from math import inf

from chaos.checks.findings import Finding, failed
from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.words import seconds, short
from chaos.workload.history import NO_VALUE, Op, Part, by_key, columns_of

STALE = "no-stale-read"

READS_MIN = 10
"""With fewer reads since the first fault began, nothing of what it did to reads was seen."""


Zone = tuple[float, int, float]
"""All that is known of when a key held a value: when the first request that showed it in place was over, the value, and
when the last was begun. Value a must be older than b where a's first was over before b's last was begun."""


class _Seen:
    """What is known of each value of one key, of half a million requests in a long run: times, and the places in the
    history of those that tell of them, few of which are ever looked at closer.

    `first_done_us`: when the first request that showed it in place was over; `last_sent_us`: when the last of its write
    and its reads was begun."""

    def __init__(self, ops: Part) -> None:
        self.history, value = ops.history, ops.history.value
        sent_us, done_us = ops.history.sent_us, ops.history.done_us
        self.writes = {value[place]: place for place in ops.places("write") if value[place] != NO_VALUE}
        self.last_sent_us = {held: sent_us[place] for held, place in self.writes.items()}
        refused = {place for place in ops.places("write", "fail") if self.writes.get(value[place]) == place}
        there_us = {held: sent_us[place] for held, place in self.writes.items() if place not in refused}
        good = (place for place in ops.places("write", "ok") if self.writes.get(value[place]) == place)
        self.first_done_us: dict[int, float] = {value[place]: done_us[place] for place in good}
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self.impossible: list[int] = []
        reads = array("I", ops.places("read", "ok"))
        columns = (map(column.__getitem__, reads) for column in (value, sent_us, done_us))
        for read, seen, sent, done in zip(reads, *columns, strict=True):
            if seen and done < there_us.get(seen, inf):
                if seen != NO_VALUE:
                    self.impossible.append(read)
                continue
            if done < self.first_done_us.get(seen, inf):
                self.first_done_us[seen], self._first[seen] = done, read
            if sent > self.last_sent_us.get(seen, -inf):
                self.last_sent_us[seen], self._last[seen] = sent, read

    def first_done(self, value: int) -> Op:
        """The request that was over first of those that showed the value in place."""
        return self.history[self._first[value] if value in self._first else self.writes[value]]

    def last_sent(self, value: int) -> Op:
        """The request that was begun last, of the write of that value and all reads of it."""
        return self.history[self._last[value] if value in self._last else self.writes[value]]

    def zones(self) -> list[Zone]:
        """By rising value. That nothing was there, 0, was so before anything."""
        if 0 in self.first_done_us:
            self.first_done_us[0] = -inf
        values = sorted(self.first_done_us)
        times = (map(of.__getitem__, values) for of in (self.first_done_us, self.last_sent_us))
        first_done_us, last_sent_us = times
        return list(zip(first_done_us, values, last_sent_us, strict=True))


def no_stale_read(evidence: Evidence) -> Verdict:
    """For each key there is an order of all requests that agrees with real time and in which every read sees the
    last write before it."""
    history = columns_of(evidence.history)
    findings = [one for key, ops in by_key(history).items() for one in contradictions(key, ops)]
    reads = history.number_of("read", "ok")
    since = sum(history.done_us[place] >= evidence.began_faults_us for place in history.places("read", "ok"))
    if findings:
        return failed(STALE, findings)
    if since < READS_MIN:
        few = f"{since} of {reads} reads were answered after the first fault began, and {READS_MIN} are needed"
        return Verdict(STALE, "safety", "unknown", f"Whether reads were fresh is unknown: {few}.")
    return Verdict(STALE, "safety", "pass", f"None of {reads} linearizable reads looked back.")


def contradictions(key: str, ops: Part) -> list[Finding]:
    """Why no order of these requests of one key explains them; empty: there is one."""
    seen, made = _Seen(ops), ops.history.__getitem__
    findings = []
    for read in seen.impossible:
        write = seen.writes.get(ops.history.value[read])
        findings.append(_impossible(key, made(read), None if write is None else made(write)))
    return findings + [_contradiction(key, seen, *pair) for pair in _cycles(seen.zones())]


def _impossible(key: str, read: Op, write: Op | None) -> Finding:
    """A value that cannot have been there."""
    seen = f"{read.client} read {short(key)} = {read.value} via {read.via} (sent at {seconds(read.sent_us)})"
    if write is None:
        return Finding(f"{seen}, a value that nobody ever wrote ({read.error or key})", (read,))
    if write.outcome == "fail":
        return Finding(f"{seen}, although {write.via} had said that this write did not happen", (write, read))
    return Finding(f"{seen} before that value was sent", (read, write))


def _cycles(zones: list[Zone]) -> list[tuple[int, int]]:
    """Pairs of values of which each must be older than the other, the older one first; at most one pair for each."""
    forward = sorted(zone for zone in zones if zone[0] < zone[2])
    latest_us: list[float] = []
    latest: list[int] = []
    pairs: list[tuple[int, int]] = []
    last_us, last = -inf, 0
    for first_done_us, value, sent_us in forward:
        if first_done_us < last_us:
            pairs.append((last, value))
        if sent_us > last_us:
            last_us, last = sent_us, value
        latest_us.append(last_us)
        latest.append(last)
    starts = [zone[0] for zone in forward]
    for first_done_us, value, sent_us in zones:
        if first_done_us >= sent_us:
            before = bisect_left(starts, sent_us)
            if before and first_done_us < latest_us[before - 1]:
                pairs.append((latest[before - 1], value))
    return [(min(pair), max(pair)) for pair in pairs]


def _contradiction(key: str, seen: _Seen, older: int, newer: int) -> Finding:
    read, before = seen.last_sent(older), seen.first_done(newer)
    how = "acknowledged" if before.kind == "write" else "read"
    sentence = (
        f"{read.client} read {short(key)} = {older} via {read.via}, sent at {seconds(read.sent_us)}, "
        f"although {newer} had been {how} via {before.via} at {seconds(before.done_us)}"
    )
    others = [op for op in (seen.first_done(older), seen.last_sent(newer)) if op not in (read, before)]
    return Finding(sentence, (before, read, *others))
