"""The language of the golden files: commands in, what happened out.

A file is stanzas with an empty line between them: comments (`#`), commands, `----`, what is expected.

    nodes a b c               empty servers; timeouts in ms may follow: nodes a=150 b=200 c=250
    given a term=2 vote=b log=1,1,2 commit=2      a born history on a's disk, before it starts (index 1 is the birth)
    settings append_bytes_max=1 ...   any of RaftSettings, before the start
    start a b ...             boot them (all, if none is named)
    advance 50                milliseconds pass; no deadline is delivered
    deadline a                time goes to a's deadline, which is delivered
    timeout a 200             a's next drawn election timeouts, in ms
    propose a x y | read a    clients speak to a
    stores                    before the start: every node applies its log to a store, and writes are real ones:
    session a | write a 3.1 k v [answered=N] | keys a     a client's session, write 1 of session 3, what a's store has
    transfer a [b] | campaign a | force a | leave a       an operator's orders to a
    spare d [ms]              one more empty server, which is no seed and waits to be let in
    add a d | promote a d | remove a b | replace a b      an operator asks a for a change of members
    wipe b DISK               b dies, its disk is lost, and an empty one called DISK takes its place
    compact a 3               a snapshot of everything up to 3 is durable at a, and the log lets those entries go
    held b a                  a's snapshot, as it is, has come to b over the links and is durable there
    hello a b [boot]          b's process (the one that runs, or another) opens a link to a
    gone a b [boot]           a's links say that this process of b is gone
    deliver from= to= type= id= first last duplicate reverse      of the messages in flight, those that match
    drop ...                  the same choice, lost
    persist a [all] | apply a what a's disk or state machine finishes: the oldest, or all
    stabilize [a b ...]       deliver, write and apply (to and at these) until nothing moves
    crash a | restart a       from what was on its disk
    partition a b | c d e     messages between the sides are lost, also those in flight; heal ends it
    flying | log a ... | status a ...
    brief COMMAND ...         only what changes: roles, terms, leaders, births, commits and answers
"""

from collections.abc import Callable

import msgspec

from node.raft.events import (
    AddLearner,
    Campaign,
    Event,
    ForceTimeout,
    LeaveInitial,
    MemberChange,
    Order,
    PeerGone,
    PeerUp,
    Promote,
    Remove,
    Replace,
    TransferLeadership,
)
from node.raft.types import Member
from node.statemachine.writes import Put, Register, encode_write, in_session
from tests.scenarios import prose
from tests.scenarios.world import Flying, Node, World

TIMEOUTS_MS = (150, 200, 250, 275, 300)
IDLE_US = 3_600_000_000
BRIEF = (
    "role:",
    "term:",
    "leader:",
    "born:",
    "leader-",
    "READ",
    "refuses request",
    "accepts",
    "truncated:",
    "applies",
    "ANSWER",
    "members:",
    "snapshot-",
    "takes over",
    "store",
)


