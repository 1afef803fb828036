"""How a cluster begins: unanimously, once (architecture, decision 6).

Only an empty log is born, and only when every configured seed, at this moment, says that it is empty too and names
the same incarnations. The first entry is then the configuration of them all, byte-identical everywhere; its hash is
the cluster id. A node whose disk was wiped finds a cluster that was born with another incarnation of it: it stays
INITIAL, without a vote, and harms nobody (pitfall 36).

Why it is safe: a node agrees to one set of incarnations at a time and is born of that very set only. Two different
sets would each need the agreement of every seed; a seed already born refuses, so a second birth would need every
member of the first to have lost its disk. A seed that is known by one disk is not known by another until it has
fallen silent: two processes of one name would otherwise let the agreement swing between two sets, and both be born.
A set that still lacks a seed names it as UNHEARD, so that nobody takes what a node has heard of so far for its
agreement.

It must not run once a log has an entry.
"""

import msgspec

from node.raft.log import RaftLog
from node.raft.membership import adopt
from node.raft.messages import Birth
from node.raft.roles import become_follower
from node.raft.state import State
from node.raft.types import Configuration, Entry, EntryKind, Member, base_of_birth

FRESH_HEARTBEATS = 10
"""How many heartbeat intervals an answer stays valid: a seed that fell silent no longer agrees."""

UNHEARD = "?"
"""Stands for the incarnation of a seed that has not been heard lately; no disk has it."""


def on_birth_deadline(state: State, now: int) -> None:
    """Ask every seed, again and again, until born."""
    message = Birth(_view(state, now), b"", answer=True)
    for seed in state.identity.seeds:
        if seed != state.identity.name:
            state.send(seed, message)
    state.birth_due_us = now + state.settings.heartbeat_us
    _try_birth(state, now)


def on_birth(state: State, sender: Member, message: Birth, now: int) -> None:
    """An INITIAL node listens and agrees; a born one only says what it was born of."""
    if state.waits_in_initial and not state.born:
        return  # to be heard is to agree; whoever waits does not agree yet
    if state.born:
        if message.answer:
            base = state.log.base  # above 0 its configuration is not that of the birth: nobody is born of it
            state.send(sender.name, Birth((), b"" if base.index else base.configuration.encode(), answer=False))
        return
    if sender.name not in state.identity.seeds or _known_by_another_disk(state, sender, now):
        return
    state.last_heard[sender.name] = now
    state.births[sender.name] = (sender, message, now)
    if message.answer:
        state.send(sender.name, Birth(_view(state, now), b"", answer=False))
    if message.configuration:
        _join_born(state, message.configuration)
    else:
        _try_birth(state, now)


def on_birth_durable(state: State, token: int, now: int) -> None:
    """The first entry is on disk: from now on this node takes part."""
    if state.birth_token is not None and token >= state.birth_token:
        state.birth_token = None
        adopt(state, now)
        names = " ".join(member.name for member in state.configuration.voters)
        state.trace("born", cluster=state.cluster_id, voters=names)
        become_follower(state, state.term, "", now, "born")


def waiting_for(state: State, now: int) -> str:
    """Why this node is INITIAL, one sentence for people."""
    if state.waits_in_initial:
        return "it was started to wait here (wait_in_initial): the command become_follower lets it go on"
    if state.birth_token is not None:
        return "the first entry is being written to disk"
    silent, strangers, differing = [], [], []
    view = _view(state, now)
    for seed in state.identity.seeds:
        if seed == state.identity.name:
            continue
        heard = _heard(state, seed, now)
        if heard is None:
            silent.append(seed)
        elif heard.configuration:
            strangers.append(seed)
        elif heard.view != view:
            differing.append(seed)
    if strangers:
        return (
            f"{', '.join(strangers)} belong to a cluster that was born without this disk: "
            "a node whose data was lost is a new member and has no vote"
        )
    if silent:
        return f"no answer from {', '.join(silent)}: every seed must be up once, for the first start only"
    return f"{', '.join(differing)} do not see the same seeds yet" if differing else "the next round of answers"


def _heard(state: State, seed: str, now: int) -> Birth | None:
    heard = state.births.get(seed)
    if heard is None or now - heard[2] > FRESH_HEARTBEATS * state.settings.heartbeat_us:
        return None
    return heard[1]


def _known_by_another_disk(state: State, sender: Member, now: int) -> bool:
    return _heard(state, sender.name, now) is not None and state.births[sender.name][0] != sender


def _view(state: State, now: int) -> tuple[Member, ...]:
    """Every seed, sorted, with the incarnation its link proved, or UNHEARD where it has not answered lately."""
    view = []
    for seed in state.identity.seeds:
        if seed == state.me.name:
            view.append(state.me)
        else:
            view.append(Member(seed, UNHEARD) if _heard(state, seed, now) is None else state.births[seed][0])
    return tuple(sorted(view))


def _try_birth(state: State, now: int) -> None:
    """Be born when all seeds are heard and all of them see the same set."""
    view = _view(state, now)
    if state.birth_token is not None or state.identity.name not in state.identity.seeds:
        return
    for seed in state.identity.seeds:
        heard = _heard(state, seed, now) if seed != state.identity.name else None
        if seed != state.identity.name and (heard is None or heard.configuration or heard.view != view):
            return
    _write_first_entry(state, Configuration(view).encode())


def _join_born(state: State, data: bytes) -> None:
    """A seed was born of a set that this node had agreed to: take that very entry."""
    try:
        configuration = Configuration.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return  # a peer's mistake must not stop this node; `waiting_for` names the peer
    names = tuple(member.name for member in configuration.voters)
    if configuration.encode() != data:
        return  # it says more than this version can repeat, and the cluster id is a hash of its very bytes
    if state.birth_token is None and state.me in configuration.voters and names == tuple(sorted(state.identity.seeds)):
        _write_first_entry(state, data)


def _write_first_entry(state: State, data: bytes) -> None:
    """Entry 1, term 0: agreed by all, so committed by all; the first election will be for term 1."""
    state.birth_due_us = None
    first = Entry(1, 0, EntryKind.CONFIGURATION, data)
    state.log = RaftLog((first,), base_of_birth(first))
    state.commit = 1
    state.birth_token = state.disk.next_token
    state.disk.hard_state_changed()
