"""The leader's side of replication (section 5.3, 5.4.2): append, stream to followers, count, commit.

Why it exists: what a leader may send, and when an entry is committed. It must not look at what entries mean.
"""

from collections.abc import Sequence

from node.raft.effects import Accepted, Refused
from node.raft.errors import LogFull, NotBorn, NotLeader, Overloaded, Transferring, invariant
from node.raft.events import Proposal, Propose
from node.raft.leadership import Leadership
from node.raft.membership import append
from node.raft.messages import Append, AppendReply, HeartbeatReply
from node.raft.progress import Progress, ProgressState
from node.raft.quorum import agreed
from node.raft.reads import current_context, heartbeat_to
from node.raft.state import State
from node.raft.types import ENTRY_OVERHEAD_BYTES, Entry, EntryKind, Member, Role

FREE_BYTES = 1024
"""An entry that is no longer may fill the log to its limit."""
SPARE_ENTRIES, SPARE_SHARE = 4096, 4
"""A longer one leaves room for so many of its own size, a quarter of the log at most. Long values that come faster than
snapshots make room are then refused before leases are not renewed, and locks not held."""


def append_noop(state: State, lead: Leadership, now: int) -> None:
    """A new leader's first entry. Only by committing it does it learn what is committed (section 8; pitfall 2).

    It is exempt from every limit: without it a full log could not even be read.
    """
    append(state, (Entry(state.log.last_index + 1, state.term, EntryKind.NOOP, b"", lead.log_time_us(now)),), now)


def on_propose(state: State, event: Propose, now: int) -> None:
    """Append what a leader may; refuse the rest with a reason. Refused means that nothing happened."""
    requests = tuple(proposal.request for proposal in event.proposals)
    if state.role is Role.INITIAL:
        state.effects.append(Refused(requests, NotBorn("this node does not belong to a cluster yet")))
        return
    lead = state.leadership
    if lead is None:
        state.effects.append(Refused(requests, NotLeader(state.leader)))
        return
    if state.transfer is not None:
        # The target must reach the end of the log, so the end must stand still (thesis 3.10, step 1; pitfall 19).
        state.effects.append(Refused(requests, Transferring(state.transfer.target.name)))
        return
    if state.log.last_term != state.term:
        append_noop(state, lead, now)  # it was elected in this very step
    first_index = state.log.last_index + 1
    entries, refused = _admit(state, event.proposals, lead.log_time_us(now))
    append(state, entries, now)
    for reason, those in refused.items():
        if isinstance(reason, LogFull):
            _tell_log_full(state, lead, reason)
        state.effects.append(Refused(tuple(those), reason))
    if refused:
        left = {request for those in refused.values() for request in those}
        requests = tuple(request for request in requests if request not in left)
    if requests:
        state.effects.append(Accepted(requests, state.term, first_index))


def _admit(
    state: State, proposals: Sequence[Proposal], time_us: int
) -> tuple[list[Entry], dict[LogFull | Overloaded, list[int]]]:
    """The entries of as many proposals as the limits allow, and why the others are not among them."""
    settings, index = state.settings, state.log.last_index
    log_bytes, waiting_bytes = state.log.size_bytes, state.log.bytes_after(state.commit)
    entries: list[Entry] = []
    refused: dict[LogFull | Overloaded, list[int]] = {}
    overloaded: Overloaded | None = None
    for proposal in proposals:
        size_bytes = ENTRY_OVERHEAD_BYTES + len(proposal.data)
        limit_bytes = log_limit(size_bytes, settings.log_bytes_max)
        if log_bytes + size_bytes > limit_bytes:
            refused.setdefault(LogFull(log_bytes, limit_bytes), []).append(proposal.request)
            continue
        if overloaded is None and waiting_bytes + size_bytes > settings.uncommitted_bytes_max and waiting_bytes:
            overloaded = Overloaded(waiting_bytes, settings.uncommitted_bytes_max)
        elif overloaded is None and index - state.commit >= settings.uncommitted_entries_max:
            overloaded = Overloaded(index - state.commit, settings.uncommitted_entries_max, "entries")
        if overloaded is not None:
            refused.setdefault(overloaded, []).append(proposal.request)
            continue
        index, log_bytes, waiting_bytes = index + 1, log_bytes + size_bytes, waiting_bytes + size_bytes
        of = (proposal.session, proposal.sequence)
        entries.append(Entry(index, state.term, EntryKind.WRITE, proposal.data, time_us, *of))
    return entries, refused


