"""The numbers of a run, counted from its history.

Why it exists: the page, `-o json` and the README quote the same numbers, counted once. It must not judge.
"""

import itertools
from collections.abc import Sequence

from chaos.checks.verdict import Evidence
from chaos.report.record import Figures
from chaos.workload.history import Op

RATE_SPAN_MIN_US = 100_000
"""A rate over less than this says nothing."""


def count(evidence: Evidence) -> Figures:
    """Before: until the first fault was injected. During: while a fault was in force (from injected until reverted,
    or until the cluster was whole again where there was nothing to revert), put together. After: from the end of the
    last fault."""
    writes = [op for op in evidence.history if op.kind == "write"]
    reads = [op for op in evidence.history if op.kind == "read"]
    good = sorted((op for op in writes if op.outcome == "ok"), key=lambda op: op.done_us)
    last_asked_us = max((op.sent_us for op in writes), default=0)
    gap, gap_from = _longest_gap([op.done_us for op in good], last_asked_us)
    latencies = sorted(op.done_us - op.sent_us for op in good)
    spans = fault_spans(evidence)
    first = min((op.sent_us for op in evidence.history), default=0)
    before_until = spans[0][0] if spans else evidence.ended_us
    after_from = spans[-1][1] if spans else evidence.ended_us
    return Figures(
        acknowledged_writes=len(good),
        failed_writes=sum(op.outcome == "fail" for op in writes),
        unknown_writes=sum(op.outcome == "unknown" for op in writes),
        good_reads=sum(op.outcome == "ok" for op in reads),
        failed_reads=sum(op.outcome != "ok" for op in reads),
        writes_per_s_before=_rate(good, ((first, before_until),)),
        writes_per_s_during=_rate(good, spans),
        writes_per_s_after=_rate(good, ((after_from, evidence.ended_us),)),
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


def _rate(good: Sequence[Op], spans: Sequence[tuple[int, int]]) -> float | None:
    total = sum(end - begin for begin, end in spans)
    if total < RATE_SPAN_MIN_US:
        return None
    counted = sum(any(begin <= op.done_us < end for begin, end in spans) for op in good)
    return round(counted * 1e6 / total, 1)


def _longest_gap(times: Sequence[int], last_asked_us: int) -> tuple[int | None, int | None]:
    """(length, its beginning) of the longest time between neighbours, or from the last of them until nobody asked any
    more: a cluster that never answered again must not look quick."""
    marks = [*times, last_asked_us] if times and last_asked_us > times[-1] else times
    if len(marks) < 2:
        return None, None
    return max((later - earlier, earlier) for earlier, later in itertools.pairwise(marks))


def _quantile(ordered: Sequence[int], share: float) -> int | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None
