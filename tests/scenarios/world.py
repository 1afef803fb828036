"""Some servers, one list of messages in flight, one clock: nothing moves until a command says so.

Why it exists: a scenario is a story told by hand, one delivery and one disk write at a time. The servers are the real
algorithm. After every command the properties of figure 3 that show in a state are checked, whatever the golden says.
"""

from collections.abc import Callable, Iterable

import msgspec

from node.raft.core import Raft
from node.raft.effects import Apply, Effect, Persist, Restore, Send
from node.raft.events import (
    Applied,
    Compact,
    Continue,
    Deadline,
    Event,
    MemberChange,
    Order,
    Persisted,
    Proposal,
    Propose,
    Read,
    Receive,
    SnapshotHeld,
)
from node.raft.messages import RaftMessage
from node.raft.settings import RaftSettings
from node.raft.state import Identity
from node.raft.types import Base, Configuration, Entry, EntryKind, HardState, Member, Role
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import RangeResult
from tests.scenarios import prose

SETTINGS = RaftSettings(commit_told_us=0)
"""Commits are told at once: a story that is about something else needs no word of it. `settings` changes that."""
STABILIZE_MOVES_MAX = 10_000


class Chance:
    """The next election timeouts, as the story sets them."""

    def __init__(self, timeout_us: int) -> None:
        self.timeout_us = timeout_us

    def random(self) -> float:
        span = SETTINGS.election_max_us - SETTINGS.election_min_us + 1
        return (self.timeout_us - SETTINGS.election_min_us + 0.5) / span


class Flying(msgspec.Struct):
    """A message on its way."""

    number: int
    sender: Member
    to: str
    message: RaftMessage

    def __str__(self) -> str:
        return f"{self.sender.name} -> {self.to}  #{self.number} {prose.message(self.message)}"


class Node:
    """A server with a disk. `hard` and `entries` are what a crash leaves."""

    def __init__(self, name: str, disk: str, chance: Chance) -> None:
        self.name = name
        self.disk = disk
        self.chance = chance
        self.boot = 0
        self.hard = HardState()
        self.entries: list[Entry] = []
        self.base = Base()
        """What the log on the disk follows, with the snapshot of it; index 0: the birth."""
        self.writing: list[Persist] = []
        self.applying: list[Apply | Restore] = []
        self.raft: Raft | None = None
        self.store: KeyValueStore | None = None
        """Where the story has stores: that of this process."""

    @property
    def member(self) -> Member:
        return Member(self.name, self.disk)

    def boots(self, seeds: tuple[str, ...], settings: RaftSettings) -> Raft:
        self.boot += 1
        identity = Identity(self.name, self.disk, str(self.boot), seeds)
        self.raft = Raft(identity, settings, self.chance, self.hard, list(self.entries), self.base, self.base.index)
        return self.raft

    def confirm(self, write: Persist) -> None:
        if write.base is not None:
            self.base, self.entries = write.base, []
        if write.truncate_from is not None:
            self.entries = [entry for entry in self.entries if entry.index < write.truncate_from]
        self.entries += write.entries
        self.hard = write.hard_state or self.hard


