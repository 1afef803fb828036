"""What the frames of a log come to, one after another, and what no log can contain.

Why it exists: a start and `raft-node log verify` must agree on both. It must not know files or checksums.
"""

from node.raft.errors import InvariantViolation
from node.raft.types import UNBORN, Base, Entry, HardState, base_of_birth
from node.storage.frames import FrameBody, Malformed


def fixed_index(base: Base) -> int:
    """Up to which index nothing can be truncated: the base, and the entry of a birth, which every member holds."""
    return max(base.index, 1) if base.cluster_id else base.index


class Replay:
    """The log's contents, frame by frame; raises `Malformed` for what no log can contain.

    `base` is what lies before the first frame's entries; that of an unborn log becomes its birth with entry 1.
    """

    def __init__(self, base: Base = UNBORN) -> None:
        self.base = base
        self.hard_state = HardState()
        self.entries: list[Entry] = []
        self._begun = False

    @property
    def last_index(self) -> int:
        """Of the newest entry, or of the base where there is none."""
        return self.base.index + len(self.entries)

    def take(self, body: FrameBody) -> None:
        if body.start is not None:
            self._start(body.start)
        self._begun = True
        if body.base is not None:
            self._rebase(body.base)
        entries, base = self.entries, self.base
        if body.truncate_from is not None:
            self._truncate(body.truncate_from)
        index, term = base.index + len(entries), entries[-1].term if entries else base.term
        for entry in body.entries:
            index += 1
            if entry.index != index:
                raise Malformed(f"the frame holds entry {entry.index} where entry {index} must follow")
            if entry.term < term:
                raise Malformed(f"the term falls from {term} to {entry.term} at entry {index}")
            term = entry.term
        entries.extend(body.entries)
        if not base.cluster_id and entries:
            self.base = _born(entries[0])
        state = body.hard_state or self.hard_state
        if state.term < self.hard_state.term:
            raise Malformed(f"the node's term falls from {self.hard_state.term} to {state.term}")
        if state.commit > index:
            raise Malformed(f"the commit index {state.commit} lies beyond the last entry, {index}")
        self.hard_state = state

    def _start(self, start: Base) -> None:
        """The first frame of all says where the log begins; later ones can only agree."""
        if not self._begun:
            self.base = start
            return
        term = self.entries[-1].term if self.entries else self.base.term
        if (start.index, start.term) != (self.last_index, term):
            raise Malformed(
                f"the segment goes on after entry {start.index} of term {start.term}, but the log before it ends at"
                f" entry {self.last_index} of term {term}"
            )

    def _rebase(self, base: Base) -> None:
        if not base.cluster_id or base.cluster_id != (self.base.cluster_id or base.cluster_id):
            ours, theirs = self.base.cluster_id or "(none)", base.cluster_id or "(none)"
            raise Malformed(f"the frame names a base of cluster {theirs} in a log of cluster {ours}")
        if base.index < max(self.hard_state.commit, 1):
            raise Malformed(f"the base {base.index} lies before the commit index {self.hard_state.commit}")
        self.base = base
        self.entries.clear()

    def _truncate(self, start: int) -> None:
        fixed, last = fixed_index(self.base), self.last_index
        if not fixed < start <= last + 1:
            raise Malformed(
                f"the frame truncates from index {start} in a log whose entries up to {fixed} stay"
                f" and that ends at {last}"
            )
        del self.entries[start - self.base.index - 1 :]


def _born(entry: Entry) -> Base:
    try:
        return base_of_birth(entry)
    except (InvariantViolation, ValueError) as error:
        raise Malformed(f"entry 1 is not the configuration that a cluster was born with ({error})") from error