class Script:
    """Runs commands in one world."""

    def __init__(self) -> None:
        self.world = World()
        self._commands: dict[str, Callable[[list[str]], None]] = {
            "nodes": self._nodes,
            "settings": self._settings,
            "given": self._given,
            "start": lambda words: self._each(words, self.world.start),
            "restart": lambda words: self._each(words, self.world.start),
            "crash": lambda words: self._each(words, self.world.crash),
            "advance": self._advance,
            "deadline": lambda words: self._each(words, self.world.deadline),
            "timeout": self._timeout,
            "propose": lambda words: self.world.propose(self._node(words[0]), words[1:]),
            "stores": lambda _: self.world.use_stores(),
            "session": lambda words: self.world.offer(self._node(words[0]), encode_write(Register(IDLE_US))),
            "write": self._write,
            "keys": lambda words: self._each(words, self.world.keys),
            "read": lambda words: self._each(words, self.world.read),
            "transfer": lambda words: self._order(words, lambda n: TransferLeadership(n, "".join(words[1:]))),
            "campaign": lambda words: self._order(words, Campaign),
            "force": lambda words: self._order(words, ForceTimeout),
            "leave": lambda words: self._order(words, LeaveInitial),
            "spare": lambda words: self._spare(words[0], int(words[1]) if len(words) > 1 else 300),
            "add": lambda words: self._order(words, lambda n: AddLearner(n, self._node(words[1]).member)),
            "promote": lambda words: self._order(words, lambda n: Promote(n, words[1])),
            "remove": lambda words: self._order(words, lambda n: Remove(n, words[1])),
            "replace": lambda words: self._order(words, lambda n: Replace(n, words[1], self._node(words[1]).disk)),
            "wipe": lambda words: self.world.wipe(self._node(words[0]), words[1]),
            "compact": lambda words: self.world.compact(self._node(words[0]), int(words[1])),
            "held": lambda words: self.world.held(self._node(words[0]), self._node(words[1])),
            "hello": lambda words: self._process(words, PeerUp),
            "gone": lambda words: self._process(words, PeerGone),
            "deliver": self._deliver,
            "drop": self._drop,
            "persist": self._persist,
            "apply": lambda words: self._each(words, self.world.apply_next),
            "stabilize": lambda words: self.world.stabilize(words or list(self.world.nodes)),
            "partition": self._partition,
            "heal": self._heal,
            "flying": self._flying,
            "log": lambda words: self._each(words, self._log),
            "status": lambda words: self._each(words, self._status),
        }

    def run(self, line: str) -> list[str]:
        """One command; what happened, one line an event."""
        words = line.split()
        brief = words[0] == "brief"
        name, *rest = words[1:] if brief else words
        self._commands[name](rest)
        self.world.check()
        said, self.world.said = self.world.said, []
        return [s for s in said if s.split("  ", 1)[-1].startswith(BRIEF)] if brief else said

    def _write(self, words: list[str]) -> None:
        node, numbers, key, value = self._node(words[0]), words[1], words[2], words[3]
        answered = int(words[4].removeprefix("answered=")) if len(words) > 4 else 0
        session, _, sequence = numbers.partition(".")
        data = in_session(encode_write(Put(key.encode(), value.encode())), answered)
        self.world.offer(node, data, int(session), int(sequence))

    def _node(self, name: str) -> Node:
        return self.world.nodes[name]

    def _each(self, words: list[str], act: Callable[[Node], None]) -> None:
        for name in words or list(self.world.nodes):
            act(self._node(name))

    def _order(self, words: list[str], make: Callable[[int], Order | MemberChange]) -> None:
        self.world.order(self._node(words[0]), make)

    def _process(self, words: list[str], make: Callable[[Member, str], Event]) -> None:
        """What a node's links say of a peer's process."""
        peer = self._node(words[1])
        self.world.step(self._node(words[0]), make(peer.member, words[2] if len(words) > 2 else str(peer.boot)))

    def _nodes(self, words: list[str]) -> None:
        for word, usual_ms in zip(words, TIMEOUTS_MS, strict=False):
            name, _, ms = word.partition("=")
            self.world.add(name, int(ms or usual_ms) * 1000)

    def _spare(self, name: str, timeout_ms: int) -> None:
        self.world.add(name, timeout_ms * 1000, seed=False)

    def _given(self, words: list[str]) -> None:
        told = dict(word.split("=") for word in words[1:])
        terms = [int(term) for term in told.get("log", "").split(",") if term]
        node = self._node(words[0])
        self.world.given(node, int(told.get("term", 0)), told.get("vote", ""), terms, int(told.get("commit", 1)))

    def _settings(self, words: list[str]) -> None:
        told = {key: int(value) for key, value in (word.split("=") for word in words)}
        self.world.settings = msgspec.structs.replace(self.world.settings, **told)

    def _advance(self, words: list[str]) -> None:
        self.world.now += int(words[0]) * 1000

    def _timeout(self, words: list[str]) -> None:
        self._node(words[0]).chance.timeout_us = int(words[1]) * 1000

    def _choose(self, words: list[str]) -> list[Flying]:
        chosen = list(self.world.flying)
        for word in words:
            key, _, value = word.partition("=")
            if key in ("from", "to", "type", "id"):
                chosen = [item for item in chosen if self._matches(item, key, value)]
            elif key in ("first", "last"):
                chosen = chosen[:1] if key == "first" else chosen[-1:]
            elif key == "reverse":
                chosen.reverse()
            elif key != "duplicate":
                raise ValueError(f"{word!r} is no way to choose messages")
        assert chosen, f"nothing in flight matches {' '.join(words)}"
        return chosen

    def _matches(self, item: Flying, key: str, value: str) -> bool:
        match key:
            case "from":
                return item.sender.name in value
            case "to":
                return item.to in value
            case "type":
                return type(item.message).__name__ == value
        return str(item.number) in value.split(",")

    def _deliver(self, words: list[str]) -> None:
        for item in self._choose(words):
            if "duplicate" not in words:
                self.world.flying.remove(item)
            self.world.deliver(item)

    def _drop(self, words: list[str]) -> None:
        for item in self._choose(words):
            self.world.flying.remove(item)
            self.world.say_line(f"{item}  (lost)")

    def _persist(self, words: list[str]) -> None:
        node = self._node(words[0])
        assert node.writing, f"{node.name} writes nothing"
        self.world.persist_next(node)
        while "all" in words and node.writing:
            self.world.persist_next(node)

    def _partition(self, words: list[str]) -> None:
        self.world.sides = [set(side.split()) for side in " ".join(words).split("|")]
        for item in list(self.world.flying):
            if any((item.sender.name in side) != (item.to in side) for side in self.world.sides):
                self.world.flying.remove(item)
                self.world.say_line(f"{item}  (lost: cut)")

    def _heal(self, words: list[str]) -> None:
        self.world.sides = []

    def _flying(self, words: list[str]) -> None:
        for item in self.world.flying:
            self.world.say_line(str(item))

    def _log(self, node: Node) -> None:
        raft = node.raft
        held = node.entries if raft is None else raft.entries(1, 1_000_000)
        self.world.say(node, f"log: {prose.entries(held)}")

    def _status(self, node: Node) -> None:
        if node.raft is None:
            self.world.say(node, "is dead")
            return
        s = node.raft.status(self.world.now)
        due = "-" if s.deadline_in_us is None else f"{s.deadline_in_us // 1000} ms"
        self.world.say(
            node,
            f"{s.role.value} term {s.term} vote {s.vote or '-'} leader {s.leader or '-'} commit {s.commit} "
            f"applied {s.applied} durable {s.durable} last {s.last_index}/{s.last_term} deadline in {due}"
            + (", no member any more" if s.removed else ""),
        )
        for peer in s.peers:
            if peer.progress:
                self.world.say(
                    node, f"    {peer.name}: {peer.progress} match {peer.match_index} next {peer.next_index}"
                )


def perform(text: str) -> str:
    """Run a golden file: the same file with what really happened under every `----`."""
    script = Script()
    stanzas = []
    for stanza in text.strip().split("\n\n"):
        told = stanza.split("\n")
        lines = told[: told.index("----")] if "----" in told else told
        happened: list[str] = []
        commands = [line for line in lines if line and not line.startswith("#")]
        for command in commands:
            try:
                happened += script.run(command)
            except Exception as error:
                error.add_note(f"at {command!r}; in flight: {[str(item) for item in script.world.flying]}")
                raise
        if commands:
            lines = [*lines, "----", *(happened or ["(nothing)"])]
        stanzas.append("\n".join(lines))
    return "\n\n".join(stanzas) + "\n"
