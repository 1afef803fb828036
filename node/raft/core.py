"""The funnel: `Raft.step(event, now) -> effects`. Every change of a server goes through here, one event at a time.

Why it exists: one place where terms are compared (section 5.1), strangers are turned away, and a step ends: commit,
replicate, reads, apply, persist, in this order. It must not hold a rule of elections, replication, reads or birth:
those are in the modules of these names.
"""

from collections.abc import Sequence

from node.raft import birth, election, following, reads, replication, transfer
from node.raft.effects import Apply, Effect
from node.raft.errors import InvariantViolation, invariant
from node.raft.events import (
    Applied,
    Campaign,
    Deadline,
    Event,
    ForceTimeout,
    LeaveInitial,
    Persisted,
    Propose,
    Read,
    Receive,
    TransferLeadership,
)
from node.raft.messages import (
    Append,
    AppendReply,
    Birth,
    Heartbeat,
    HeartbeatReply,
    PreVote,
    PreVoteReply,
    RaftMessage,
    ReadIndex,
    ReadIndexReply,
    TimeoutNow,
    Vote,
    VoteReply,
)
from node.raft.roles import become_follower
from node.raft.settings import RaftSettings
from node.raft.state import Chance, Identity, State
from node.raft.status import CoreStatus, PeerStatus
from node.raft.types import Configuration, Entry, HardState, Member, Role, cluster_id_of

STRANGERS_TOLD_MAX = 64
"""Of how many strangers the trace tells, once each."""


