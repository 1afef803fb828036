"""How a cluster begins: unanimously, once (architecture, decision 6).

Only an empty log is born, and only when every configured seed says that it is empty too and names the same
incarnations. The first entry is then the configuration of them all, byte-identical everywhere; its hash is the
cluster id. A node whose disk was wiped finds a cluster that was born with another incarnation of it: it stays INITIAL,
without a vote, and harms nobody (pitfall 36).

Words may be held up for seconds, repeated, or come from a process that is gone, and two living processes may bear one
name on two disks. So what a seed sees (its *view*) is an agreement only if it answers a *challenge* that was issued
after the own view became that very set: a question carries a number that is new with every process and with every
change of the asker's view, and the answer echoes it.

Why two seeds that are each one disk, B and C, are never born of two sets, S and T. For B to be born of S, C said S
while B saw S without a break, at time v; for C to be born of T, B said T while C saw T without a break, at time u. When
B said T it had not begun to see S for good, since while it does it says nothing else, and afterwards it is born: so B's
time of seeing S begins after u, and v, which lies in it, is after u. The same words with B and C exchanged say that
u is after v. Both cannot be. Hence all seeds that are one disk each are born of one set, and a second cluster could
only be of those whose name two disks bear; while they are fewer than a majority it can elect nobody. One of them may
be left *stranded*: born alone of a set that the others agreed to and then left, for it had fallen silent. Agreements
do not bind, because a seed whose disk is lost before birth would otherwise stop all others for ever.

A seed that missed the moment may be told of it by one that was born, once that is durable there. To take that entry is
to be born, and needs the same: every other seed agrees or was born of it. Where some do not answer any more, it is
enough that a majority was born of it, since one of these is one disk; or one alone, for a process that has never agreed
to another set, has heard of no other that anybody was born of, and has run so long that no word of an earlier process
of its disk is still on its way (HELD_UP_HEARTBEATS). Who sees one that was born agrees to nothing else any more. (One
alone may be of a name that two disks bear, and an earlier process of this disk may have helped the others to be born
with the other disk. While any of those can be heard, nothing happens. That all of them are silent so long, after a
restart just then, is left to whoever starts two processes of one name on two disks.)

A set that still lacks a seed names it as UNHEARD, so that nobody takes what a node has heard of so far for its
agreement. A seed that is known by one disk is not known by another until it has fallen silent: two processes of one
name would otherwise keep all others from ever seeing one set for long enough.

It must not run once a log has an entry.
"""

import msgspec

from node.raft.log import RaftLog
from node.raft.membership import adopt, begin_anew
from node.raft.messages import Append, AppendReply, Birth, Heartbeat, HeartbeatReply, RaftMessage, ReadContext
from node.raft.quorum import majority
from node.raft.roles import become_follower
from node.raft.state import Applicant, HeardSeed, State
from node.raft.types import Base, Configuration, Entry, EntryKind, Member, base_of_birth

APPLICANTS_MAX = 16
"""Servers without a log that are remembered as having asked to be let in."""

FRESH_HEARTBEATS = 10
"""How many heartbeat intervals a word stays valid: a seed that fell silent is not seen any more."""

HELD_UP_HEARTBEATS = 100
"""After how many no word of an earlier process can still arrive, and not before HELD_UP_US_MIN."""

HELD_UP_US_MIN = 10_000_000
"""However short heartbeats are, a carrier gives up a link only when it was silent for half of that
(`LinkSettings.inbound_silence_s`)."""

_KNOW_NOBODY = "answer, and know no node of this name: it waits until they let it in"

UNHEARD = "?"
"""Stands for the incarnation of a seed that has not been heard lately; no disk has it."""


def on_birth_deadline(state: State, now: int) -> None:
    """Ask every seed, again and again, until born."""
    view = _see(state, now)
    challenge = _challenge(state)
    for seed in state.identity.seeds:
        if seed != state.identity.name:
            state.send(seed, _say(state, view, answer=True, challenge=challenge))
    state.birth_due_us = now + state.settings.heartbeat_us
    _try_birth(state, view)


