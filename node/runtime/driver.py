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
from node.raft.events import Applied, Deadline, Event, Persisted, Proposal, Propose, Read, Receive
from node.raft.messages import Command, CommandReply, Forward, ForwardReply, Message, Report
from node.raft.types import Entry, Member
from node.runtime.admission import PENDING_REQUESTS_MAX, Admission
from node.runtime.answers import Answers
from node.runtime.forwarding import Forwarding
from node.runtime.hooks import Hooks
from node.runtime.inputs import Arrived, Input, WantOrder, WantRead, WantRelay, WantWrite
from node.runtime.latency import CommitLatency
from node.runtime.onehop import HopCounts
from node.runtime.outcomes import interrupted, not_proposed, unanswered
from node.runtime.pending import Pending
from node.runtime.ports import Done, Links, ReadFailed, StateMachine, Storage, TraceSink, Unknown
from node.runtime.relaying import Relaying
from node.runtime.replies import Replies

EXPIRED_PER_TURN_MAX = 1024
"""Requests that are found in one turn to have waited too long, here and for other nodes each; the rest in the next."""

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
        self._pending = Pending()
        self._replies = Replies()
        self._then: dict[int, tuple[Send, ...]] = {}
        self._durable_token = 0
        self._follow_up: list[Event] = []
        self.counts = HopCounts()
        """What went wrong with answers on their one hop."""
        self.unsent: dict[str, int] = {}
        """Messages that a link did not take, by the name of their type."""
        self._answers = Answers(machine.encode_result, self._send, self.counts, self._lost_answers)
        self._forwarding = Forwarding(
            boot, self._pending, self._answers, self._send, links.connected, machine.decode_result, self.counts
        )
        self._relaying = Relaying(boot, self._answers, self._send, hooks, self.counts)
        self._heard: dict[str, Member] = {}
        """Who said something last under each name that links lead to."""
        parts = (self._pending, self._forwarding, self._answers, self._replies)
        self._admission = Admission(pending_requests_max, self._pending, self._replies, parts)
        self._leader = ""
        self._now = 0
        self._wall_us = 0
        self.latency = CommitLatency()

    def start(self, now: int) -> None:
        """Call once, before the first `handle`."""
        self._now = self._answers.now = now
        self._execute(self.core.start(now))
        self._settle(now)

    def handle(self, inputs: Sequence[Input], now: int, wall_us: int) -> None:
        """Take what waits, as one step. `now`: monotonic microseconds; `wall_us`: microseconds since the epoch."""
        self._now, self._answers.now, self._wall_us = now, now, wall_us
        events: list[Event] = self._follow_up
        self._follow_up = []
        proposals: list[Proposal] = []
        reads: list[int] = []
        for item in inputs:
            match item:
                case Arrived(sender, message):
                    self._arrived(sender, message, now, events, proposals)
                case WantWrite():
                    self._admission.write(item, proposals)
                case WantRead():
                    self._admission.read(item, reads)
                case WantOrder():
                    self._relaying.want_order(item, events)
                case WantRelay():
                    self._relaying.want_relay(item, self._heard.get(item.node))
                case Deadline():
                    events.append(item)
        self._take_durable(events)
        if proposals:
            events.append(Propose(tuple(proposals), wall_us))
        if reads:
            events.append(Read(tuple(reads)))
        if events:
            self._execute(self.core.step_all(events, now))
        self._settle(now)
        self._end_turn(now)

    @property
    def deadline(self) -> int | None:
        """When `handle([Deadline()], ...)` is wanted at the latest; None: no need."""
        parts = (self.core, self._pending, self._forwarding, self._relaying, self._answers)
        return min((at for part in parts if (at := part.deadline) is not None), default=None)

    @property
    def writes_wait(self) -> bool:
        """Whether a write waits for its outcome here, a client's of this node or one that a peer forwarded."""
        return bool(self._pending.writes_wait or self._forwarding or self._answers or self._replies)

    def stop(self) -> None:
        """Answer everything that waits: what was never proposed as such, the rest as unknown."""
        writes, reads = self._pending.drain()
        for write in writes:
            write.reply(interrupted(write, "the node is stopping"))
        for read in reads:
            read(ReadFailed("stopping", "the node is stopping"))
        self._forwarding.stop()
        self._relaying.stop()
        self._answers.send(self._now, everything=True)
        self._replies.tell(None)

    # --- what comes in ----------------------------------------------------------------------------------------

    def _arrived(
        self, sender: Member, message: Message, now: int, events: list[Event], proposals: list[Proposal]
    ) -> None:
        self._trace.message(False, sender.name, message)
        self._heard[sender.name] = sender
        match message:
            case Forward():
                if self._is_member(sender):
                    self._forwarding.take(sender, message, now, proposals, self._admission.full)
            case ForwardReply():
                self._forwarding.answered(sender, message)
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
                    self._replies.add_all(self._pending.answers_to_reads(requests, None))
                case Ordered():
                    self._relaying.ordered(effect)
                case ConfigChanged():
                    self._hooks.configuration(effect)
                case Trace(kind, term, detail, role):
                    self._trace.transition(kind, term, role.value, detail)

    def _send(self, to: str, message: Message) -> bool:
        """False: certainly not sent. What a link does not take is counted; who may not lose it looks at the result:
        a write or a command was then not asked for, an answer is offered again. Raft itself repeats what is lost."""
        sent = self._links.send(to, message)
        if sent:
            self._trace.message(True, to, message)
        else:
            kind = type(message).__name__
            self.unsent[kind] = self.unsent.get(kind, 0) + 1
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

    # --- outcomes ----------------------------------------------------------------------------------------------

    def _refused(self, requests: tuple[int, ...], reason: Refusal) -> None:
        refusal = not_proposed(reason)
        writes = self._pending.take_writes(requests)
        if len(writes) < len(requests):
            failed = ReadFailed(refusal.code, refusal.reason, refusal.leader)
            self._replies.add_all(self._pending.answers_to_reads(requests, failed))
        leader = self.core.configuration.member(reason.leader) if isinstance(reason, NotLeader) else None
        for write in writes:
            if leader is None or not write.may_forward:
                write.reply(refusal)
        if leader is not None:
            self._forwarding.forward(leader, [write for write in writes if write.may_forward])

    def _overwritten(self, request: int) -> None:
        write = self._pending.take_write(request)
        if write is not None:
            write.reply(Unknown("a newer leader overwrote this write before it was committed here"))

    def _end_turn(self, now: int) -> None:
        """Say what is decided, as much as one turn may hold."""
        self._expire(now)
        more_to_send = self._answers.send(now)
        more_to_tell = self._replies.tell()
        if more_to_send or more_to_tell:
            self._hooks.wake()

    def _expire(self, now: int) -> None:
        """What is left over is still due, so `deadline` has passed, and the next turn comes at once."""
        writes, reads = self._pending.expired(now, EXPIRED_PER_TURN_MAX)
        for write in writes:
            write.reply(interrupted(write, self._why_expired()))
        for read in reads:
            read(ReadFailed("timeout", "no quorum confirmed a leader in time", self.core.leader))
        for asked in self._forwarding.expired(now, EXPIRED_PER_TURN_MAX):
            asked.what.reply(unanswered(self._why_expired(asked.to.name, asked.stale)))
        self._relaying.expire(now)

    def _why_expired(self, forwarded_to: str = "", stale: bool = False) -> str:
        if stale or (forwarded_to and forwarded_to != self.core.leader):
            return f"{forwarded_to} stopped leading before it answered"
        return "no quorum confirmed it in time"

    def _lost_answers(self, peer: str, count: int) -> None:
        self._trace.transition("answers-lost", self.core.term, self.core.role.value, {"peer": peer, "count": count})

    def _is_member(self, sender: Member) -> bool:
        return self.core.configuration.member(sender.name) == sender
