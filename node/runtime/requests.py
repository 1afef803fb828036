"""Clients' requests from the door to their end: taken while there is room, refused, forwarded, run out of time, told.

Why it exists: everything that waits for a client costs memory and, in the end, an answer, wherever it waits (for the
log, for another node, for its answer to be told), so there is one bound over all of it, and one over what one turn of
the loop ends. It must not step the core.
"""

from collections.abc import Callable, Sequence, Sized
from functools import partial

from node.raft.errors import NotLeader, Refusal
from node.raft.events import Proposal
from node.raft.messages import PROPOSAL_BYTES_MAX
from node.raft.types import Member
from node.runtime.answers import Answers
from node.runtime.between_leaders import HELD_US, BetweenLeaders
from node.runtime.deadlines import earliest
from node.runtime.forwarding import Forwarding
from node.runtime.inputs import WantRead, WantWrite
from node.runtime.outcomes import interrupted, not_proposed, overloaded, too_large, unanswered
from node.runtime.pending import Pending, PendingWrite
from node.runtime.ports import NotProposed, ReadFailed
from node.runtime.replies import Replies

PENDING_REQUESTS_MAX = 20_000
"""Requests that may wait on one node; more are refused as overloaded."""

EXPIRED_PER_TURN_MAX = 1024
"""Requests that are found in one turn to have waited too long, here and for other nodes each; the rest in the next."""


