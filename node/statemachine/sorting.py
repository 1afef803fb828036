"""Sorting what a range found, in slices.

Why it exists: Python sorts 200,000 versions in one call that nothing interrupts. Here short runs are sorted as they
come, and merged lazily at the end, a bounded number of runs at a time. It must not filter or count.

Equal ones stay in the order in which they were given, descending too.
"""

from collections.abc import Callable, Sequence
from heapq import merge
from operator import attrgetter
from typing import Any

from node.statemachine.untracked import untracked
from node.statemachine.work import BYTES_PER_UNIT, Meter, Slices
from node.statemachine.writes import KeyValue, SortTarget

RUN_KEYS_MAX = 256
"""Versions that are sorted in one call: about 50 microseconds."""

RUN_BYTES_MAX = 256 * 1024
"""Bytes of values in them, where it is sorted by value: each is compared some ten times."""

MERGED_RUNS_MAX = 64
"""Runs that are merged at a time."""

COMPARES_PER_MERGED = 8
"""How often a version is compared until it is merged."""

_KEYS: dict[SortTarget, Callable[[KeyValue], Any]] = {
    SortTarget.KEY: attrgetter("key"),
    SortTarget.VERSION: attrgetter("version"),
    SortTarget.CREATE: attrgetter("create_revision"),
    SortTarget.MOD: attrgetter("mod_revision"),
    SortTarget.VALUE: attrgetter("value"),
}


class Sorter:
    """Takes versions in the order of their keys; `sorted` gives them back once, the first `keep` (0: all)."""

    def __init__(self, target: SortTarget, descending: bool, keep: int, meter: Meter) -> None:
        self._key = _KEYS[target]
        self._descending = descending
        self._keep = keep or None
        self._meter = meter
        self._by_value = target is SortTarget.VALUE
        self._runs: list[list[KeyValue]] = []
        self._run: list[KeyValue] = []
        self._run_bytes = 0

    def take(self, kvs: Sequence[KeyValue]) -> Slices[None]:
        """A piece of what is to be sorted."""
        for kv in kvs:
            self._run.append(kv)
            if self._by_value:
                self._run_bytes += len(kv.value)
            if len(self._run) == RUN_KEYS_MAX or self._run_bytes >= RUN_BYTES_MAX:
                self._end_run()
                if self._meter.left <= 0:
                    yield

    def sorted(self) -> Slices[list[KeyValue]]:
        """All that was taken, in order."""
        self._end_run()
        while len(self._runs) > 1:
            runs, self._runs = self._runs, []
            runs.reverse()
            while runs:
                self._runs.append((yield from self._merged(self._next_of(runs))))
        return self._runs.pop() if self._runs else []

    def _end_run(self) -> None:
        run = self._run
        if run:
            run.sort(key=self._key, reverse=self._descending)
            self._meter.left -= len(run) // 4 + 1 + COMPARES_PER_MERGED * self._run_bytes // BYTES_PER_UNIT
            self._runs.append(untracked(run[: self._keep]))
            self._run, self._run_bytes = [], 0

    def _next_of(self, runs: list[list[KeyValue]]) -> list[list[KeyValue]]:
        """Take as many runs from the end of `runs`, which has the first ones there, as can be begun to be merged in
        one go: two at least, if there are."""
        taken: list[list[KeyValue]] = []
        size_bytes = 0
        while runs and len(taken) < MERGED_RUNS_MAX and (len(taken) < 2 or size_bytes < RUN_BYTES_MAX):
            taken.append(runs.pop())
            size_bytes += len(taken[-1][0].value) if self._by_value else 0
        return taken

    def _merged(self, runs: list[list[KeyValue]]) -> Slices[list[KeyValue]]:
        merged: list[KeyValue] = untracked([])
        for kv in merge(*runs, key=self._key, reverse=self._descending):
            merged.append(kv)
            if len(merged) == self._keep:
                break
            self._meter.left -= 1
            if self._by_value:
                self._meter.left -= COMPARES_PER_MERGED * len(kv.value) // BYTES_PER_UNIT
            if self._meter.left <= 0:
                yield
        return merged
