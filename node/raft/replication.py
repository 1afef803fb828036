"""The leader's side of replication (section 5.3, 5.4.2): append, stream to followers, count, commit.

Why it exists: what a leader may send, and when an entry is committed. It must not look at what entries mean.
"""

from node.raft.effects import Accepted, Refused
from node.raft.errors import LogFull, NotBorn, NotLeader, Overloaded, Transferring, invariant
from node.raft.events import Propose
from node.raft.messages import Append, AppendReply, Heartbeat, HeartbeatReply
from node.raft.progress import Progress, ProgressState
from node.raft.quorum import agreed
from node.raft.reads import current_context
from node.raft.state import State
from node.raft.types import ENTRY_OVERHEAD_BYTES, Entry, EntryKind, Role


def append_noop(state: State) -> None:
    """A new leader's first entry. Only by committing it does it learn what is committed (section 8; pitfall 2).

    It is exempt from every limit: without it a full log could not even be read.
    """
    _append(state, Entry(state.log.last_index + 1, state.term, EntryKind.NOOP, b"", state.last_time_us))


def on_propose(state: State, event: Propose) -> None:
    """Append what a leader may; refuse the rest with a reason. Refused means that nothing happened."""
    requests = tuple(proposal.request for proposal in event.proposals)
    if state.role is Role.INITIAL:
        state.effects.append(Refused(requests, NotBorn("this node does not belong to a cluster yet")))
        return
    if state.role is not Role.LEADER:
        state.effects.append(Refused(requests, NotLeader(state.leader)))
        return
    if state.transfer is not None:
        # The target must reach the end of the log, so the end must stand still (thesis 3.10, step 1; pitfall 19).
        state.effects.append(Refused(requests, Transferring(state.transfer.target)))
        return
    first_index = state.log.last_index + 1
    settings = state.settings
    state.last_time_us = max(state.last_time_us, event.time_us)  # log time never runs backwards
    for taken, proposal in enumerate(event.proposals):
        size_bytes = ENTRY_OVERHEAD_BYTES + len(proposal.data)
        refusal: LogFull | Overloaded | None = None
        if state.log.size_bytes + size_bytes > settings.log_bytes_max:
            refusal = LogFull(state.log.size_bytes, settings.log_bytes_max)
            _tell_log_full(state, refusal)
        elif state.uncommitted_bytes + size_bytes > settings.uncommitted_bytes_max and state.uncommitted_bytes:
            refusal = Overloaded(state.uncommitted_bytes, settings.uncommitted_bytes_max)
        if refusal is not None:
            state.effects.append(Refused(requests[taken:], refusal))
            requests = requests[:taken]
            break
        index = first_index + taken
        _append(
            state,
            Entry(
                index,
                state.term,
                EntryKind.COMMAND,
                proposal.data,
                state.last_time_us,
                proposal.session,
                proposal.sequence,
            ),
        )
    if requests:
        state.effects.append(Accepted(requests, state.term, first_index))


def on_append_reply(state: State, peer: str, message: AppendReply, now: int) -> None:
    """An acknowledgement moves the follower on; a refusal moves the probe back, a whole term at a time."""
    progress = state.progress[peer]
    progress.answered_us = now
    before = progress.state
    if message.success:
        invariant(
            message.index <= state.log.last_index,
            f"{peer} acknowledges {message.index} in term {state.term}, but the leader has {state.log}",
        )
        progress.acknowledged(message.index)
    else:
        # Skip every entry of a term that the follower cannot have; it did the same on its side (pitfall 11).
        could_match, _ = state.log.last_not_above(message.hint_index, message.hint_term)
        if progress.refused(message.index, could_match + 1):
            _send_append(state, peer, progress)
    if progress.state is not before:
        state.trace("progress", peer=peer, **{"from": before.value, "to": progress.state.value})


def on_heartbeat_reply(state: State, peer: str, message: HeartbeatReply, now: int) -> None:
    """The follower lives: repeat what may be lost (pitfall 31), and count the read round that it echoes."""
    progress = state.progress[peer]
    progress.answered_us = now
    context = message.context
    if context is not None and context.node == state.identity.name and context.boot == state.identity.boot:
        progress.read_acked = max(progress.read_acked, context.number)
    behind = progress.match < state.log.last_index
    if progress.heartbeat_answered() and (behind or progress.state is ProgressState.PROBE):
        _send_append(state, peer, progress)


def broadcast_heartbeat(state: State, now: int) -> None:
    """Hold the lead. Carries the newest read round, so that a lost one is asked again.

    A follower is never told a commit index beyond what it is known to hold (pitfall 9).
    """
    context = current_context(state)
    for peer in state.peers:
        commit = min(state.commit, state.progress[peer.name].match)
        state.send(peer.name, Heartbeat(state.term, commit, context))
    state.heartbeat_due_us = now + state.settings.heartbeat_us


def advance_commit(state: State) -> None:
    """Commit what a quorum holds, if it is of this term; older entries follow with it (5.4.2, figure 8; pitfall 1).

    The leader counts itself only for what is durable here (pitfall 5).
    """
    held = [state.durable if voter == state.identity.name else state.progress[voter].match for voter in state.voters]
    index = agreed(held)
    if index > state.commit and state.log.term_at(index) == state.term:
        for position in range(state.commit + 1, index + 1):
            state.uncommitted_bytes -= state.log.entry(position).size_bytes
        state.commit = index


def replicate(state: State) -> None:
    """End of a leader's step: fill every follower's window, and tell idle ones what was committed."""
    for peer in state.peers:
        progress = state.progress[peer.name]
        while not progress.paused and progress.next <= state.log.last_index:
            _send_append(state, peer.name, progress)
        tells_commit = progress.sent_commit < min(state.commit, progress.match)
        if tells_commit and progress.state is ProgressState.REPLICATE and not progress.inflight_messages:
            # Nothing is on the way that would carry it, and a read on that follower waits for it.
            _send_append(state, peer.name, progress)


def _append(state: State, entry: Entry) -> None:
    state.log.append((entry,))
    state.uncommitted_bytes += entry.size_bytes


def _send_append(state: State, peer: str, progress: Progress) -> None:
    """One Append from `progress.next` on: entries as far as the limits allow, or an empty one."""
    prev_index = progress.next - 1
    prev_term = state.log.term_at(prev_index)
    invariant(prev_term is not None, f"{peer} needs entry {prev_index}, which is compacted in {state.log}")
    entries: tuple[Entry, ...] = ()
    if not progress.paused:
        entries = state.log.slice(progress.next, state.log.last_index, state.settings.append_bytes_max)
    state.send(peer, Append(state.term, prev_index, prev_term or 0, state.commit, entries))
    progress.sent_commit = state.commit
    if entries or progress.state is ProgressState.PROBE:
        last = prev_index + len(entries)
        progress.sent(last, sum(entry.size_bytes for entry in entries))


def _tell_log_full(state: State, full: LogFull) -> None:
    if not state.log_full_told:
        state.log_full_told = True
        state.trace("log-full", bytes=full.size_bytes, limit=full.limit_bytes)
