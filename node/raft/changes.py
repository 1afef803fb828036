"""Changes of members, one at a time (thesis 4.1 to 4.2): learners, promotion, removal, a new disk under an old name.

Each changes the set of voters by one at most, so that every majority of the old set and every majority of the new one
have a server in common, and no second leader can be elected by the other set. That holds only between two sets that
follow each other: so the next change waits until the one before is committed, and the first waits until the leader has
committed an entry of its own term, since a change of an earlier term may still be committed or overwritten (pitfall 23,
the flaw that was found in this scheme in 2015).

A new disk takes the place of the old one in one change: the old one leaves the voters and the new one listens, which
is one voter less. Joint consensus (thesis 4.3) is not needed for any of this, and is a second kind of quorum that
everything that counts would have to know.

Why it exists: who may be let in or out, and when. It must not count votes or acknowledgements, nor decide what is in
force: see membership.py.
"""

import enum

import msgspec

from node.raft.effects import Ordered
from node.raft.events import AddLearner, MemberChange, Promote, Readdress, Remove, Replace
from node.raft.leadership import Leadership
from node.raft.membership import append
from node.raft.progress import ProgressState
from node.raft.quorum import majority
from node.raft.state import Change, State
from node.raft.types import MEMBERS_MAX, Configuration, Entry, EntryKind, Member

CAUGHT_UP_ENTRIES = 1_000
"""A learner that lacks no more than this holds nobody up as a voter: a leader sends as much in a few milliseconds."""


class Reason(enum.StrEnum):
    """Why a change was refused, for programs: each answers with words of its own."""

    NO_LEAD = "no-lead"
    NOT_NOW = "not-now"
    NO_MEMBER = "no-member"
    MEMBER = "member"
    TOO_MANY = "too-many"
    ONLY_VOTER = "only-voter"
    BEHIND = "behind"
    NO_QUORUM = "no-quorum"