class World:
    """`said` collects what happened since it was last taken, one line an event."""

    def __init__(self) -> None:
        self.now = 0
        self.settings = SETTINGS
        self.nodes: dict[str, Node] = {}
        self.seeds: tuple[str, ...] = ()
        self.flying: list[Flying] = []
        self.said: list[str] = []
        self.sides: list[set[str]] = []
        self._with_stores = False
        self._sent = 0
        self._requests = 0
        self._leaders: dict[int, str] = {}
        self._committed: dict[int, Entry] = {}

    # --- who there is ----------------------------------------------------------------------------------------

    def add(self, name: str, timeout_us: int, *, seed: bool = True) -> Node:
        self.nodes[name] = Node(name, "disk", Chance(timeout_us))
        self.seeds += (name,) if seed else ()
        return self.nodes[name]

    def given(self, node: Node, term: int, vote: str, terms: Iterable[int], commit: int) -> None:
        """Put a history on a disk: the birth of all nodes, then a command `x<index>` a term given."""
        birth = Configuration(tuple(sorted(self.nodes[seed].member for seed in self.seeds))).encode()
        node.entries = [Entry(1, 0, EntryKind.CONFIGURATION, birth)]
        node.entries += [Entry(at, t, EntryKind.WRITE, f"x{at}.{t}".encode()) for at, t in enumerate(terms, 2)]
        node.hard = HardState(term, vote, commit)

    def use_stores(self) -> None:
        """What is applied is done to a real store. It begins empty, so such a story has no snapshots."""
        self._with_stores = True

    def start(self, node: Node) -> None:
        assert not (self._with_stores and node.base.index), "a store that begins with a snapshot has no story yet"
        node.store = KeyValueStore() if self._with_stores else None
        raft = node.boots(self.seeds, self.settings)
        self._take(node, raft.start(self.now))

    def crash(self, node: Node) -> None:
        """The process dies: unconfirmed writes and all that was on its way to it are lost, not what it had sent."""
        lost = [item for item in self.flying if item.to == node.name]
        self.flying = [item for item in self.flying if item.to != node.name]
        self.say(node, f"dies: {len(node.writing)} writes and {len(lost)} messages to it are lost")
        node.raft, node.writing, node.applying = None, [], []

    def wipe(self, node: Node, disk: str) -> None:
        """The process dies and its disk is lost: the next one of that name begins on an empty one."""
        self.crash(node)
        node.disk, node.hard, node.entries, node.base = disk, HardState(), [], Base()

    def compact(self, node: Node, index: int) -> None:
        """A snapshot of `node`'s own is durable, as is said to the core."""
        assert node.raft is not None, f"{node.name} is dead"
        node.base = node.raft.base_at(index)
        node.entries = [entry for entry in node.entries if entry.index > index]
        self.step(node, Compact(index))

    def held(self, node: Node, leader: Node) -> None:
        """The leader's snapshot is durable at `node`: what lies between is the runtime's to do."""
        assert leader.base.index, f"{leader.name} has no snapshot"
        self.step(node, SnapshotHeld(leader.member, leader.base))

    # --- what happens ----------------------------------------------------------------------------------------

    def step(self, node: Node, event: Event) -> None:
        if node.raft is not None:
            self._take(node, node.raft.step(event, self.now))

    def deadline(self, node: Node) -> None:
        assert node.raft is not None, f"{node.name} is dead"
        due = node.raft.deadline
        assert due is not None, f"{node.name} waits for no deadline"
        self.now = max(self.now, due)
        self.step(node, Deadline())

    def propose(self, node: Node, commands: Iterable[str]) -> None:
        proposals = tuple(Proposal(self._request(), command.encode()) for command in commands)
        self.step(node, Propose(proposals))

    def offer(self, node: Node, data: bytes, session: int = 0, sequence: int = 0) -> None:
        """A write of the store."""
        self.step(node, Propose((Proposal(self._request(), data, session, sequence),)))

    def read(self, node: Node) -> None:
        self.step(node, Read((self._request(),)))

    def order(self, node: Node, make: Callable[[int], Order | MemberChange]) -> None:
        """An operator's order, with the number of the request in it."""
        self.step(node, make(self._request()))

    def deliver(self, item: Flying) -> None:
        self.say_line(f"{item.to} <- {item.sender.name}  #{item.number} {prose.message(item.message)}")
        node = self.nodes[item.to]
        if node.raft is None:
            self.say(node, "is dead")
        self.step(node, Receive(item.sender, item.message))

    def persist_next(self, node: Node) -> None:
        write = node.writing.pop(0)
        node.confirm(write)
        self.say(node, f"disk has #{write.token}")
        for send in write.then:
            self._send(node, send)
        self.step(node, Persisted(write.token))

    def apply_next(self, node: Node) -> None:
        applying = node.applying.pop(0)
        applied = applying.base.index if isinstance(applying, Restore) else applying.entries[-1].index
        self.say(node, f"applied {applied}")
        if node.store is not None and isinstance(applying, Apply):
            for entry in applying.entries:
                self._do(node, node.store, entry)
        self.step(node, Applied(applied))

    def _do(self, node: Node, store: KeyValueStore, entry: Entry) -> None:
        repeats = store.sessions.repeats
        (result,) = store.apply([entry])
        if entry.kind is EntryKind.WRITE:
            self.say(node, f"store does {entry.index}: {prose.result(result, store.sessions.repeats > repeats)}")

    def keys(self, node: Node) -> None:
        """All that its store has."""
        assert node.store is not None, "this story has no stores"
        found = node.store.range(b"\0", b"\0")
        assert isinstance(found, RangeResult), found
        for kv in found.kvs:
            shown = f"{kv.key.decode()}={kv.value.decode()}, revision {kv.mod_revision}, written {kv.version} times"
            self.say(node, f"store has {shown}")

    def stabilize(self, names: Iterable[str]) -> None:
        """Deliver to these nodes, write and apply there until nothing moves; no time passes."""
        names = tuple(names)
        nodes = [self.nodes[name] for name in names]
        for _ in range(STABILIZE_MOVES_MAX):
            node = next((n for n in nodes if n.writing or n.applying), None)
            arriving = next((item for item in self.flying if item.to in names), None)
            if node is not None:
                move: Callable[[Node], None] = self.persist_next if node.writing else self.apply_next
                move(node)
            elif (sending := next((n for n in nodes if n.raft and n.raft.unfinished), None)) is not None:
                self.step(sending, Continue())
            elif arriving is not None:
                self.flying.remove(arriving)
                self.deliver(arriving)
            else:
                return
        raise AssertionError("the cluster does not come to rest")

    # --- what is said ----------------------------------------------------------------------------------------

    def say(self, node: Node, sentence: str) -> None:
        self.say_line(f"{node.name}  {sentence}")

    def say_line(self, line: str) -> None:
        self.said.append(line)

    def check(self) -> None:
        """Election Safety, and State Machine Safety as far as commit indexes show it (figure 3)."""
        for node in self.nodes.values():
            if node.raft is None:
                continue
            if node.raft.role is Role.LEADER:
                first = self._leaders.setdefault(node.raft.term, node.name)
                assert first == node.name, f"two leaders in term {node.raft.term}: {first}, {node.name}"
            for entry in node.raft.entries(1, node.raft.commit):
                known = self._committed.setdefault(entry.index, entry)
                assert known == entry, f"{node.name} committed {entry}, another {known}"

    def _request(self) -> int:
        self._requests += 1
        return self._requests

    def _take(self, node: Node, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._send(node, effect)
            elif isinstance(effect, Persist):
                self.say(node, f"writes #{effect.token}: {prose.write(effect)}")
                for send in effect.then:
                    self.say(node, f"    then {send.to}: {prose.message(send.message)}")
                node.writing.append(effect)
            else:
                self.say(node, prose.effect(effect))
                if isinstance(effect, Restore):
                    node.applying = []
                if isinstance(effect, Apply | Restore):
                    node.applying.append(effect)

    def _send(self, node: Node, send: Send) -> None:
        self._sent += 1
        item = Flying(self._sent, node.member, send.to, send.message)
        cut = any((node.name in side) != (send.to in side) for side in self.sides)
        self.say_line(f"{item}{'  (lost: cut)' if cut else ''}")
        if not cut:
            self.flying.append(item)