class Raft:
    """One server. `hard` and `entries` are what storage recovered; empty ones make an INITIAL server.

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
    ) -> None:
        self._state = State(identity, settings, chance, hard or HardState(), entries)

    def start(self, now: int) -> list[Effect]:
        """Begin: an empty log asks to be born, any other follows; what was committed is applied again."""
        state = self._state
        if state.log.last_index == 0:
            invariant(state.term == 0, f"an empty log with term {state.term}: the log was lost, the term was not")
            state.birth_due_us = None if state.waits_in_initial else now
        else:
            state.adopt_configuration()
            if not state.waits_in_initial:
                become_follower(state, state.term, "", now, "restarted")
        return self._finish()

    def step(self, event: Event, now: int) -> list[Effect]:
        """Take one event. `now`: microseconds, never less than before."""
        return self.step_all((event,), now)

    def step_all(self, events: Sequence[Event], now: int) -> list[Effect]:
        """Take what arrived together as one step: one Persist, one acknowledgement a leader, full Appends."""
        for event in events:
            self._take(event, now)
        return self._finish()

    @property
    def deadline(self) -> int | None:
        """When the next `Deadline` is wanted, on the clock of `now`; None: never."""
        return self._state.deadline

    # --- one event -------------------------------------------------------------------------------------------

    def _take(self, event: Event, now: int) -> None:
        state = self._state
        match event:
            case Receive(sender, message):
                self._receive(sender, message, now)
            case Propose():
                replication.on_propose(state, event)
            case Read(requests):
                reads.on_read(state, requests, now)
            case Persisted(token):
                state.persisted(token)
                birth.on_birth_durable(state, token, now)
                election.on_durable(state, token, now)
            case Applied(index):
                invariant(
                    state.applied < index <= state.applying,
                    f"applied {index} was reported, between {state.applied} and {state.applying} was due",
                )
                state.applied = index
            case Deadline():
                self._deadline(now)
            case Campaign():
                transfer.on_campaign(state, event, now)
            case ForceTimeout():
                transfer.on_force_timeout(state, event, now)
            case TransferLeadership():
                transfer.on_transfer(state, event, now)
            case LeaveInitial():
                transfer.on_leave_initial(state, event, now)

    def _deadline(self, now: int) -> None:
        state = self._state
        if state.birth_due_us is not None and now >= state.birth_due_us:
            birth.on_birth_deadline(state, now)
        if state.quorum_due_us is not None and now >= state.quorum_due_us:
            election.check_quorum(state, now)
        if state.heartbeat_due_us is not None and now >= state.heartbeat_due_us:
            reads.start_round(state, also_in_flight=True)
            replication.broadcast_heartbeat(state, now)
        if state.election_due_us is not None and now >= state.election_due_us:
            election.on_election_deadline(state, now)
        if state.transfer is not None and now >= state.transfer.due_us:
            transfer.on_transfer_deadline(state)

    def _receive(self, sender: Member, message: RaftMessage, now: int) -> None:
        state = self._state
        if isinstance(message, Birth):
            birth.on_birth(state, sender, message, now)
            return
        if state.role is Role.INITIAL:
            return  # no vote, no log, no acknowledgement before birth
        if sender not in state.peers:
            self._turn_away(sender)
            return
        state.last_heard[sender.name] = now
        if message.term > state.term and not self._newer_term(sender, message, now):
            return
        if message.term < state.term and not self._older_term(sender, message):
            return
        self._dispatch(sender, message, now)

    def _newer_term(self, sender: Member, message: RaftMessage, now: int) -> bool:
        """Section 5.1: a newer term makes anyone a follower of it. False: the message ends here.

        Not so for a term that only would be (PreVote and its grants, pitfall 14), nor for a vote request that the
        living leader's followers ignore (pitfall 16).
        """
        state = self._state
        if isinstance(message, PreVote) or (isinstance(message, PreVoteReply) and message.granted):
            return True
        if isinstance(message, Vote) and election.ignores_vote(state, message, now):
            state.trace("vote", candidate=sender.name, granted=False, phase="vote", reason="leader is alive")
            return False
        leader = sender.name if isinstance(message, (Append, Heartbeat)) else ""
        become_follower(state, message.term, leader, now, f"{sender.name} is in term {message.term}")
        return True

    def _older_term(self, sender: Member, message: RaftMessage) -> bool:
        """A message of an old term: old leaders and candidates are told, everything else is dropped."""
        if isinstance(message, (Append, Heartbeat)):
            following.answer_old_leader(self._state, sender, message)
            return False
        return isinstance(message, (Vote, PreVote))

    def _dispatch(self, sender: Member, message: RaftMessage, now: int) -> None:
        state = self._state
        leads = state.role is Role.LEADER
        match message:
            case Append():
                following.on_append(state, sender, message, now)
            case Heartbeat():
                following.on_heartbeat(state, sender, message, now)
                reads.ask_again(state, now)
            case AppendReply() if leads:
                replication.on_append_reply(state, sender.name, message, now)
            case HeartbeatReply() if leads:
                replication.on_heartbeat_reply(state, sender.name, message, now)
            case PreVote():
                election.on_pre_vote(state, sender, message, now)
            case PreVoteReply():
                election.on_pre_vote_reply(state, sender, message, now)
            case Vote():
                election.on_vote(state, sender, message, now)
            case VoteReply():
                election.on_vote_reply(state, sender, message, now)
            case ReadIndex():
                reads.on_read_index(state, sender, message)
            case ReadIndexReply():
                reads.on_read_index_reply(state, message)
            case TimeoutNow():
                transfer.on_timeout_now(state, sender, now)
            case _:
                pass  # an answer to a role that we have left

    def _turn_away(self, sender: Member) -> None:
        """A name that is not in the configuration, or an old name with a new disk: not the member it claims to be."""
        state = self._state
        if sender not in state.strangers and len(state.strangers) < STRANGERS_TOLD_MAX:
            state.strangers[sender] = True
            state.trace("refused-message", peer=sender.name, reason=f"incarnation {sender.incarnation} is no member")

    # --- the end of a step -----------------------------------------------------------------------------------

    def _finish(self) -> list[Effect]:
        state = self._state
        if state.role is Role.LEADER:
            if state.log.last_term != state.term:
                replication.append_noop(state)
            replication.advance_commit(state)
            reads.start_round(state)
            reads.confirm_rounds(state)
            replication.replicate(state)
        transfer.advance(state)
        reads.release_reads(state)
        self._apply()
        invariant(state.commit <= state.log.last_index, f"commit index {state.commit} is beyond {state.log}")
        born_now = state.birth_token == state.next_token
        state.submit(cluster_id_of(state.log.entry(1)) if born_now else None)
        effects = state.effects
        state.effects = []
        return effects

    def _apply(self) -> None:
        """Hand out what is committed *and* durable here, a bounded piece at a time.

        Waiting for our own disk as well is more than Raft asks; it means that a restarted node never knows less
        than it has shown.
        """
        state = self._state
        ready = min(state.commit, state.durable)
        if state.applying == state.applied and state.applying < ready:
            entries = state.log.slice(state.applying + 1, ready, state.settings.apply_bytes_max)
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
    def leader(self) -> str:
        """Who leads this term, as far as this server knows; empty where unknown."""
        return self._state.leader

    @property
    def commit(self) -> int:
        return self._state.commit

    @property
    def applied(self) -> int:
        return self._state.applied

    @property
    def configuration(self) -> Configuration:
        return self._state.configuration

    def entries(self, first: int, count: int) -> tuple[Entry, ...]:
        """At most `count` entries from `first` on; those that are compacted or not there yet are left out."""
        log = self._state.log
        first = max(first, log.first_index)
        return tuple(log.entry(index) for index in range(first, min(first + count - 1, log.last_index) + 1))

    def term_at(self, index: int) -> int | None:
        """The term of the entry at `index`, None where this log has none."""
        return self._state.log.term_at(index)

    def status(self, now: int) -> CoreStatus:
        """A copy of what this server knows."""
        state = self._state
        deadline = state.deadline
        return CoreStatus(
            name=state.identity.name,
            incarnation=state.identity.incarnation,
            cluster_id=state.cluster_id,
            role=state.role,
            term=state.term,
            vote=state.vote,
            leader=state.leader,
            commit=state.commit,
            applied=state.applied,
            durable=state.durable,
            first_index=state.log.first_index,
            last_index=state.log.last_index,
            last_term=state.log.last_term,
            log_bytes=state.log.size_bytes,
            log_limit_bytes=state.settings.log_bytes_max,
            deadline_in_us=None if deadline is None else max(0, deadline - now),
            voters=state.configuration.voters,
            learners=state.configuration.learners,
            peers=tuple(self._peer_status(peer, now) for peer in self._known_peers()),
            waiting_for=birth.waiting_for(state, now) if state.role is Role.INITIAL else "",
            election_timeout_us=state.election_timeout_us,
            election_due_in_us=None if state.election_due_us is None else max(0, state.election_due_us - now),
            transferring_to=state.transfer.target if state.transfer is not None else "",
        )

    def timers(self, now: int) -> dict[str, int]:
        """Microseconds until each timer that runs is due, by name."""
        state = self._state
        due = {
            "election": state.election_due_us,
            "heartbeat": state.heartbeat_due_us,
            "quorum-check": state.quorum_due_us,
            "birth": state.birth_due_us,
            "transfer": None if state.transfer is None else state.transfer.due_us,
        }
        return {name: max(0, at - now) for name, at in due.items() if at is not None}

    def _known_peers(self) -> tuple[Member, ...]:
        state = self._state
        if state.log.last_index:
            return state.peers
        others = [seed for seed in sorted(state.identity.seeds) if seed != state.identity.name]
        return tuple(state.births[seed][0] if seed in state.births else Member(seed, "") for seed in others)

    def _peer_status(self, peer: Member, now: int) -> PeerStatus:
        heard = self._state.last_heard.get(peer.name)
        age_us = None if heard is None else now - heard
        progress = self._state.progress.get(peer.name)
        if progress is None:
            return PeerStatus(peer.name, peer.incarnation, age_us)
        return PeerStatus(
            peer.name,
            peer.incarnation,
            age_us,
            progress.state.value,
            progress.match,
            progress.next,
            progress.inflight_messages,
            progress.inflight_bytes,
        )


__all__ = ["Identity", "InvariantViolation", "Raft"]
