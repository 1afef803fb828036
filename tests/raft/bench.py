"""One server on a bench: builders and short questions, so that a test reads as its story.

Why it exists: tests drive the real `Raft` with events and look at its effects; what storage, state machine and clock
would do is done here by hand, only when a test says so. It must not know a rule of Raft that a test wants to check.

Servers are called a, b, c, d, e; `a` is the one on the bench unless a test says otherwise.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from node.raft.core import Raft
from node.raft.effects import Apply, Effect, Persist, Restore, Send, Trace
from node.raft.events import Applied, Deadline, Event, Persisted, Proposal, Propose, Read, Receive
from node.raft.messages import (
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    PreVote,
    PreVoteReply,
    RaftMessage,
    Vote,
    VoteReply,
)
from node.raft.settings import RaftSettings
from node.raft.state import Identity
from node.raft.types import (
    UNBORN,
    Base,
    Configuration,
    Entry,
    EntryKind,
    HardState,
    Member,
    MemberAddress,
    Role,
    voted_for,
)

HEARTBEAT_US = 100_000
ELECTION_MIN_US = 150_000
ELECTION_MAX_US = 300_000
DEADLINES_MAX = 10_000
"""Far more than any story has."""
START_US = 10_000_000
"""When the story of every bench begins."""

Kind = TypeVar("Kind")


class Chance:
    """Chance that a test decides: always the same draw."""

    def __init__(self, draw: float = 0.0) -> None:
        self.draw = draw

    def random(self) -> float:
        return self.draw


def names(count: int) -> tuple[str, ...]:
    return tuple("abcdefghi"[:count])


def member(name: str) -> Member:
    return Member(name, f"disk-{name}")


def configuration(count: int) -> Configuration:
    return Configuration(tuple(member(name) for name in names(count)))


def log_of(terms: Iterable[int], count: int = 3, data: bytes = b"x") -> tuple[Entry, ...]:
    """The birth entry, then one command a term given: `log_of((1, 1, 2))` ends at index 4."""
    entries = [Entry(1, 0, EntryKind.CONFIGURATION, configuration(count).encode())]
    entries += [Entry(index, term, EntryKind.WRITE, data) for index, term in enumerate(terms, 2)]
    return tuple(entries)


def commands(first: int, terms: Iterable[int], data: bytes = b"x") -> tuple[Entry, ...]:
    """Entries from index `first` on, one per term given."""
    return tuple(Entry(index, term, EntryKind.WRITE, data) for index, term in enumerate(terms, first))


def of(effects: Sequence[Effect], kind: type[Kind]) -> list[Kind]:
    """The effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def sent(effects: Sequence[Effect], kind: type[Kind], to: str | None = None) -> list[Kind]:
    """Messages of one kind that leave at once."""
    return [plain(s) for s in of(effects, Send) if isinstance(s.message, kind) and to in (None, s.to)]


def promised(effects: Sequence[Effect], kind: type[Kind], to: str | None = None) -> list[Kind]:
    """Messages of one kind that leave once the disk has what this step wrote."""
    then = [send for persist in of(effects, Persist) for send in persist.then]
    return [plain(s) for s in then if isinstance(s.message, kind) and to in (None, s.to)]


def plain(send: Send) -> Any:
    """Its message, without the disk that it answers where that is the one that the name always has here: as tests
    write it, which are of others' fate."""
    message = send.message
    if isinstance(message, (PreVoteReply, VoteReply)):
        usual = message.asker == member(send.to).incarnation
        return msgspec.structs.replace(message, asker="" if usual else message.asker or "it does not say")
    return message


def receivers(effects: Sequence[Effect], kind: type[RaftMessage]) -> list[str]:
    """To whom messages of one kind go, at once or later."""
    sends = [*of(effects, Send), *(send for persist in of(effects, Persist) for send in persist.then)]
    return [send.to for send in sends if isinstance(send.message, kind)]


def traces(effects: Sequence[Effect], kind: str) -> list[Trace]:
    return [trace for trace in of(effects, Trace) if trace.kind == kind]


