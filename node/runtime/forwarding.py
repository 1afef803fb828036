"""Clients' writes on their one hop: from a follower to the leader, and the answers back.

Why it exists: forwarding is never repeated and never takes a second hop, whatever links and leaders do meanwhile. It
must not decide who leads.
"""

from collections.abc import Callable, Iterator
from functools import partial

from node.raft.events import Proposal
from node.raft.messages import (
    FORWARD_BYTES_MAX,
    FORWARD_PROPOSALS_MAX,
    PROPOSAL_BYTES_MAX,
    Forward,
    ForwardedProposal,
    ForwardReply,
    Message,
)
from node.raft.types import Member
from node.runtime.answers import Answers
from node.runtime.onehop import Asked, HopCounts, OneHop
from node.runtime.outcomes import decode_outcome, overloaded, too_large, unanswered
from node.runtime.pending import Pending, PendingWrite
from node.runtime.ports import NotProposed

FORWARD_TIMEOUT_US = 10_000_000
"""How long a leader keeps a peer's request; the peer's own client gives up earlier."""

LAST_ANSWERS_US = 1_000_000
"""How long a leader that leads no more, and is still linked, is waited for: it usually learns what became of the
writes in its log, for a hand-over leaves none behind."""


class Forwarding:
    """Both ends of the hop. `send` and `connected` are the links' (False: certainly not sent; no link now)."""

    def __init__(
        self,
        boot: str,
        pending: Pending,
        answers: Answers,
        send: Callable[[str, Message], bool],
        connected: Callable[[str], bool],
        decode_result: Callable[[bytes], object],
        counts: HopCounts,
    ) -> None:
        self.not_taken: Callable[[PendingWrite, NotProposed], None] = _refuse
        """What becomes of a write that was certainly not proposed: the link took nothing."""
        self.not_taken_by_leader: Callable[[PendingWrite, NotProposed], None] = _refuse
        """The same, where the node that was asked says so."""
        self._boot = boot
        self._pending = pending
        self._answers = answers
        self._send = send
        self._connected = connected
        self._decode_result = decode_result
        self._hop: OneHop[PendingWrite] = OneHop(boot, counts)

    def __len__(self) -> int:
        """How many writes wait for another node's answer."""
        return len(self._hop)

    def take(
        self, sender: Member, message: Forward, now: int, proposals: list[Proposal], take_room: Callable[[], bool]
    ) -> None:
        """The leader's end: a member's writes become proposals, without another hop."""
        for asked in message.proposals:
            reply = partial(self._answers.add, sender.name, message.boot, asked.request)
            if len(asked.data) > PROPOSAL_BYTES_MAX:
                reply(too_large(len(asked.data), PROPOSAL_BYTES_MAX))
                continue
            if not take_room():
                reply(overloaded("the leader"))
                continue
            write = PendingWrite(asked.data, reply, False, now + FORWARD_TIMEOUT_US, asked.session, asked.sequence)
            proposals.append(Proposal(self._pending.add_write(write), asked.data, asked.session, asked.sequence))

    def answered(self, sender: Member, message: ForwardReply) -> None:
        """The follower's end: pass the answers on, those of the leader that was asked."""
        for answer in message.answers:
            write = self._hop.answered(sender, message.boot, answer.request)
            if write is not None:
                outcome = decode_outcome(answer.outcome, sender.name, self._decode_result)
                if isinstance(outcome, NotProposed):
                    self.not_taken_by_leader(write, outcome)
                else:
                    write.reply(outcome)

    def forward(self, leader: Member, writes: list[PendingWrite]) -> None:
        """The one hop. What the link did not take was certainly not proposed; what it took may be."""
        for batch in _batches(writes):
            asked = tuple(
                ForwardedProposal(
                    self._hop.ask(leader, write, write.deadline_us), write.data, write.session, write.sequence
                )
                for write in batch
            )
            if not self._send(leader.name, Forward(self._boot, asked)):
                refusal = self._not_sent(leader.name)
                for forwarded in asked:
                    write = self._hop.take_back(forwarded.request)
                    if write is not None:
                        self.not_taken(write, refusal)

    def gone(self, member: Member, now: int) -> None:
        """Its process is gone, and with it what it would have answered."""
        self._hop.hurry_of(member, now)

    def leader_changed(self, leader: str, now: int) -> None:
        """A forwarded write's answer comes from a leader that is no more: soon, or its outcome stays unknown."""
        self._hop.hurry(leader, lambda former: now + LAST_ANSWERS_US if self._connected(former) else now)

    def expired(self, now: int, writes_max: int) -> list[Asked[PendingWrite]]:
        """Take away and return writes that waited too long for their answer, at most so many."""
        return self._hop.expired(now, writes_max)

    @property
    def deadline(self) -> int | None:
        """When one has waited too long; None: none waits."""
        return self._hop.deadline if self._hop else None

    def stop(self) -> None:
        """Answer everything that waits."""
        for write in self._hop.drain():
            write.reply(unanswered("the node is stopping"))

    def _not_sent(self, leader: str) -> NotProposed:
        if self._connected(leader):
            return NotProposed("overloaded", f"the link to the leader {leader} is full; nothing was sent", leader)
        return NotProposed("no-link", f"no link to the leader {leader}; nothing was sent", leader)


def _refuse(write: PendingWrite, refusal: NotProposed) -> None:
    write.reply(refusal)


def _batches(writes: list[PendingWrite]) -> Iterator[list[PendingWrite]]:
    """Split by size and number, in order."""
    batch: list[PendingWrite] = []
    size_bytes = 0
    for write in writes:
        if batch and (len(batch) == FORWARD_PROPOSALS_MAX or size_bytes + len(write.data) > FORWARD_BYTES_MAX):
            yield batch
            batch, size_bytes = [], 0
        batch.append(write)
        size_bytes += len(write.data)
    if batch:
        yield batch