class Requests:
    """`member`: who bears a name in the configuration in force. `leader`: who leads, as far as is known. `silent_disk`:
    that nothing is decided here for this node's disk, in words; empty where it answers."""

    def __init__(
        self,
        requests_max: int,
        pending: Pending,
        forwarding: Forwarding,
        answers: Answers,
        member: Callable[[str], Member | None],
        leader: Callable[[], str],
        silent_disk: Callable[[], str] = str,
        leaderless_wait_us: int = HELD_US,
    ) -> None:
        self._requests_max = requests_max
        self._room = 0
        """How many more may wait at least: counted when it was last used up, less those that came since."""
        self._room_counted = False
        """In this turn."""
        self._pending = pending
        self._forwarding = forwarding
        self._replies = Replies()
        self.between = BetweenLeaders(leaderless_wait_us)
        self._parts: tuple[Sized, ...] = (pending, forwarding, answers, self._replies, self.between)
        self._now = 0
        self._member = member
        self._leader = leader
        self._silent_disk = silent_disk

    def begin_turn(self, now: int) -> None:
        """What ended in the last turn has made room."""
        self._room_counted = False
        self._now = now

    def take_room(self) -> bool:
        """Whether one more may wait; it then does."""
        if self._room <= 0 and not self._room_counted:
            self._room_counted = True
            self._room = self._requests_max - sum(map(len, self._parts))
        self._room -= 1
        return self._room >= 0

    @property
    def writes_wait(self) -> bool:
        """Whether a write waits for its outcome, or for this to be told."""
        return bool(self._pending.writes_wait or any(map(len, self._parts[1:])))

    @property
    def deadline(self) -> int | None:
        """When one has waited too long; None: none waits."""
        return earliest(self._pending.deadline, self._forwarding.deadline, self.between.deadline)

    def write(self, item: WantWrite, proposals: list[Proposal]) -> None:
        """Of a client of this node."""
        if len(item.data) > PROPOSAL_BYTES_MAX:
            item.reply(too_large(len(item.data), PROPOSAL_BYTES_MAX))
            return
        if not self.take_room():
            item.reply(overloaded("this node"))
            return
        reply = partial(self._replies.add, item.reply)
        write = PendingWrite(item.data, reply, True, item.deadline_us, item.session, item.sequence)
        proposals.append(self._proposal(write))

    def read(self, item: WantRead, reads: list[int]) -> None:
        """Likewise."""
        if not self.take_room():
            refusal = overloaded("this node")
            item.reply(ReadFailed(refusal.code, refusal.reason))
            return
        reads.append(self._pending.add_read(item.reply, item.deadline_us))

    def read_ready(self, requests: Sequence[int]) -> None:
        """The state machine may be read for them now."""
        self._replies.add_all(self._pending.answers_to_reads(requests, None))

    def refused(self, requests: tuple[int, ...], reason: Refusal) -> None:
        """The core did not take them. A write of this node's client has one hop left, where a leader is known."""
        refusal = not_proposed(reason)
        writes = self._pending.take_writes(requests)
        if len(writes) < len(requests):
            failed = ReadFailed(refusal.code, refusal.reason, refusal.leader)
            if not self.between.hold_reads(requests, failed, self._now):
                self._replies.add_all(self._pending.answers_to_reads(requests, failed))
        leader = self._member(reason.leader) if isinstance(reason, NotLeader) else None
        for write in writes:
            if leader is None or not write.may_forward:
                self.not_taken(write, refusal)
        if leader is not None:
            self._forwarding.forward(leader, [write for write in writes if write.may_forward])

    def not_taken(self, write: PendingWrite, refusal: NotProposed) -> None:
        """Nobody took it, and it was certainly not proposed: it waits for the next leader, or is refused."""
        if not self.between.hold(write, refusal, self._now):
            write.reply(refusal)

    def not_taken_by_leader(self, write: PendingWrite, refusal: NotProposed) -> None:
        """Likewise, and it was the node that leads, as far as is known, which refused."""
        self.between.refused_by_leader(self._now)
        self.not_taken(write, refusal)

    @property
    def waits_for_leader(self) -> bool:
        """Whether something waits that may be offered to a leader now."""
        return self.between.may_be_offered(self._now)

    def offer(self, proposals: list[Proposal], reads: list[int]) -> None:
        """Propose and ask what waited for a leader, before what came after it."""
        proposals[:0] = map(self._proposal, self.between.take_writes())
        reads[:0] = self._pending.reads_among(self.between.take_reads())

    def leader_changed(self, leader: str, now: int) -> None:
        """Another leads: whoever led before answers soon, or never."""
        self.between.leader_changed()
        self._forwarding.leader_changed(leader, now)

    def _proposal(self, write: PendingWrite) -> Proposal:
        return Proposal(self._pending.add_write(write), write.data, write.session, write.sequence)

    def expire(self, now: int) -> tuple[int, ...]:
        """Answer what waited too long; returns the numbers of the reads among it, which the core may forget. What is
        left over is still due: `deadline` has passed, the next turn comes. Only where `deadline` has."""
        writes, reads = self._pending.expired(now, EXPIRED_PER_TURN_MAX)
        why = (self._silent_disk() if writes else "") or "no quorum confirmed it in time"
        for write in writes:
            write.reply(interrupted(write, why))
        refused, unread = self.between.expired(now)
        for write, refusal in refused:
            write.reply(refusal)
        for held in unread:
            self._replies.add_all(self._pending.answers_to_reads(held.requests, held.failed))
        for _, read in reads:
            self._replies.add(read, ReadFailed("timeout", "no quorum confirmed a leader in time", self._leader()))
        for asked in self._forwarding.expired(now, EXPIRED_PER_TURN_MAX):
            asked.what.reply(unanswered(self._why_expired(asked.to.name, asked.stale)))
        return tuple(request for request, _ in reads)

    def tell(self) -> bool:
        """Give clients their answers, as many as one turn may; whether more wait."""
        return self._replies.tell()

    def stop(self) -> None:
        """Answer everything: what was never proposed as such, the rest as unknown."""
        writes, reads = self._pending.drain()
        for write in writes:
            write.reply(interrupted(write, "the node is stopping"))
        for write, refusal in self.between.drain():
            write.reply(refusal)
        for read in reads:
            read(ReadFailed("stopping", "the node is stopping"))
        self._forwarding.stop()
        self._replies.tell(None)

    def _why_expired(self, forwarded_to: str, stale: bool) -> str:
        if stale or forwarded_to != self._leader():
            return f"{forwarded_to} stopped leading before it answered"
        return "no quorum confirmed it in time"
