"""The log in memory: every entry that is not compacted, and the questions that Raft asks of it.

Why it exists: storage is written only, after the start, so this is what the algorithm reads. It must not know what
is durable or committed; it refuses to have gaps. `base_index` and `base_term` are those of the last compacted
entry, 0 and 0 while compaction does not exist.
"""

from collections.abc import Sequence

from node.raft.errors import invariant
from node.raft.types import Entry


class RaftLog:
    """Entries `base_index + 1 .. last_index`, contiguous."""

    def __init__(self, entries: Sequence[Entry] = (), base_index: int = 0, base_term: int = 0) -> None:
        self.base_index = base_index
        self.base_term = base_term
        self.size_bytes = 0
        self._entries: list[Entry] = []
        self.append(entries)

    @property
    def first_index(self) -> int:
        return self.base_index + 1

    @property
    def last_index(self) -> int:
        return self.base_index + len(self._entries)

    @property
    def last_term(self) -> int:
        return self._entries[-1].term if self._entries else self.base_term

    def term_at(self, index: int) -> int | None:
        """The term of the entry at `index`; None where this log has none (compacted, or beyond its end)."""
        position = index - self.base_index - 1
        if 0 <= position < len(self._entries):
            return self._entries[position].term
        return self.base_term if index == self.base_index else None

    def entry(self, index: int) -> Entry:
        """The entry at `index`, which must be there."""
        invariant(self.base_index < index <= self.last_index, f"no entry {index} in {self}")
        return self._entries[index - self.base_index - 1]

    def slice(self, first: int, last: int, bytes_max: int) -> tuple[Entry, ...]:
        """Entries `first..last`, as many as fit in `bytes_max`, but one at least where there is one."""
        taken: list[Entry] = []
        size_bytes = 0
        for position in range(first - self.base_index - 1, min(last, self.last_index) - self.base_index):
            entry = self._entries[position]
            size_bytes += entry.size_bytes
            if taken and size_bytes > bytes_max:
                break
            taken.append(entry)
        return tuple(taken)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries that follow the last one without a gap; terms never fall along a log."""
        for entry in entries:
            invariant(entry.index == self.last_index + 1, f"entry {entry.index} does not follow {self}")
            invariant(entry.term >= self.last_term, f"term {entry.term} of entry {entry.index} falls in {self}")
            self._entries.append(entry)
            self.size_bytes += entry.size_bytes

    def truncate_from(self, index: int) -> int:
        """Remove `index` and all after it; returns how many that were."""
        invariant(index > self.base_index, f"cannot truncate {self} from {index}")
        removed = self._entries[index - self.base_index - 1 :]
        del self._entries[index - self.base_index - 1 :]
        self.size_bytes -= sum(entry.size_bytes for entry in removed)
        return len(removed)

    def first_conflict(self, entries: Sequence[Entry]) -> int | None:
        """The index of the first of `entries` that this log does not hold with that term; None if it holds all.

        An entry beyond the end counts: what a delayed or repeated Append carries is then found to be there and
        nothing is removed (section 5.3; pitfall 7).
        """
        for entry in entries:
            if self.term_at(entry.index) != entry.term:
                return entry.index
        return None

    def last_not_above(self, index: int, term: int) -> tuple[int, int]:
        """(index, term) of the last entry at or before `index` whose term is at most `term`: a conflict hint.

        All entries above it have a larger term, so none of them can match one of `term` (section 5.3, end;
        pitfall 11). Falls back to the base of the log.
        """
        index = min(index, self.last_index)
        while index > self.base_index:
            here = self.term_at(index)
            if here is not None and here <= term:
                return index, here
            index -= 1
        return self.base_index, self.base_term

    def up_to_date(self, last_index: int, last_term: int) -> bool:
        """Whether a log that ends so is at least as up-to-date as this one (section 5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def __str__(self) -> str:
        return f"log {self.first_index}..{self.last_index} (last term {self.last_term})"
