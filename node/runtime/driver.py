"""One core, synchronous: inputs in, effects carried out. The simulator runs this very code on virtual time.

Why it exists: the only owner of a core. It turns clients' wishes into events, effects into calls on the ports, and
what the core and the state machine say into outcomes. It must not know asyncio, a clock or a socket; it must not
decide anything that Raft decides.

The way of a write: `WantWrite` -> `Propose` -> `Accepted` (waits by log index) -> `Persist`, `Send` -> ... ->
`Apply` -> a slice of it in this turn, others in later ones -> `Applied`, `Done`. On a follower:
`Refused(NotLeader)` -> `Forward` -> ... -> `ForwardReply`; one hop, never repeated.
"""

from collections.abc import Callable, Sequence

from node.raft.core import Raft
from node.raft.effects import (
    Accepted,
    Apply,
    ConfigChanged,
    Effect,
    Ordered,
    Persist,
    ReadReady,
    Refused,
    Restore,
    Send,
    Trace,
)
from node.raft.events import (
    Continue,
    Deadline,
    Event,
    ForgetReads,
    PeerGone,
    PeerUp,
    Persisted,
    Proposal,
    Propose,
    Read,
    Receive,
)
from node.raft.messages import (
    Command,
    CommandReply,
    Forward,
    ForwardReply,
    Message,
    Report,
    SnapshotPiece,
    SnapshotPieceReply,
    VoteReply,
)
from node.raft.types import Base, Entry, Member, Role
from node.runtime.answers import Answers
from node.runtime.applying import Applying
from node.runtime.between_leaders import HELD_US
from node.runtime.deadlines import earliest
from node.runtime.expiring import Expiring
from node.runtime.forwarding import Forwarding
from node.runtime.hooks import Hooks
from node.runtime.inputs import Arrived, Input, WantOrder, WantRead, WantRelay, WantWrite
from node.runtime.latency import CommitLatency
from node.runtime.onehop import HopCounts
from node.runtime.pending import Pending
from node.runtime.ports import Done, Links, SnapshotView, StateMachine, Storage, TraceSink, Unknown
from node.runtime.relaying import Relaying
from node.runtime.requests import PENDING_REQUESTS_MAX, Requests
from node.runtime.snapshot_ports import Snapshots
from node.runtime.snapshot_taking import SNAPSHOT_DEFAULTS, Ended, SnapshotSettings
from node.runtime.snapshotting import Snapshotting