def on_birth(state: State, sender: Member, message: Birth, now: int) -> None:
    """An INITIAL node listens and answers; a born one only says what it was born of."""
    if state.waits_in_initial and not state.born:
        return  # to be heard is to agree; whoever waits does not agree yet
    if state.born:
        if message.answer:
            _note_applicant(state, sender, message, now)
            _answer_as_born(state, sender, message.challenge)
        return
    if sender.name not in state.identity.seeds or _known_by_another_disk(state, sender, now):
        return
    if message.address is not None and message.address.name != sender.name:
        return  # each speaks for itself
    _see(state, now)  # before this word: a seed that was silent for too long has not been seen without a break
    state.last_heard[sender.name] = now
    state.birth.heard[sender.name] = HeardSeed(sender, now, message)
    view = _see(state, now)
    if message.invited:
        state.invited = True
    says = message.configuration or Configuration(message.view, addresses=message.addresses).encode()
    if says != view.encode():
        state.birth.agreed.pop(sender, None)
    elif not message.answer and message.challenge == _challenge(state):
        state.birth.agreed[sender] = True
    if message.answer:
        _answer(state, sender, view, message.challenge)
    if message.configuration:
        _join_born(state, message.configuration, now)
    else:
        _try_birth(state, view)


def on_birth_durable(state: State, token: int, now: int) -> None:
    """The first entry is on disk: from now on this node takes part."""
    if state.birth_token is not None and token >= state.birth_token:
        state.birth_token = None
        adopt(state, now)
        names = " ".join(member.name for member in state.configuration.voters)
        state.trace("born", cluster=state.cluster_id, voters=names)
        become_follower(state, state.term, "", now, "born")


def _note_applicant(state: State, sender: Member, message: Birth, now: int) -> None:
    """Somebody without a log asks: an operator, or a setting, may let it in (changes.py)."""
    if sender in state.configuration.members:
        state.applicants.pop(sender.name, None)
        return
    state.applicants.pop(sender.name, None)  # the newest is the last
    while len(state.applicants) >= APPLICANTS_MAX:
        del state.applicants[next(iter(state.applicants))]
    state.applicants[sender.name] = Applicant(sender, message.address, now)


def on_invitation(state: State, sender: Member, message: RaftMessage) -> None:
    """A server without a log whose cluster has let it in gets the log from the leader: entry 1 alone is its birth.

    Only after one that is born has said that this very disk is let in: a leader may well send to the one that bore this
    name before, and that log would be taken for what this disk has promised (pitfall 36).
    """
    if not state.invited or state.waits_in_initial or state.birth_token is not None:
        return
    if isinstance(message, Heartbeat):
        # What the leader sent before this one was invited is lost: it asks again once it hears that somebody is there.
        state.send(sender.name, HeartbeatReply(message.term))
        return
    if not isinstance(message, Append):
        return
    if message.prev_index == 0 and message.entries and message.entries[0].index == 1:
        _write_first_entry(state, message.entries[0].data)
    else:
        # It has nothing. The term is only repeated: who has no vote has none to keep for it.
        state.send(sender.name, AppendReply(message.term, False, message.prev_index, 0, 0))


def on_snapshot_of_invitation(state: State, sender: Member, base: Base, now: int) -> None:
    """The same where the leader's log does not begin with entry 1 any more: the snapshot is its birth."""
    if not state.invited or state.birth_token is not None or state.waits_in_initial:
        return
    state.birth_due_us = None
    state.birth_token = state.disk.next_token
    state.disk.hard_state_changed()
    begin_anew(state, base, now)
    state.send_when_durable(sender.name, AppendReply(state.term, True, state.commit))


