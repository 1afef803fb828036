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

    @property
    def last_index(self) -> int:
        """Of the newest entry, or of the base where there is none."""
        return self.base.index + len(self.entries)

    def take(self, body: FrameBody) -> None:
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
