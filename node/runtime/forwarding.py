"""Clients' writes on their one hop: from a follower to the leader, and the answers back.

Why it exists: forwarding is never repeated and never takes a second hop, whatever links and leaders do meanwhile. It
must not decide who leads.
"""

from collections.abc import Callable

from node.raft.events import Proposal
from node.raft.messages import Forward, ForwardedAnswer, ForwardedProposal, ForwardReply, Message
from node.raft.types import Member
from node.runtime.outcomes import decode_outcome, encode_outcome
from node.runtime.pending import Pending, PendingWrite
from node.runtime.ports import NotProposed, Outcome, StateMachine, Unknown

FORWARD_TIMEOUT_US = 10_000_000
"""How long a leader keeps a peer's request; the peer's own client gives up earlier."""

LAST_ANSWERS_US = 1_000_000
"""How long a leader that leads no more, and is still linked, is waited for: it usually learns what became of the
writes in its log, for a hand-over leaves none behind."""

FORWARD_BYTES_MAX = 1024 * 1024
"""Commands in one Forward; one larger command travels alone."""


class Forwarding:
    """Both ends of the hop. `send` and `connected` are the links' (False: certainly not sent; no link now)."""

    def __init__(
        self,
        boot: str,
        pending: Pending,
        send: Callable[[str, Message], bool],
        connected: Callable[[str], bool],
        machine: StateMachine,
    ) -> None:
        self._boot = boot
        self._pending = pending
        self._send = send
        self._connected = connected
        self._machine = machine
        self._answers: dict[tuple[str, str], list[ForwardedAnswer]] = {}

    def take(self, sender: Member, message: Forward, now: int, proposals: list[Proposal]) -> None:
        """The leader's end: a member's writes become proposals, without another hop."""
        key = (sender.name, message.boot)
        for forwarded in message.proposals:

            def reply(outcome: Outcome, number: int = forwarded.request) -> None:
                answer = ForwardedAnswer(number, encode_outcome(outcome, self._machine.encode_result))
                self._answers.setdefault(key, []).append(answer)

            if self._pending.full:
                reply(NotProposed("overloaded", "too many requests wait on the leader; try again later"))
                continue
            write = PendingWrite(forwarded.data, reply, may_forward=False)
            request = self._pending.add_write(write, now + FORWARD_TIMEOUT_US)
            proposals.append(Proposal(request, forwarded.data, forwarded.session, forwarded.sequence))

    def answered(self, message: ForwardReply) -> None:
        """The follower's end: pass the answers on. Those to an earlier process of this name are not ours."""
        if message.boot == self._boot:
            for answer in message.answers:
                self._answered(answer)

    def forward(self, leader: str, proposals: list[ForwardedProposal]) -> None:
        """The one hop. What the link did not take was certainly not proposed; what it took may be."""
        for batch in _batches(proposals):
            sent = self._send(leader, Forward(self._boot, batch))
            for forwarded in batch:
                self._left(leader, forwarded.request, sent)

    def leader_changed(self, leader: str, now: int) -> None:
        """A forwarded write's answer comes from a leader that is no more: soon, or its outcome stays unknown."""
        for request, write in self._pending.forwarded_elsewhere(leader):
            if self._connected(write.forwarded_to):
                self._pending.hasten(request, now + LAST_ANSWERS_US)
            elif self._pending.take_write(request) is not None:
                write.reply(Unknown(f"{write.forwarded_to} stopped leading before it answered"))

    def send_answers(self) -> None:
        """Everything that was decided in this step, one message a peer."""
        if self._answers:
            for (peer, boot), answers in self._answers.items():
                self._send(peer, ForwardReply(boot, tuple(answers)))
            self._answers.clear()

    def _left(self, leader: str, request: int, sent: bool) -> None:
        write = self._pending.write(request)
        if write is None:
            return
        if sent:
            write.forwarded_to = leader
            write.may_forward = False
        else:
            self._pending.take_write(request)
            write.reply(NotProposed("no-link", f"no link to the leader {leader}; nothing was sent", leader))

    def _answered(self, answer: ForwardedAnswer) -> None:
        write = self._pending.write(answer.request)
        if write is None or not write.forwarded_to:
            return  # answered meanwhile: it timed out, or the leader changed
        self._pending.take_write(answer.request)
        write.reply(decode_outcome(answer.outcome, write.forwarded_to, self._machine.decode_result))


def _batches(proposals: list[ForwardedProposal]) -> list[tuple[ForwardedProposal, ...]]:
    """Split by size, in order."""
    batches: list[tuple[ForwardedProposal, ...]] = []
    batch: list[ForwardedProposal] = []
    size_bytes = 0
    for proposal in proposals:
        if batch and size_bytes + len(proposal.data) > FORWARD_BYTES_MAX:
            batches.append(tuple(batch))
            batch, size_bytes = [], 0
        batch.append(proposal)
        size_bytes += len(proposal.data)
    if batch:
        batches.append(tuple(batch))
    return batches
