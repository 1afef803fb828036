"""Proposes what ends things by their time, as leader: the state machine says when, and what to propose.

Why it exists: that something's time is over is known to the log's clock alone, and only an entry can say so to
everybody. The leader knows log time at any moment. One proposal is under way at a time; while the state machine still
has something that is due, the next follows at once. An entry that comes too late or twice does no harm, for it looks at
its own log time. It must not know what ends.

It also tells log time between two entries to those who only look: a follower has no clock of the log but the last entry
that it applied, and its own clock since.
"""

from collections.abc import Callable

from node.raft.core import Raft
from node.raft.events import Proposal
from node.raft.types import Role
from node.runtime.pending import PendingWrite
from node.runtime.ports import Done, Outcome, StateMachine

ANSWER_US = 5_000_000
"""How long a proposal is waited for: whatever became of it, another does no harm."""

RETRY_US = 200_000
"""The pause after a proposal that failed: the log is full, say, or too much waits."""


class Expiring:
    """`add`: a write that waits from now on; the number of its request."""

    def __init__(self, core: Raft, machine: StateMachine, add: Callable[[PendingWrite], int]) -> None:
        self._core = core
        self._machine = machine
        self._add = add
        self._under_way = False
        self._not_before = 0
        self._now = 0
        self._applied_us = self._applied_at = 0

    def applied(self, time_us: int, now: int) -> None:
        """An entry of that log time was, now."""
        self._applied_us, self._applied_at = time_us, now

    def log_time_us(self, now: int) -> int:
        """Log time now, as far as this node can know: a leader exactly, who follows a little less than that, and more
        where nobody leads any more."""
        if self._core.role is Role.LEADER:
            return self._core.log_time_us(now)
        return self._applied_us + now - self._applied_at

    @property
    def deadline(self) -> int | None:
        """When something is due, on the caller's clock; None: nothing is, or it is another's to propose."""
        due_us = self._machine.due_us
        if due_us is None or self._under_way or self._core.role is not Role.LEADER:
            return None
        return max(self._not_before, self._now + due_us - self._core.log_time_us(self._now))

    def look(self, now: int, proposals: list[Proposal]) -> None:
        """At each turn's begin: propose what is due."""
        self._now = now
        deadline = self.deadline
        if deadline is None or now < deadline:
            return
        if not self._core.takes_writes:
            self._not_before = now + RETRY_US
            return
        self._under_way = True
        data = self._machine.due_write
        write = PendingWrite(data, self._answered, may_forward=False, deadline_us=now + ANSWER_US)
        proposals.append(Proposal(self._add(write), data))

    def _answered(self, outcome: Outcome) -> None:
        self._under_way = False
        if not isinstance(outcome, Done):
            self._not_before = self._now + RETRY_US
