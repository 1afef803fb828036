"""What a leader knows of one follower, and how much it may send it.

Why it exists: replication's only per-follower state, a small machine of its own:

    PROBE      where the logs meet is not known: one Append at a time, the next only after an answer
    REPLICATE  it is known: Appends stream ahead of the acknowledgements, in a window of messages and bytes
    SNAPSHOT   what it needs lies before the log's base: nothing but heartbeats until it is known to hold the base

It must not send anything itself.
"""

import enum
from collections import deque

from node.raft.errors import invariant


class ProgressState(enum.Enum):
    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


TRANSITIONS: dict[tuple[ProgressState, ProgressState], str] = {
    (ProgressState.PROBE, ProgressState.REPLICATE): "an Append was acknowledged",
    (ProgressState.REPLICATE, ProgressState.PROBE): "an Append was refused",
    (ProgressState.PROBE, ProgressState.SNAPSHOT): "what it needs lies before the log's base",
    (ProgressState.REPLICATE, ProgressState.SNAPSHOT): "what it needs lies before the log's base",
    (ProgressState.SNAPSHOT, ProgressState.REPLICATE): "it holds the base",
}
"""Every change of a follower's progress, and when: the diagram in docs/architecture.md is this table."""


class Progress:
    """`match`: the highest index known to be durable there in this term (matchIndex, figure 2); `next`: the next
    index to send (nextIndex). Always `match < next`."""

    def __init__(self, next_index: int, now: int, inflight_messages_max: int, inflight_bytes_max: int) -> None:
        self.state = ProgressState.PROBE
        self.answered_us = now
        """When it last answered this leader."""
        self.match = 0
        self.next = next_index
        self.probe_sent = False
        self.sent_commit = 0
        """The highest commit index that it was told."""
        self.commit_wanted = False
        """Whether somebody there waits for a commit index that it was not told."""
        self.read_acked = 0
        """The highest read round that it acknowledged."""
        self.advanced = False
        """Whether an acknowledgement moved `match` since the last heartbeat reply."""
        self._snapshot_index = 0
        """The base that a follower in SNAPSHOT needs."""
        self._inflight: deque[tuple[int, int]] = deque()
        self.inflight_bytes = 0
        self._messages_max = inflight_messages_max
        self._bytes_max = inflight_bytes_max

    @property
    def inflight_messages(self) -> int:
        return len(self._inflight)

    @property
    def paused(self) -> bool:
        """Whether to hold back: an unanswered probe, a full window, or a snapshot under way."""
        if self.state is ProgressState.PROBE:
            return self.probe_sent
        if self.state is ProgressState.REPLICATE:
            return len(self._inflight) >= self._messages_max or self.inflight_bytes >= self._bytes_max
        return True

    def told_commit(self, index: int) -> None:
        """A message left that says that everything up to `index` is committed."""
        if index > self.sent_commit:
            self.sent_commit = index
        self.commit_wanted = False

    def may_be_told(self, commit: int) -> bool:
        """Whether a message of its own could tell it more of what is committed: it holds it, and nothing is on the way
        to it."""
        idle = self.state is ProgressState.REPLICATE and not self._inflight
        return idle and self.sent_commit < min(commit, self.match)

    def sent(self, last_index: int, size_bytes: int) -> None:
        """An Append with entries up to `last_index` left."""
        if self.state is ProgressState.PROBE:
            self.probe_sent = True
            return
        self.next = last_index + 1
        self._inflight.append((last_index, size_bytes))
        self.inflight_bytes += size_bytes

    def acknowledged(self, index: int) -> bool:
        """The follower holds the log up to `index`. False: stale or repeated, nothing changed (pitfall 12)."""
        while self._inflight and self._inflight[0][0] <= index:
            self.inflight_bytes -= self._inflight.popleft()[1]
        if index > self.match:
            self.match = index
            self.next = max(self.next, index + 1)
            self.advanced = True
            if self.state is ProgressState.SNAPSHOT and index >= self._snapshot_index:
                self._become(ProgressState.REPLICATE)
        elif not (index == self.match and self.state is ProgressState.PROBE):
            return False
        if self.state is ProgressState.PROBE:
            self._become(ProgressState.REPLICATE)
        return True

    def refused(self, prev_index: int, hint_next: int) -> bool:
        """The follower has no match at `prev_index`; it could match before `hint_next`. False: a stale refusal.

        Stale is what does not answer the outstanding probe, or denies what was acknowledged before (pitfall 12).
        """
        if self.state is ProgressState.REPLICATE:
            if prev_index <= self.match:
                return False
            self._become(ProgressState.PROBE)
            self.next = max(min(hint_next, prev_index), self.match + 1)
            return True
        if self.state is ProgressState.SNAPSHOT or self.next - 1 != prev_index:
            return False
        self.next = max(min(prev_index, hint_next), self.match + 1)
        self.probe_sent = False
        return True

    def needs_snapshot(self, base_index: int) -> None:
        """What it needs is not in the log any more: it must first hold the base, at `base_index`."""
        self._become(ProgressState.SNAPSHOT)
        self._snapshot_index = base_index

    def heartbeat_answered(self) -> bool:
        """A heartbeat was answered: the follower lives. True when something may be lost and an Append is due.

        A probe may be repeated; a stream without any acknowledgement since the last heartbeat is asked where it
        stands. Of a full window, which may all be lost, only that is asked (an empty Append, pitfall 31): the answer
        frees the window whether it is yes or no, and a follower whose disk stalls gets no more than the window.
        """
        if self.state is ProgressState.PROBE:
            self.probe_sent = False
            return True
        if self.state is ProgressState.SNAPSHOT:
            return False
        stalled = not self.advanced
        self.advanced = False
        return stalled

    def _become(self, state: ProgressState) -> None:
        invariant((self.state, state) in TRANSITIONS, "progress went from {} to {}", self.state, state)
        self.state = state
        self.probe_sent = False
        self.next = self.match + 1
        self._inflight.clear()
        self.inflight_bytes = 0
