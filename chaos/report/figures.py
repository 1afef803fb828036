"""The numbers of a run, counted from its history.

Why it exists: the page, `-o json` and the README quote the same numbers, counted once. It must not judge.
"""

import itertools
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from operator import sub

from chaos.checks.verdict import Evidence
from chaos.evidence.record import Figures
from chaos.workload.history import columns_of

RATE_SPAN_MIN_US = 100_000
"""A rate over less than this says nothing."""


def count(evidence: Evidence) -> Figures:
    """Before: until the first fault was injected. During: while a fault was in force (from injected until reverted,
    or until the cluster was whole again where there was nothing to revert), put together. After: from the end of the
    last fault."""
    history = columns_of(evidence.history)
    acknowledged = history.ordered("write", "ok")
    done_us, sent_us = acknowledged.done_us, map(history.sent_us.__getitem__, acknowledged.places)
    latencies = array("q", sorted(map(sub, done_us, sent_us)))
    last_asked_us = max(0, history.last_sent_us("write") or 0)
    first = min(history.sent_us, default=0)
    gap, gap_from = _longest_gap(done_us, last_asked_us)
    spans = fault_spans(evidence)
    before_until = spans[0][0] if spans else evidence.ended_us
    after_from = spans[-1][1] if spans else evidence.ended_us
    return Figures(
        acknowledged_writes=history.number_of("write", "ok"),
        failed_writes=history.number_of("write", "fail"),
        unknown_writes=history.number_of("write", "unknown"),
        good_reads=history.number_of("read", "ok"),
        failed_reads=history.number_of("read", "fail") + history.number_of("read", "unknown"),
        writes_per_s_before=_rate(done_us, ((first, before_until),)),
        writes_per_s_during=_rate(done_us, spans),
        writes_per_s_after=_rate(done_us, ((after_from, evidence.ended_us),)),
        longest_gap_us=gap,
        gap_from_us=gap_from,
        write_p50_us=_quantile(latencies, 0.50),
        write_p99_us=_quantile(latencies, 0.99),
    )


def fault_spans(evidence: Evidence) -> tuple[tuple[int, int], ...]:
    """When faults were in force, (from, to) by the tool's clock, in order, those of a time put together; faults that
    were never injected are left out, one whose end was not recorded lasts until the recording ended."""
    ends = (*evidence.recovered_us, *([None] * len(evidence.faults)))
    spans = sorted(
        (fault.injected_us, next((t for t in (fault.reverted_us, end) if t is not None), evidence.ended_us))
        for fault, end in zip(evidence.faults, ends, strict=False)
        if fault.injected_us is not None
    )
    found: list[tuple[int, int]] = []
    for begin, end in spans:
        together = bool(found) and begin < found[-1][1]
        found[-1 if together else len(found) :] = [(found[-1][0], max(found[-1][1], end)) if together else (begin, end)]
    return tuple(found)


def _rate(done_us: Sequence[int], spans: Sequence[tuple[int, int]]) -> float | None:
    total = sum(end - begin for begin, end in spans)
    if total < RATE_SPAN_MIN_US:
        return None
    counted, until_us = 0, None
    for begin, end in sorted(spans):  # what lies in two of them counts once
        begin = begin if until_us is None else max(begin, until_us)
        counted += max(0, bisect_left(done_us, end) - bisect_left(done_us, begin))
        until_us = end if until_us is None else max(until_us, end)
    return round(counted * 1e6 / total, 1)


def _longest_gap(times: Sequence[int], last_asked_us: int) -> tuple[int | None, int | None]:
    """(length, its beginning) of the longest time between neighbours, or from the last of them until nobody asked any
    more: a cluster that never answered again must not look quick."""
    later = itertools.chain(times[1:], [last_asked_us] if times and last_asked_us > times[-1] else [])
    return max(zip(map(sub, later, times), times, strict=False), default=(None, None))


def _quantile(ordered: Sequence[int], share: float) -> int | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None
