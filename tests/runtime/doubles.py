"""A driver among scripted ports: a log that completes when told, links that remember what was sent.

Why it exists: the driver's own duties (who is answered what, and when) shown one by one; everything else runs it
among real ports.
"""

from collections.abc import Callable, Sequence
from random import Random

from node.raft.core import Raft
from node.raft.effects import Persist
from node.raft.events import Deadline
from node.raft.messages import (
    Append,
    AppendReply,
    Heartbeat,
    Message,
    PreVote,
    PreVoteReply,
    Vote,
    VoteReply,
)
from node.raft.settings import RaftSettings
from node.raft.state import Identity
from node.raft.types import Configuration, Entry, EntryKind, HardState, Member, Role
from node.runtime.between_leaders import HELD_US
from node.runtime.driver import Driver
from node.runtime.hooks import CommandReplied, Hooks
from node.runtime.inputs import Arrived, Input, WantRead, WantWrite
from node.runtime.outcomes import decode_outcome, encode_wire, for_a_peer
from node.runtime.ports import Outcome, ReadFailed
from node.runtime.snapshot_ports import Snapshots
from node.runtime.snapshot_taking import SNAPSHOT_DEFAULTS, SnapshotSettings
from tests.runtime.snapshots_in_memory import MemorySnapshots

MEMBERS = tuple(Member(name, f"{name}-disk") for name in ("n1", "n2", "n3"))
BOOT = "boot-of-n1"
TIMEOUT_US = 1_000_000


class Disk:
    """Completes at every flush, unless `held`."""

    def __init__(self) -> None:
        self.held = False
        self._queued: list[tuple[Persist, Callable[[int], None]]] = []

    def submit(self, write: Persist, done: Callable[[int], None]) -> None:
        self._queued.append((write, done))

    def flush(self) -> None:
        if not self.held:
            self.complete()

    def complete(self) -> None:
        queued, self._queued = self._queued, []
        for write, done in queued:
            done(write.token)


class Wire:
    """Remembers; `cut` names peers that cannot be sent to, `full` those whose link is up and takes nothing."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.cut: list[str] = []
        self.full: list[str] = []
        self.on_sent: Callable[[str, Message], None] = lambda _to, _message: None
        self.on_flush: Callable[[list[Message]], None] = lambda _messages: None
        self._kept: list[Message] = []

    def send(self, to: str, message: Message) -> bool:
        if to in self.cut or to in self.full:
            return False
        self.sent.append((to, message))
        self._kept.append(message)
        self.on_sent(to, message)
        return True

    def flush(self) -> None:
        kept, self._kept = self._kept, []
        self.on_flush(kept)

    def connected(self, to: str) -> bool:
        return to not in self.cut

    def take(self, kind: type) -> list[tuple[str, Message]]:
        """What was sent of one kind; forgets everything."""
        taken = [(to, message) for to, message in self.sent if isinstance(message, kind)]
        self.sent.clear()
        return taken


class Echo:
    """A state machine whose result is the command: as it is here, and with an `E` before it between nodes."""

    def __init__(self, units_per_entry: int = 0) -> None:
        self.applied: list[Entry] = []
        self.jobs: list[EchoJob] = []
        self.units_per_entry = units_per_entry
        """The work of one."""
        self.slices: list[int] = []
        """How many units were done in each."""
        self.due_us: int | None = None
        """When something ends by itself, in log time."""
        self.due_write = b"due"
        self.tidied = 0
        """How often it was asked to let go of what nobody can read."""

    def begin(self, entries: Sequence[Entry], wanted: Callable[[int], bool]) -> "EchoJob":
        self.jobs.append(EchoJob(self, entries, wanted))
        return self.jobs[-1]

    def encode_result(self, result: object, bytes_max: int) -> bytes | None:
        assert isinstance(result, bytes)
        return b"E" + result if len(result) <= bytes_max else None

    def decode_result(self, data: bytes) -> object:
        if data[:1] != b"E":
            raise ValueError("no result")
        return data[1:]

    def begin_snapshot(self) -> "EchoSnapshot":
        return EchoSnapshot([entry.data for entry in self.applied])

    def begin_restore(self) -> "EchoRestore":
        return EchoRestore(self)

    def tidy(self, work_max: int) -> bool:
        self.tidied += 1
        return True


class EchoSnapshot:
    """A chunk for each entry that was applied, one in each slice; satisfies `SnapshotJob`."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._left = chunks
        self._made: list[bytes] = []

    def run(self, work_max: int) -> bool:
        self._made += self._left[:1]
        del self._left[:1]
        return not self._left

    def take(self) -> list[bytes]:
        made, self._made = self._made, []
        return made

    def close(self) -> None:
        self._left = []


