"""What waits for the disk: what this step must write, what may be said only afterwards, and what is on its way.

Why it exists: "before responding to RPCs" (figure 2) in one place. What a restart could contradict, a vote, an
acknowledgement, a new term, leaves only with a `Persist` whose completion vouches for it, and nothing counts as
durable that was overwritten meanwhile (pitfalls 3 to 6). Also how long the disk has been silent: a server whose disk
does not answer can promise nothing, so it must not lead or want to. It must not know why anything is written.
"""

from collections import deque

import msgspec

from node.raft.effects import Persist, Send
from node.raft.errors import invariant
from node.raft.log import RaftLog
from node.raft.messages import AppendReply
from node.raft.types import Base, HardState


class Outstanding(msgspec.Struct):
    """A Persist that storage has not confirmed: with it the log is durable up to `last_index`, and the term `term`."""

    token: int
    last_index: int
    term: int
    since_us: int


class DiskQueue:
    """`durable`: the last entry of the log that is on disk; `durable_term`: the term that is."""

    def __init__(self, last_index: int, term: int) -> None:
        self.durable = last_index
        self.durable_term = term
        self.next_token = 1
        """The token of the Persist that ends this step, if there is one."""
        self._then: list[Send] = []
        self._acknowledged: dict[tuple[str, int], int] = {}
        """Where in `_then` the acknowledgement is, by receiver and term."""
        self._outstanding: deque[Outstanding] = deque()
        self._submitted_last = last_index
        self._truncate_from: int | None = None
        self._base: Base | None = None
        self._hard_dirty = False
        self._answered_us = 0

    @property
    def silent_since_us(self) -> int | None:
        """Since when the disk owes an answer and has given none; None: nothing waits for it.

        A disk that is slow and answers one write after the other is not silent, however many wait behind.
        """
        return max(self._outstanding[0].since_us, self._answered_us) if self._outstanding else None

    def hard_state_changed(self) -> None:
        """Term or vote are to be written at the end of this step."""
        self._hard_dirty = True

    def send_afterwards(self, send: Send) -> None:
        """Send once all that this step changed, and all before it, is on disk.

        Of several acknowledgements to one leader in one step only the last is kept: it says all that the others say.
        """
        message = send.message
        if isinstance(message, AppendReply) and message.success:
            position = self._acknowledged.setdefault((send.to, message.term), len(self._then))
            if position < len(self._then):
                told = self._then[position].message
                if isinstance(told, AppendReply) and told.index < message.index:
                    self._then[position] = send
                return
        self._then.append(send)

    def truncated(self, index: int) -> None:
        """The log lost `index` and all after it."""
        self.durable = min(self.durable, index - 1)
        for write in reversed(self._outstanding):
            if write.last_index < index:
                break  # those before end no later
            # A write that completes late must not mark as durable what was overwritten meanwhile (pitfall 6).
            write.last_index = index - 1
        if index <= self._submitted_last:
            self._submitted_last = index - 1
            self._truncate_from = index if self._truncate_from is None else min(index, self._truncate_from)

    def begun_anew(self, base: Base) -> None:
        """The log is empty after `base`. Nothing of it is durable before that is, whatever still completes: the log
        that an earlier write vouches for is another one (pitfall 6)."""
        self.durable = min(self.durable, base.index - 1)
        for write in self._outstanding:
            write.last_index = min(write.last_index, base.index - 1)
        self._submitted_last = base.index
        self._truncate_from = None
        self._base = base

    def wants(self, last_index: int) -> bool:
        """Whether a step that ends with a log up to `last_index` has anything to submit."""
        changed = self._hard_dirty or self._truncate_from is not None or self._base is not None
        return last_index > self._submitted_last or changed or bool(self._then)

    def submit(self, log: RaftLog, hard: HardState, cluster_id: str | None, now: int) -> Persist | None:
        """End of a step: all that must be durable, and all that waits for it, as one Persist; None: nothing is."""
        entries = log.slice(self._submitted_last + 1, log.last_index)
        writes = bool(entries) or self._hard_dirty or self._truncate_from is not None or self._base is not None
        if not (writes or self._then):
            return None
        then, base = tuple(self._then), self._base
        hard_state = hard if writes else None
        write = Persist(self.next_token, hard_state, self._truncate_from, entries, then, cluster_id, base)
        self._outstanding.append(Outstanding(write.token, log.last_index, hard.term, now))
        self.next_token += 1
        self._submitted_last = log.last_index
        self._truncate_from = self._base = None
        self._hard_dirty = False
        self._then.clear()
        self._acknowledged.clear()
        return write

    def persisted(self, token: int, now: int) -> None:
        """Everything up to `token` is durable."""
        self._answered_us = now
        invariant(token < self.next_token, "storage confirmed token {}, which was never given out", token)
        while self._outstanding and self._outstanding[0].token <= token:
            write = self._outstanding.popleft()
            self.durable = max(self.durable, write.last_index)
            self.durable_term = max(self.durable_term, write.term)
