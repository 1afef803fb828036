"""The configuration in force: the latest one in the log, committed or not (thesis 4.1).

Why it exists: what changes the log may change who votes and who is followed, and must do so at once, an append as
well as a truncation, which puts the configuration before in force again. So nothing else changes the log of a server
that is born. It must not decide which changes are allowed.
"""

from collections.abc import Sequence

from node.raft.effects import ConfigChanged, Restore
from node.raft.errors import invariant
from node.raft.messages import Heartbeat
from node.raft.state import State
from node.raft.types import Base, Entry, Member


def append(state: State, entries: Sequence[Entry], now: int) -> None:
    """Add entries at the end of the log; they are durable when the disk has said so."""
    state.log.append(entries)
    adopt(state, now)


def truncate_from(state: State, index: int, now: int) -> None:
    """Remove entries that conflict with the leader's. Committed ones cannot conflict (section 5.4; pitfall 8)."""
    invariant(
        index > state.commit, "term {}: asked to truncate from {}, committed is {}", state.term, index, state.commit
    )
    count = state.log.truncate_from(index)
    state.trace("truncated", **{"from": index, "count": count})
    state.disk.truncated(index)
    adopt(state, now)


def begin_anew(state: State, base: Base, now: int) -> None:
    """Put the snapshot with `base` in the place of the whole log (section 7; InstallSnapshot, steps 6 to 8).

    The log holds another entry at `base.index`, or none, so nothing after it can be kept; all that is committed here
    lies before it, so nothing that was acknowledged is lost with the rest.
    """
    invariant(state.cluster_id in ("", base.cluster_id), "a snapshot of cluster {} came", base.cluster_id)
    invariant(base.index > state.commit, "a snapshot of {} came, committed is {}", base.index, state.commit)
    state.trace("snapshot-installed", index=base.index, last=state.log.last_index)
    state.log.begin_anew(base)
    state.disk.begun_anew(base)
    state.commit = state.applying = base.index
    state.effects.append(Restore(base))
    adopt(state, now)


def adopt(state: State, now: int) -> None:
    """Put the log's latest configuration in force, if it is another than before, and say so.

    A leader begins to replicate to members that are new and forgets those that left. A server that is no voter any
    more, and knows that this is committed, does not campaign (`State.may_campaign`); whom it answers and what it takes
    stay the same (thesis 4.2.2).
    """
    configuration = state.log.configuration
    if configuration is state.configuration or configuration == state.configuration:
        return
    state.configuration = configuration
    state.settled = False
    before = state.log.configuration_at(min(state.commit, state.log.last_index)).members
    _follow(state, tuple(member for member in before if configuration.member(member.name) is None), now)


def settle(state: State, now: int) -> None:
    """Once the configuration in force is committed nobody needs the one before any more: who left gets no more of the
    log, and is told that it is committed, so that it does not campaign. Call at the end of every step."""
    if state.settled or state.log.configuration_index > state.commit:
        return
    state.settled = True
    staying = _others(state, state.configuration.members)
    if state.peers == staying:
        return
    if (lead := state.leadership) is not None:
        for peer, progress in lead.progress.items():
            if peer not in staying:
                state.send(peer.name, Heartbeat(state.term, min(state.commit, progress.match)))
    _follow(state, (), now)


def _follow(state: State, leaving: tuple[Member, ...], now: int) -> None:
    configuration = state.configuration
    state.peers = _others(state, (*configuration.members, *leaving))
    if state.leadership is not None:
        # From the last entry on, which there is, and not from beyond it: a new member is asked at once.
        state.leadership.follow(state.peers, state.log.last_index, now)
    state.effects.append(ConfigChanged(configuration, state.cluster_id, state.self_member, leaving))


def _others(state: State, members: tuple[Member, ...]) -> tuple[Member, ...]:
    """Without those that bear this node's name: itself, or its disk that was lost."""
    return tuple(member for member in members if member.name != state.identity.name)
