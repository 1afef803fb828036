"""Committed entries on their way through the state machine, one slice in each turn of the loop.

Why it exists: one entry may take the state machine seconds, and a restarted node has its whole log to apply; neither
may keep a heartbeat, a vote or a commit from being sent and answered. It must not know who waits for what.
"""

from collections.abc import Callable, Sequence

from node.raft.errors import invariant
from node.raft.events import Applied, Event
from node.raft.types import Entry
from node.runtime.ports import Job, StateMachine

APPLY_WORK_PER_TURN_MAX = 2_000
"""Units of work (see `Job`) in one turn of the loop: 2 to 4 of the 15 milliseconds that a turn may take, a tenth of the
shortest election timeout. More would not apply sooner: a turn without other work costs a fiftieth of that."""


class Applying:
    """One piece of the log at a time. `applied(entry, results)` is called for each entry once it is done, in order;
    `results` are those that are there, by index: take out what is wanted.

    Results are told after each slice, so that those of one slice are all that are ever held, beside what the entry
    under way has found by then."""

    def __init__(
        self,
        machine: StateMachine,
        wanted: Callable[[int], bool],
        applied: Callable[[Entry, dict[int, object]], None],
    ) -> None:
        self._machine = machine
        self._wanted = wanted
        self._applied = applied
        self._entries: Sequence[Entry] = ()
        self._told = 0
        self._reported = 0
        self._job: Job | None = None
        self._begun = False

    @property
    def at_rest(self) -> bool:
        """Whether the state machine holds what was reported, and no part of what comes after it."""
        return self._job is None or not self._begun

    @property
    def under_way(self) -> bool:
        """Whether `run` has more to do."""
        return self._job is not None

    def begin(self, entries: Sequence[Entry]) -> None:
        """Entries that follow those before. Nothing is done yet: what the same step sends leaves first."""
        invariant(self._job is None, "entries were to be applied while earlier ones still are")
        self._entries, self._told, self._reported, self._begun = entries, 0, 0, False
        self._job = self._machine.begin(entries, self._wanted)

    def run(self, work_max: int = APPLY_WORK_PER_TURN_MAX) -> list[Event]:
        """One slice, and what the core is to be told of it. What is done is told at once, not only the whole: a write
        or a read must not wait for a long entry behind its own. The last one is reported when the job has ended: the
        core then hands out the next piece."""
        job, entries = self._job, self._entries
        if job is None:
            return []
        self._begun = True
        ended = job.run(work_max)
        for entry in entries[self._told : job.finished]:
            self._applied(entry, job.results)
        self._told = job.finished
        if ended:
            self._job, self._entries = None, ()
        reported = job.finished if ended else min(job.finished, len(entries) - 1)
        if reported == self._reported:
            return []
        self._reported = reported
        return [Applied(entries[reported - 1].index)]

    def stop(self) -> None:
        """What is under way is not done: the node ends, or its state is replaced."""
        self._job, self._entries = None, ()
