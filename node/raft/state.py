"""All that one server knows (figure 2), and the few ways in which anything may leave it.

Why it exists: elections, replication, reads and birth are separate modules over this one state. What only a leader
knows is one object (leadership.py), what a candidate does another (`Candidacy`), and what waits for the disk a third
(disk.py). It must not decide anything about roles: see roles.py.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from node.raft.disk import DiskQueue
from node.raft.effects import Effect, Send, Trace
from node.raft.errors import invariant
from node.raft.leadership import Leadership
from node.raft.log import RaftLog
from node.raft.messages import Birth, PreVote, RaftMessage
from node.raft.settings import RaftSettings
from node.raft.types import (
    UNBORN,
    Base,
    Configuration,
    Entry,
    HardState,
    Member,
    MemberAddress,
    Role,
    base_of_birth,
)

TIMERS = ("election", "heartbeat", "quorum-check", "disk-silence", "leader-gone", "birth", "transfer", "tell-commit")


class Chance(Protocol):
    """The only chance the algorithm has; `random.Random(seed)` is one."""

    def random(self) -> float: ...


class Identity(msgspec.Struct, frozen=True):
    """Who this process is. `boot` is new in every process; `seeds` are the names that a birth needs, self included."""

    name: str
    incarnation: str
    boot: str
    seeds: tuple[str, ...]
    address: MemberAddress | None = None
    """How others reach this node, for the configuration that it is born with; None: as their settings say."""


class Candidacy(msgspec.Struct):
    """A campaign under way: `votes` or pre-votes so far. The own vote counts when `self_vote_token` is durable."""

    votes: dict[Member, bool]
    self_vote_token: int | None = None


class PendingRead(msgspec.Struct, frozen=True):
    """A follower's reads that wait for the leader's answer to context `number` or a later one."""

    number: int
    requests: tuple[int, ...]
    sent_us: int


class OwnReads(msgspec.Struct):
    """Reads of this node's own clients, which outlive a role. Numbers only grow, so that no late answer fits twice.

    Bounded by whoever asks: what is not answered in time must be forgotten (`ForgetReads`).
    """

    confirmed: list[tuple[int, tuple[int, ...]]] = msgspec.field(default_factory=list)
    """(index, requests): confirmed, and waiting to be applied."""
    asked: dict[int, PendingRead] = msgspec.field(default_factory=dict)
    """Asked of the leader, by the number of the question, in this order."""
    asked_again_us: int = 0
    """When all of them were last asked anew."""
    number: int = 0
    """The last question asked of a leader."""
    round: int = 0
    """The last round begun as a leader."""


class Evidence(msgspec.Struct):
    """What the links say of the leader's process; see evidence.py. `gone`: the leader that is gone as far as this
    server can see, empty: none is. `due_us`: when it campaigns for that reason, so often at most, or asks for votes,
    not before `votes_from_us`. `refused`: who was refused a pre-vote for the leader's sake, what it asked, and when."""

    boots: dict[str, str] = msgspec.field(default_factory=dict)
    """By name: the process that said hello last."""
    gone: str = ""
    due_us: int | None = None
    tries_left: int = 0
    votes_from_us: int = 0
    refused: dict[Member, tuple[PreVote, int]] = msgspec.field(default_factory=dict)

    def forget(self) -> None:
        """It was about a leader who lives, or a term that is over."""
        self.gone, self.due_us = "", None
        self.refused.clear()


class Transfer(msgspec.Struct):
    """A hand-over under way: who asked (`request`), to whom, begun in `term`, given up at `due_us`; `told`: the target
    has its TimeoutNow. It outlives the lead itself, to see who leads then."""

    request: int
    target: Member
    term: int
    due_us: int
    told: bool = False


class Change(msgspec.Struct, frozen=True):
    """A change of members that is not committed yet: who asked, where it stands in the log, and what then holds."""

    request: int
    index: int
    term: int
    words: str


class Applicant(msgspec.Struct, frozen=True):
    """Somebody without a log that asked to be let in, and when it did so last."""

    member: Member
    address: MemberAddress | None
    at_us: int


class HeardSeed(msgspec.Struct, frozen=True):
    """The last word of a seed: who bore the name, when it came, what it said."""

    member: Member
    at_us: int
    message: Birth


