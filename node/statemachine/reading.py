"""Reads that may take many turns of the loop, each of which sees one revision.

Why it exists: a range may be as large as the store. What is written while it is read is stepped over, and what it
may still see is not purged meanwhile. It must not judge whether the node may answer: see the read barrier.
"""

from collections.abc import Callable

from node.raft.errors import InvariantViolation
from node.statemachine.versions import Versions
from node.statemachine.work import Meter, Slices, Work
from node.statemachine.writes import Result


class ReadJob:
    """One read under way. Whoever began it calls `close`, in a `finally`; what is forgotten holds nothing back once
    it is garbage. `revision`: the store's, which it sees. `result`: None until `run` was True."""

    def __init__(
        self,
        versions: Versions,
        revision: int,
        result: Result | None = None,
        begin: Callable[[Meter], Slices[Result]] | None = None,
    ) -> None:
        """Give it the `result`, or what begins the reading."""
        self.revision = revision
        self.result = result
        self._versions = versions
        self._work: Work[Result] | None = None
        if begin is not None:
            meter = Meter()
            self._work = Work(begin(meter), meter)
            versions.hold(self)

    def run(self, work_max: int) -> bool:
        """One slice of at most `work_max` units (at least 1) and a small constant. True: `result` is there."""
        if self._work is None:
            if self.result is None:
                raise InvariantViolation("a read was continued that had been closed")
            return True
        if self._work.run(work_max):
            self.result = self._work.value
            self.close()
        return self._work is None

    def close(self) -> None:
        """It reads no more. A result stays."""
        work, self._work = self._work, None
        if work is not None:
            work.close()
            self._versions.release(self)