class EchoRestore:
    """Satisfies `RestoreJob`; takes one chunk in each slice over, and `bad` for none."""

    def __init__(self, machine: Echo) -> None:
        self._machine = machine
        self._fed: list[bytes] = []
        self._entries: list[Entry] = []

    def feed(self, chunk: bytes) -> None:
        self._fed.append(chunk)

    def run(self, work_max: int) -> bool:
        for chunk in self._fed[:1]:
            if chunk == b"bad":
                raise ValueError("a bad chunk")
            self._entries.append(Entry(len(self._entries) + 1, 1, EntryKind.WRITE, chunk))
        del self._fed[:1]
        return not self._fed

    def finish(self) -> None:
        self._machine.applied = self._entries

    def close(self) -> None: ...


class EchoJob:
    """Satisfies `Job`."""

    def __init__(self, machine: Echo, entries: Sequence[Entry], wanted: Callable[[int], bool]) -> None:
        self.results: dict[int, object] = {}
        self.finished = 0
        self._machine = machine
        self._entries = entries
        self._wanted = wanted
        self._missing = machine.units_per_entry

    def run(self, work_max: int) -> bool:
        done = 0
        while self.finished < len(self._entries):
            units = min(self._missing, work_max - done)
            self._missing -= units
            done += units
            if self._missing:
                break
            entry = self._entries[self.finished]
            if self._wanted(entry.index):
                self.results[entry.index] = entry.data
            self._machine.applied.append(entry)
            self.finished += 1
            self._missing = self._machine.units_per_entry
        self._machine.slices.append(done)
        return self.finished == len(self._entries)


def to_a_peer(outcome: Outcome) -> bytes:
    """An outcome as a node tells it to another."""
    return encode_wire(for_a_peer(outcome, Echo().encode_result))


def from_a_peer(data: bytes) -> Outcome:
    """Inverse of `to_a_peer`."""
    return decode_outcome(data, "a peer", Echo().decode_result)


