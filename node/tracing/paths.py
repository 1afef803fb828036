"""What this node saw of each entry of the log lately: when its disk had it, when it was sent, when a peer had it.

Why it exists: a write is answered once a majority holds it, and a trace shows all disks, the slowest too. It must not
know spans; it holds numbers of the last `ENTRIES_MAX` entries, whoever wrote them.
"""

from collections.abc import Callable, Sequence

import msgspec

from node.raft.messages import Append, AppendReply, Message
from node.raft.types import Entry

ENTRIES_MAX = 4096
"""That are remembered; the oldest are forgotten first."""


class Seen(msgspec.Struct):
    """Of one entry, in microseconds since the epoch; 0: not yet. `sent` and `durable_at`: by peer."""

    term: int
    disk_begun_us: int = 0
    disk_done_us: int = 0
    sent_us: dict[str, int] = {}
    durable_at_us: dict[str, int] = {}


class Paths:
    """`wall_us`: the time now."""

    def __init__(self, wall_us: Callable[[], int]) -> None:
        self._wall_us = wall_us
        self._seen: dict[int, Seen] = {}

    def of(self, index: int, term: int) -> Seen | None:
        """What is known of that entry; None: nothing any more, or another stands there."""
        seen = self._seen.get(index)
        return seen if seen is not None and seen.term == term else None

    def disk_began(self, entries: Sequence[Entry]) -> None:
        """They are given to this node's disk."""
        now = self._wall_us()
        for entry in entries[-ENTRIES_MAX:]:
            self._of(entry).disk_begun_us = now

    def disk_done(self, entries: Sequence[Entry]) -> None:
        """They are durable here."""
        now = self._wall_us()
        for entry in entries[-ENTRIES_MAX:]:
            seen = self.of(entry.index, entry.term)
            if seen is not None:
                seen.disk_done_us = now

    def message(self, sent: bool, peer: str, message: Message) -> None:
        """One left, or came in."""
        if sent and isinstance(message, Append):
            now = self._wall_us()
            for entry in message.entries[-ENTRIES_MAX:]:
                self._of(entry).sent_us.setdefault(peer, now)
        elif not sent and isinstance(message, AppendReply) and message.success:
            self._durable_at(peer, message.index)

    def _durable_at(self, peer: str, index: int) -> None:
        """A peer has all up to there: of what was sent to it, the last that it had not said so of before."""
        now = self._wall_us()
        while (seen := self._seen.get(index)) is not None and peer in seen.sent_us and peer not in seen.durable_at_us:
            seen.durable_at_us[peer] = now
            index -= 1

    def _of(self, entry: Entry) -> Seen:
        """What is known of it, from now on: a leader's peers are sent an entry before its own disk (thesis 10.2.1).
        Whatever another term had in its place is gone."""
        seen = self._seen.get(entry.index)
        if seen is None or seen.term != entry.term:
            self._seen.pop(entry.index, None)
            seen = self._seen[entry.index] = Seen(entry.term)
            if len(self._seen) > ENTRIES_MAX:
                del self._seen[next(iter(self._seen))]
        return seen
