"""The funnel: `Raft.step(event, now) -> effects`. Every change of a server goes through here, one event at a time.

Why it exists: one place where a step begins, with its events in order, and ends: commit, replicate, reads, apply,
persist, in this order. It must not hold a rule of elections, replication, reads or birth: those are in the modules of
these names; what a message does is in receiving.py.
"""

from collections.abc import Sequence

from node.raft import birth, changes, election, evidence, membership, reads, receiving, replication, transfer
from node.raft.effects import Apply, Effect
from node.raft.errors import InvariantViolation, invariant
from node.raft.events import (
    AddLearner,
    Applied,
    Compact,
    Continue,
    Deadline,
    Event,
    ForgetReads,
    PeerGone,
    PeerUp,
    Persisted,
    Promote,
    Propose,
    Read,
    Readdress,
    Receive,
    Remove,
    Replace,
    SnapshotHeld,
)
from node.raft.membership import adopt
from node.raft.replication import log_limit
from node.raft.roles import become_follower
from node.raft.settings import RaftSettings
from node.raft.state import Chance, Identity, State
from node.raft.status import CoreStatus, status_of
from node.raft.types import UNBORN, Base, Configuration, Entry, HardState, Member, Role


class Raft:
    """One server. `hard`, `entries` and `base` are what storage recovered; empty ones make an INITIAL server.

    `entries` follow `base`. Those that begin with the birth need none: it is then the birth's. `applied`: the state
    machine holds everything up to there, from a snapshot; 0: up to the base.

    `settings`: see RaftSettings. `chance`: see Chance. Call `start(now)` once, then `step` for ever; execute the
    effects in order. Raises InvariantViolation when Raft itself would be broken: the caller must stop the node.
    """

    def __init__(
        self,
        identity: Identity,
        settings: RaftSettings,
        chance: Chance,
        hard: HardState | None = None,
        entries: Sequence[Entry] = (),
        base: Base = UNBORN,
        applied: int = 0,
    ) -> None:
        self._state = State(identity, settings, chance, hard or HardState(), entries, base, applied)
        self._unfinished = False

    def start(self, now: int) -> list[Effect]:
        """Begin: who is not born asks to be, any other follows and applies again what was committed after its base."""
        state = self._state
        if not state.born:
            invariant(state.term == 0, "an empty log with term {}: the log was lost, the term was not", state.term)
            state.birth_due_us = None if state.waits_in_initial else now
            state.birth.began_us = now
        else:
            adopt(state, now)
            if not state.waits_in_initial:
                become_follower(state, state.term, "", now, "restarted")
        return self._finish(now)

    def step(self, event: Event, now: int) -> list[Effect]:
        """Take one event. `now`: microseconds, never less than before."""
        return self.step_all((event,), now)

    def step_all(self, events: Sequence[Event], now: int) -> list[Effect]:
        """Take what arrived together as one step: one Persist, one acknowledgement per leader, full Appends."""
        for event in events:
            self._take(event, now)
        return self._finish(now)

    @property
    def deadline(self) -> int | None:
        """When the next `Deadline` is wanted, on the clock of `now`; None: never."""
        return self._state.deadline

    @property
    def unfinished(self) -> bool:
        """Whether there is more to send, or to let go, than one step may: then the event `Continue` is wanted soon."""
        return self._unfinished

    # --- one event -------------------------------------------------------------------------------------------

    def _take(self, event: Event, now: int) -> None:
        state = self._state
        match event:
            case Receive(sender, message):
                receiving.receive(state, sender, message, now)
            case PeerUp():
                evidence.on_peer_up(state, event, now)
            case PeerGone():
                election.on_peer_gone(state, event, now)
            case Propose():
                replication.on_propose(state, event, now)
            case Read(requests):
                reads.on_read(state, requests, now)
            case ForgetReads(requests):
                reads.on_forget_reads(state, requests)
            case Persisted(token):
                state.disk.persisted(token, now)
                birth.on_birth_durable(state, token, now)
                election.on_durable(state, token, now)
            case Applied(index):
                invariant(
                    state.applied < index <= state.applying,
                    "applied {} was reported, between {} and {} was due",
                    index,
                    state.applied,
                    state.applying,
                )
                state.applied = index
            case Compact(index):
                invariant(index <= state.applied, "asked to compact up to {}, applied is {}", index, state.applied)
                state.compact_to = max(state.compact_to, index)
            case SnapshotHeld(sender, base):
                receiving.snapshot_held(state, sender, base, now)
            case Deadline(held_up_us):
                self._deadline(now, held_up_us)
            case Continue():
                pass  # the end of the step does it
            case AddLearner() | Promote() | Remove() | Replace() | Readdress():
                changes.on_change(state, event, now)
            case order:
                transfer.obey(state, order, now)

    def _deadline(self, now: int, held_up_us: int) -> None:
        state = self._state
        if state.birth_due_us is not None and now >= state.birth_due_us:
            birth.on_birth_deadline(state, now)
        if (lead := state.leadership) is not None and now >= lead.quorum_due_us:
            election.check_quorum(state, lead, now)
        if state.leadership is not None and state.disk_is_silent(now):
            election.leave_for_a_silent_disk(state, now)
        if (lead := state.leadership) is not None and now >= lead.heartbeat_due_us:
            reads.start_round(state, lead, also_in_flight=True)
            replication.broadcast_heartbeat(state, lead, now)
        if state.evidence.due_us is not None and now >= state.evidence.due_us:
            election.on_gone_deadline(state, now)
        if state.election_is_due(now, held_up_us):
            election.on_election_deadline(state, now)
        if state.transfer is not None and now >= state.transfer.due_us:
            transfer.on_transfer_deadline(state)

    # --- the end of a step -----------------------------------------------------------------------------------

    def _finish(self, now: int) -> list[Effect]:
        """Each part is asked only where it may have something to do: this runs several times for every request."""
        state = self._state
        log, lead = state.log, state.leadership
        if lead is not None:
            if log.last_term != state.term:
                replication.append_noop(state, lead, now)
            if state.commit < log.last_index:
                replication.advance_commit(state, lead)
            if lead.has_reads:
                reads.advance(state, lead)
            replication.replicate(state, lead, now)
        if not state.settled:
            membership.settle(state, now)
        if state.transfer is not None:
            transfer.advance(state)
        if lead is not None:
            transfer.leave_if_removed(state, now)
        if state.change is not None:
            changes.advance(state)
        if state.reads.confirmed:
            reads.release_reads(state)
        self._apply()
        invariant(state.commit <= log.last_index, "commit index {} is beyond {}", state.commit, log)
        state.submit(now)
        if state.may_compact:
            log.compact(state.compact_to, state.settings.compact_entries_max)
        lead = state.leadership
        self._unfinished = (lead is not None and lead.unfinished) or state.may_compact
        effects = state.effects
        state.effects = []
        return effects

    def _apply(self) -> None:
        """Hand out what is committed *and* durable here, a bounded piece at a time.

        Waiting for our own disk as well is more than Raft asks; it means that a restarted node never knows less
        than it has shown.
        """
        state = self._state
        ready = min(state.commit, state.disk.durable)
        if state.applying == state.applied and state.applying < ready:
            entries = state.log.slice(
                state.applying + 1, ready, state.settings.apply_bytes_max, state.settings.apply_entries_max
            )
            state.applying = entries[-1].index
            state.effects.append(Apply(entries))

    # --- looking in ------------------------------------------------------------------------------------------

    @property
    def role(self) -> Role:
        return self._state.role

    @property
    def term(self) -> int:
        return self._state.term

    @property
    def durable_term(self) -> int:
        """The newest term that may be shown to others: what is on the disk, a restart cannot go behind."""
        return self._state.disk.durable_term

    @property
    def leader(self) -> str:
        """Who leads this term, as far as this server knows; empty where unknown."""
        return self._state.leader

    @property
    def takes_writes(self) -> bool:
        """Whether it leads, and does not hand over."""
        return self._state.role is Role.LEADER and self._state.transfer is None

    @property
    def commit(self) -> int:
        return self._state.commit

    @property
    def applied(self) -> int:
        return self._state.applied

    @property
    def reads_waiting(self) -> int:
        """Reads of this node's own clients that wait for a quorum, for the leader or to be applied."""
        return reads.reads_waiting(self._state)

    @property
    def configuration(self) -> Configuration:
        return self._state.configuration

    @property
    def left_out(self) -> bool:
        """Whether a member has told it that it was removed while it was away."""
        return self._state.left_out

    @property
    def told_out(self) -> int:
        """The index of the committed entry at which it was no member, as a member has told it; 0: nobody has."""
        return self._state.told_out[1]

    def entries(self, first: int, count: int) -> tuple[Entry, ...]:
        """At most `count` entries from `first` on; those before the base or not there yet are left out."""
        log = self._state.log
        first = max(first, log.first_index)
        return log.slice(first, first + count - 1)

    def term_at(self, index: int) -> int | None:
        """The term of the entry at `index`, None where this log has none."""
        return self._state.log.term_at(index)

    @property
    def followers_before_base(self) -> tuple[Member, ...]:
        """Leader only: whom only a snapshot can help, since this log no longer holds what they need."""
        lead = self._state.leadership
        return () if lead is None else lead.before_base()

    @property
    def log_bytes(self) -> int:
        """The size of all entries that the log holds."""
        return self._state.log.size_bytes

    @property
    def log_bytes_max(self) -> int:
        """At which size a leader refuses writes."""
        return self._state.settings.log_bytes_max

    @property
    def log_room_bytes(self) -> int:
        """How many bytes of long writes the log has room for, until a snapshot makes more."""
        return log_limit(self.log_bytes_max, self.log_bytes_max) - self.log_bytes

    def bytes_applied_after(self, index: int) -> int:
        """The size of the entries after `index`, as far as they are applied; those before the base do not count."""
        log, applied = self._state.log, self._state.applied
        if applied <= log.base.index:
            return 0
        return log.bytes_after(max(index, log.base.index)) - log.bytes_after(applied)

    @property
    def invited(self) -> bool:
        """Not born, and let in: what a leader sends is taken."""
        return self._state.invited and not self._state.born

    @property
    def base(self) -> Base:
        """What lies before the first entry that the log keeps."""
        return self._state.log.base

    def base_at(self, index: int) -> Base:
        """What a snapshot of everything up to `index` has as its base; the log must hold that entry, or its base."""
        return self._state.log.base_at(index)

    def status(self, now: int) -> CoreStatus:
        """A copy of what this server knows."""
        return status_of(self._state, now)

    def log_time_us(self, now: int) -> int:
        """Log time, as far as this server can know it (`Entry.time_us`)."""
        return self._state.log_time_us(now)

    def timers(self, now: int) -> dict[str, int]:
        """Microseconds until each timer that runs is due, by name."""
        return {name: max(0, at - now) for name, at in self._state.timers().items() if at is not None}


__all__ = ["Identity", "InvariantViolation", "Raft"]