def log_limit(size_bytes: int, bytes_max: int) -> int:
    """How far an entry of that size may fill a log that holds so much at most."""
    if size_bytes <= FREE_BYTES:
        return bytes_max
    return bytes_max - min(size_bytes * SPARE_ENTRIES, bytes_max // SPARE_SHARE)


def on_append_reply(state: State, lead: Leadership, peer: Member, message: AppendReply, now: int) -> None:
    """An acknowledgement moves the follower on; a refusal moves the probe back, a whole term at a time."""
    progress = lead.progress[peer]
    progress.answered_us = now
    before = progress.state
    if message.success:
        invariant(
            message.index <= state.log.last_index,
            "{} acknowledges {} in term {}, but the leader has {}",
            peer.name,
            message.index,
            state.term,
            state.log,
        )
        progress.acknowledged(message.index)
    else:
        # Skip every entry of a term that the follower cannot have; it did the same on its side (pitfall 11).
        could_match, _ = state.log.last_not_above(message.hint_index, message.hint_term)
        if progress.refused(message.index, could_match + 1) and not lead.budget.spent:
            _send_append(state, lead, peer, progress)
    _tell_progress(state, peer, before, progress)


def on_heartbeat_reply(state: State, lead: Leadership, peer: Member, message: HeartbeatReply, now: int) -> None:
    """The follower lives: repeat what may be lost (pitfall 31), and count the read round that it echoes."""
    progress = lead.progress[peer]
    progress.answered_us = now
    before = progress.state
    context = message.context
    if context is not None and context.node == state.identity.name and context.boot == state.identity.boot:
        progress.read_acked = max(progress.read_acked, context.number)
    behind = progress.match < state.log.last_index
    asks = progress.heartbeat_answered() and (behind or progress.state is ProgressState.PROBE)
    if asks and not lead.budget.spent:
        _send_append(state, lead, peer, progress)
    _tell_progress(state, peer, before, progress)


def broadcast_heartbeat(state: State, lead: Leadership, now: int) -> None:
    """Hold the lead. Carries the newest read round, so that a lost one is asked again."""
    context = current_context(state, lead)
    for peer, progress in lead.progress.items():
        state.send(peer.name, heartbeat_to(state, progress, context))
    lead.heartbeat_due_us = now + state.settings.heartbeat_us


def advance_commit(state: State, lead: Leadership) -> None:
    """Commit what a quorum holds, if it is of this term; older entries follow with it (5.4.2, figure 8; pitfall 1).

    The leader counts itself only for what is durable here (pitfall 5).
    """
    held = lead.by_voter(state.configuration.voters, state.me, state.disk.durable, lambda progress: progress.match)
    index = agreed(held)
    if index > state.commit and state.log.term_at(index) == state.term:
        state.commit = index


def replicate(state: State, lead: Leadership, now: int) -> None:
    """End of a leader's step: fill every follower's window, and tell idle ones what was committed.

    Not at once, where nobody there waits for it: the next entries carry it, and a cluster with one client would send
    twice the messages otherwise. A server that asked to read is told at once, every other after `commit_told_us`.

    No more than the budget of one step: what it does not cover is sent in the next, which comes at once
    (`Raft.unfinished`), after what arrived meanwhile and after the heartbeats.
    """
    lead.unfinished = False
    last_index, commit, untold = state.log.last_index, state.commit, False
    put_off_us = state.settings.commit_told_us
    due = not put_off_us or (lead.commit_due_us is not None and now >= lead.commit_due_us)
    for peer, progress in lead.in_turn():
        before = progress.state
        while progress.next <= last_index and not progress.paused:
            if lead.budget.spent:
                lead.put_off(peer)
                break
            _send_append(state, lead, peer, progress)
        if progress.sent_commit < commit and progress.may_be_told(commit):
            # Nothing is on the way that would carry it.
            if due or progress.commit_wanted:
                _send_append(state, lead, peer, progress)
            else:
                untold = True
        if progress.state is not before:
            _tell_progress(state, peer, before, progress)
    if not untold:
        lead.commit_due_us = None
    elif lead.commit_due_us is None:
        lead.commit_due_us = now + put_off_us
    lead.budget.renew()


def _send_append(state: State, lead: Leadership, peer: Member, progress: Progress) -> None:
    """One Append from `progress.next` on: entries as far as the limits allow, or an empty one.

    Where the log no longer has the entry before, the follower needs a snapshot, and nothing is sent.
    """
    prev_index = progress.next - 1
    prev_term = state.log.term_at(prev_index)
    if prev_term is None:
        invariant(prev_index < state.log.base.index, "{} needs entry {} of {}", peer.name, prev_index, state.log)
        progress.needs_snapshot(state.log.base.index)
        lead.snapshot_needed = True
        return
    entries: tuple[Entry, ...] = ()
    if not progress.paused:
        settings = state.settings
        entries = state.log.slice(
            progress.next, state.log.last_index, settings.append_bytes_max, settings.append_entries_max
        )
    state.send(peer.name, Append(state.term, prev_index, prev_term, state.commit, entries))
    progress.told_commit(state.commit)
    last = prev_index + len(entries)
    size_bytes = state.log.bytes_after(prev_index) - state.log.bytes_after(last)
    lead.budget.take(size_bytes, len(entries))
    if entries or progress.state is ProgressState.PROBE:
        progress.sent(last, size_bytes)


def _tell_progress(state: State, peer: Member, before: ProgressState, progress: Progress) -> None:
    if progress.state is not before:
        state.trace("progress", peer=peer.name, **{"from": before.value, "to": progress.state.value})


def _tell_log_full(state: State, lead: Leadership, full: LogFull) -> None:
    for_all = full.limit_bytes == state.settings.log_bytes_max
    if for_all not in lead.log_full_told:
        lead.log_full_told.add(for_all)
        state.trace("log-full", bytes=full.size_bytes, limit=full.limit_bytes)
