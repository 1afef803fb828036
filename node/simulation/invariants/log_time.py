"""Log time never runs back, and never faster than the clocks of those who append (thesis 6.3 takes sessions by it)."""

from node.raft.types import Base, Entry
from node.simulation.invariants.violation import fail


class LogTime:
    def __init__(self) -> None:
        self._appended: dict[tuple[int, int], tuple[int, int]] = {}
        """Of each entry, log time and when it was appended, by index and term."""

    def founded(self, base: Base, now: int) -> None:
        """The log goes on from there, as if that entry had been appended now."""
        self._appended[base.index, base.term] = (base.time_us, now)

    def appended(self, name: str, entry: Entry, term_before: int, now: int) -> None:
        """An entry is first seen at its leader. `now`: of the world, whose clocks all run alike."""
        self._appended[entry.index, entry.term] = (entry.time_us, now)
        before_us, appended_us = self._appended.get((entry.index - 1, term_before), (0, now))
        if not before_us <= entry.time_us <= before_us + now - appended_us:
            fail(
                f"{name}: the time of entry {entry.index} is {entry.time_us - before_us} us after the one before, "
                f"but {now - appended_us} us have passed"
            )
