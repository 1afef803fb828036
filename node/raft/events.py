"""What can happen to the core. Each is a frozen struct; `Raft.step(event, now)` takes one.

Why it exists: the core's only door in. It must not carry anything that the core would have to wait for.
"""

import msgspec

from node.raft.messages import RaftMessage
from node.raft.types import Base, Member, MemberAddress


class Deadline(msgspec.Struct, frozen=True):
    """Time may have passed the core's stated deadline. Harmless when it has not.

    `held_up_us`: by how much this process itself was late lately, because it was stopped or got no processor. An
    election waits so much longer, for whoever leads may have been held up as well.
    """

    held_up_us: int = 0


class Continue(msgspec.Struct, frozen=True):
    """The step before had more to do than one may (`Raft.unfinished`): go on. Harmless when it had not."""


class Receive(msgspec.Struct, frozen=True):
    """A message came in. `sender` is what the link proved at its handshake, not what the message says."""

    sender: Member
    message: RaftMessage


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """A command for the log. `request` is the caller's number, unique within this process."""

    request: int
    data: bytes
    session: int = 0
    sequence: int = 0


class Propose(msgspec.Struct, frozen=True):
    """Append these, in order."""

    proposals: tuple[Proposal, ...]


class Read(msgspec.Struct, frozen=True):
    """Make these reads linearizable; each number comes back in `ReadReady` or `Refused`."""

    requests: tuple[int, ...]


class ForgetReads(msgspec.Struct, frozen=True):
    """Nobody waits for these reads any more: they ran out of time. Neither comes back in any effect."""

    requests: tuple[int, ...]


class Persisted(msgspec.Struct, frozen=True):
    """Everything up to and including the `Persist` with this token is durable."""

    token: int


class Applied(msgspec.Struct, frozen=True):
    """The state machine has taken every entry up to `index`."""

    index: int


class Compact(msgspec.Struct, frozen=True):
    """A snapshot of everything up to `index`, or further, is durable here: the log need not keep those entries."""

    index: int


class SnapshotHeld(msgspec.Struct, frozen=True):
    """A whole snapshot, which `sender` sent as leader, is durable here, or is not needed: `base` lies in what is
    committed here. A snapshot holds what is committed and nothing else, so whose it is and of which term does not
    matter: nothing but the acknowledgement goes to `sender`."""

    sender: Member
    base: Base


class PeerUp(msgspec.Struct, frozen=True):
    """A process of `member` opened a link to this node. `boot` is new in every process."""

    member: Member
    boot: str


class PeerGone(msgspec.Struct, frozen=True):
    """No link with that process stands any more, one of them broke without goodbye, and its port refused a dial."""

    member: Member
    boot: str


class Campaign(msgspec.Struct, frozen=True):
    """An operator wants this server to campaign as the target of a hand-over does: no PreVote, no stickiness.

    `request` is the caller's number, here and below; each comes back once, in `Ordered`.
    """

    request: int


class ForceTimeout(msgspec.Struct, frozen=True):
    """An operator wants the election timeout to pass now: PreVote, which the others may refuse."""

    request: int


class TransferLeadership(msgspec.Struct, frozen=True):
    """An operator wants `target` (empty: the most up-to-date voter) to lead (thesis 3.10)."""

    request: int
    target: str = ""


class LeaveInitial(msgspec.Struct, frozen=True):
    """An operator ends the wait in INITIAL (`RaftSettings.wait_in_initial`)."""

    request: int


class AddLearner(msgspec.Struct, frozen=True):
    """An operator lets `member` in, reached at `address`, to listen (thesis 4.2.1). One change at a time, here and
    below; each is answered once it is committed, or known not to be."""

    request: int
    member: Member
    address: MemberAddress | None = None


class Promote(msgspec.Struct, frozen=True):
    """An operator gives the learner called `name` a vote; it must have caught up."""

    request: int
    name: str


class Remove(msgspec.Struct, frozen=True):
    """An operator takes the member called `name` out. `force`: also where that would leave no quorum of those that
    answer."""

    request: int
    name: str
    force: bool = False


class Replace(msgspec.Struct, frozen=True):
    """The disk of the member called `name` is lost: `incarnation` is its new one. In one change the old one goes and
    the new one listens; it has no vote that the old one could have given (pitfall 36)."""

    request: int
    name: str
    incarnation: str
    address: MemberAddress | None = None


class Readdress(msgspec.Struct, frozen=True):
    """The member called `address.name` is reached there from now on; clients as before, unless it says where."""

    request: int
    address: MemberAddress


MemberChange = AddLearner | Promote | Remove | Replace | Readdress
"""What an operator may ask about members."""

Order = Campaign | ForceTimeout | TransferLeadership | LeaveInitial
"""What else an operator may ask of the algorithm."""

Event = (
    Deadline
    | Continue
    | Receive
    | PeerUp
    | PeerGone
    | Propose
    | Read
    | ForgetReads
    | Persisted
    | Applied
    | Compact
    | SnapshotHeld
    | Order
    | MemberChange
)
