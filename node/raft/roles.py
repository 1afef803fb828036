"""The four changes of role, and INITIAL's end. Nothing else writes `state.role`, `state.term` or `state.leader`.

Why it exists: what is kept and what is forgotten at each change is where Raft implementations go wrong. It must not
decide when to change: see election.py and following.py.
"""

from node.raft.effects import Refused
from node.raft.errors import NotLeader, invariant
from node.raft.leadership import Leadership
from node.raft.state import Candidacy, State
from node.raft.types import Role, ballot

TRANSITIONS: dict[tuple[Role, Role], str] = {
    (Role.INITIAL, Role.FOLLOWER): "born, restarted, or told to go on",
    (Role.FOLLOWER, Role.PRE_CANDIDATE): "nobody led for an election timeout, or the leader's process is gone",
    (Role.PRE_CANDIDATE, Role.CANDIDATE): "a quorum would vote for it",
    (Role.PRE_CANDIDATE, Role.FOLLOWER): "refused, gave way, or a leader or a newer term was heard",
    (Role.FOLLOWER, Role.CANDIDATE): "the leader hands over, or an operator asks",
    (Role.CANDIDATE, Role.PRE_CANDIDATE): "no decision within an election timeout",
    (Role.CANDIDATE, Role.FOLLOWER): "refused, or a leader or a newer term was heard",
    (Role.CANDIDATE, Role.LEADER): "a quorum voted for it",
    (
        Role.LEADER,
        Role.FOLLOWER,
    ): "a newer term was heard, no quorum answered for an election timeout, or it was removed",
}
"""Every change of role that there is, and when: the diagram in docs/architecture.md is this table."""


def become_follower(state: State, term: int, leader: str, now: int, reason: str) -> None:
    """Follow `leader` (empty: nobody yet) in `term`, which is never below the current one.

    The election timer is not restarted for a follower: it is only by a granted vote and by its leader (section
    5.2; pitfall 13). A vote is forgotten only with the term it was given in.
    """
    invariant(term >= state.term, "the term would fall from {} to {}", state.term, term)
    if term > state.term:
        before, state.term = state.term, term
        state.trace("term", **{"from": before, "to": term})
        state.vote = ""
        state.disk.hard_state_changed()
        state.evidence.forget()
        set_leader(state, "", now)
    was = state.role
    if was is not Role.FOLLOWER:
        _leave(state)
        _turn(state, Role.FOLLOWER, reason)
        if was in (Role.LEADER, Role.INITIAL):
            state.restart_election_timer(now, fresh=True)
    set_leader(state, leader, now)


def become_pre_candidate(state: State, now: int, reason: str) -> None:
    """Ask whether an election could be won, in the term after this one, without touching term or vote.

    The leader is forgotten: else two pre-candidates would each refuse the other for its sake (pitfall 18).
    """
    invariant(state.role in (Role.FOLLOWER, Role.PRE_CANDIDATE, Role.CANDIDATE), "{} asked to campaign", state.role)
    _leave(state)
    set_leader(state, "", now)
    state.campaign += 1
    state.candidacy = Candidacy({state.me: True})
    if state.role is not Role.PRE_CANDIDATE:
        _turn(state, Role.PRE_CANDIDATE, reason)
    state.restart_election_timer(now, fresh=True)


def become_candidate(state: State, now: int, reason: str = "pre-vote won") -> None:
    """Begin a real election: new term, vote for oneself. The own vote counts only once durable (pitfall 3)."""
    invariant(state.role not in (Role.INITIAL, Role.LEADER), "{} cannot become candidate", state.role)
    _leave(state)
    state.term += 1
    state.trace("term", **{"from": state.term - 1, "to": state.term})
    set_leader(state, "", now)
    state.vote = ballot(state.me)
    state.disk.hard_state_changed()
    state.evidence.forget()
    state.candidacy = Candidacy({}, state.disk.next_token)
    if state.role is not Role.CANDIDATE:
        _turn(state, Role.CANDIDATE, reason)
    state.restart_election_timer(now, fresh=True)


def become_leader(state: State, now: int) -> None:
    """Take the lead: forget what was known of the followers (figure 2, "reinitialized after election")."""
    invariant(state.role is Role.CANDIDATE, "{} cannot become leader", state.role)
    votes = sum(state.candidacy.votes.values()) if state.candidacy is not None else 0
    _leave(state)
    state.trace("won", votes=votes, voters=len(state.configuration.voters))
    _turn(state, Role.LEADER, "election won")
    log = state.log
    state.leadership = Leadership(state.settings, state.peers, log.last_index + 1, log.last_time_us, now)
    state.election_due_us = None
    set_leader(state, state.identity.name, now)


def set_leader(state: State, leader: str, now: int) -> None:
    """Record who leads. Reads asked of another leader are refused: nobody will answer them."""
    if leader == state.leader:
        return
    state.leader = leader
    state.leader_contact_us = now if leader else None
    state.trace("leader", leader=leader)
    if state.reads.asked:
        lost = tuple(request for read in state.reads.asked.values() for request in read.requests)
        state.reads.asked.clear()
        state.effects.append(Refused(lost, NotLeader(leader)))


def _leave(state: State) -> None:
    """Forget what belongs to the role that ends. Unconfirmed reads of a leader are refused (pitfall 20)."""
    lead, state.leadership = state.leadership, None
    state.candidacy = None
    state.birth_due_us = None
    if lead is None:
        return
    lost = tuple(request for unit in lead.own_reads() for request in unit.requests)
    if lost:
        state.effects.append(Refused(lost, NotLeader("")))


def _turn(state: State, role: Role, reason: str) -> None:
    before, state.role = state.role, role
    invariant((before, role) in TRANSITIONS, "no {} becomes {}: {}", before, role, reason)
    state.trace("role", **{"from": before.value, "to": role.value, "reason": reason})
