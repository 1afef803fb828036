"""What goes on without a majority holds all that any survivor knew to be committed, and nothing but its own log.

Votes of a majority are missing, so what was committed and no survivor knows of may be lost: that is counted, and stated
to the operator. What one of them knows is not (docs/operations.md, "Lost quorum"; node/survivors.py says why).
"""

from collections.abc import Iterable, Mapping, Sequence

from node.raft.types import Entry, SnapshotInfo
from node.simulation.invariants.history import History
from node.simulation.invariants.violation import fail
from node.statemachine.store import KeyValueStore
from node.statemachine.work import EVERYTHING
from node.survivors import Survivor


class KnownIsKept:
    """`history`: of the cluster that lost its majority."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._committed = len(history.committed)

    def goes_on(self, survivors: Mapping[str, Survivor], best: Sequence[str]) -> int:
        """These of all that could be read are to go on; how much of what was committed is lost with the others."""
        if not best:
            fail(f"none of {', '.join(survivors)} can go on")
        log = survivors[best[0]].log
        for name in best:
            if (survivors[name].log.last_term, survivors[name].log.last_index) != (log.last_term, log.last_index):
                fail(f"{name} and {best[0]} go on together, and their logs end differently")
        for name, survivor in survivors.items():
            known = survivor.position.committed.index
            for index in range(log.base.index + 1, known + 1):
                if log.term_at(index) != self._history.committed[index - 1].term:
                    fail(f"{name} knew that entry {index} is committed, and {best[0]} goes on without it")
        kept = [entry for entry in self._history.committed if self._holds(survivors[best[0]], entry)]
        return self._committed - len(kept)

    def made(self, survivor: Survivor, infos: Iterable[SnapshotInfo], digests: Iterable[str]) -> None:
        """All that go on begin with one state, which is that of every entry of this survivor's log."""
        if len({(info.base.cluster_id, info.base.index, info.crc) for info in infos}) != 1:
            fail("of survivors that go on together two begin with different states")
        log, store = survivor.log, KeyValueStore()
        before = self._history.committed[: log.base.index]
        job = store.begin([*before, *log.slice(log.base.index + 1, log.last_index)], lambda _index: False)
        while not job.run(EVERYTHING):
            pass
        if {store.digest()} != set(digests):
            fail(f"what {survivor.member.name} goes on with is not the state of its log")

    def stays_over(self) -> None:
        """Whoever came back with an old disk has committed nothing more, in the cluster that there was."""
        if len(self._history.committed) != self._committed:
            more = len(self._history.committed) - self._committed
            fail(f"the old cluster committed {more} entries more, while the new one serves")

    def _holds(self, survivor: Survivor, entry: Entry) -> bool:
        return entry.index <= survivor.log.base.index or survivor.log.term_at(entry.index) == entry.term
