"""What the core says of itself: plain values, a copy, safe to keep.

Why it exists: operators, tests and the dashboard look at the algorithm through this and nothing else.
"""

from collections.abc import Iterator

import msgspec

from node.raft.birth import vote_lost, waiting_for
from node.raft.reads import reads_waiting
from node.raft.state import State
from node.raft.types import Member, MemberAddress, Role, voted_for

APPLICANT_FRESH_US = 5_000_000
"""Who has not asked for so long does not wait to be let in any more."""


class PeerStatus(msgspec.Struct, frozen=True):
    """One other member as this node sees it.

    `contact_age_us`: microseconds since any message of it arrived, None for never in this process.
    `progress` is "probe", "replicate" or "snapshot" on a leader, else empty; the numbers after it are 0 elsewhere.
    """

    name: str
    incarnation: str
    contact_age_us: int | None
    progress: str = ""
    match_index: int = 0
    next_index: int = 0
    inflight_messages: int = 0
    inflight_bytes: int = 0


class ApplicantStatus(msgspec.Struct, frozen=True):
    """Somebody without a log that asked this node to be let in, `age_us` microseconds ago. `replaces`: the incarnation
    of the member of that name, whose disk seems to be lost; empty: there is none."""

    name: str
    incarnation: str
    age_us: int
    replaces: str = ""
    address: MemberAddress | None = None


class CoreStatus(msgspec.Struct, frozen=True):
    """One server's view. Indexes count entries from 1; sizes are bytes; durations microseconds. `term`: the newest that
    is on the disk, as whoever has seen it must not see the server go back behind it; `vote` and `leader` are that
    term's, and empty while a newer one is being written."""

    name: str
    incarnation: str
    cluster_id: str
    role: Role
    term: int
    vote: str
    leader: str
    commit: int
    applied: int
    durable: int
    first_index: int
    last_index: int
    last_term: int
    log_bytes: int
    log_limit_bytes: int
    deadline_in_us: int | None
    voters: tuple[Member, ...]
    learners: tuple[Member, ...]
    peers: tuple[PeerStatus, ...]
    waiting_for: str
    """What birth waits for, in INITIAL, or why a node that is born has no part in anything; a sentence for people,
    empty on a member."""
    election_timeout_us: int = 0
    """The timeout that is drawn now (section 5.2)."""
    election_due_in_us: int | None = None
    """Until this server would campaign; None where it would not: on a leader, in INITIAL, without a vote."""
    transferring_to: str = ""
    """Leader only: to whom the lead is being handed; empty: nobody."""
    disk_silent_us: int = 0
    """For how long the disk has owed an answer and given none; 0: it owes none."""
    disk_silent_limit_us: int = 0
    """From when on a server with such a disk leads no more and does not campaign."""
    log_time_us: int = 0
    """Log time now, as far as this server can know it (`Entry.time_us`)."""
    reads_waiting: int = 0
    """Reads of this node's own clients that wait for a quorum, for the leader or to be applied."""
    applicants: tuple[ApplicantStatus, ...] = ()
    """Who asked to be let in lately."""
    changing_members: bool = False
    """Whether the configuration in force is not known to be committed yet."""
    removed: bool = False
    """Whether this node was a member, and is none any more: the configuration in force says so, or a member told it."""
    addresses: tuple[MemberAddress, ...] = ()
    """How members are reached, where the configuration in force says so."""
    vote_lost: bool = False
    """Whether its cluster has a member of this name on another disk, so that this one has no vote."""


def status_of(state: State, now: int) -> CoreStatus:
    """A copy of what this server knows; its length depends on the members alone."""
    deadline = state.deadline
    outside = state.born and state.birth_token is None and state.self_member is None
    removed = state.left_out or (outside and state.log.has_named(state.me))
    log = state.log
    term = min(state.term, state.disk.durable_term)
    in_it = term == state.term
    return CoreStatus(
        name=state.identity.name,
        incarnation=state.identity.incarnation,
        cluster_id="" if state.birth_token is not None else state.cluster_id,  # shown once it is durable
        role=state.role,
        term=term,
        vote=voted_for(state.vote) if in_it else "",
        leader=state.leader if in_it else "",
        commit=state.commit,
        applied=state.applied,
        durable=state.disk.durable,
        first_index=log.first_index,
        last_index=log.last_index,
        last_term=log.last_term,
        log_bytes=log.size_bytes,
        log_limit_bytes=state.settings.log_bytes_max,
        deadline_in_us=None if deadline is None else max(0, deadline - now),
        voters=state.configuration.voters,
        learners=state.configuration.learners,
        peers=tuple(_peer_status(state, peer, now) for peer in _known_peers(state)),
        waiting_for=waiting_for(state, now) if state.role is Role.INITIAL else _outside(outside, removed),
        election_timeout_us=state.election_timeout_us,
        election_due_in_us=None if state.election_due_us is None else max(0, state.election_due_us - now),
        transferring_to=state.transfer.target.name if state.transfer is not None else "",
        disk_silent_us=state.disk_silent_us(now),
        disk_silent_limit_us=state.settings.disk_silence_us,
        log_time_us=state.log_time_us(now),
        reads_waiting=reads_waiting(state),
        applicants=tuple(_applicants(state, now)),
        changing_members=state.born and not state.settled,
        removed=removed,
        addresses=state.configuration.addresses,
        vote_lost=vote_lost(state, now),
    )


def _outside(outside: bool, removed: bool) -> str:
    if removed:
        return (
            "it was removed from the cluster and has no part in it any more: it can be stopped, and comes back, with "
            "its data, where members add or members fit names it"
        )
    return "it was let in and catches up with the log" if outside else ""


def _applicants(state: State, now: int) -> Iterator[ApplicantStatus]:
    for applicant in state.applicants.values():
        before = state.configuration.member(applicant.member.name)
        if before != applicant.member and now - applicant.at_us <= APPLICANT_FRESH_US:
            replaces = before.incarnation if before is not None else ""
            age_us = now - applicant.at_us
            yield ApplicantStatus(*_names(applicant.member), age_us, replaces, applicant.address)


def _names(member: Member) -> tuple[str, str]:
    return member.name, member.incarnation


def _known_peers(state: State) -> tuple[Member, ...]:
    if state.born:
        return state.peers
    heard = state.birth.heard
    others = [seed for seed in sorted(state.identity.seeds) if seed != state.identity.name]
    return tuple(heard[seed].member if seed in heard else Member(seed, "") for seed in others)


def _peer_status(state: State, peer: Member, now: int) -> PeerStatus:
    heard = state.last_heard.get(peer.name)
    age_us = None if heard is None else now - heard
    progress = None if state.leadership is None else state.leadership.progress.get(peer)
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
