"""One core, synchronous: inputs in, effects carried out. The simulator runs this very code on virtual time.

Why it exists: the only owner of a core. It turns clients' wishes into events, effects into calls on the ports, and
what the core and the state machine say into outcomes. It must not know asyncio, a clock or a socket; it must not
decide anything that Raft decides.

The way of a write: `WantWrite` -> `Propose` -> `Accepted` (waits by log index) -> `Persist`, `Send` -> ... ->
`Apply` -> `Done`. On a follower: `Refused(NotLeader)` -> `Forward` -> ... -> `ForwardReply`; one hop, never repeated.
"""

from collections.abc import Callable, Sequence

import msgspec

from node.raft.core import Raft
from node.raft.effects import Accepted, Apply, ConfigChanged, Effect, Ordered, Persist, ReadReady, Refused, Send, Trace
from node.raft.errors import LogFull, NotBorn, NotLeader, Overloaded, Refusal, Transferring
from node.raft.events import (
    Applied,
    Campaign,
    Deadline,
    Event,
    ForceTimeout,
    LeaveInitial,
    Order,
    Persisted,
    Proposal,
    Propose,
    Read,
    Receive,
    TransferLeadership,
)
from node.raft.messages import (
    OUTCOME_BYTES_MAX,
    Command,
    CommandReply,
    Forward,
    ForwardedAnswer,
    ForwardedProposal,
    ForwardReply,
    Message,
    Report,
)
from node.raft.types import Entry, Member
from node.runtime.inputs import Arrived, Input, WantOrder, WantRead, WantRelay, WantWrite
from node.runtime.latency import CommitLatency
from node.runtime.orders import Orders, PendingOrder
from node.runtime.pending import Pending, PendingWrite
from node.runtime.ports import (
    CommandOutcome,
    Done,
    Links,
    NotProposed,
    Outcome,
    ReadFailed,
    StateMachine,
    Storage,
    TraceSink,
    Unknown,
)

PENDING_REQUESTS_MAX = 20_000
"""Client requests that may wait on one node; more are refused as overloaded."""

APPLY_ROUNDS_MAX = 4
"""Pieces of the log applied in one turn; a long replay goes on in the next turn, so that heartbeats are answered."""

FORWARD_TIMEOUT_US = 10_000_000
"""How long a leader keeps a peer's request; the peer's own client gives up earlier."""

FORWARD_BYTES_MAX = 1024 * 1024
"""Commands in one Forward; one larger command travels alone."""

ORDERS: dict[str, Callable[[int, str], Order]] = {
    "trigger_election": lambda request, _target: Campaign(request),
    "become_follower": lambda request, _target: LeaveInitial(request),
    "force_timeout": lambda request, _target: ForceTimeout(request),
    "transfer_leadership": TransferLeadership,
}
"""The commands that are the core's: each as an event, from the number of the request and a target."""

CommandReplied = Callable[[CommandOutcome], None]

_COMMAND_DECODER: msgspec.msgpack.Decoder[CommandOutcome] = msgspec.msgpack.Decoder(CommandOutcome)
_OUTCOME_ENCODER = msgspec.msgpack.Encoder()
_OUTCOME_DECODER: msgspec.msgpack.Decoder[Outcome] = msgspec.msgpack.Decoder(Outcome)


class Hooks(msgspec.Struct, frozen=True):
    """What the driver tells its surroundings. `wake`: call `handle` again soon, something completed."""

    wake: Callable[[], None]
    configuration: Callable[[ConfigChanged], None]
    report: Callable[[Member, bytes], None]
    report_wanted: Callable[[str], None] = lambda _peer: None
    """A peer asks for this node's Report."""
    command: Callable[[str, bytes, CommandReplied], None] = lambda name, _arguments, reply: reply(
        CommandOutcome(name, "", "refused", "this node takes no commands from peers")
    )
    """A member wants a command carried out here: its name and JSON arguments; call the last once, at any time."""


