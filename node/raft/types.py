"""The nouns of Raft: roles, entries, members, configurations, hard state.

Why it exists: every other room of the node (storage, transport, state machine) speaks in these words and in no
others of the algorithm. It must not hold behaviour beyond what a value knows of itself.

Structs are frozen; those with no containers that can form cycles are `gc=False`, because a million log entries
otherwise cost the cyclic collector 120 ms per pass (architecture, decision 15).
"""

import enum
import hashlib
from typing import Annotated

import msgspec

from node.raft.errors import invariant

ENTRY_OVERHEAD_BYTES = 40
"""What an entry costs beside its data in memory and in a frame, as counted against every limit in bytes."""


class Role(enum.Enum):
    """What a server is. The first is ours, the rest are section 5.1 and thesis 9.6 (PreVote)."""

    INITIAL = "initial"
    """Not born, or its disk was lost: no vote, no log, harms nobody."""
    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class EntryKind(enum.IntEnum):
    """What an entry's data is."""

    NOOP = 0
    """Appended by a new leader to learn what is committed (section 8); data is empty."""
    CONFIGURATION = 1
    """A msgpack `Configuration`, in force from its append on (thesis 4.1); the birth, index 1, is one."""
    WRITE = 2
    """Opaque bytes for the state machine."""


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One log entry.

    `time_us` is log time (`State.log_time_us`): what the state machine may use as time. It counts microseconds since
    the birth of the cluster, in a log from before it was measured since the epoch; only differences mean anything.
    `session` and `sequence` identify a client's write for exactly-once sessions; 0 means none.
    """

    index: int
    term: int
    kind: EntryKind
    data: bytes = b""
    time_us: int = 0
    session: int = 0
    sequence: int = 0

    @property
    def size_bytes(self) -> int:
        return ENTRY_OVERHEAD_BYTES + len(self.data)


MEMBERS_MAX = 64
"""The most members that a configuration, or a view of seeds, may list."""


class Member(msgspec.Struct, frozen=True, order=True, array_like=True, gc=False):
    """A server's identity: a stable name, and the id made when its disk was empty.

    A wiped disk is a new member with an old name: it must never vote as the old one did (pitfall 36).
    """

    name: str
    incarnation: str


class MemberAddress(msgspec.Struct, frozen=True, order=True, array_like=True, gc=False):
    """How the member called `name` is reached: `host` and `port` of its peer listener, and where it serves clients.

    A host is a name wherever one was given: an address changes with the machine, a name follows it.
    """

    name: str
    host: str
    port: int
    client_url: str = ""


_FEW = msgspec.Meta(max_length=MEMBERS_MAX)
"""More are refused before one of them is decoded."""


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """Who votes and who only listens. `outgoing` is empty except in a joint configuration (thesis 4.3).

    `addresses`, sorted by name, say how members are reached; one that has none is reached as this node's settings say.
    """

    voters: Annotated[tuple[Member, ...], _FEW]
    learners: Annotated[tuple[Member, ...], _FEW] = ()
    outgoing: Annotated[tuple[Member, ...], _FEW] = ()
    addresses: Annotated[tuple[MemberAddress, ...], _FEW] = ()

    def member(self, name: str) -> Member | None:
        """The voter or learner of that name, or None."""
        for member in (*self.voters, *self.learners, *self.outgoing):
            if member.name == name:
                return member
        return None

    @property
    def members(self) -> tuple[Member, ...]:
        """Everybody, voters first."""
        return (*self.voters, *self.learners, *self.outgoing)

    def with_learner(self, member: Member, address: MemberAddress | None) -> "Configuration":
        """The same and one more who listens."""
        added = msgspec.structs.replace(self, learners=tuple(sorted((*self.learners, member))))
        return added if address is None else added.at(address)

    def promoted(self, member: Member) -> "Configuration":
        """The same with a learner of it as a voter."""
        learners = tuple(other for other in self.learners if other != member)
        return msgspec.structs.replace(self, learners=learners, voters=tuple(sorted((*self.voters, member))))

    def without(self, member: Member) -> "Configuration":
        """The same without that voter or learner."""
        return msgspec.structs.replace(
            self,
            voters=tuple(other for other in self.voters if other != member),
            learners=tuple(other for other in self.learners if other != member),
            addresses=tuple(address for address in self.addresses if address.name != member.name),
        )

    def at(self, address: MemberAddress) -> "Configuration":
        """The same with this address of the member of that name."""
        others = (other for other in self.addresses if other.name != address.name)
        return msgspec.structs.replace(self, addresses=tuple(sorted((*others, address))))

    def address(self, name: str) -> MemberAddress | None:
        """How the member of that name is reached, where the configuration says so."""
        return next((address for address in self.addresses if address.name == name), None)

    def encode(self) -> bytes:
        """The bytes of a CONFIGURATION entry: equal configurations give equal bytes.

        Without addresses they are the bytes of the format's first version, which every log before them holds.
        """
        fields = (self.voters, self.learners, self.outgoing)
        return msgspec.msgpack.encode((*fields, self.addresses) if self.addresses else fields)

    @staticmethod
    def decode(data: bytes) -> "Configuration":
        """Inverse of `encode`; raises `msgspec.DecodeError` or `msgspec.ValidationError` on other bytes."""
        return msgspec.msgpack.decode(data, type=Configuration)


class Base(msgspec.Struct, frozen=True):
    """What lies before the first entry that a log keeps: all that may be asked of what is not there any more.

    `index`, `term` and `time_us` are those of the last entry before; `configuration` is the one in force there.
    Birth is base 0: the configuration that the cluster was born with. An empty `cluster_id` means: not born. `birth` is
    the data of entry 1, whatever lies before the base: a seed that comes late is born of it (architecture, decision 6).
    """

    index: int = 0
    term: int = 0
    time_us: int = 0
    configuration: Configuration = Configuration(())
    cluster_id: str = ""
    birth: bytes = b""


class SnapshotInfo(msgspec.Struct, frozen=True):
    """One snapshot, told from every other: the state of the machine after the entry at `base.index`, as a file.

    `size_bytes` is the file's, `chunks` how many it has, `crc` the checksum that its closing record chains them to.
    """

    base: Base
    size_bytes: int
    chunks: int
    crc: int


UNBORN = Base()
"""The base of a server that belongs to no cluster yet."""


def base_of_birth(first: Entry) -> Base:
    """The base of a log that begins with entry 1: the one place where that entry is asked anything.

    Raises `InvariantViolation` where `first` is not a birth, `msgspec.DecodeError` where its data is none.
    """
    birth = first.index == 1 and first.kind is EntryKind.CONFIGURATION
    invariant(birth, "entry {} of kind {} is no birth, so this log needs a base", first.index, first.kind)
    return Base(configuration=Configuration.decode(first.data), cluster_id=cluster_id_of(first), birth=first.data)


def cluster_id_of(birth: Entry) -> str:
    """The cluster id: 32 hexadecimal digits, a hash of the first entry, the same on every member."""
    return hashlib.sha256(birth.data).hexdigest()[:32]


class HardState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What must be durable before it is acted upon (figure 2: currentTerm, votedFor), and the commit index.

    The commit index needs no durability for safety; it rides along so that a restarted node can serve what it
    had applied before it hears from a leader. `vote` is a `ballot`, empty for none.
    """

    term: int = 0
    vote: str = ""
    commit: int = 0


def ballot(candidate: Member) -> str:
    """A vote for `candidate`, as it is kept: for this disk, not for whoever bears its name next (pitfall 36)."""
    return f"{candidate.name}/{candidate.incarnation}"


def is_for(vote: str, candidate: Member) -> bool:
    """Whether `vote` was given to `candidate`. One from before incarnations were kept is for its name."""
    return vote in (ballot(candidate), candidate.name)


def voted_for(vote: str) -> str:
    """The name on a ballot, for people."""
    return vote.partition("/")[0]
