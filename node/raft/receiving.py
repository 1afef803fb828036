"""A message came in: who may be heard, which term counts, and whose business it is.

Why it exists: the one place where terms are compared (section 5.1) and strangers are turned away, before any rule
sees a message. It must not hold such a rule.
"""

from node.raft import birth, election, evidence, following, reads, replication, transfer
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
from node.raft.state import State
from node.raft.types import Base, Member, Role

_OF_ANYBODY = (Append, Heartbeat, PreVote, Vote)
"""Taken from whoever is in this cluster, whether this server's log has it as a member by now or not: a server that was
let in later may lead, or be a candidate that must win for anything to go on (thesis 4.1). An election that was won,
not this list, says who may write here; and only answers of members count, so the others are turned away."""

STRANGERS_TOLD_MAX = 64
"""Of how many strangers the trace tells, once each."""


def receive(state: State, sender: Member, message: RaftMessage, now: int) -> None:
    """Take `message`; `sender` is what the link proved."""
    if isinstance(message, Birth):
        birth.on_birth(state, sender, message, now)
        return
    if state.role is Role.INITIAL:
        birth.on_invitation(state, sender, message)
        return  # no vote, no log, no acknowledgement before birth
    if sender in state.peers:
        state.last_heard[sender.name] = now
    elif sender.name == state.identity.name or not isinstance(message, _OF_ANYBODY):
        _turn_away(state, sender)
        return
    evidence.heard(state, sender.name, now)
    if isinstance(message, (PreVoteReply, VoteReply)) and message.asker not in ("", state.identity.incarnation):
        return  # for an earlier disk of this name: neither its votes nor its fate are this server's (section 5.2)
    if isinstance(message, PreVoteReply) and message.out_index:
        election.on_left_out(state, sender, message, now)  # of what is committed, so true in every term
    if message.term > state.term and not _newer_term(state, sender, message, now):
        return
    if message.term < state.term and not _older_term(state, sender, message):
        return
    _dispatch(state, sender, message, now)


def snapshot_held(state: State, sender: Member, base: Base, now: int) -> None:
    """A snapshot that `sender` sent is durable here, or lies in what is committed here."""
    if state.role is Role.INITIAL:
        birth.on_snapshot_of_invitation(state, sender, base, now)
        return
    if sender.name == state.identity.name or base.cluster_id != state.cluster_id:
        _turn_away(state, sender)
        return
    following.on_snapshot(state, sender, base, now)


def _newer_term(state: State, sender: Member, message: RaftMessage, now: int) -> bool:
    """Section 5.1: a newer term makes anyone a follower of it. False: the message ends here.

    Not so for a term that only would be (PreVote and its grants, pitfall 14), nor for a vote request that the
    living leader's followers ignore (pitfall 16).
    """
    if isinstance(message, PreVote) or (isinstance(message, PreVoteReply) and message.granted):
        return True
    if isinstance(message, Vote) and election.ignores_vote(state, message, now):
        state.trace("vote", candidate=sender.name, granted=False, phase="vote", reason="leader is alive")
        return False
    leader = sender.name if isinstance(message, (Append, Heartbeat)) else ""
    become_follower(state, message.term, leader, now, f"{sender.name} is in term {message.term}")
    return True


def _older_term(state: State, sender: Member, message: RaftMessage) -> bool:
    """A message of an old term: old leaders and candidates are told, everything else is dropped."""
    if isinstance(message, (Append, Heartbeat)):
        following.answer_old_leader(state, sender, message)
        return False
    return isinstance(message, (Vote, PreVote))


def _dispatch(state: State, sender: Member, message: RaftMessage, now: int) -> None:
    lead = state.leadership
    match message:
        case Append():
            following.on_append(state, sender, message, now)
        case Heartbeat():
            following.on_heartbeat(state, sender, message, now)
            reads.ask_again(state, now)
        case AppendReply() if lead is not None:
            replication.on_append_reply(state, lead, sender, message, now)
        case HeartbeatReply() if lead is not None:
            replication.on_heartbeat_reply(state, lead, sender, message, now)
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


def _turn_away(state: State, sender: Member) -> None:
    """A name that is not in the configuration, or an old name with a new disk: not the member it claims to be."""
    if sender not in state.strangers and len(state.strangers) < STRANGERS_TOLD_MAX:
        state.strangers[sender] = True
        state.trace("refused-message", peer=sender.name, reason=f"incarnation {sender.incarnation} is no member")
