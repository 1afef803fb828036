"""One core, synchronous: inputs in, effects carried out. The simulator runs this very code on virtual time.

Why it exists: the only owner of a core. It turns clients' wishes into events, effects into calls on the ports, and
what the core and the state machine say into outcomes. It must not know asyncio, a clock or a socket; it must not
decide anything that Raft decides.

The way of a write: `WantWrite` -> `Propose` -> `Accepted` (waits by log index) -> `Persist`, `Send` -> ... ->
`Apply` -> `Done`. On a follower: `Refused(NotLeader)` -> `Forward` -> ... -> `ForwardReply`; one hop, never repeated.
"""

from collections.abc import Sequence

from node.raft.core import Raft
from node.raft.effects import Accepted, Apply, ConfigChanged, Effect, Ordered, Persist, ReadReady, Refused, Send, Trace
from node.raft.errors import NotLeader, Refusal
from node.raft.events import Applied, Deadline, Event, ForgetReads, Persisted, Proposal, Propose, Read, Receive
from node.raft.messages import Command, CommandReply, Forward, ForwardedProposal, ForwardReply, Message, Report
from node.raft.types import Entry, Member
from node.runtime.forwarding import Forwarding
from node.runtime.hooks import Hooks
from node.runtime.inputs import Arrived, Input, WantOrder, WantRead, WantRelay, WantWrite
from node.runtime.latency import CommitLatency
from node.runtime.outcomes import interrupted, not_proposed
from node.runtime.pending import Pending, PendingWrite
from node.runtime.ports import Done, Links, NotProposed, ReadFailed, StateMachine, Storage, TraceSink, Unknown
from node.runtime.relaying import Relaying

PENDING_REQUESTS_MAX = 20_000
"""Client requests that may wait on one node; more are refused as overloaded."""

APPLY_ROUNDS_MAX = 4
"""Pieces of the log applied in one turn; a long replay goes on in the next turn, so that heartbeats are answered."""


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
        self._storage = storage
        self._machine = machine
        self._links = links
        self._trace = trace
        self._hooks = hooks
        self._pending = Pending(pending_requests_max)
        self._then: dict[int, tuple[Send, ...]] = {}
        self._durable_token = 0
        self._follow_up: list[Event] = []
        self._forwarding = Forwarding(boot, self._pending, self._send, links.connected)
        self._relaying = Relaying(boot, self._send, hooks)
        self._leader = ""
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
                    self._relaying.want_order(item, events)
                case WantRelay():
                    self._relaying.want_relay(item)
                case Deadline():
                    events.append(item)
        self._take_durable(events)
        if proposals:
            events.append(Propose(tuple(proposals)))
        if reads:
            events.append(Read(tuple(reads)))
        if events:
            self._execute(self.core.step_all(events, now))
        self._expire(now)
        self._settle(now)

    @property
    def deadline(self) -> int | None:
        """When `handle([Deadline()], ...)` is wanted at the latest; None: no need."""
        due = [at for at in (self.core.deadline, self._pending.deadline, self._relaying.deadline) if at is not None]
        return min(due, default=None)

    @property
    def writes_wait(self) -> bool:
        """Whether a write waits for its outcome here, a client's of this node or one that a peer forwarded."""
        return self._pending.writes_wait

    def stop(self) -> None:
        """Answer everything that waits: what was never proposed as such, the rest as unknown."""
        writes, reads = self._pending.drain()
        for write in writes:
            write.reply(interrupted(write, "the node is stopping"))
        for read in reads:
            read(ReadFailed("stopping", "the node is stopping"))
        self._relaying.stop()
        self._send_answers()

    # --- what comes in ----------------------------------------------------------------------------------------

    def _arrived(
        self, sender: Member, message: Message, now: int, events: list[Event], proposals: list[Proposal]
    ) -> None:
        self._trace.message(False, sender.name, message)
        match message:
            case Forward():
                if self._is_member(sender):
                    self._forwarding.take(sender, message, now, proposals)
            case ForwardReply():
                self._forwarding.answered(message)
            case Report(body, _, answer):
                self._hooks.report(sender, body)
                if answer:
                    self._hooks.report_wanted(sender.name)
            case Command():
                self._relaying.take_command(sender, message, self._is_member(sender))
            case CommandReply():
                self._relaying.replied(sender, message)
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
                    self._relaying.ordered(effect)
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
            self._leader = self.core.leader
            if self._leader:
                self._forwarding.leader_changed(self._leader, now)
        self._send_answers()

    # --- outcomes ----------------------------------------------------------------------------------------------

    def _refused(self, requests: tuple[int, ...], reason: Refusal) -> None:
        to_forward: list[ForwardedProposal] = []
        leader = reason.leader if isinstance(reason, NotLeader) else ""
        for request in requests:
            read = self._pending.take_read(request)
            if read is not None:
                refusal = not_proposed(reason)
                read(ReadFailed(refusal.code, refusal.reason, refusal.leader))
                continue
            write = self._pending.write(request)
            if write is None:
                continue
            if leader and write.may_forward:
                to_forward.append(ForwardedProposal(request, write.data))
            else:
                self._pending.take_write(request)
                write.reply(not_proposed(reason))
        self._forwarding.forward(leader, to_forward)

    def _overwritten(self, request: int) -> None:
        write = self._pending.take_write(request)
        if write is not None:
            write.reply(Unknown("a newer leader overwrote this write before it was committed here"))

    def _expire(self, now: int) -> None:
        forgotten: list[int] = []
        for request, write, read in self._pending.expired(now):
            if write is not None:
                write.reply(interrupted(write, self._why_expired(write)))
            if read is not None:
                forgotten.append(request)
                read(ReadFailed("timeout", "no quorum confirmed a leader in time", self.core.leader))
        if forgotten:
            self._follow_up.append(ForgetReads(tuple(forgotten)))
        self._relaying.expire(now)

    def _why_expired(self, write: PendingWrite) -> str:
        if write.forwarded_to and write.forwarded_to != self.core.leader:
            return f"{write.forwarded_to} stopped leading before it answered"
        status = self.core.status(self._now)
        if status.disk_silent_us >= status.disk_silent_limit_us:
            return f"this node's disk has not answered for {status.disk_silent_us // 1_000} ms"
        return "no quorum confirmed it in time"

    def _send_answers(self) -> None:
        self._forwarding.send_answers()
        self._relaying.send_replies()

    def _is_member(self, sender: Member) -> bool:
        return self.core.configuration.member(sender.name) == sender
