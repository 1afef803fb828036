"""A server's own evidence that its leader's process is gone, or lives after all (architecture, decision 8).

Why it exists: silence may be a slow network, so it is judged by the election timeout. A link that broke without goodbye
and a port that refuses say more: there is no process. What such a word is about, how long it stands and what ends it
has one place. It must not decide an election: see election.py.

Evidence is about one process of the leader (member and boot) in one term. Whatever is heard of that name afterwards
ends it, and so does a new term. It is never passed on: nobody acts on what another server saw. A wrong one, as when
the leader's port was closed for a moment, therefore costs messages: who still hears the leader refuses its vote.
"""

from node.raft.events import PeerGone, PeerUp
from node.raft.state import State
from node.raft.types import Member, Role


def on_peer_up(state: State, event: PeerUp) -> None:
    """A process said hello: it is the one that bears the name now, and it lives."""
    state.evidence.boots[event.member.name] = event.boot
    heard(state, event.member.name)


def on_peer_gone(state: State, event: PeerGone, now: int) -> None:
    """The links say that a process is gone. It matters where it is the very process that leads."""
    member, evidence = event.member, state.evidence
    if state.role is not Role.FOLLOWER or member.name != state.leader or member not in state.peers:
        return
    if evidence.boots.get(member.name) != event.boot or evidence.gone == member.name:
        return
    evidence.gone = member.name
    state.trace("leader-gone", leader=member.name, boot=event.boot)
    if state.is_voter:
        settings = state.settings
        evidence.tries_left = settings.gone_tries_max
        evidence.due_us = now + settings.gone_wait_us + _slots_us(state, _before(state))


def heard(state: State, name: str) -> None:
    """Something came from `name`: if it was thought to be gone, it is not, and its followers wait for its silence."""
    if state.evidence.gone == name:
        state.evidence.forget()
        state.trace("leader-back", leader=name)


def says_gone(state: State) -> bool:
    """Whether this server saw the end of the leader that it follows."""
    return bool(state.leader) and state.evidence.gone == state.leader


def asks(state: State, now: int) -> None:
    """This server campaigns on its evidence. Others may be about to learn what it knows and refuse it now, so it asks
    again once all of them had their turn; not for ever: the election timeout runs beside it."""
    evidence = state.evidence
    evidence.tries_left -= 1
    evidence.due_us = now + _slots_us(state, _others(state)) if evidence.tries_left > 0 else None


def gives_way(state: State, candidate: Member, now: int) -> bool:
    """Another was promised a vote: let it win before this server asks for itself; the election timeout stays as it is.
    True: it asked already, and the other stands before it, so that of two that ask at one moment one goes on."""
    evidence = state.evidence
    if evidence.due_us is not None:
        evidence.due_us = max(evidence.due_us, now + state.settings.election_min_us)
    voters = state.configuration.voters
    if not evidence.gone or state.role is not Role.PRE_CANDIDATE or not state.is_voter or candidate not in voters:
        return False
    return voters.index(candidate) < voters.index(state.me)


def _slots_us(state: State, slots: int) -> int:
    """So many turns, and a part of one by chance: two that ask at one moment would split the vote (section 5.2)."""
    return int(state.settings.gone_slot_us * (slots + state.chance.random()))


def _before(state: State) -> int:
    """How many voters have their turn before this one: in the order of the configuration, the leader left out."""
    voters = [voter for voter in state.configuration.voters if voter.name != state.evidence.gone]
    return voters.index(state.me)


def _others(state: State) -> int:
    """How many voters may campaign now."""
    return len(state.configuration.voters) - 1