class Silent:
    """A trace of which only the transitions are kept."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, str | int | bool]]] = []

    def transition(self, kind: str, term: int, role: str, detail: dict[str, str | int | bool]) -> None:
        self.told.append((kind, detail))

    def message(self, sent: bool, peer: str, message: Message) -> None: ...


class Bench:
    """n1's driver, one of three, freshly restarted as a follower of nobody."""

    def __init__(
        self,
        pending_requests_max: int = 100,
        units_per_entry: int = 0,
        snapshots: Snapshots | None = None,
        snapshot_settings: SnapshotSettings = SNAPSHOT_DEFAULTS,
        raft_settings: RaftSettings | None = None,
        leaderless_wait_us: int = HELD_US,
    ) -> None:
        birth = Entry(1, 0, EntryKind.CONFIGURATION, Configuration(MEMBERS).encode())
        identity = Identity("n1", "n1-disk", BOOT, ("n1", "n2", "n3"))
        core = Raft(identity, raft_settings or RaftSettings(), Random(1), HardState(0, "", 1), (birth,))
        self.disk, self.wire, self.machine = Disk(), Wire(), Echo(units_per_entry)
        self.now = 1_000_000
        self.trace = Silent()
        self.reports: list[tuple[Member, bytes]] = []
        self.report_wanted: Callable[[str], None] = lambda _peer: None
        self.command: Callable[[str, bytes, CommandReplied], None] = lambda *_: None
        self.woken = 0
        """How often the driver asked for another turn, since it got the last one by `turn`."""
        hooks = Hooks(
            wake=self._wake,
            configuration=lambda _change: None,
            report=lambda sender, body: self.reports.append((sender, body)),
            report_wanted=lambda peer: self.report_wanted(peer),
            command=lambda name, arguments, reply: self.command(name, arguments, reply),
        )
        self.driver = Driver(
            core,
            BOOT,
            self.disk,
            self.machine,
            self.wire,
            self.trace,
            hooks,
            snapshots or MemorySnapshots(),
            pending_requests_max=pending_requests_max,
            snapshot_settings=snapshot_settings,
            leaderless_wait_us=leaderless_wait_us,
        )
        self.driver.start(self.now)

    def _wake(self) -> None:
        self.woken += 1

    def turn(self) -> None:
        """The turn of the loop that the driver asked for."""
        assert self.woken
        self.woken = 0
        self.take()

    def take(self, *inputs: Input) -> None:
        """One step, a millisecond later. `woken` counts from it."""
        self.woken = 0
        self.now += 1_000
        self.driver.handle(inputs, self.now, self.now)

    def hear(self, sender: int, message: Message) -> None:
        """A message of n2 (2) or n3 (3)."""
        self.take(Arrived(MEMBERS[sender - 1], message))

    def write(self, data: bytes = b"x", timeout_us: int = TIMEOUT_US) -> list[Outcome]:
        """A client's write; the list gets its one answer."""
        answers: list[Outcome] = []
        self.take(WantWrite(data, self.now + timeout_us, answers.append))
        return answers

    def read(self, timeout_us: int = TIMEOUT_US) -> list[ReadFailed | None]:
        """A client's read; the list gets its one answer."""
        answers: list[ReadFailed | None] = []
        self.take(WantRead(self.now + timeout_us, answers.append))
        return answers

    def pass_time(self, us: int) -> None:
        self.now += us
        self.take(Deadline())

    def follow(self, leader: int = 2, term: int = 1) -> None:
        """n2 (or n3) leads and says so."""
        self.hear(leader, Heartbeat(term, 1))
        self.wire.sent.clear()

    def lead(self) -> None:
        """Win an election with n2's vote, and commit the no-op."""
        self.pass_time(400_000)
        pre_vote = self.wire.take(PreVote)[0][1]
        assert isinstance(pre_vote, PreVote)
        self.hear(2, PreVoteReply(pre_vote.term, True, pre_vote.campaign))
        vote = self.wire.take(Vote)[0][1]
        assert isinstance(vote, Vote)
        self.hear(2, VoteReply(vote.term, True))
        assert self.driver.core.role is Role.LEADER
        self.acknowledge()

    def acknowledge(self) -> None:
        """n2 stores everything that the leader has."""
        self.hear(2, AppendReply(self.driver.core.term, True, self.driver.core.status(self.now).last_index))

    def depose(self, leader: int = 3) -> int:
        """Another leads a newer term; its number."""
        term = self.driver.core.term + 1
        self.hear(leader, Heartbeat(term, 1))
        return term

    def overwrite(self, term: int, leader: int = 3) -> None:
        """The new leader replaces everything after the committed no-op with an entry of its own, and commits it."""
        commit = self.driver.core.commit
        entry = Entry(commit + 1, term, EntryKind.NOOP)
        prev_term = self.driver.core.term_at(commit)
        assert prev_term is not None
        self.hear(leader, Append(term, commit, prev_term, commit + 1, (entry,)))
