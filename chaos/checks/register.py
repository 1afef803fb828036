"""No read looks back: for each key some order of all requests explains what everybody saw.

Why it exists: each key is written by one client with 1, 2, 3, ..., each value once, so whoever reads a value saw that
very write, and whether an order of all requests exists that explains what everybody saw can be decided exactly and
quickly (Gibbons and Korach 1997, section 4: registers whose values are all different). A write of unknown outcome may
take effect at any later time, once, even after later writes: a value that it may have written is no proof of a lie.
"""

from bisect import bisect_left
from math import inf

import msgspec

from chaos.checks.findings import Finding, failed
from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.words import seconds, short
from chaos.workload.history import Op, by_key

STALE = "no-stale-read"

READS_MIN = 10
"""With fewer reads since the first fault began, nothing of what it did to reads was seen."""


class Zone(msgspec.Struct, frozen=True):
    """All that is known of one value of a key: `first_done_us`, when the first request that showed it in place was
    over, and `last_sent_us`, when the last was begun. Value a must be older than b where a was done before b began."""

    value: int
    first_done_us: float
    last_sent_us: float
    first_done: Op | None
    last_sent: Op | None


def no_stale_read(evidence: Evidence) -> Verdict:
    """For each key there is an order of all requests that agrees with real time and in which every read sees the
    last write before it."""
    findings: list[Finding] = []
    reads = since = 0
    for key, ops in by_key(evidence.history):
        answered = [op for op in ops if op.kind == "read" and op.outcome == "ok"]
        reads += len(answered)
        since += sum(op.done_us >= evidence.began_faults_us for op in answered)
        findings += contradictions(key, ops)
    if findings:
        return failed(STALE, findings)
    if since < READS_MIN:
        few = f"{since} of {reads} reads were answered after the first fault began, and {READS_MIN} are needed"
        return Verdict(STALE, "safety", "unknown", f"Whether reads were fresh is unknown: {few}.")
    return Verdict(STALE, "safety", "pass", f"None of {reads} linearizable reads looked back.")


def contradictions(key: str, ops: list[Op]) -> list[Finding]:
    """Why no order of these requests of one key explains them; empty: there is one."""
    writes = {op.value: op for op in ops if op.kind == "write"}
    first = {op.value: op for op in writes.values() if op.outcome == "ok" and op.value is not None}
    last: dict[int, Op] = {}
    findings: list[Finding] = []
    for op in ops:
        value = op.value
        if op.kind != "read" or op.outcome != "ok" or value is None:
            continue
        found = _impossible(key, op, writes.get(value)) if value else None
        if found:
            findings.append(found)
            continue
        if value not in first or op.done_us < first[value].done_us:
            first[value] = op
        if value not in last or op.sent_us > last[value].sent_us:
            last[value] = op
    zones = [_zone(value, first[value], writes.get(value), last.get(value)) for value in sorted(first)]
    return findings + [_contradiction(key, a, b) for a, b in _cycles(zones)]


def _impossible(key: str, read: Op, write: Op | None) -> Finding | None:
    """A value that cannot have been there."""
    if write is not None and write.outcome != "fail" and read.done_us >= write.sent_us:
        return None
    seen = f"{read.client} read {short(key)} = {read.value} via {read.via} (sent at {seconds(read.sent_us)})"
    if write is None:
        return Finding(f"{seen}, a value that nobody ever wrote ({read.error or key})", (read,))
    if write.outcome == "fail":
        return Finding(f"{seen}, although {write.via} had said that this write did not happen", (write, read))
    return Finding(f"{seen} before that value was sent", (read, write))


def _zone(value: int, first: Op, write: Op | None, read: Op | None) -> Zone:
    """`first`: the first request to be over that showed the value in place; `read`: the last that was begun."""
    last = max((op for op in (write, read) if op is not None), key=lambda op: op.sent_us, default=None)
    return Zone(value, first.done_us if value else -inf, -inf if last is None else last.sent_us, first, last)


def _cycles(zones: list[Zone]) -> list[tuple[Zone, Zone]]:
    """Pairs of values of which each must be older than the other; at most one pair for each value."""
    forward = sorted((z for z in zones if z.first_done_us < z.last_sent_us), key=lambda z: z.first_done_us)
    latest: list[Zone] = []
    pairs: list[tuple[Zone, Zone]] = []
    for zone in forward:
        if latest and zone.first_done_us < latest[-1].last_sent_us:
            pairs.append((latest[-1], zone))
        latest.append(max(latest[-1], zone, key=lambda z: z.last_sent_us) if latest else zone)
    starts = [zone.first_done_us for zone in forward]
    for zone in zones:
        if zone.first_done_us >= zone.last_sent_us:
            before = bisect_left(starts, zone.last_sent_us)
            if before and zone.first_done_us < latest[before - 1].last_sent_us:
                pairs.append((latest[before - 1], zone))
    return pairs


def _contradiction(key: str, a: Zone, b: Zone) -> Finding:
    older, newer = sorted((a, b), key=lambda zone: zone.value)
    if older.last_sent is None or newer.first_done is None:
        raise ValueError(f"{key}: values {older.value} and {newer.value} contradict each other without requests")
    read, seen = older.last_sent, newer.first_done
    how = "acknowledged" if seen.kind == "write" else "read"
    sentence = (
        f"{read.client} read {short(key)} = {older.value} via {read.via}, sent at {seconds(read.sent_us)}, "
        f"although {newer.value} had been {how} via {seen.via} at {seconds(seen.done_us)}"
    )
    others = [op for op in (older.first_done, newer.last_sent) if op is not None and op not in (read, seen)]
    return Finding(sentence, (seen, read, *others))
