"""The four changes of role, and INITIAL's end. Nothing else writes `state.role`, `state.term` or `state.leader`.

    INITIAL -> FOLLOWER <-> PRE_CANDIDATE -> CANDIDATE -> LEADER -> FOLLOWER

Why it exists: what is kept and what is forgotten at each change is where Raft implementations go wrong. It must not
decide when to change: see election.py and following.py.
"""

from node.raft.effects import Refused
from node.raft.errors import NotLeader, invariant
from node.raft.progress import Progress
from node.raft.state import State
from node.raft.types import Role


def become_follower(state: State, term: int, leader: str, now: int, reason: str) -> None:
    """Follow `leader` (empty: nobody yet) in `term`, which is never below the current one.

    The election timer is not restarted for a follower: it is only by a granted vote and by its leader (section
    5.2; pitfall 13). A vote is forgotten only with the term it was given in.
    """
    invariant(term >= state.term, f"the term would fall from {state.term} to {term}")
    if term > state.term:
        before, state.term = state.term, term
        state.trace("term", **{"from": before, "to": term})
        state.vote = ""
        state.hard_state_changed()
        set_leader(state, "", now)
    was = state.role
    if was is not Role.FOLLOWER:
        _leave(state)
        _turn(state, Role.FOLLOWER, reason)
        if was in (Role.LEADER, Role.INITIAL):
            state.restart_election_timer(now, fresh=True)
    set_leader(state, leader, now)


def become_pre_candidate(state: State, now: int) -> None:
    """Ask whether an election could be won, in the term after this one, without touching term or vote.

    The leader is forgotten: else two pre-candidates would each refuse the other for its sake (pitfall 18).
    """
    invariant(state.role in (Role.FOLLOWER, Role.PRE_CANDIDATE, Role.CANDIDATE), f"{state.role} asked to campaign")
    _leave(state)
    set_leader(state, "", now)
    state.campaign += 1
    state.votes = {state.identity.name: True}
    if state.role is not Role.PRE_CANDIDATE:
        _turn(state, Role.PRE_CANDIDATE, "election timeout")
    state.restart_election_timer(now, fresh=True)


def become_candidate(state: State, now: int, reason: str = "pre-vote won") -> None:
    """Begin a real election: new term, vote for oneself. The own vote counts only once durable (pitfall 3)."""
    invariant(state.role not in (Role.INITIAL, Role.LEADER), f"{state.role} cannot become candidate")
    _leave(state)
    state.term += 1
    state.trace("term", **{"from": state.term - 1, "to": state.term})
    set_leader(state, "", now)
    state.vote = state.identity.name
    state.hard_state_changed()
    state.votes = {}
    state.self_vote_token = state.next_token
    if state.role is not Role.CANDIDATE:
        _turn(state, Role.CANDIDATE, reason)
    state.restart_election_timer(now, fresh=True)


def become_leader(state: State, now: int) -> None:
    """Take the lead: forget what was known of the followers (figure 2, "reinitialized after election")."""
    invariant(state.role is Role.CANDIDATE, f"{state.role} cannot become leader")
    votes = sum(state.votes.values())
    _leave(state)
    state.trace("won", votes=votes, voters=len(state.voters))
    _turn(state, Role.LEADER, "election won")
    settings = state.settings
    state.progress = {
        peer.name: Progress(state.log.last_index + 1, now, settings.inflight_messages_max, settings.inflight_bytes_max)
        for peer in state.peers
    }
    behind = state.log.slice(state.commit + 1, state.log.last_index, bytes_max=1 << 62)
    state.uncommitted_bytes = sum(entry.size_bytes for entry in behind)
    state.last_time_us = state.log.entry(state.log.last_index).time_us
    state.election_due_us = None
    state.heartbeat_due_us = now
    # Followers just voted, which is contact enough for one election timeout.
    state.quorum_due_us = now + settings.election_max_us
    set_leader(state, state.identity.name, now)


def set_leader(state: State, leader: str, now: int) -> None:
    """Record who leads. Reads asked of another leader are refused: nobody will answer them."""
    if leader == state.leader:
        return
    state.leader = leader
    state.leader_contact_us = now if leader else None
    state.trace("leader", leader=leader)
    if state.reads_asked:
        lost = tuple(request for read in state.reads_asked.values() for request in read.requests)
        state.reads_asked.clear()
        state.effects.append(Refused(lost, NotLeader(leader)))


def _leave(state: State) -> None:
    """Forget what belongs to the role that ends. Unconfirmed reads of a leader are refused (pitfall 20)."""
    state.votes = {}
    state.self_vote_token = None
    state.progress = {}
    state.uncommitted_bytes = 0
    state.heartbeat_due_us = None
    state.quorum_due_us = None
    state.birth_due_us = None
    units = [*state.reads_waiting, *(unit for round_ in state.read_rounds for unit in round_.units)]
    state.reads_waiting.clear()
    state.read_rounds.clear()
    lost = tuple(request for unit in units for request in unit.requests)
    if lost:
        state.effects.append(Refused(lost, NotLeader("")))


def _turn(state: State, role: Role, reason: str) -> None:
    before, state.role = state.role, role
    state.trace("role", **{"from": before.value, "to": role.value, "reason": reason})