class Server:
    """A `Raft` with a clock, a disk that confirms when told and a state machine that applies when told."""

    def __init__(
        self,
        name: str = "a",
        hard: HardState | None = None,
        entries: Sequence[Entry] = (),
        seeds: tuple[str, ...] = ("a", "b", "c"),
        settings: RaftSettings | None = None,
        boot: str = "boot-1",
        incarnation: str | None = None,
        draw: float = 0.0,
        base: Base = UNBORN,
        address: MemberAddress | None = None,
        applied: int = 0,
    ) -> None:
        identity = Identity(name, incarnation or f"disk-{name}", boot, seeds, address)
        self.raft = Raft(identity, settings or RaftSettings(), Chance(draw), hard, entries, base, applied)
        self.now = START_US
        self.writing: list[Persist] = []
        self.applying: list[Apply | Restore] = []
        self.started = self._note(self.raft.start(self.now))

    def step(self, *events: Event) -> list[Effect]:
        """All these events as one step."""
        return self._note(self.raft.step_all(events, self.now))

    def receive(self, sender: str, *messages: RaftMessage) -> list[Effect]:
        return self.step(*(Receive(member(sender), message) for message in messages))

    def propose(self, *data: bytes, first_request: int = 1) -> list[Effect]:
        proposals = tuple(Proposal(first_request + at, value) for at, value in enumerate(data))
        return self.step(Propose(proposals))

    def read(self, *requests: int) -> list[Effect]:
        return self.step(Read(requests))

    def wait(self, duration_us: int) -> None:
        """Time passes; no deadline is delivered."""
        self.now += duration_us

    def deadline(self) -> list[Effect]:
        """Time passes until the core's deadline, which is delivered."""
        due = self.raft.deadline
        assert due is not None, "the core waits for no deadline"
        self.now = max(self.now, due)
        return self.step(Deadline())

    def heartbeat(self) -> list[Effect]:
        """Time passes until a leader's heartbeat; what it says of commits before then is left out."""
        effects, leader = list[Effect](), self.raft.leader
        while not any(isinstance(effect, Send) and isinstance(effect.message, Heartbeat) for effect in effects):
            assert self.raft.leader == leader, "it leads no more"
            effects = self.deadline()
        return effects

    def pass_time(self, duration_us: int) -> list[Effect]:
        """Time passes, and every deadline on the way is delivered when it is due."""
        until, effects, served = self.now + duration_us, list[Effect](), 0
        while (due := self.raft.deadline) is not None and due <= until:
            effects += self.deadline()
            served += 1
            assert served <= DEADLINES_MAX, "a deadline is due again and again, whatever it is told"
        self.now = until
        return effects

    def persist_next(self) -> list[Effect]:
        """The disk confirms its oldest write: what waited for it leaves, then the core is told."""
        write = self.writing.pop(0)
        return [*write.then, *self.step(Persisted(write.token))]

    def persist(self) -> list[Effect]:
        """The disk confirms everything, also what these confirmations cause."""
        effects: list[Effect] = []
        while self.writing:
            effects += self.persist_next()
        return effects

    def apply_next(self) -> list[Effect]:
        given = self.applying.pop(0)
        return self.step(Applied(given.base.index if isinstance(given, Restore) else given.entries[-1].index))

    def settle(self) -> list[Effect]:
        """Disk and state machine catch up."""
        effects: list[Effect] = []
        while self.writing or self.applying:
            effects += self.persist() if self.writing else self.apply_next()
        return effects

    @property
    def term(self) -> int:
        return self.raft.term

    def role(self) -> Role:
        return self.raft.role

    @property
    def commit(self) -> int:
        return self.raft.commit

    @property
    def vote(self) -> str:
        """For whom this server has voted in its term, whether or not that is on its disk yet."""
        return voted_for(self.raft._state.vote)

    @property
    def last_index(self) -> int:
        return self.raft.status(self.now).last_index

    @property
    def terms(self) -> list[int]:
        """The term of every entry in the log, from index 1 on."""
        return [entry.term for entry in self.raft.entries(1, 1_000_000)]

    def _note(self, effects: list[Effect]) -> list[Effect]:
        self.writing += of(effects, Persist)
        for effect in effects:
            if isinstance(effect, Restore):
                self.applying = [effect]  # what was being applied is void
            elif isinstance(effect, Apply):
                self.applying.append(effect)
        return effects


def follower(
    terms: Iterable[int] = (),
    term: int = 1,
    count: int = 3,
    commit: int = 1,
    vote: str = "",
    settings: RaftSettings | None = None,
) -> Server:
    """A restarted server `a` that has heard of nobody yet."""
    hard = HardState(term, vote, commit)
    server = Server(hard=hard, entries=log_of(terms, count), seeds=names(count), settings=settings)
    server.settle()
    return server


def pre_candidate(terms: Iterable[int] = (), term: int = 1, count: int = 3, vote: str = "") -> tuple[Server, PreVote]:
    """A server whose election timeout has passed, and what it asks."""
    server = follower(terms, term, count, vote=vote)
    return server, sent(server.deadline(), PreVote)[0]


def candidate(terms: Iterable[int] = (), term: int = 2, count: int = 3) -> tuple[Server, Vote]:
    """A server that has won the pre-vote of `term`; its own vote is not durable yet."""
    server, request = pre_candidate(terms, term - 1, count)
    return start_vote(server, request, count)


def start_vote(server: Server, request: PreVote, count: int) -> tuple[Server, Vote]:
    for voter in names(count)[1 : count // 2 + 1]:
        effects = server.receive(voter, PreVoteReply(request.term, True, request.campaign))
    return server, promised(effects, Vote)[0]


def leader(
    terms: Iterable[int] = (),
    term: int = 2,
    count: int = 3,
    commit: int = 1,
    settings: RaftSettings | None = None,
    vouched: bool = True,
) -> Server:
    """Server `a` leading `count` servers in `term`. `vouched`: all have acknowledged its no-op, which is committed
    and applied; otherwise nobody has said anything since the votes, and only the leader's own disk has the no-op."""
    server = follower(terms, term - 1, count, commit, settings=settings)
    asked = sent(server.deadline(), PreVote)
    if asked:  # a single server needs nobody
        start_vote(server, asked[0], count)
    server.persist()
    for voter in names(count)[1 : count // 2 + 1]:
        server.receive(voter, VoteReply(term, True))
    server.settle()
    if vouched:
        for peer in names(count)[1:]:
            server.receive(peer, AppendReply(term, True, server.last_index))
        server.settle()
        for peer in names(count)[1:]:  # the commit index has been told
            server.receive(peer, AppendReply(term, True, server.last_index))
        server.deadline()
        for peer in names(count)[1:]:
            server.receive(peer, HeartbeatReply(term))
    return server