class _Refused(Exception):
    """The change may not be made; the message is one sentence."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def on_change(state: State, event: MemberChange, now: int) -> None:
    """Append the configuration that `event` asks for, or refuse with a sentence: then nothing happened."""
    lead = state.leadership
    try:
        if lead is None:
            where = f"{state.leader} does" if state.leader else "no leader is known"
            raise _Refused(Reason.NO_LEAD, f"{state.identity.name} does not lead: {where}")
        _require_time_for_it(state)
        wanted, words = _wanted(state, lead, event)
        _require_living_quorum(state, lead, wanted, event, now)
    except _Refused as refusal:
        state.effects.append(Ordered(event.request, False, str(refusal), reason=refusal.reason.value))
        return
    if wanted == state.configuration:
        state.effects.append(Ordered(event.request, True, f"{words} already"))
        return
    index = state.log.last_index + 1
    state.change = Change(event.request, index, state.term, words)
    append(state, (Entry(index, state.term, EntryKind.CONFIGURATION, wanted.encode(), lead.log_time_us(now)),), now)
    state.trace("members", index=index, says=words)


def advance(state: State) -> None:
    """End of a step: answer who asked, once it is known what became of the change."""
    change = state.change
    if change is None:
        return
    term = state.log.term_at(change.index)
    if state.commit >= change.index:
        done = term == change.term
        _end(state, change, done, change.words if done else "another leader overwrote the change; nothing happened")
    elif term != change.term:
        _end(state, change, False, "another leader overwrote the change before it was committed; nothing happened")
    elif state.leadership is None:
        lost = f"{state.identity.name} lost the lead before the change was committed: it may happen yet"
        _end(state, change, False, lost, unknown=True)


def _end(state: State, change: Change, done: bool, message: str, *, unknown: bool = False) -> None:
    state.change = None
    state.effects.append(Ordered(change.request, done, message, unknown))


def _require_time_for_it(state: State) -> None:
    if state.transfer is not None:
        raise _Refused(
            Reason.NOT_NOW, f"the lead is being handed to {state.transfer.target.name}; ask again in a moment"
        )
    if state.log.term_at(state.commit) != state.term:
        raise _Refused(Reason.NOT_NOW, "this leader has committed nothing yet; ask again in a moment")
    if state.log.configuration_index > state.commit:
        raise _Refused(Reason.NOT_NOW, "a change of members is under way; ask again when it is committed")


def _wanted(state: State, lead: Leadership, event: MemberChange) -> tuple[Configuration, str]:
    """The configuration after the change, and what then holds, in words."""
    configuration = state.configuration
    match event:
        case AddLearner(member=member):
            return _added(configuration, member, event), f"{member.name} is a learner"
        case Promote(name=name):
            return _promoted(state, lead, _member(configuration, name)), f"{name} is a voter"
        case Remove(name=name):
            member = _member(configuration, name)
            if configuration.voters == (member,):
                raise _Refused(
                    Reason.ONLY_VOTER, f"{name} is the only voter, and nobody could decide anything without it"
                )
            return configuration.without(member), f"{name} is no member"
        case Replace(name=name, incarnation=incarnation, address=address):
            before, after = _member(configuration, name), Member(name, incarnation)
            if before == after:
                return configuration, f"{name} is a member with this disk"
            if configuration.voters == (before,):
                raise _Refused(Reason.ONLY_VOTER, f"{name} is the only voter, so with its disk everything is lost")
            address = address or configuration.address(name)
            return configuration.without(before).with_learner(after, address), f"{name} is a learner with its new disk"
        case Readdress(address=address):
            _member(configuration, address.name)
            before_it = configuration.address(address.name)
            if not address.client_url and before_it is not None:
                address = msgspec.structs.replace(address, client_url=before_it.client_url)
            return configuration.at(address), f"{address.name} is reached at {address.host}:{address.port}"


def _added(configuration: Configuration, member: Member, event: AddLearner) -> Configuration:
    before = configuration.member(member.name)
    if before == member and member in configuration.learners:
        return configuration
    if before == member:
        raise _Refused(Reason.MEMBER, f"{member.name} is a voter already")
    if before is not None:
        raise _Refused(Reason.MEMBER, f"{member.name} is a member with another disk: replace it, if that one is lost")
    if len(configuration.members) >= MEMBERS_MAX:
        raise _Refused(Reason.TOO_MANY, f"a cluster has at most {MEMBERS_MAX} members")
    return configuration.with_learner(member, event.address)


def _promoted(state: State, lead: Leadership, member: Member) -> Configuration:
    if member in state.configuration.voters:
        return state.configuration
    progress = lead.progress[member]
    behind = state.log.last_index - progress.match
    if progress.state is not ProgressState.REPLICATE or behind > CAUGHT_UP_ENTRIES:
        # A voter that is far behind would be part of every quorum that one more failure needs (thesis 4.2.1).
        raise _Refused(
            Reason.BEHIND, f"{member.name} has not caught up yet: it lacks {behind} of {state.log.last_index} entries"
        )
    return state.configuration.promoted(member)


def _member(configuration: Configuration, name: str) -> Member:
    member = configuration.member(name)
    if member is None:
        raise _Refused(
            Reason.NO_MEMBER, f"{name} is no member; the members are {', '.join(m.name for m in configuration.members)}"
        )
    return member


def _require_living_quorum(
    state: State, lead: Leadership, wanted: Configuration, event: MemberChange, now: int
) -> None:
    """Refuse what would leave fewer voters that answer than a decision needs: not even the change could be committed,
    and with a follower that lives too few it would end the cluster."""
    if wanted.voters == state.configuration.voters or (isinstance(event, Remove) and event.force):
        return
    since = now - state.settings.election_max_us
    silent = [v.name for v in wanted.voters if v != state.me and lead.progress[v].answered_us < since]
    needed = majority(len(wanted.voters))
    if len(wanted.voters) - len(silent) < needed:
        raise _Refused(
            Reason.NO_QUORUM,
            f"of {len(wanted.voters)} voters {needed} must answer, and {', '.join(silent)} would not: bring "
            f"{'it' if len(silent) == 1 else 'them'} back first",
        )
