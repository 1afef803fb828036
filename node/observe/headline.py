"""What a cluster can do now, in one sentence for people: `raft-node status` begins with it, and the page has the same.

Why it exists: a table of roles and terms must be read by somebody who knows Raft; whether writes go through is what
everybody wants to know first. What is not known is called unknown: a node that is not heard may serve all the same.
Pure; `tests/headline_cases.json` says what is said when, for the page's own words, too.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

FULL_BYTES = 1024
"""A log that has no room for so much is full: writes are refused."""
STORE_IS_FULL = "NOSPACE"
"""The alarm of a store that refuses puts, by etcd's name."""
_NUMBERS = ("none", "one", "two", "three", "four")


class Named(msgspec.Struct, frozen=True):
    """A member, by its name."""

    name: str


class Kind(msgspec.Struct, frozen=True):
    """A fault, by its kind."""

    kind: str


class Alarmed(msgspec.Struct, frozen=True):
    """An alarm that is raised, by its name; see `node.observe.alarms`."""

    alarm: str


class Words(msgspec.Struct, frozen=True):
    """The part of a node's `/status` that counts here. `peers`, before birth: the other seeds."""

    name: str
    role: str
    term: int
    leader: str
    cluster_id: str = ""
    voters: tuple[Named, ...] = ()
    peers: tuple[Named, ...] = ()
    faults: tuple[Kind, ...] = ()
    fatal: str = ""
    log_bytes: int = 0
    log_limit_bytes: int = 0
    alarms: tuple[Alarmed, ...] = ()


class Seen(msgspec.Struct, frozen=True):
    """A node as somebody sees it: its last words, and whether it is heard now, not heard, or known to have ended."""

    name: str
    state: Literal["heard", "silent", "down"]
    words: Words | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Every voter counts once: it follows the leader of the highest term (or is it), looks for one, is mute (heard, but
    can take no part: no vote, a simulated failure, about to end), is down (known to have ended) or silent."""

    born: bool
    voters: int
    following: int
    looking: int
    mute: int
    down: int
    silent: int
    leader: str
    leader_is: Literal["", "heard", "silent", "down"]
    log_full: bool
    store_full: bool = False

    @property
    def majority(self) -> int:
        return self.voters // 2 + 1

    @property
    def serves(self) -> bool:
        """Whether a leader is heard whom a majority follows: it can commit, and so can what is read be confirmed."""
        return self.leader_is == "heard" and self.following >= self.majority


def facts_of(nodes: Sequence[Seen]) -> Facts:
    """Count the voters. They are those that the leader of the highest term names, else whoever is of the latest term;
    before birth the seeds; where nobody ever spoke, the nodes that were asked."""
    by_name = {node.name: node for node in nodes}
    heard = [node.words for node in nodes if node.state == "heard" and node.words]
    led = max((words for words in heard if words.leader), key=lambda words: words.term, default=None)
    leader, term = (led.leader, led.term) if led else ("", 0)
    born = not heard or any(_belongs(words) for words in heard)
    voters = _voters(nodes, heard, leader)
    counts = dict.fromkeys(("following", "looking", "mute", "down", "silent"), 0)
    states: dict[str, str] = {}
    for name in voters:
        states[name] = _state(by_name.get(name), leader, term, born)
        counts[states[name]] += 1
    there = by_name.get(leader)
    lead_words = there.words if there else None
    leader_is: Literal["", "heard", "silent", "down"] = ""
    if leader:
        state = states.get(leader) or _state(there, leader, term, born)
        leader_is = "heard" if state == "following" else "silent" if state == "silent" else "down"
    full = lead_words is not None and 0 < lead_words.log_limit_bytes < lead_words.log_bytes + FULL_BYTES
    store_full = lead_words is not None and any(one.alarm == STORE_IS_FULL for one in lead_words.alarms)
    return Facts(
        born=born,
        voters=len(voters),
        leader=leader,
        leader_is=leader_is,
        log_full=full,
        store_full=store_full,
        **counts,
    )


def _belongs(words: Words) -> bool:
    """To a cluster: it was born. Who lost its disk does not."""
    return bool(words.cluster_id or words.voters)


def _voters(nodes: Sequence[Seen], heard: Sequence[Words], leader: str) -> list[str]:
    named = [words for words in heard if words.voters] or [n.words for n in nodes if n.words and n.words.voters]
    if named:
        best = max(named, key=lambda words: (words.name == leader, words.term))
        return [voter.name for voter in best.voters]
    seeds = max((words for words in heard if words.peers), key=lambda words: len(words.peers), default=None)
    return [seeds.name, *(peer.name for peer in seeds.peers)] if seeds else [node.name for node in nodes]


def _state(node: Seen | None, leader: str, term: int, born: bool) -> str:
    if node is None or node.state == "silent" or (node.state == "heard" and node.words is None):
        return "silent"
    if node.state == "down" or node.words is None:
        return "down"
    words = node.words
    if words.fatal or any(fault.kind == "failure" for fault in words.faults) or (born and not _belongs(words)):
        return "mute"
    return "following" if leader and (words.leader, words.term) == (leader, term) else "looking"


def headline(facts: Facts) -> str:
    """One sentence."""
    heard = facts.following + facts.looking + facts.mute
    able = facts.following + facts.looking
    others = _others(facts)
    all_up = others or [f"all {facts.voters} up"]
    if facts.down == facts.voters:
        return f"Down: none of {facts.voters} runs."
    if not heard:
        return _sentence("Unknown: nobody answers", others)
    if not facts.born:
        return _sentence(f"Not born yet: reads and writes wait until all {facts.voters} have met", others)
    if able + facts.silent < facts.majority:
        return _sentence("No quorum: writes and linearizable reads wait", others)
    if facts.serves:
        what = (
            "Serves reads and deletes, refuses puts (the store is full)"
            if facts.store_full
            else "Serves reads and writes"
        )
        if facts.log_full:
            what = "Serves reads, refuses writes (the log is full)"
        return _sentence(what, [*all_up, _can_lose(facts.following - facts.majority, bool(others))])
    if facts.leader_is == "silent" and facts.following >= facts.majority:
        return f"Unknown: {facts.following} of {facts.voters} follow {facts.leader}, which is not heard."
    if able >= facts.majority:
        return _sentence("No leader yet: writes and linearizable reads wait for an election", all_up)
    told = [f"those heard follow {facts.leader}"] if facts.leader_is == "silent" else []
    return _sentence("Unknown: too few are heard to tell", [*others, *told])


def _others(facts: Facts) -> list[str]:
    """Those that do not follow, by why; while somebody is followed, those that look for a leader are among them."""
    counted = (
        (facts.down, "down", "down"),
        (facts.silent, "not heard", "not heard"),
        (facts.mute, "takes no part", "take no part"),
        (facts.looking if facts.serves else 0, "follows no leader", "follow no leader"),
    )
    return [f"{count} of {facts.voters} {one if count == 1 else many}" for count, one, many in counted if count]


def _can_lose(count: int, more: bool) -> str:
    if more:
        return f"can lose {_number(count)} more" if count else "can lose no more"
    return f"can lose {_number(count)}"


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def _sentence(what: str, parts: Sequence[str]) -> str:
    return "; ".join((what, *parts)) + "."
