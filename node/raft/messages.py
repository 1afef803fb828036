"""What servers say to each other. Every message is a frozen msgspec struct, tagged by one short string.

Why it exists: one union, `Message`, is what the codec encodes, the simulator delivers and the trace shows. It must
not know how messages travel. Sender and receiver are not in the message: the link knows both, and knows the
sender's incarnation, which a message could only claim.

`term` is the sender's current term, except in PreVote and a granted PreVoteReply, where it is the term that the
election would have (thesis 9.6).
"""

import enum
from typing import Annotated

import msgspec

from node.raft.types import MEMBERS_MAX, Entry, Member, MemberAddress, SnapshotInfo

COMMAND_BYTES_MAX = 4096
"""The longest arguments of a relayed command."""

OUTCOME_BYTES_MAX = 256 * 1024
"""The longest outcome of one."""

PROPOSAL_BYTES_MAX = 2 * 1024 * 1024
"""The longest write that a node takes from a client: an Append or a Forward with it alone must fit in a frame."""

FORWARD_BYTES_MAX = 1024 * 1024
"""Writes in one Forward; one longer write travels alone."""

FORWARD_PROPOSALS_MAX = 256
"""Writes in one Forward: each costs the leader some 20 microseconds of one turn."""

ANSWER_BYTES_MAX = 3584 * 1024
"""The longest answer to a forwarded write; of one that is longer only that it was done is told."""

FORWARD_REPLY_BYTES_MAX = 1024 * 1024
"""Answers in one ForwardReply; one longer answer travels alone."""

FORWARD_REPLY_ANSWERS_MAX = 256
"""Answers in one ForwardReply."""

APPEND_ENTRIES_MAX = 1024
"""Entries in one Append, as many as a leader sends (`RaftSettings.append_entries_max`): decoding and looking at each
costs a microsecond of one turn, a configuration five to ten."""

REPORT_BYTES_MAX = 256 * 1024
"""The longest report of a node; that of one with `MEMBERS_MAX` peers and every fault takes a third of it."""


PIECE_BYTES_MAX = 256 * 1024
"""Bytes of a snapshot's file in one message: what else goes to that follower waits no longer than for one of them."""

PROBLEM_CHARS_MAX = 1024
"""The longest sentence about a snapshot that could not be kept."""


class Lane(enum.IntEnum):
    """Two lanes per link, so that heartbeats never queue behind data (pitfall 32)."""

    CONTROL = 0
    BULK = 1


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    pass


class PreVote(_Message, frozen=True, tag="pv"):
    """Would you vote for me in `term`? Changes nobody's term or vote. `campaign` is echoed in the reply."""

    term: int
    last_index: int
    last_term: int
    campaign: int


class PreVoteReply(_Message, frozen=True, tag="pvr"):
    """A grant echoes the requested term; a rejection carries the voter's own.

    (`out_index`, `out_term`) is the last entry that the voter knows to be committed, where the candidate is no member
    of the configuration in force there; 0: it is one, or the voter cannot say.

    `asker`, here and in VoteReply: the incarnation that asked; empty: the voter is of a release that does not say. A
    reply travels to a name, and by then another disk may bear it: a machine that was given up comes back, and its node
    asks for votes, while its successor serves.
    """

    term: int
    granted: bool
    campaign: int
    out_index: int = 0
    out_term: int = 0
    asker: str = ""


class Vote(_Message, frozen=True, tag="v"):
    """RequestVote (section 5.2). `transfer` is set when the leader asked for this election (thesis 3.10)."""

    term: int
    last_index: int
    last_term: int
    transfer: bool = False


class VoteReply(_Message, frozen=True, tag="vr"):
    term: int
    granted: bool
    asker: str = ""


class Append(_Message, frozen=True, tag="a"):
    """AppendEntries (section 5.3). `entries` follow `prev_index` without a gap; empty ones tell the commit index."""

    term: int
    prev_index: int
    prev_term: int
    commit: int
    entries: Annotated[tuple[Entry, ...], msgspec.Meta(max_length=APPEND_ENTRIES_MAX)] = ()


class AppendReply(_Message, frozen=True, tag="ar"):
    """Success: the log matches the leader's up to `index` and is durable there.

    Rejection: `index` is the prev_index that did not match; (`hint_index`, `hint_term`) is the last entry of the
    follower that could match, so that a leader skips a whole term per message (section 5.3, end).
    """

    term: int
    success: bool
    index: int
    hint_index: int = 0
    hint_term: int = 0


class ReadContext(_Message, frozen=True):
    """Which question of which process something answers, a read round or a birth's: only answers that echo it count."""

    node: str
    boot: str
    number: int


class Heartbeat(_Message, frozen=True, tag="h"):
    """Still leading; `commit` never exceeds what this follower is known to match. `context` carries a read round."""

    term: int
    commit: int
    context: ReadContext | None = None


class HeartbeatReply(_Message, frozen=True, tag="hr"):
    term: int
    context: ReadContext | None = None


class ReadIndex(_Message, frozen=True, tag="r"):
    """A follower asks the leader for an index that is safe to read at (thesis 6.4)."""

    term: int
    context: ReadContext


