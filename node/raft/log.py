"""The log in memory: what lies before it, every entry that is kept, and the questions that Raft asks of it.

Why it exists: storage is written only, after the start, so this is what the algorithm reads. It must not know what
is durable or committed; it refuses to have gaps.

A log has a base, not a first entry: what is not kept any more is known by `Base` alone. No question costs more than
a look at a few entries, however long the log is: terms never fall along a log (section 5.3), so they are searched by
halves, and sizes are kept as sums up to each entry. Only what is added, compared or taken is walked. What a snapshot
made superfluous is let go a bounded number of entries at a time.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from node.raft.entries import Entries
from node.raft.errors import InvariantViolation, invariant
from node.raft.types import ENTRY_OVERHEAD_BYTES, UNBORN, Base, Configuration, Entry, EntryKind, Member

UNBOUNDED = 1 << 62
"""No limit, where the caller has made sure of one."""


class RaftLog:
    """Entries `base.index + 1 .. last_index`, contiguous."""

    def __init__(self, entries: Sequence[Entry] = (), base: Base = UNBORN) -> None:
        self.base = base
        self.last_index = base.index
        """Of the last entry, or of the base where there is none; a number of its own, since everybody asks for it."""
        self._entries = Entries()
        self._terms = array("q")
        """Of each entry: searching them unpacks none."""
        self._ends = array("q")
        """The size in bytes of all entries up to and including each one, counted from some entry that is gone."""
        self._gone_bytes = 0
        """What `_ends` counts of entries that are gone."""
        self._discarded: list[Entries] = []
        """Of logs before a `begin_anew`: in memory, and for nobody."""
        self._configurations: list[tuple[int, Configuration]] = []
        """Index and contents of the CONFIGURATION entries, in order: neither append nor truncation looks for them."""
        self.append(entries)

    @property
    def first_index(self) -> int:
        return self.base.index + 1

    @property
    def last_term(self) -> int:
        return self._terms[-1] if self._terms else self.base.term

    @property
    def last_time_us(self) -> int:
        """Log time at the end of the log."""
        return self._entries[-1].time_us if self._entries else self.base.time_us

    @property
    def size_bytes(self) -> int:
        return self._ends[-1] - self._gone_bytes if self._ends else 0

    @property
    def configuration(self) -> Configuration:
        """The latest one in the log, committed or not (thesis 4.1), or the base's."""
        return self._configurations[-1][1] if self._configurations else self.base.configuration

    @property
    def configuration_index(self) -> int:
        """Where that one stands; the base's index where it is the base's."""
        return self._configurations[-1][0] if self._configurations else self.base.index

    @property
    def configuration_position(self) -> tuple[int, int]:
        """Term and index of that entry: of two positions the greater is the later."""
        index = self.configuration_index
        return self.term_at(index) or 0, index

    def has_named(self, member: Member) -> bool:
        """Whether a configuration that is still known here has `member` in it."""
        known = [self.base.configuration, *(configuration for _, configuration in self._configurations)]
        if self.base.birth:
            known.append(Configuration.decode(self.base.birth))
        return any(member in configuration.members for configuration in known)

    def configuration_at(self, index: int) -> Configuration:
        """The latest one at `index` or before it, `index` being the base's or that of an entry."""
        position = bisect_right(self._configurations, index, key=_index_of)
        return self._configurations[position - 1][1] if position else self.base.configuration

    def term_at(self, index: int) -> int | None:
        """The term of the entry at `index`; None where this log has none (before its base, or beyond its end)."""
        position = index - self.base.index - 1
        if 0 <= position < len(self._terms):
            return self._terms[position]
        return self.base.term if position == -1 else None

    def entry(self, index: int) -> Entry:
        """The entry at `index`, which must be there."""
        invariant(self.base.index < index <= self.last_index, "no entry {} in {}", index, self)
        return self._entries[index - self.base.index - 1]

    def bytes_after(self, index: int) -> int:
        """How many bytes the entries after `index` have, `index` being the base's or that of an entry."""
        position = index - self.base.index
        invariant(0 <= position <= len(self._entries), "no entry {} in {}", index, self)
        return self.size_bytes - (self._ends[position - 1] - self._gone_bytes if position else 0)

    def slice(
        self, first: int, last: int, bytes_max: int = UNBOUNDED, entries_max: int = UNBOUNDED
    ) -> tuple[Entry, ...]:
        """Entries `first..last`, as many as fit in the limits, but one at least where there is one."""
        begin = first - self.base.index - 1
        end = min(last, self.last_index, first + entries_max - 1) - self.base.index
        if begin >= end:
            return ()
        before = self._ends[begin - 1] if begin else self._gone_bytes
        fitting = bisect_right(self._ends, before + bytes_max, begin, end)
        return tuple(self._entries.between(begin, max(fitting, begin + 1)))

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries that follow the last one without a gap; terms never fall along a log."""
        index, term, end = self.last_index, self.last_term, self._gone_bytes + self.size_bytes
        keep_term, keep_end = self._terms.append, self._ends.append
        for entry in entries:  # no other call per entry: it would double what the loading of a long log takes
            index += 1
            if entry.index != index:
                raise InvariantViolation(f"entry {entry.index} does not follow {self}")
            if entry.term < term:
                raise InvariantViolation(f"term {entry.term} of entry {index} falls in {self}")
            if entry.kind is EntryKind.CONFIGURATION:
                self._configurations.append((index, _configuration_of(entry)))
            term = entry.term
            end += ENTRY_OVERHEAD_BYTES + len(entry.data)
            keep_term(term)
            keep_end(end)
        self._entries.extend(entries)
        self.last_index = index

    def truncate_from(self, index: int) -> int:
        """Remove `index` and all after it; returns how many that were."""
        invariant(index > self.base.index, "cannot truncate {} from {}", self, index)
        position = index - self.base.index - 1
        count = max(0, len(self._entries) - position)
        self._entries.remove_from(position)
        del self._terms[position:]
        del self._ends[position:]
        self.last_index = self.base.index + len(self._entries)
        while self._configurations and self._configurations[-1][0] >= index:
            self._configurations.pop()
        return count

    def base_at(self, index: int) -> Base:
        """The base that a log after `index` has, `index` being the base's or that of an entry."""
        if index == self.base.index:
            return self.base
        entry, known = self.entry(index), self.configuration_at(index)
        return Base(index, entry.term, entry.time_us, known, self.base.cluster_id, self.base.birth)

    def compact(self, index: int, entries_max: int) -> None:
        """Forget entries up to `index`, at most so many of them, and as many of a log before `begin_anew`.

        Who calls it has a snapshot of all of them that is durable (section 7).
        """
        if self._discarded:
            self._discarded[-1].remove_first(entries_max)
            if not self._discarded[-1]:
                self._discarded.pop()
        last = min(index, self.base.index + entries_max)
        if last <= self.base.index:
            return
        base, count = self.base_at(last), last - self.base.index
        self._gone_bytes = self._ends[count - 1]
        self._entries.remove_first(count)
        del self._terms[:count]
        del self._ends[:count]
        while self._configurations and self._configurations[0][0] <= last:
            del self._configurations[0]
        self.base = base

    @property
    def untidy(self) -> bool:
        """Whether `compact` has something left to let go of a log before `begin_anew`."""
        return bool(self._discarded)

    def begin_anew(self, base: Base) -> None:
        """Nothing of this log is kept: a snapshot, with this base, stands for all that is before (section 7)."""
        if self._entries:
            self._discarded.append(self._entries)
        self.base, self.last_index = base, base.index
        self._entries, self._terms, self._ends = Entries(), array("q"), array("q")
        self._gone_bytes, self._configurations = 0, []

    def first_conflict(self, entries: Sequence[Entry]) -> int | None:
        """The index of the first of `entries` that this log does not hold with that term; None if it holds all.

        An entry beyond the end counts: what a delayed or repeated Append carries is then found to be there and
        nothing is removed (section 5.3; pitfall 7). It walks no further than one Append is long; every entry is
        compared, though by Log Matching the last would do, since here that property is kept, not assumed.
        """
        for entry in entries:
            if self.term_at(entry.index) != entry.term:
                return entry.index
        return None

    def last_not_above(self, index: int, term: int) -> tuple[int, int]:
        """(index, term) of the last entry at or before `index` whose term is at most `term`: a conflict hint.

        All entries above it have a larger term, so none of them can match one of `term` (section 5.3, end;
        pitfall 11). Of what lies before the base nothing is known but that it is there: an answer from there is the
        highest index that is possible, with term 0.
        """
        kept = min(index, self.last_index) - self.base.index
        if kept >= 0:
            found = bisect_right(self._terms, term, 0, kept)
            if found:
                return self.base.index + found, self._terms[found - 1]
            if self.base.term <= term:
                return self.base.index, self.base.term
        return max(0, min(index, self.base.index - 1)), 0

    def up_to_date(self, last_index: int, last_term: int) -> bool:
        """Whether a log that ends so is at least as up-to-date as this one (section 5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def __str__(self) -> str:
        return f"log {self.first_index}..{self.last_index} (last term {self.last_term})"


def _index_of(configuration: tuple[int, Configuration]) -> int:
    return configuration[0]


def _configuration_of(entry: Entry) -> Configuration:
    try:
        configuration = Configuration.decode(entry.data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvariantViolation(f"the configuration of entry {entry.index} cannot be read: {error}") from error
    invariant(bool(configuration.voters), "the configuration of entry {} has no voter", entry.index)
    return configuration