def waiting_for(state: State, now: int) -> str:
    """Why this node is INITIAL, one sentence for people."""
    if state.waits_in_initial:
        return "it was started to wait here (wait_in_initial): the command become_follower lets it go on"
    if state.invited and state.birth_token is None:
        return "it was let in, and the leader sends it the log"
    if lost := _knowing_another_disk(state, now):
        return (
            f"{', '.join(lost)} belong to a cluster that was born without this disk: "
            "a node whose data was lost is a new member and has no vote"
        )
    if state.identity.name not in state.identity.seeds:
        return _outside(state, now)
    if state.birth_token is not None:
        return "the first entry is being written to disk"
    silent: list[str] = []
    strangers: list[str] = []
    differing: list[str] = []
    born: list[str] = []
    births: set[bytes] = set()
    view = _view(state, now)
    for seed in state.identity.seeds:
        if seed == state.identity.name:
            continue
        heard = _heard(state, seed, now)
        if heard is None:
            silent.append(seed)
        elif heard.message.configuration:
            births.add(heard.message.configuration)
            (born if _was_born_with(state, heard.message.configuration) else strangers).append(seed)
        elif heard.message.view != view.voters:
            differing.append(seed)
    if strangers:
        return f"{', '.join(strangers)} {_KNOW_NOBODY}"
    if len(births) > 1:
        return (
            f"{', '.join(born)} were born of different sets with this disk in them: two disks bear one name, so end "
            "the process that should not be, then restart this one"
        )
    if born and any(_agreed_otherwise(state, data) for data in births):
        return (
            f"{', '.join(born)} were born of a set with this disk in it, but this process agreed to another set as "
            "well: restart it if it does not go on by itself"
        )
    if silent:
        return f"no answer from {', '.join(silent)}: every seed must be up once, for the first start only"
    return f"{', '.join(differing)} do not see the same seeds yet" if differing else "the next round of answers"


def vote_lost(state: State, now: int) -> bool:
    """Whether a cluster has a member of this name, on another disk: this one is empty, and has no vote."""
    return not state.born and bool(_knowing_another_disk(state, now))


def _knowing_another_disk(state: State, now: int) -> list[str]:
    """Seeds that belong to a cluster with a member of this name, which is not this disk."""
    found = []
    for seed in state.identity.seeds:
        heard = None if seed == state.identity.name else _heard(state, seed, now)
        if heard is not None and heard.message.known and not _was_born_with(state, heard.message.configuration):
            found.append(seed)
    return found


def _outside(state: State, now: int) -> str:
    """Why a node waits that is no seed, and was no member."""
    seeds = state.identity.seeds
    answering = [seed for seed in seeds if (heard := _heard(state, seed, now)) and heard.message.configuration]
    none_of = f"it is none of the seeds {', '.join(seeds)}"
    if not answering:
        return f"{none_of}, and none of them that could let it in answers"
    return f"{none_of}; {'they' if len(answering) == len(seeds) else ', '.join(answering)} {_KNOW_NOBODY}"


def _heard(state: State, seed: str, now: int) -> HeardSeed | None:
    heard = state.birth.heard.get(seed)
    if heard is None or now - heard.at_us > FRESH_HEARTBEATS * state.settings.heartbeat_us:
        return None
    return heard


def _known_by_another_disk(state: State, sender: Member, now: int) -> bool:
    heard = _heard(state, sender.name, now)
    return heard is not None and heard.member != sender


def _view(state: State, now: int) -> Configuration:
    """Every seed, sorted, with the incarnation its link proved, or UNHEARD where it has not said a word lately; and
    how each says that it is reached, where it says so."""
    view, addresses = [state.me], [state.identity.address]
    for seed in state.identity.seeds:
        if seed != state.me.name:
            heard = _heard(state, seed, now)
            view.append(Member(seed, UNHEARD) if heard is None else heard.member)
            addresses.append(None if heard is None else heard.message.address)
    known = sorted(address for address in addresses if address is not None)
    return Configuration(tuple(sorted(view)), addresses=tuple(known))


def _see(state: State, now: int) -> Configuration:
    """The view now. Where it is another than before, agreements to that one are void, and so are answers under way."""
    view = _view(state, now)
    if view != state.birth.view:
        state.birth.view = view
        state.birth.views += 1
        state.birth.agreed.clear()
    return view


def _challenge(state: State) -> ReadContext:
    return ReadContext(state.identity.name, state.identity.boot, state.birth.views)


def _say(state: State, view: Configuration, *, answer: bool, challenge: ReadContext | None) -> Birth:
    return Birth(view.voters, b"", answer, 0, challenge, state.identity.address, view.addresses)


