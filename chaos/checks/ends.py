"""When each fault of a run was gone, and which others were on at that time.

Why it exists: several checks ask it of every fault, and a run may have a thousand: what nodes showed is walked over
once. It must not judge.
"""

from bisect import bisect_right
from collections import defaultdict

from chaos.checks.verdict import Evidence
from chaos.model import FaultSpan


class Ends:
    """Of the faults of one run, by their numbers."""

    def __init__(self, evidence: Evidence) -> None:
        self._faults = evidence.faults
        self._lives = _first_shown(evidence)
        self._starts: dict[str, list[int]] = defaultdict(list)
        for event in evidence.events:
            if event.kind == "started":
                self._starts[event.node].append(event.at_us)
        for starts in self._starts.values():
            starts.sort()
        self._gone_us = [self._gone(fault) for fault in evidence.faults]
        self._together = [self._at_the_time(number) for number in range(len(evidence.faults))]

    def back_us(self, number: int) -> int | None:
        """From when on the cluster could be whole: it, and whatever was on at the same time, was taken back, the killed
        process ran again. None: never."""
        ends = [self._gone_us[one] for one in (number, *self._together[number])]
        return None if any(end is None for end in ends) else max(end for end in ends if end is not None)

    def together(self, number: int) -> list[FaultSpan]:
        """Other faults that were on at the same time: begun before this one was gone, and gone after it began."""
        return [self._faults[one] for one in self._together[number]]

    def running_again_us(self, fault: FaultSpan) -> int | None:
        """When the killed node's next process was first seen; None: it was not, or which was killed is unknown."""
        injected_us = fault.injected_us
        if injected_us is None or len(fault.nodes) != 1:
            return None
        lives, starts = self._lives.get(fault.nodes[0], []), self._starts.get(fault.nodes[0], [])
        later = [starts[place] for place in [bisect_right(starts, injected_us)] if place < len(starts)]
        life = bisect_right(lives, injected_us)
        if 0 < life < len(lives):  # who was never seen before it is not known to be another process
            later.append(lives[life])
        return min(later, default=None)

    def _gone(self, fault: FaultSpan) -> int | None:
        """When it was over, and its victim ran again."""
        if fault.over_us is None or fault.lasts:
            return fault.over_us
        return max(fault.over_us, self.running_again_us(fault) or fault.over_us)

    def _at_the_time(self, number: int) -> list[int]:
        since_us, until_us = self._faults[number].injected_us, self._gone_us[number]
        found: list[int] = []
        if since_us is None:
            return found
        for other, (fault, gone_us) in enumerate(zip(self._faults, self._gone_us, strict=True)):
            began_us = fault.injected_us
            if other == number or began_us is None:
                continue
            if (until_us is None or began_us < until_us) and (gone_us is None or gone_us > since_us):
                found.append(other)
        return found


def _first_shown(evidence: Evidence) -> dict[str, list[int]]:
    """By node, when each of its processes first answered, in the order of time."""
    shown: dict[str, dict[str, int]] = defaultdict(dict)
    for view in evidence.views:
        first = shown[view.name].setdefault(view.boot, view.answered_us)
        if view.answered_us < first:
            shown[view.name][view.boot] = view.answered_us
    return {name: sorted(lives.values()) for name, lives in shown.items()}