class Driver:
    """Owns `core`. Not thread-safe: one caller at a time, and never from within a port."""

    def __init__(
        self,
        core: Raft,
        boot: str,
        storage: Storage,
        machine: StateMachine,
        links: Links,
        trace: TraceSink,
        hooks: Hooks,
        pending_requests_max: int = PENDING_REQUESTS_MAX,
    ) -> None:
        self.core = core
        self._boot = boot
        self._storage = storage
        self._machine = machine
        self._links = links
        self._trace = trace
        self._hooks = hooks
        self._pending = Pending(pending_requests_max)
        self._then: dict[int, tuple[Send, ...]] = {}
        self._durable_token = 0
        self._follow_up: list[Event] = []
        self._answers: dict[tuple[str, str], list[ForwardedAnswer]] = {}
        self._leader = ""
        self._orders = Orders()
        self._command_replies: list[tuple[str, CommandReply]] = []
        self._now = 0
        self._wall_us = 0
        self.latency = CommitLatency()

    def start(self, now: int) -> None:
        """Call once, before the first `handle`."""
        self._execute(self.core.start(now))
        self._settle(now)

    def handle(self, inputs: Sequence[Input], now: int, wall_us: int) -> None:
        """Take what waits, as one step. `now`: monotonic microseconds; `wall_us`: microseconds since the epoch."""
        self._now, self._wall_us = now, wall_us
        events: list[Event] = self._follow_up
        self._follow_up = []
        proposals: list[Proposal] = []
        reads: list[int] = []
        for item in inputs:
            match item:
                case Arrived(sender, message):
                    self._arrived(sender, message, now, events, proposals)
                case WantWrite():
                    self._want_write(item, proposals)
                case WantRead():
                    self._want_read(item, reads)
                case WantOrder():
                    self._want_order(item, events)
                case WantRelay():
                    self._want_relay(item)
                case Deadline():
                    events.append(item)
        self._take_durable(events)
        if proposals:
            events.append(Propose(tuple(proposals), wall_us))
        if reads:
            events.append(Read(tuple(reads)))
        if events:
            self._execute(self.core.step_all(events, now))
        self._expire(now)
        self._settle(now)

    @property
    def deadline(self) -> int | None:
        """When `handle([Deadline()], ...)` is wanted at the latest; None: no need."""
        due = [at for at in (self.core.deadline, self._pending.deadline, self._orders.deadline) if at is not None]
        return min(due, default=None)

    def stop(self) -> None:
        """Answer everything that waits: what was never proposed as such, the rest as unknown."""
        writes, reads = self._pending.drain()
        for write in writes:
            write.reply(_interrupted(write, "the node is stopping"))
        for read in reads:
            read(ReadFailed("stopping", "the node is stopping"))
        for order in self._orders.drain():
            order.reply(_unknown(order, "the node is stopping"))
        self._send_answers()

    # --- what comes in ----------------------------------------------------------------------------------------

    def _arrived(
        self, sender: Member, message: Message, now: int, events: list[Event], proposals: list[Proposal]
    ) -> None:
        self._trace.message(False, sender.name, message)
        match message:
            case Forward():
                if self._is_member(sender):
                    self._take_forwarded(sender, message, now, proposals)
            case ForwardReply():
                if message.boot == self._boot:
                    for answer in message.answers:
                        self._answered(answer)
            case Report(body, _, answer):
                self._hooks.report(sender, body)
                if answer:
                    self._hooks.report_wanted(sender.name)
            case Command():
                self._take_command(sender, message)
            case CommandReply():
                if message.boot == self._boot:
                    self._command_replied(sender, message)
            case _:
                events.append(Receive(sender, message))

    def _want_write(self, item: WantWrite, proposals: list[Proposal]) -> None:
        if self._pending.full:
            item.reply(NotProposed("overloaded", "too many requests wait on this node; try again later"))
            return
        request = self._pending.add_write(PendingWrite(item.data, item.reply, may_forward=True), item.deadline_us)
        proposals.append(Proposal(request, item.data))

    def _want_read(self, item: WantRead, reads: list[int]) -> None:
        if self._pending.full:
            item.reply(ReadFailed("overloaded", "too many requests wait on this node; try again later"))
            return
        reads.append(self._pending.add_read(item.reply, item.deadline_us))

    def _want_order(self, item: WantOrder, events: list[Event]) -> None:
        if self._orders.full:
            item.reply(_too_many(item.command))
            return
        order = PendingOrder(item.command, "", item.deadline_us, item.reply)
        events.append(ORDERS[item.command](self._orders.add(order), item.target))

    def _want_relay(self, item: WantRelay) -> None:
        """The one hop. What the link did not take was certainly not obeyed; what it took may be."""
        if self._orders.full:
            item.reply(_too_many(item.command))
            return
        request = self._orders.add(PendingOrder(item.command, item.node, item.deadline_us, item.reply))
        if not self._send(item.node, Command(self._boot, request, item.command, item.arguments)):
            self._orders.take(request)
            message = f"no link to {item.node}; nothing was sent"
            item.reply(CommandOutcome(item.command, item.node, "no-link", message))

    def _take_command(self, sender: Member, message: Command) -> None:
        """Only members may command, and each gets an answer."""

        def reply(outcome: CommandOutcome) -> None:
            encoded = _OUTCOME_ENCODER.encode(outcome)
            if len(encoded) > OUTCOME_BYTES_MAX:
                shorter = msgspec.structs.replace(
                    outcome, data={}, message=f"{outcome.message} (too long to be relayed)"
                )
                encoded = _OUTCOME_ENCODER.encode(shorter)
            self._command_replies.append((sender.name, CommandReply(message.boot, message.request, encoded)))
            self._hooks.wake()

        if self._is_member(sender):
            self._hooks.command(message.name, message.arguments, reply)
        else:
            why = (
                f"{sender.name} is no member of this node's cluster, so it commands nothing here: ask this node itself"
            )
            reply(CommandOutcome(message.name, "", "refused", why))

    def _command_replied(self, sender: Member, message: CommandReply) -> None:
        order = self._orders.get(message.request)
        if order is None or order.to != sender.name:
            return  # it came too late, or from one who was not asked
        self._orders.take(message.request)
        try:
            outcome = msgspec.structs.replace(_COMMAND_DECODER.decode(message.outcome), node=sender.name)
        except (msgspec.DecodeError, UnicodeDecodeError):
            outcome = _unknown(order, f"{sender.name} answered in a form that this version does not know")
        order.reply(outcome)

    def _ordered(self, effect: Ordered) -> None:
        order = self._orders.take(effect.request)
        if order is not None:
            order.reply(CommandOutcome(order.command, "", "ok" if effect.done else "refused", effect.message))

    def _take_forwarded(self, sender: Member, message: Forward, now: int, proposals: list[Proposal]) -> None:
        key = (sender.name, message.boot)
        for forwarded in message.proposals:

            def reply(outcome: Outcome, number: int = forwarded.request) -> None:
                answer = ForwardedAnswer(number, _OUTCOME_ENCODER.encode(outcome))
                self._answers.setdefault(key, []).append(answer)

            if self._pending.full:
                reply(NotProposed("overloaded", "too many requests wait on the leader; try again later"))
                continue
            write = PendingWrite(forwarded.data, reply, may_forward=False)
            request = self._pending.add_write(write, now + FORWARD_TIMEOUT_US)
            proposals.append(Proposal(request, forwarded.data, forwarded.session, forwarded.sequence))

    def _answered(self, answer: ForwardedAnswer) -> None:
        write = self._pending.write(answer.request)
        if write is None or not write.forwarded_to:
            return  # answered meanwhile: it timed out, or the leader changed
        self._pending.take_write(answer.request)
        try:
            outcome = _OUTCOME_DECODER.decode(answer.outcome)
        except (msgspec.DecodeError, UnicodeDecodeError):
            outcome = Unknown(f"{write.forwarded_to} answered in a form that this version does not know")
        write.reply(outcome)

    # --- what the core wants ------------------------------------------------------------------------------------

    def _execute(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(to, message):
                    self._send(to, message)
                case Persist():
                    if effect.then:
                        self._then[effect.token] = effect.then
                    self._storage.submit(effect, self._on_durable)
                case Apply(entries):
                    self._apply(entries)
                case Accepted(requests, term, first_index):
                    for offset, request in enumerate(requests):
                        overwritten = self._pending.accepted(request, first_index + offset, term, self._now)
                        if overwritten is not None:
                            self._overwritten(overwritten)
                case Refused(requests, reason):
                    self._refused(requests, reason)
                case ReadReady(requests):
                    for request in requests:
                        read = self._pending.take_read(request)
                        if read is not None:
                            read(None)
                case Ordered():
                    self._ordered(effect)
                case ConfigChanged():
                    self._hooks.configuration(effect)
                case Trace(kind, term, detail, role):
                    self._trace.transition(kind, term, role.value, detail)

    def _send(self, to: str, message: Message) -> bool:
        sent = self._links.send(to, message)
        if sent:
            self._trace.message(True, to, message)
        return sent

    def _on_durable(self, token: int) -> None:
        """Called by storage, in order. What waited for the disk leaves now, before anything else happens."""
        for send in self._then.pop(token, ()):
            self._send(send.to, send.message)
        self._durable_token = token
        self._hooks.wake()

    def _take_durable(self, events: list[Event]) -> None:
        if self._durable_token:
            events.append(Persisted(self._durable_token))
            self._durable_token = 0

    def _apply(self, entries: tuple[Entry, ...]) -> None:
        results = self._machine.apply(entries)
        for entry, result in zip(entries, results, strict=True):
            waiting = self._pending.applied(entry.index)
            if waiting is None:
                continue
            term, request, accepted_us = waiting
            if term != entry.term:
                self._overwritten(request)
                continue
            self.latency.record(self._now - accepted_us, self._now, self._wall_us)
            write = self._pending.take_write(request)
            if write is not None:
                write.reply(Done(result, entry.index, entry.term))
        self._follow_up.append(Applied(entries[-1].index))

    def _settle(self, now: int) -> None:
        """Follow up at once what costs little, leave the rest for the next turn; let the disk begin; answer peers."""
        for _ in range(APPLY_ROUNDS_MAX):
            self._storage.flush()
            events, self._follow_up = self._follow_up, []
            self._take_durable(events)
            if not events:
                break
            self._execute(self.core.step_all(events, now))
        else:
            self._storage.flush()
        if self._follow_up or self._durable_token:
            self._hooks.wake()
        if self.core.leader != self._leader:
            self._leader_changed()
        self._send_answers()

    # --- outcomes ----------------------------------------------------------------------------------------------

    def _refused(self, requests: tuple[int, ...], reason: Refusal) -> None:
        to_forward: list[ForwardedProposal] = []
        leader = reason.leader if isinstance(reason, NotLeader) else ""
        for request in requests:
            read = self._pending.take_read(request)
            if read is not None:
                refusal = _not_proposed(reason)
                read(ReadFailed(refusal.code, refusal.reason, refusal.leader))
                continue
            write = self._pending.write(request)
            if write is None:
                continue
            if leader and write.may_forward:
                to_forward.append(ForwardedProposal(request, write.data))
            else:
                self._pending.take_write(request)
                write.reply(_not_proposed(reason))
        for batch in _batches(to_forward):
            self._forward(leader, batch)

    def _forward(self, leader: str, batch: tuple[ForwardedProposal, ...]) -> None:
        """The one hop. What the link did not take was certainly not proposed; what it took may be."""
        sent = self._send(leader, Forward(self._boot, batch))
        for forwarded in batch:
            write = self._pending.write(forwarded.request)
            if write is None:
                continue
            if sent:
                write.forwarded_to = leader
                write.may_forward = False
            else:
                self._pending.take_write(forwarded.request)
                write.reply(NotProposed("no-link", f"no link to the leader {leader}; nothing was sent", leader))

    def _overwritten(self, request: int) -> None:
        write = self._pending.take_write(request)
        if write is not None:
            write.reply(Unknown("a newer leader overwrote this write before it was committed here"))

    def _leader_changed(self) -> None:
        """A forwarded write's answer would come from a leader that is no more: its outcome stays unknown."""
        self._leader = self.core.leader
        if self._leader:
            for write in self._pending.forwarded_elsewhere(self._leader):
                write.reply(Unknown(f"{write.forwarded_to} stopped leading before it answered"))

    def _expire(self, now: int) -> None:
        for write, read in self._pending.expired(now):
            if write is not None:
                write.reply(_interrupted(write, "no quorum confirmed it in time"))
            if read is not None:
                read(ReadFailed("timeout", "no quorum confirmed a leader in time", self.core.leader))
        for order in self._orders.expired(now):
            order.reply(_unknown(order, f"{order.to or 'this node'} did not answer in time"))

    def _send_answers(self) -> None:
        if self._answers:
            for (peer, boot), answers in self._answers.items():
                self._send(peer, ForwardReply(boot, tuple(answers)))
            self._answers.clear()
        for peer, reply in self._command_replies:
            self._send(peer, reply)
        self._command_replies.clear()

    def _is_member(self, sender: Member) -> bool:
        return self.core.configuration.member(sender.name) == sender


def _unknown(order: PendingOrder, why: str) -> CommandOutcome:
    message = f"{why}: {order.command} may have been obeyed, or may be yet"
    return CommandOutcome(order.command, order.to, "unknown", message)


def _too_many(command: str) -> CommandOutcome:
    return CommandOutcome(command, "", "overloaded", "too many commands wait on this node; try again later")


def _interrupted(write: PendingWrite, why: str) -> Outcome:
    if write.proposed or write.forwarded_to:
        return Unknown(f"{why}; the write may still happen")
    return NotProposed("no-leader", f"{why}; the write was not proposed")


def _not_proposed(reason: Refusal) -> NotProposed:
    """A refusal in words for people and a code for programs."""
    match reason:
        case NotLeader(leader):
            where = f"{leader} leads" if leader else "no leader is known; an election may be under way"
            return NotProposed("no-leader", f"this node does not lead: {where}", leader)
        case NotBorn(waiting_for):
            return NotProposed("not-born", waiting_for)
        case LogFull(size_bytes, limit_bytes):
            return NotProposed(
                "log-full",
                f"the log holds {size_bytes} bytes of at most {limit_bytes}; "
                "raise max_log_bytes on all nodes to write again; reads go on",
            )
        case Overloaded(waiting_bytes, limit_bytes):
            return NotProposed("overloaded", f"{waiting_bytes} bytes of at most {limit_bytes} wait to be committed")
        case Transferring(target):
            return NotProposed("transferring", f"the lead is being handed to {target}; try again at once", target)


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