def _answer(state: State, sender: Member, view: Configuration, challenge: ReadContext | None) -> None:
    """Say what is seen. A view of everybody is an agreement and remembered as one, so who sees one that was born of
    another set says none: there is nothing else to agree to any more."""
    birth = state.birth
    births = [birth.heard[member.name].message.configuration for member in _others_seen(state, view)]
    if any(data not in (b"", view.encode()) for data in births):
        view = Configuration(())
    elif all(member.incarnation != UNHEARD for member in view.voters):
        birth.wavered = birth.wavered or birth.agreed_to not in (None, view)
        birth.agreed_to = view
    state.send(sender.name, _say(state, view, answer=False, challenge=challenge))


def _answer_as_born(state: State, sender: Member, challenge: ReadContext | None) -> None:
    """Until a birth is durable a crash could undo it: so long it is an agreement to that set, and no more."""
    known = state.configuration.member(sender.name) is not None
    data = state.log.base.birth
    if not data:  # a base from before this was kept there, and that birth is forgotten: nobody is born of it any more
        state.send(sender.name, Birth((), b"", answer=False, challenge=challenge, known=known))
        return
    born_with = Configuration.decode(data)
    if state.birth_token is not None:
        state.send(sender.name, _say(state, born_with, answer=False, challenge=challenge))
        return
    # With the address it was born with: without it a late seed would see another set than the one that was born.
    address = born_with.address(state.me.name)
    # A leader's change alone says so, no birth, which others may have left by now: for that there are the rules above.
    invited = state.settled and sender in state.configuration.members and sender not in born_with.voters
    told = Birth((), data, answer=False, challenge=challenge, address=address, invited=invited, known=known)
    state.send(sender.name, told)


def _others_seen(state: State, view: Configuration) -> list[Member]:
    return [member for member in view.voters if member != state.me and member.incarnation != UNHEARD]


def _try_birth(state: State, view: Configuration) -> None:
    """Be born when all seeds have answered that they see this very set."""
    if state.birth_token is None and state.identity.name in state.identity.seeds and _all_agree(state, view):
        _write_first_entry(state, view.encode())


def _all_agree(state: State, view: Configuration) -> bool:
    """Whether every other seed has said so in answer to a challenge of this view. UNHEARD ones have not."""
    return all(member == state.me or member in state.birth.agreed for member in view.voters)


def _join_born(state: State, data: bytes, now: int) -> None:
    """A seed was born of a set that has this disk in it: take that very entry, as soon as nothing speaks against it."""
    if state.birth_token is not None or not _was_born_with(state, data):
        return
    view = _see(state, now)
    birth = state.birth
    seen = [birth.heard[member.name].message for member in _others_seen(state, view)]
    witnesses = sum(1 for message in seen if message.configuration == data)
    if (view.encode() == data and _all_agree(state, view)) or witnesses >= majority(len(view.voters)):
        _write_first_entry(state, data)
        return
    # However old the word: who was born of another set may be silent, and is born all the same.
    other_births = {heard.message.configuration for heard in birth.heard.values()} - {b"", data}
    if _agreed_otherwise(state, data) or other_births:
        return
    if now - birth.began_us >= max(HELD_UP_US_MIN, HELD_UP_HEARTBEATS * state.settings.heartbeat_us):
        _write_first_entry(state, data)


def _agreed_otherwise(state: State, data: bytes) -> bool:
    """Whether this process has agreed to another set than the one whose first entry is `data`."""
    birth = state.birth
    return birth.wavered or (birth.agreed_to is not None and birth.agreed_to.encode() != data)


def _was_born_with(state: State, data: bytes) -> bool:
    """Whether `data` is a first entry of these seeds and of this disk. False for whatever a peer may say by mistake:
    it must not stop this node."""
    try:
        configuration = Configuration.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    if configuration.encode() != data:
        return False  # it says more than this version can repeat, and the cluster id is a hash of its very bytes
    names = tuple(member.name for member in configuration.voters)
    return state.me in configuration.voters and names == tuple(sorted(state.identity.seeds))


def _write_first_entry(state: State, data: bytes) -> None:
    """Entry 1, term 0: agreed by all, so committed by all; the first election will be for term 1."""
    state.birth_due_us = None
    first = Entry(1, 0, EntryKind.CONFIGURATION, data)
    state.log = RaftLog((first,), base_of_birth(first))
    state.commit = 1
    state.birth_token = state.disk.next_token
    state.disk.hard_state_changed()
