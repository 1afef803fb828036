"""All that one server knows (figure 2), and the few ways in which anything may change it or leave it.

Why it exists: elections, replication, reads and birth are separate modules over this one state; the rules that hold
for all of them (what waits for the disk, what is durable, when a timer is due) are here, once. It must not decide
anything about roles: see roles.py.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import msgspec

from node.raft.effects import ConfigChanged, Effect, Persist, Send, Trace
from node.raft.errors import invariant
from node.raft.log import RaftLog
from node.raft.messages import AppendReply, Birth, RaftMessage, ReadContext
from node.raft.progress import Progress
from node.raft.settings import RaftSettings
from node.raft.types import Configuration, Entry, EntryKind, HardState, Member, Role, cluster_id_of


class Chance(Protocol):
    """The only chance the algorithm has; `random.Random(seed)` is one."""

    def random(self) -> float: ...


class Identity(msgspec.Struct, frozen=True):
    """Who this process is. `boot` is new in every process; `seeds` are the names that a birth needs, self included."""

    name: str
    incarnation: str
    boot: str
    seeds: tuple[str, ...]


class ReadUnit(msgspec.Struct, frozen=True):
    """Reads that share their fate: this node's own (`requests`), or a follower's (`peer`, `context`)."""

    requests: tuple[int, ...] = ()
    peer: str = ""
    context: ReadContext | None = None


class ReadRound(msgspec.Struct, frozen=True):
    """Reads that wait for a quorum to acknowledge round `number`, to be served at `index`."""

    number: int
    index: int
    units: tuple[ReadUnit, ...]


class PendingRead(msgspec.Struct, frozen=True):
    """A follower's reads that wait for the leader's answer to context `number` or a later one."""

    number: int
    requests: tuple[int, ...]
    sent_us: int


class Outstanding(msgspec.Struct):
    """A Persist that storage has not confirmed; `last_index` is the last entry it makes durable, `term` the term."""

    token: int
    last_index: int
    term: int


class Transfer(msgspec.Struct):
    """A hand-over under way: who asked (`request`), to whom, begun in `term`, given up at `due_us`; `told`: the target
    has its TimeoutNow. It outlives the lead itself, to see who leads then."""

    request: int
    target: str
    term: int
    due_us: int
    told: bool = False


class State:
    """Mutable; owned by one `Raft`. Indexes count entries, times are microseconds of the caller's monotonic clock."""

    def __init__(
        self, identity: Identity, settings: RaftSettings, chance: Chance, hard: HardState, entries: Sequence[Entry]
    ) -> None:
        self.identity = identity
        self.settings = settings
        self.chance = chance
        self.log = RaftLog(entries)
        # Persistent (figure 2)
        self.term = hard.term
        self.vote = hard.vote
        # Volatile
        self.role = Role.INITIAL
        self.leader = ""
        self.commit = hard.commit
        self.applied = 0
        self.applying = 0
        """The last index handed out in an Apply; `applied` follows it."""
        self.durable = self.log.last_index
        self.durable_term = hard.term
        self.last_heard: dict[str, int] = {}
        self.leader_contact_us: int | None = None
        # Configuration in force
        self.configuration = Configuration(())
        self.cluster_id = ""
        self.voters: tuple[str, ...] = ()
        self.peers: tuple[Member, ...] = ()
        """Everyone else who gets the log, in the configuration's order."""
        # Timers
        self.election_timeout_us = settings.election_max_us
        self.election_due_us: int | None = None
        self.heartbeat_due_us: int | None = None
        self.quorum_due_us: int | None = None
        self.birth_due_us: int | None = None
        # Candidate
        self.campaign = 0
        self.votes: dict[str, bool] = {}
        self.self_vote_token: int | None = None
        # Leader
        self.progress: dict[str, Progress] = {}
        self.uncommitted_bytes = 0
        self.last_time_us = 0
        self.read_round = 0
        self.reads_waiting: list[ReadUnit] = []
        self.read_rounds: deque[ReadRound] = deque()
        self.log_full_told = False
        self.transfer: Transfer | None = None
        # Follower and leader: reads that are confirmed and wait to be applied, and those asked of the leader
        self.reads_confirmed: list[tuple[int, tuple[int, ...]]] = []
        self.reads_asked: dict[int, PendingRead] = {}
        self.read_number = 0
        # Birth
        self.waits_in_initial = settings.wait_in_initial
        self.births: dict[str, tuple[Member, Birth, int]] = {}
        self.birth_token: int | None = None
        self.strangers: dict[Member, bool] = {}
        # What this step wants done
        self.effects: list[Effect] = []
        self._then: list[Send] = []
        self._outstanding: deque[Outstanding] = deque()
        self._next_token = 1
        self._submitted_last = self.log.last_index
        self._truncate_from: int | None = None
        self._hard_dirty = False
        invariant(
            hard.commit <= self.log.last_index,
            f"recovered commit index {hard.commit} is beyond the recovered {self.log}",
        )

    # --- what leaves -------------------------------------------------------------------------------------------

    def send(self, to: str, message: RaftMessage) -> None:
        """Send at once: only for messages that promise nothing about this server's disk."""
        self.effects.append(Send(to, message))

    def send_in_term(self, to: str, message: RaftMessage) -> None:
        """Send at once, or as soon as the term it reveals is durable: a restart must not go back behind it."""
        if self.durable_term == self.term:
            self.send(to, message)
        else:
            self.send_when_durable(to, message)

    def send_when_durable(self, to: str, message: RaftMessage) -> None:
        """Send once all that this step changed, and all before it, is on disk.

        Votes, vote requests, append acknowledgements and whatever else reveals a new term go this way, so that no
        restart can contradict them (figure 2, "before responding to RPCs"; pitfalls 3 and 4). Of several
        acknowledgements to one leader in one step only the last is kept: it says all that the others say.
        """
        if isinstance(message, AppendReply) and message.success:
            for position, earlier in enumerate(self._then):
                told = earlier.message
                if earlier.to == to and isinstance(told, AppendReply) and told.success and told.term == message.term:
                    if told.index < message.index:
                        self._then[position] = Send(to, message)
                    return
        self._then.append(Send(to, message))

    def trace(self, kind: str, **detail: str | int | bool) -> None:
        self.effects.append(Trace(kind, self.term, detail, self.role))

    # --- the log and the disk ----------------------------------------------------------------------------------

    def hard_state_changed(self) -> None:
        self._hard_dirty = True

    def truncate_from(self, index: int) -> None:
        """Remove entries that conflict with the leader's. Committed ones cannot conflict (section 5.4; pitfall 8)."""
        invariant(index > self.commit, f"term {self.term}: asked to truncate from {index}, committed is {self.commit}")
        count = self.log.truncate_from(index)
        self.trace("truncated", **{"from": index, "count": count})
        self.durable = min(self.durable, index - 1)
        for write in self._outstanding:
            # A write that completes late must not mark as durable what was overwritten meanwhile (pitfall 6).
            write.last_index = min(write.last_index, index - 1)
        if index <= self._submitted_last:
            self._submitted_last = index - 1
            self._truncate_from = index if self._truncate_from is None else min(index, self._truncate_from)

    def submit(self, cluster_id: str | None = None) -> int | None:
        """End of a step: put all that must be durable, and all that waits for it, into one Persist; its token."""
        entries: tuple[Entry, ...] = ()
        if self._submitted_last < self.log.last_index:
            entries = self.log.slice(self._submitted_last + 1, self.log.last_index, bytes_max=1 << 62)
        if not (entries or self._hard_dirty or self._truncate_from is not None or self._then):
            return None
        writes = bool(entries or self._hard_dirty or self._truncate_from is not None)
        token = self._next_token
        self._next_token += 1
        hard = HardState(self.term, self.vote, self.commit) if writes else None
        self.effects.append(Persist(token, hard, self._truncate_from, entries, tuple(self._then), cluster_id))
        self._outstanding.append(Outstanding(token, self.log.last_index if writes else 0, self.term))
        self._submitted_last = self.log.last_index
        self._truncate_from = None
        self._hard_dirty = False
        self._then.clear()
        return token

    @property
    def next_token(self) -> int:
        """The token of the Persist that ends this step, if there is one."""
        return self._next_token

    def persisted(self, token: int) -> None:
        """Everything up to `token` is durable."""
        invariant(token < self._next_token, f"storage confirmed token {token}, which was never given out")
        while self._outstanding and self._outstanding[0].token <= token:
            write = self._outstanding.popleft()
            self.durable = max(self.durable, write.last_index)
            self.durable_term = max(self.durable_term, write.term)

    # --- configuration -----------------------------------------------------------------------------------------

    def adopt_configuration(self) -> None:
        """Put the latest configuration of the log in force, if there is one."""
        for index in range(self.log.last_index, self.log.base_index, -1):
            entry = self.log.entry(index)
            if entry.kind is EntryKind.CONFIGURATION:
                configuration = Configuration.decode(entry.data)
                break
        else:
            return
        self.configuration = configuration
        self.cluster_id = cluster_id_of(self.log.entry(1))
        self.voters = tuple(member.name for member in configuration.voters)
        everyone = (*configuration.voters, *configuration.learners)
        self.peers = tuple(member for member in everyone if member.name != self.identity.name)
        self.effects.append(ConfigChanged(configuration, self.cluster_id, self.self_member))

    @property
    def self_member(self) -> Member | None:
        """This node in the configuration, if it is this incarnation of it that is there."""
        member = self.configuration.member(self.identity.name)
        return member if member is not None and member.incarnation == self.identity.incarnation else None

    @property
    def is_voter(self) -> bool:
        member = self.self_member
        return member is not None and member in self.configuration.voters

    # --- time --------------------------------------------------------------------------------------------------

    def restart_election_timer(self, now: int, fresh: bool = False) -> None:
        """Wait one election timeout from now; `fresh` draws a new one (section 5.2: split votes are rare)."""
        if fresh:
            low, high = self.settings.election_min_us, self.settings.election_max_us
            self.election_timeout_us = low + int(self.chance.random() * (high - low + 1))
        self.election_due_us = now + self.election_timeout_us

    @property
    def deadline(self) -> int | None:
        """When the core next wants a Deadline; None: never."""
        due = [self.election_due_us, self.heartbeat_due_us, self.quorum_due_us, self.birth_due_us]
        if self.transfer is not None:
            due.append(self.transfer.due_us)
        return min((at for at in due if at is not None), default=None)
