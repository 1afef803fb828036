"""A server's own evidence that its leader's process is gone, or lives after all (architecture, decision 8).

Why it exists: silence may be a slow network, so it is judged by the election timeout. A link that broke without goodbye
and a port that refuses say more: there is no process. What such a word is about, how long it stands and what ends it
has one place. It must not decide an election: see election.py.

A server asks for pre-votes as soon as its turn has come, since asking costs messages only. It does not ask for votes
before a leader that lives, and lost all its links at once, had the time to dial again. Who learns of the end a moment
after it was asked answers anew.

Evidence is about one process of the leader (member and boot) in one term. Whatever is heard of that name afterwards
ends it, and so does a new term. It is never passed on: nobody acts on what another server saw. A wrong one, as when
the leader's port was closed for a moment, therefore costs messages: who still hears the leader refuses its vote.
"""

from node.raft.events import PeerGone, PeerUp
from node.raft.messages import PreVote
from node.raft.roles import become_follower
from node.raft.state import State
from node.raft.types import Member, Role


def on_peer_up(state: State, event: PeerUp, now: int) -> None:
    """A process said hello: it is the one that bears the name now, and it lives."""
    state.evidence.boots[event.member.name] = event.boot
    heard(state, event.member.name, now)


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
        evidence.due_us = now + _slots_us(state, _before(state))
        evidence.votes_from_us = now + settings.gone_wait_us


def heard(state: State, name: str, now: int) -> None:
    """Something came from `name`: if it was thought to be gone, it is not, and its followers wait for its silence."""
    if state.evidence.gone == name:
        state.evidence.forget()
        state.trace("leader-back", leader=name)
        if state.role is Role.PRE_CANDIDATE:  # what was promised was promised for the end of that leader
            become_follower(state, state.term, "", now, f"{name} lives")


def says_gone(state: State) -> bool:
    """Whether this server saw the end of the leader that it follows."""
    return bool(state.leader) and state.evidence.gone == state.leader


def must_wait(state: State, now: int) -> bool:
    """Whether it is too early to ask for votes, which deposes a leader that lives after all; it is done in time."""
    evidence = state.evidence
    if not evidence.gone or now >= evidence.votes_from_us:
        return False
    evidence.due_us = evidence.votes_from_us
    return True


def refuses(state: State, candidate: Member, message: PreVote, now: int) -> None:
    """`candidate` was told that the leader lives, and may have seen its end a moment before this server does."""
    if candidate in state.peers:
        state.evidence.refused[candidate] = message, now


def refused_lately(state: State, now: int) -> list[tuple[Member, PreVote]]:
    """Whom to answer anew, where this server saw the end of its leader itself. Not who asked long before that end, as
    servers do that are cut off: it would be given way to."""
    period, refused = state.settings.election_min_us, state.evidence.refused if says_gone(state) else {}
    return [(candidate, message) for candidate, (message, at) in refused.items() if now - at < period]


def asks(state: State, now: int) -> None:
    """This server campaigns on its evidence. Others may be about to learn what it knows and refuse it now, so it asks
    again once all of them had their turn; not for ever: the election timeout runs beside it."""
    evidence = state.evidence
    evidence.tries_left -= 1
    evidence.due_us = now + _slots_us(state, _others(state)) if evidence.tries_left > 0 else None


def gives_way(state: State, candidate: Member, now: int) -> bool:
    """Another was promised a vote: let it win before this server asks for itself; the election timeout stays as it is.
    True: it asked already, and the other stands before it, so that of two that ask at one moment one goes on. For that
    one nothing changes."""
    evidence, voters = state.evidence, state.configuration.voters
    asked = bool(evidence.gone) and state.role is Role.PRE_CANDIDATE and state.is_voter
    if asked and (candidate not in voters or voters.index(candidate) > voters.index(state.me)):
        return False
    if evidence.due_us is not None:
        evidence.due_us = max(evidence.due_us, now + state.settings.election_min_us)
    return asked


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