FOLLOW_UPS_PER_TURN_MAX = 4
"""Steps of the core that follow from a turn's first one within the same turn; what is left waits for the next."""


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
        snapshots: Snapshots,
        pending_requests_max: int = PENDING_REQUESTS_MAX,
        snapshot_settings: SnapshotSettings = SNAPSHOT_DEFAULTS,
        leaderless_wait_us: int = HELD_US,
    ) -> None:
        self.core = core
        self._storage = storage
        self._links = links
        self._trace = trace
        self._hooks = hooks
        self._pending = Pending()
        self._then: dict[int, tuple[Send, ...]] = {}
        self._durable_token = 0
        self.counts = HopCounts()
        """What went wrong with answers on their one hop."""
        self.unsent: dict[type[Message], int] = {}
        """Messages that a link did not take, by type."""
        self._answers = Answers(machine.encode_result, self._send, self.counts, self._lost_answers)
        self._forwarding = Forwarding(
            boot, self._pending, self._answers, self._send, links.connected, machine.decode_result, self.counts
        )
        self._requests = Requests(
            pending_requests_max,
            self._pending,
            self._forwarding,
            self._answers,
            self._member,
            lambda: core.leader,
            self._silent_disk,
            leaderless_wait_us,
        )
        self._between = self._requests.between
        self._forwarding.not_taken = self._requests.not_taken
        self._forwarding.not_taken_by_leader = self._requests.not_taken_by_leader
        self._relaying = Relaying(boot, self._answers, self._send, hooks, self.counts)
        self._heard: dict[str, Member] = {}
        """Who said something last under each name; links let a bounded number of names come (`GUEST_NAMES_MAX`)."""
        self.applying = Applying(machine, self._pending.waits_for, self._apply)
        self._snapshotting = Snapshotting(core, machine, snapshots, self._send, trace, hooks.wake, snapshot_settings)
        self.expiring = Expiring(core, machine, self._pending.add_write)
        self._leader = ""
        self._unflushed = False
        """Whether storage was given something since it was last asked to begin."""
        self._said = False
        """Whether the links were given something since they were last asked to let it go."""
        self._parts_due: int | None = None
        """When the parts round the core want a turn, as of the end of the last."""
        self._now = 0
        self._wall_us = 0
        self.latency = CommitLatency()

    def start(self, now: int) -> None:
        """Call once, before the first `handle`."""
        self._now = self._answers.now = now
        self.expiring.applied(self.core.base.time_us, now)
        self._execute(self.core.start(now))
        self._settle(now)

    def handle(self, inputs: Sequence[Input], now: int, wall_us: int) -> None:
        """Take what waits, as one step. `now`: monotonic microseconds; `wall_us`: microseconds since the epoch."""
        self._now, self._answers.now, self._wall_us = now, now, wall_us
        self._requests.begin_turn(now)
        events: list[Event] = []
        self._take_durable(events)  # before any timer: a disk that has answered by now is not silent
        if self.core.unfinished:
            events.append(Continue())
        proposals: list[Proposal] = []
        reads: list[int] = []
        for item in inputs:
            match item:
                case Arrived(sender, message):
                    self._arrived(sender, message, now, events, proposals)
                case WantWrite():
                    self._requests.write(item, proposals)
                case WantRead():
                    self._requests.read(item, reads)
                case WantOrder():
                    self._relaying.want_order(item, events)
                case WantRelay():
                    self._relaying.want_relay(item, self._heard.get(item.node))
                case PeerGone(member):
                    self._forwarding.gone(member, now)
                    events.append(item)
                case PeerUp():
                    self._between.somebody_came()
                    events.append(item)
                case Deadline():
                    events.append(item)
        self.expiring.look(now, proposals)
        if self._between.any and self._requests.waits_for_leader and (self._has_leader or self._may_win(events)):
            self._requests.offer(proposals, reads)
        if proposals:
            events.append(Propose(tuple(proposals)))
        if reads:
            events.append(Read(tuple(reads)))
        if events:
            self._execute(self.core.step_all(events, now))
        self._settle(now)
        self._end_turn(now)
        self._let_go()

    @property
    def deadline(self) -> int | None:
        """When `handle([Deadline()], ...)` is wanted at the latest; None: no need."""
        return earliest(self.core.deadline, self._parts_due)

    def snapshot_view(self, now: int) -> SnapshotView:
        """What there is of snapshots, and what is done with them."""
        return self._snapshotting.view(now)

    def want_snapshot(self, done: Ended) -> Callable[[], None]:
        """Take one of what is applied now, unless there is one: see `Snapshotting.want`. The next turn begins it."""
        return self._snapshotting.want(done)

    @property
    def writes_wait(self) -> bool:
        """Whether a write waits for its outcome here, a client's of this node or one that a peer forwarded."""
        return self._requests.writes_wait

    def stop(self) -> None:
        """Answer everything that waits: what was never proposed as such, the rest as unknown."""
        self.applying.stop()
        self._snapshotting.stop()
        self._requests.stop()
        self._relaying.stop()
        self._answers.send(self._now, everything=True)

    # --- what comes in ----------------------------------------------------------------------------------------

    def _arrived(
        self, sender: Member, message: Message, now: int, events: list[Event], proposals: list[Proposal]
    ) -> None:
        self._trace.message(False, sender.name, message)
        self._heard[sender.name] = sender
        match message:
            case Forward():
                if self._is_member(sender):
                    self._forwarding.take(sender, message, now, proposals, self._requests.take_room)
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
            case SnapshotPiece() | SnapshotPieceReply():
                if self._is_member(sender) or self._of_this_cluster(message):
                    self._snapshotting.arrived(sender, message)
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
                    self._unflushed = True
                case Apply(entries):
                    self.applying.begin(entries)
                case Restore(base):
                    self._restore(base)
                case Accepted(requests, term, first_index):
                    for offset, request in enumerate(requests):
                        overwritten = self._pending.accepted(request, first_index + offset, term, self._now)
                        if overwritten is not None:
                            self._overwritten(overwritten)
                case Refused(requests, reason):
                    self._requests.refused(requests, reason)
                case ReadReady(requests):
                    self._requests.read_ready(requests)
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
            self._said = True
            self._trace.message(True, to, message)
        else:
            self.unsent[type(message)] = self.unsent.get(type(message), 0) + 1
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

    def _apply(self, entry: Entry, results: dict[int, object]) -> None:
        """`entry` is applied: answer who waited for it."""
        self.expiring.applied(entry.time_us, self._now)
        waiting = self._pending.applied(entry.index)
        if waiting is None:
            return
        term, request, accepted_us = waiting
        if term != entry.term:
            self._overwritten(request)
            return
        self.latency.record(self._now - accepted_us, self._now, self._wall_us)
        write = self._pending.take_write(request)
        if write is not None:
            write.reply(Done(results.pop(entry.index), entry.index, entry.term))

    def _settle(self, now: int) -> None:
        """Let the disk begin and follow up what costs little; then, when everything that these steps say is with the
        links, apply one slice; answer peers. What is left is for the next turn."""
        may_apply = True
        for _ in range(FOLLOW_UPS_PER_TURN_MAX):
            self._flush()
            events: list[Event] = []
            self._take_durable(events)
            if not events and may_apply:
                may_apply = False
                events = self._snapshotting.run(now, at_rest=self.applying.at_rest)
                if self.applying.under_way:
                    events += self.applying.run()
            if not events:
                break
            self._execute(self.core.step_all(events, now))
        else:
            self._flush()
        self._hooks.applied()
        works = self.applying.under_way or self._snapshotting.has_work
        if self._durable_token or self.core.unfinished or works:
            self._hooks.wake()
        if self.core.leader != self._leader:
            self._leader = self.core.leader
            if self._leader:
                self._requests.leader_changed(self._leader, now)
        if self._between.any and self._requests.waits_for_leader and self._has_leader:
            self._hooks.wake()

    @property
    def _has_leader(self) -> bool:
        """Whether there is somebody who may take a write now: this node, or one that a link leads to."""
        core = self.core
        if core.role is Role.LEADER:
            return core.takes_writes
        return bool(core.leader) and self._links.connected(core.leader)

    def _may_win(self, events: Sequence[Event]) -> bool:
        """Whether this turn may make this node the leader: then what waits goes with its first entry."""
        if self.core.role is not Role.CANDIDATE:
            return False
        return any(isinstance(event, Receive) and isinstance(event.message, VoteReply) for event in events)

    def _flush(self) -> None:
        if self._unflushed:
            self._unflushed = False
            self._let_go()  # others' disks work while this one does
            self._storage.flush()
        self._let_go()

    def _let_go(self) -> None:
        """Nobody waits for the rest of this turn to hear what was said in it."""
        if self._said:
            self._said = False
            self._links.flush()

    def _restore(self, base: Base) -> None:
        self.applying.stop()
        self._pending.begun_anew()
        self._snapshotting.restore(base)
        self.expiring.applied(base.time_us, self._now)

    # --- outcomes ----------------------------------------------------------------------------------------------

    def _overwritten(self, request: int) -> None:
        write = self._pending.take_write(request)
        if write is not None:
            write.reply(Unknown("a newer leader overwrote this write before it was committed here"))

    def _end_turn(self, now: int) -> None:
        """Say what is decided, as much as one turn may hold."""
        requests_due, commands_due = self._requests.deadline, self._relaying.deadline
        if requests_due is not None and now >= requests_due:
            forgotten = self._requests.expire(now)
            if forgotten:
                self._execute(self.core.step(ForgetReads(forgotten), now))
            requests_due = self._requests.deadline
        if commands_due is not None and now >= commands_due:
            self._relaying.expire(now)
            commands_due = self._relaying.deadline
        more_to_send = self._answers.send(now)
        more_to_tell = self._requests.tell()
        if more_to_send or more_to_tell:
            self._hooks.wake()
        self._parts_due = earliest(
            requests_due, commands_due, self._answers.deadline, self._snapshotting.deadline, self.expiring.deadline
        )

    def _lost_answers(self, peer: str, count: int) -> None:
        self._trace.transition("answers-lost", self.core.term, self.core.role.value, {"peer": peer, "count": count})

    def _silent_disk(self) -> str:
        """Why nothing is decided here, where this node's disk is why; else empty."""
        status = self.core.status(self._now)
        if status.disk_silent_us < status.disk_silent_limit_us:
            return ""
        return f"this node's disk has not answered for {status.disk_silent_us // 1_000} ms"

    def _member(self, name: str) -> Member | None:
        return self.core.configuration.member(name)

    def _of_this_cluster(self, message: SnapshotPiece | SnapshotPieceReply) -> bool:
        """A snapshot is taken from whoever is in this cluster, as entries are: a leader that was let in later, or got a
        new disk, may help one that is behind and does not know it yet (thesis 4.1)."""
        if not isinstance(message, SnapshotPiece):
            return False
        core = self.core
        return core.invited or message.info.base.cluster_id == core.base.cluster_id

    def _is_member(self, sender: Member) -> bool:
        return self._member(sender.name) == sender
