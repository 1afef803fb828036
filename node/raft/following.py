"""The follower's side of replication (section 5.3): take what the leader sends, or say where the logs could meet.

Why it exists: the rules that protect a follower's log from delayed, repeated and reordered messages. It must not
acknowledge anything before it is durable.
"""

from node.raft.errors import invariant
from node.raft.membership import append, begin_anew, truncate_from
from node.raft.messages import Append, AppendReply, Heartbeat, HeartbeatReply
from node.raft.roles import become_follower
from node.raft.state import State
from node.raft.types import Base, Member, Role


def on_append(state: State, sender: Member, message: Append, now: int) -> None:
    """AppendEntries of this term."""
    _hear_leader(state, sender, now)
    entries = message.entries
    if message.prev_index < state.commit:
        # Delayed, or sent by a leader that does not know how far we are: what is committed here is the same there
        # (section 5.4), so only what lies beyond can be new, and the answer is never a refusal (pitfall 10).
        entries = entries[state.commit - message.prev_index :]
    elif state.log.term_at(message.prev_index) != message.prev_term:
        _refuse(state, sender, message)
        return
    conflict = state.log.first_conflict(entries)
    if conflict is not None:
        # Only a real conflict removes anything: a late Append may be a prefix of what is here (pitfall 7).
        if conflict <= state.log.last_index:
            truncate_from(state, conflict, now)
        append(state, entries[conflict - entries[0].index :], now)
    last_new = message.prev_index + len(message.entries)
    # Beyond `last_new` our log is not known to equal the leader's, whatever it says is committed (pitfall 9).
    state.commit = max(state.commit, min(message.commit, last_new))
    state.send_when_durable(sender.name, AppendReply(state.term, True, max(last_new, state.commit)))


def on_heartbeat(state: State, sender: Member, message: Heartbeat, now: int) -> None:
    """Still led. The answer promises nothing about the log, so it does not wait for the disk (pitfall 32)."""
    _hear_leader(state, sender, now)
    invariant(
        message.commit <= state.log.last_index,
        "leader {} of term {} says {} is committed here, but this is {}",
        sender.name,
        state.term,
        message.commit,
        state.log,
    )
    state.commit = max(state.commit, message.commit)
    state.send_in_term(sender.name, HeartbeatReply(state.term, message.context))


def on_snapshot(state: State, sender: Member, base: Base, now: int) -> None:
    """A snapshot of everything up to `base.index` is durable here (section 7).

    It holds nothing but what is committed, so it may be taken from whoever sent it, however late. A leader needs none:
    it holds all that is committed (section 5.4), though it may not know so yet.
    """
    if base.index > state.commit and state.role is not Role.LEADER:
        if state.log.term_at(base.index) == base.term:
            # The same entry, so the logs are equal up to it, and what follows stays (section 7; Log Matching).
            state.commit = base.index
        else:
            begin_anew(state, base, now)
    state.send_when_durable(sender.name, AppendReply(state.term, True, state.commit))


def answer_old_leader(state: State, sender: Member, message: Append | Heartbeat) -> None:
    """A leader of an old term learns of the new one, and steps down.

    Without this a server that reached a higher term alone could never rejoin: it would ignore the leader, and the
    leader's stickiness would ignore it (pitfall 17).
    """
    index = message.prev_index if isinstance(message, Append) else 0
    state.send_when_durable(sender.name, AppendReply(state.term, False, index))


def _hear_leader(state: State, sender: Member, now: int) -> None:
    one_leader = state.role is not Role.LEADER and state.leader in ("", sender.name)
    invariant(one_leader, "two leaders in term {}: {} and {}", state.term, state.leader, sender.name)
    if state.role is not Role.FOLLOWER or state.leader != sender.name:
        become_follower(state, state.term, sender.name, now, f"{sender.name} leads")
    state.leader_contact_us = now
    state.restart_election_timer(now)


def _refuse(state: State, sender: Member, message: Append) -> None:
    """Name the last entry that could match, so that one message skips a whole term (5.3, end; pitfall 11)."""
    hint_index, hint_term = state.log.last_not_above(message.prev_index, message.prev_term)
    state.trace("append-refused", leader=sender.name, index=message.prev_index, hint=hint_index)
    refusal = AppendReply(state.term, False, message.prev_index, hint_index, hint_term)
    state.send_when_durable(sender.name, refusal)
