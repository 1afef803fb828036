"""What clients were promised, key by key: every acknowledged write is there, and no read looks back.

Why it exists: each key is written by one client with 1, 2, 3, ..., each value once, so whoever reads a value saw that
very write, and whether an order of all requests exists that explains what everybody saw can be decided exactly and
quickly (Gibbons and Korach 1997, section 4: registers whose values are all different). A write of unknown outcome may
take effect at any later time, once, even after later writes: a value that it may have written is no proof of a lie.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from math import inf

import msgspec

from chaos.checks.verdict import Evidence, Verdict
from chaos.checks.words import of_op, proof, seconds, short
from chaos.workload.history import Op

SURVIVE, STALE = "acknowledged-writes-survive", "no-stale-read"

READS_MIN = 10
"""With fewer reads since the first fault began, nothing of what it did to reads was seen."""


class Finding(msgspec.Struct, frozen=True):
    """A contradiction: what it is, and the requests that make it."""

    sentence: str
    ops: tuple[Op, ...]


class Zone(msgspec.Struct, frozen=True):
    """All that is known of one value of a key: `first_done_us`, when the first request that showed it in place was
    over, and `last_sent_us`, when the last was begun. Value a must be older than b where a was done before b began."""

    value: int
    first_done_us: float
    last_sent_us: float
    first_done: Op | None
    last_sent: Op | None


def by_key(history: Iterable[Op]) -> dict[str, list[Op]]:
    """The requests of each key, in the order of the history."""
    keys: dict[str, list[Op]] = defaultdict(list)
    for op in history:
        keys[op.key].append(op)
    return keys


def acknowledged_writes_survive(evidence: Evidence) -> Verdict:
    """After the heal every key holds its last acknowledged value or one of a later or unknown write, was written
    at least as often as was acknowledged and at most as often as was attempted, and held each acknowledged value at the
    revision that was named for it: an unknown write that took effect cannot stand in for a lost one."""
    findings: list[Finding] = []
    unread: list[str] = []
    acknowledged = again = 0
    for key, ops in by_key(evidence.history).items():
        writes = [op for op in ops if op.kind == "write"]
        acknowledged += sum(op.outcome == "ok" for op in writes)
        if key in evidence.final:
            findings += _last_value(key, writes, evidence.final[key])
        elif writes:
            unread.append(key)
        if evidence.final_versions:
            findings += _times_written(key, writes, evidence.final_versions.get(key, 0))
        past = {asked: (revision, value) for asked, revision, value in evidence.past.get(key, ())}
        asked = [op for op in writes if op.outcome == "ok" and op.revision in past]
        findings += [_not_there(op, *past[op.revision]) for op in asked if past[op.revision] != (op.revision, op.value)]
        again += len(asked)
    if findings:
        return _failed(SURVIVE, findings)
    if unread or not acknowledged or not evidence.final_versions:
        why = "how often each key was written could not be read at the end, so only the last value of each was seen"
        why = f"{', '.join(sorted(unread))} could not be read at the end" if unread else why
        why = why if acknowledged else "no write was acknowledged"
        return Verdict(SURVIVE, "safety", "unknown", f"Whether acknowledged writes survived is unknown: {why}.")
    some = "each was read again at its revision, and "
    some = some if again == acknowledged else f"{again} of them were read again at their revisions, and "
    said = "each key was written as often as that."
    said = f"All {acknowledged} acknowledged writes were there at the end: {some if again else ''}{said}"
    return Verdict(SURVIVE, "safety", "pass", said)


def no_stale_read(evidence: Evidence) -> Verdict:
    """For each key there is an order of all requests that agrees with real time and in which every read sees the
    last write before it."""
    findings: list[Finding] = []
    reads = since = 0
    for key, ops in by_key(evidence.history).items():
        answered = [op for op in ops if op.kind == "read" and op.outcome == "ok"]
        reads += len(answered)
        since += sum(op.done_us >= evidence.began_faults_us for op in answered)
        findings += contradictions(key, ops)
    if findings:
        return _failed(STALE, findings)
    if since < READS_MIN:
        few = f"{since} of {reads} reads were answered after the first fault began, and {READS_MIN} are needed"
        return Verdict(STALE, "safety", "unknown", f"Whether reads were fresh is unknown: {few}.")
    return Verdict(STALE, "safety", "pass", f"None of {reads} linearizable reads looked back.")


def contradictions(key: str, ops: list[Op]) -> list[Finding]:
    """Why no order of these requests of one key explains them; empty: there is one."""
    writes = {op.value: op for op in ops if op.kind == "write"}
    reads: dict[int, list[Op]] = defaultdict(list)
    findings: list[Finding] = []
    for op in ops:
        if op.kind != "read" or op.outcome != "ok" or op.value is None:
            continue
        found = _impossible(key, op, writes.get(op.value))
        if found:
            findings.append(found)
        else:
            reads[op.value].append(op)
    shown = {value for value, op in writes.items() if op.outcome == "ok" and value is not None} | set(reads)
    zones = [_zone(value, writes.get(value), reads[value]) for value in sorted(shown)]
    return findings + [_contradiction(key, a, b) for a, b in _cycles(zones)]


def _impossible(key: str, read: Op, write: Op | None) -> Finding | None:
    """A value that cannot have been there."""
    if read.value == 0:
        return None
    seen = f"{read.client} read {short(key)} = {read.value} via {read.via} (sent at {seconds(read.sent_us)})"
    if write is None:
        return Finding(f"{seen}, a value that nobody ever wrote ({read.error or key})", (read,))
    if write.outcome == "fail":
        return Finding(f"{seen}, although {write.via} had said that this write did not happen", (write, read))
    if read.done_us < write.sent_us:
        return Finding(f"{seen} before that value was sent", (read, write))
    return None


def _zone(value: int, write: Op | None, reads: list[Op]) -> Zone:
    done = [op for op in (write, *reads) if op is not None and op.outcome == "ok"]
    sent = [op for op in (write, *reads) if op is not None]
    first = min(done, key=lambda op: op.done_us, default=None)
    last = max(sent, key=lambda op: op.sent_us, default=None)
    first_us = -inf if value == 0 else inf if first is None else first.done_us
    return Zone(value, first_us, -inf if last is None else last.sent_us, first, last)


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


def _last_value(key: str, writes: list[Op], final: int) -> list[Finding]:
    last = max((op for op in writes if op.outcome == "ok"), key=lambda op: op.value or 0, default=None)
    write = next((op for op in writes if op.value == final), None)
    if final and write is None:
        return [Finding(f"{short(key)} ended as {final}, a value that nobody ever wrote", (last,) if last else ())]
    if write is not None and write.outcome == "fail":
        said = f"{short(key)} ended as {final}, although {write.via} had said that this write did not happen"
        return [Finding(said, (write,))]
    if last is None or (last.value or 0) <= final or (write is not None and write.outcome == "unknown"):
        return []
    ended = f"ended as {final}" if final else "is gone"
    return [
        Finding(
            f"{short(key)} {ended}, although {last.via} had acknowledged {last.value} at {seconds(last.done_us)}",
            (last,),
        )
    ]


def _not_there(op: Op, revision: int, value: int) -> Finding:
    seen = f"it held {value} of revision {revision} then" if revision else "nothing was there then"
    said = f"{op.via} acknowledged {short(op.key)} = {op.value} at {seconds(op.done_us)} as revision {op.revision}"
    return Finding(f"{said}, and {seen}: the write is lost", (op,))


def _times_written(key: str, writes: list[Op], version: int) -> list[Finding]:
    good = [op for op in writes if op.outcome == "ok"]
    unknown = sum(op.outcome == "unknown" for op in writes)
    if version < len(good):
        via = ", ".join(sorted({op.via for op in good}))
        said = f"{short(key)} was written {version} times, although {via} acknowledged {len(good)} writes of it"
        lost = len(good) - version
        return [Finding(f"{said}: {lost} of them {'is' if lost == 1 else 'are'} lost", tuple(good[-1:]))]
    if version > len(good) + unknown:
        said = f"{short(key)} was written {version} times, although only {len(good)} writes of it were acknowledged"
        return [Finding(f"{said} and {unknown} are of unknown outcome: something was written twice", tuple(good[-1:]))]
    return []


def _failed(check: str, findings: list[Finding]) -> Verdict:
    findings = sorted(findings, key=lambda found: max((op.sent_us for op in found.ops[:2]), default=0))
    more = f" ({len(findings)} such findings in all)" if len(findings) > 1 else ""
    lines = [line for found in findings for line in (found.sentence + ":", *map(of_op, found.ops))]
    return Verdict(check, "safety", "fail", f"{findings[0].sentence}{more}.", proof(lines))
