"""What the frames of a log come to, one after another, and what no log can contain.

Why it exists: a start and `raft-node log verify` must agree on both. It must not know files or checksums.
"""

from node.raft.types import Entry, HardState
from node.storage.frames import FrameBody, Malformed


class Replay:
    """The log's contents, frame by frame; raises `Malformed` for what no log can contain."""

    def __init__(self) -> None:
        self.hard_state = HardState()
        self.entries: list[Entry] = []

    def take(self, body: FrameBody) -> None:
        entries = self.entries
        if body.truncate_from is not None:
            if not 1 <= body.truncate_from <= len(entries) + 1:
                raise Malformed(f"the frame truncates from index {body.truncate_from} in a log of {len(entries)}")
            del entries[body.truncate_from - 1 :]
        index, term = len(entries), entries[-1].term if entries else 0
        for entry in body.entries:
            index += 1
            if entry.index != index:
                raise Malformed(f"the frame holds entry {entry.index} where entry {index} must follow")
            if entry.term < term:
                raise Malformed(f"the term falls from {term} to {entry.term} at entry {index}")
            term = entry.term
        entries.extend(body.entries)
        state = body.hard_state or self.hard_state
        if state.term < self.hard_state.term:
            raise Malformed(f"the node's term falls from {self.hard_state.term} to {state.term}")
        if state.commit > len(entries):
            raise Malformed(f"the commit index {state.commit} lies beyond the last entry, {len(entries)}")
        self.hard_state = state