class BirthTalk(msgspec.Struct):
    """What a node that is not born knows of the other seeds, and what it has told them; see birth.py."""

    heard: dict[str, HeardSeed] = msgspec.field(default_factory=dict)
    view: Configuration | None = None
    views: int = 0
    """How often the view has changed: the number of the challenge that asks for agreement to it."""
    agreed: dict[Member, bool] = msgspec.field(default_factory=dict)
    """Who has agreed to `view` in answer to that challenge."""
    agreed_to: Configuration | None = None
    """The last set of all seeds that this process has agreed to."""
    wavered: bool = False
    """Whether there was more than one."""
    began_us: int = 0


class State:
    """Mutable; owned by one `Raft`. Indexes count entries, times are microseconds of the caller's monotonic clock."""

    def __init__(
        self,
        identity: Identity,
        settings: RaftSettings,
        chance: Chance,
        hard: HardState,
        entries: Sequence[Entry],
        base: Base = UNBORN,
        applied: int = 0,
    ) -> None:
        if entries and not base.cluster_id:
            base = base_of_birth(entries[0])
        self.identity = identity
        self.me = Member(identity.name, identity.incarnation)
        self.settings = settings
        self.chance = chance
        # Persistent (figure 2)
        self.term = hard.term
        self.vote = hard.vote
        self.log = RaftLog(entries, base)
        # Volatile (figure 2)
        self.applied = max(applied, base.index)
        self.applying = self.applied
        """The last index handed out in an Apply or a Restore; `applied` follows it."""
        self.commit = max(hard.commit, self.applied)
        self.compact_to = 0
        """Up to where the log need not be kept: see `Compact`."""
        # Role
        self.role = Role.INITIAL
        self.leader = ""
        self.leader_contact_us: int | None = None
        self.campaign = 0
        self.candidacy: Candidacy | None = None
        self.leadership: Leadership | None = None
        self.transfer: Transfer | None = None
        self.evidence = Evidence()
        # Members
        self.configuration = Configuration(())
        """The one in force; see membership.py."""
        self.settled = False
        """Whether that one is known to be committed."""
        self.change: Change | None = None
        self.applicants: dict[str, Applicant] = {}
        """Who asked this server to be let in, by name, the newest last."""
        self.told_out = (0, 0)
        """Term and index of the last committed entry at which a member says that this server is none."""
        self.invited = False
        """Not born: whether a cluster has let this very disk in."""
        self.peers: tuple[Member, ...] = ()
        """Everyone else who gets the log: of the configuration in force, and while that is not committed of the one
        before, too, so that who leaves learns of it."""
        self.last_heard: dict[str, int] = {}
        self.strangers: dict[Member, bool] = {}
        # Birth
        self.waits_in_initial = settings.wait_in_initial
        self.birth = BirthTalk()
        self.birth_token: int | None = None
        # Timers; a leader's are in its leadership
        self.election_timeout_us = settings.election_max_us
        self.election_due_us: int | None = None
        self.election_put_off_us = 0
        """By how much, since the timer was restarted."""
        self.birth_due_us: int | None = None
        # What waits: for the disk, for a quorum or for a leader, and what this step wants done
        self.disk = DiskQueue(self.log.last_index, hard.term)
        self.reads = OwnReads()
        self.effects: list[Effect] = []
        invariant(
            self.commit <= self.log.last_index,
            "recovered commit index {} is beyond the recovered {}",
            self.commit,
            self.log,
        )

    # --- what leaves -------------------------------------------------------------------------------------------

    def send(self, to: str, message: RaftMessage) -> None:
        """Send at once: only for messages that promise nothing about this server's disk."""
        self.effects.append(Send(to, message))

    def send_in_term(self, to: str, message: RaftMessage) -> None:
        """Send at once, or as soon as the term it reveals is durable: a restart must not go back behind it."""
        if self.disk.durable_term == self.term:
            self.send(to, message)
        else:
            self.send_when_durable(to, message)

    def send_when_durable(self, to: str, message: RaftMessage) -> None:
        """Send once all that this step changed, and all before it, is on disk.

        Votes, vote requests, append acknowledgements and whatever else reveals a new term go this way, so that no
        restart can contradict them (figure 2, "before responding to RPCs"; pitfalls 3 and 4).
        """
        self.disk.send_afterwards(Send(to, message))

    def trace(self, kind: str, **detail: str | int | bool) -> None:
        self.effects.append(Trace(kind, self.term, detail, self.role))

    def submit(self, now: int) -> None:
        """End of a step: put all that must be durable, and all that waits for it, into one Persist."""
        if not self.disk.wants(self.log.last_index):
            return
        born_now = self.birth_token == self.disk.next_token and not self.log.base.index  # else the base says so
        hard = HardState(self.term, self.vote, self.commit)
        write = self.disk.submit(self.log, hard, self.cluster_id if born_now else None, now)
        if write is not None:
            self.effects.append(write)

    @property
    def may_compact(self) -> bool:
        """Whether there is something of the log to let go."""
        return self.compact_to > self.log.base.index or self.log.untidy

    # --- members -----------------------------------------------------------------------------------------------

    @property
    def born(self) -> bool:
        """Whether this server belongs to a cluster."""
        return bool(self.log.base.cluster_id)

    @property
    def cluster_id(self) -> str:
        return self.log.base.cluster_id

    @property
    def self_member(self) -> Member | None:
        """This node in the configuration, if it is this incarnation of it that is there."""
        return self.me if self.configuration.member(self.me.name) == self.me else None

    @property
    def left_out(self) -> bool:
        """Whether it was removed while it was away, as a member has told it: there is a committed entry, later than the
        configuration that it goes by, at which it is no member. That configuration is then over, or was never
        committed and never will be (terms do not fall along a log). Should it be let in again, the log will say so."""
        return bool(self.told_out[1]) and self.told_out > self.log.configuration_position

    @property
    def is_voter(self) -> bool:
        return self.me in self.configuration.voters and not self.left_out

    @property
    def may_campaign(self) -> bool:
        """Whether it is a voter, or was one until a change that is not committed as far as it knows: nobody else may
        have the entry of that change, and then only this server can be elected (thesis 4.2.2, figure 4.6)."""
        if self.is_voter or self.left_out:
            return self.is_voter
        known = min(self.commit, self.log.last_index)
        return self.log.configuration_index > self.commit and self.me in self.log.configuration_at(known).voters

    # --- time --------------------------------------------------------------------------------------------------

    def log_time_us(self, now: int) -> int:
        """Log time: microseconds since the birth of the cluster, as its leaders measured them one after the other.

        A leader knows it at any moment, without an entry; for anybody else it is that of its last entry.
        """
        return self.log.last_time_us if self.leadership is None else self.leadership.log_time_us(now)

    def disk_silent_us(self, now: int) -> int:
        """For how long the disk has owed an answer and given none; 0: it owes none."""
        since_us = self.disk.silent_since_us
        return 0 if since_us is None else now - since_us

    def disk_is_silent(self, now: int) -> bool:
        """Whether it has been for longer than one who leads, or wants to, can wait."""
        return self.disk_silent_us(now) >= self.settings.disk_silence_us

    def restart_election_timer(self, now: int, fresh: bool = False) -> None:
        """Wait one election timeout from now; `fresh` draws a new one (section 5.2: split votes are rare)."""
        if fresh:
            low, high = self.settings.election_min_us, self.settings.election_max_us
            self.election_timeout_us = low + int(self.chance.random() * (high - low + 1))
        self.election_due_us = now + self.election_timeout_us
        self.election_put_off_us = 0

    def election_is_due(self, now: int, held_up_us: int) -> bool:
        """Whether nobody led for an election timeout, and for as long beside it as this process was held up itself: a
        busy machine holds up who leads, too, and silence is then no sign of death. One longest timeout at most."""
        if self.election_due_us is None or now < self.election_due_us:
            return False
        allowed_us = min(held_up_us, self.settings.election_max_us)
        if allowed_us > self.election_put_off_us:
            self.election_due_us += allowed_us - self.election_put_off_us
            self.election_put_off_us = allowed_us
        return now >= self.election_due_us

    def timers(self) -> dict[str, int | None]:
        """When each timer is due, by name; None: it does not run."""
        return dict(zip(TIMERS, self._due_us(), strict=True))

    def _due_us(self) -> tuple[int | None, ...]:
        """When each of TIMERS is due."""
        lead = self.leadership
        return (
            self.election_due_us,
            None if lead is None else lead.heartbeat_due_us,
            None if lead is None else lead.quorum_due_us,
            self._disk_silence_due_us(),
            self.evidence.due_us,
            self.birth_due_us,
            None if self.transfer is None else self.transfer.due_us,
            None if lead is None else lead.commit_due_us,
        )

    def _disk_silence_due_us(self) -> int | None:
        """A leader looks at its disk when it has been silent for too long; anybody else when it wants to campaign."""
        since_us = self.disk.silent_since_us
        if self.leadership is None or since_us is None:
            return None
        return since_us + self.settings.disk_silence_us

    @property
    def deadline(self) -> int | None:
        """When the core next wants a Deadline; None: never."""
        first = None
        for at in self._due_us():  # asked after every step, so nothing is made of it
            if at is not None and (first is None or at < first):
                first = at
        return first