class ReadIndexReply(_Message, frozen=True, tag="rr"):
    """Confirmed: once `index` is applied, a read is linearizable."""

    term: int
    context: ReadContext
    index: int


class TimeoutNow(_Message, frozen=True, tag="tn"):
    """The leader asks a follower that holds its whole log to campaign at once (thesis 3.10)."""

    term: int


class Birth(_Message, frozen=True, tag="b"):
    """What an INITIAL node says of itself, and what anyone answers one (architecture, decision 6).

    `view` is every seed, the sender included, sorted; those it has not heard lately have the incarnation
    "?": a view that lacks one is no agreement to a cluster without it. `configuration` is empty while the sender
    is not born, afterwards the data of its first entry. `answer` asks the receiver to say its own: then `challenge` is
    the asker's, new with every process and every change of its view; in the reply it is that one, repeated.
    `address`: how the sender is reached, where it was told; `addresses`: the same of all in its view, sorted by name.
    `invited`: the sender's cluster has let the receiver in, this very disk of it. `known`: it has a member of the
    receiver's name, on this disk or on another; from a node that is not born, nothing.
    """

    view: Annotated[tuple[Member, ...], msgspec.Meta(max_length=MEMBERS_MAX)]
    configuration: bytes
    answer: bool
    term: int = 0
    challenge: ReadContext | None = None
    address: MemberAddress | None = None
    addresses: Annotated[tuple[MemberAddress, ...], msgspec.Meta(max_length=MEMBERS_MAX)] = ()
    invited: bool = False
    known: bool = False


class ForwardedProposal(_Message, frozen=True):
    """One write of a client on its one hop to the leader. `request` is the sender's number for it."""

    request: int
    data: bytes
    session: int = 0
    sequence: int = 0


class Forward(_Message, frozen=True, tag="f"):
    """Clients' writes from a follower to the leader. The core never sees it; the driver of the leader does.

    `boot` is the sender's process, echoed in the reply: numbers of requests begin anew with every process.
    """

    boot: str
    proposals: Annotated[tuple[ForwardedProposal, ...], msgspec.Meta(max_length=FORWARD_PROPOSALS_MAX)]
    term: int = 0


class ForwardedAnswer(_Message, frozen=True):
    """What became of one: `outcome` is a msgpack `node.runtime.ports.Outcome`, opaque to the carrier."""

    request: int
    outcome: bytes


class ForwardReply(_Message, frozen=True, tag="fr"):
    boot: str
    answers: Annotated[tuple[ForwardedAnswer, ...], msgspec.Meta(max_length=FORWARD_REPLY_ANSWERS_MAX)]
    term: int = 0


class Report(_Message, frozen=True, tag="rp"):
    """What a node tells its peers of itself, a few times per second, for `/cluster`. `body`: msgpack of
    `node.runtime.ports.Status`, opaque to the carrier and not seen by the core. `answer` asks for the receiver's."""

    body: bytes
    term: int = 0
    answer: bool = False


class Command(_Message, frozen=True, tag="c"):
    """An operator's command on its one hop to the node that shall obey it; the core never sees it.

    `request` is the sender's number for it, `boot` the sender's process, echoed in the reply. `arguments`: a JSON
    object, opaque to the carrier.
    """

    boot: str
    request: int
    name: str
    arguments: bytes
    term: int = 0


class CommandReply(_Message, frozen=True, tag="cr"):
    """What became of it: `outcome` is a msgpack `node.runtime.ports.CommandOutcome`, opaque to the carrier."""

    boot: str
    request: int
    outcome: bytes
    term: int = 0


class SnapshotPiece(_Message, frozen=True, tag="sp"):
    """A piece of the file of the snapshot `info`, from `offset` on, for a follower that needs what lies before the
    leader's base (section 7). Without data it asks from where on the receiver wants it."""

    info: SnapshotInfo
    offset: int
    data: bytes = b""
    term: int = 0


class SnapshotPieceReply(_Message, frozen=True, tag="spr"):
    """The receiver has everything of `info` before `offset`. `problem`: why it could not keep it, one sentence; empty
    where it could."""

    index: int
    crc: int
    offset: int
    problem: str = ""
    term: int = 0


RaftMessage = (
    PreVote
    | PreVoteReply
    | Vote
    | VoteReply
    | Append
    | AppendReply
    | Heartbeat
    | HeartbeatReply
    | ReadIndex
    | ReadIndexReply
    | TimeoutNow
    | Birth
)
"""What the core takes and sends."""

Message = RaftMessage | Forward | ForwardReply | Report | Command | CommandReply | SnapshotPiece | SnapshotPieceReply
"""What travels."""


_BULK = frozenset((Append, Forward, ForwardReply, Report, Command, CommandReply, SnapshotPiece, SnapshotPieceReply))


def lane_of(message: Message) -> Lane:
    """What carries data goes over BULK, what must never wait for data over CONTROL.

    An Append is BULK even when empty: sent on the other lane it would overtake the entries that it follows, be
    refused for the gap, and stop a healthy pipeline.
    """
    return Lane.BULK if type(message) in _BULK else Lane.CONTROL
