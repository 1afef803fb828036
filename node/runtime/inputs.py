"""What the shell or the simulator hands to the driver: core events, messages that came in, clients' wishes.

Why it exists: the driver's only door in, as `node.raft.events` is the core's.
"""

from collections.abc import Callable, Mapping

import msgspec

from node.raft.events import Deadline, PeerGone, PeerUp
from node.raft.messages import (
    Append,
    Command,
    CommandReply,
    Forward,
    ForwardReply,
    Message,
    Report,
    SnapshotPiece,
)
from node.raft.types import Member
from node.runtime.ports import CommandOutcome, Outcome, ReadFailed


class Arrived(msgspec.Struct, frozen=True):
    """A message came in over a link whose handshake proved `sender`."""

    sender: Member
    message: Message


class WantWrite(msgspec.Struct, frozen=True):
    """A client of this node wants `data` in the log. `reply` is called once, soon after `deadline_us` at the latest.
    `session` and `sequence` go into the entry (see `Entry`)."""

    data: bytes
    deadline_us: int
    reply: Callable[[Outcome], None]
    session: int = 0
    sequence: int = 0


class WantRead(msgspec.Struct, frozen=True):
    """A client of this node wants to read. `reply(None)`: the state machine may be read now."""

    deadline_us: int
    reply: Callable[[ReadFailed | None], None]


class WantOrder(msgspec.Struct, frozen=True):
    """An operator's command for the core of this node; see `commands.ORDERS`. `arguments`: complete and checked."""

    command: str
    deadline_us: int
    reply: Callable[[CommandOutcome], None]
    arguments: Mapping[str, str | int | float] = {}


class WantRelay(msgspec.Struct, frozen=True):
    """An operator's command for another node; one hop. `arguments`: a JSON object."""

    node: str
    command: str
    arguments: bytes
    deadline_us: int
    reply: Callable[[CommandOutcome], None]


Input = Deadline | PeerUp | PeerGone | Arrived | WantWrite | WantRead | WantOrder | WantRelay

INPUT_WEIGHT = 15
"""What one input costs at least, in microseconds of a slow machine; so are the other weights."""

PROPOSAL_WEIGHT = 15
ENTRY_WEIGHT = 4
ANSWER_WEIGHT = 4

BYTES_PER_WEIGHT = 4096
"""Bytes that are moved at the price of 1."""


def weight_of(item: Input) -> int:
    """About how many microseconds of the loop's turn `item` takes: what it holds, not only that it is one."""
    return weigh(item)[0]


def weigh(item: Input) -> tuple[int, int]:
    """`weight_of`, and the bytes that it holds (those of data)."""
    if isinstance(item, WantWrite):
        size_bytes, weight = len(item.data), INPUT_WEIGHT
    elif isinstance(item, Arrived) and type(item.message) in _HEAVY:
        size_bytes, weight = _weigh_message(item.message)
    else:
        return INPUT_WEIGHT, 0
    return weight + size_bytes // BYTES_PER_WEIGHT, size_bytes


_HEAVY = frozenset((Append, Forward, ForwardReply, Report, Command, CommandReply, SnapshotPiece))


def _weigh_message(message: Message) -> tuple[int, int]:
    match message:
        case Append(entries=entries):
            return sum(len(entry.data) for entry in entries), INPUT_WEIGHT + len(entries) * ENTRY_WEIGHT
        case Forward(proposals=writes):
            return sum(len(write.data) for write in writes), INPUT_WEIGHT + len(writes) * PROPOSAL_WEIGHT
        case ForwardReply(answers=answers):
            return sum(len(answer.outcome) for answer in answers), INPUT_WEIGHT + len(answers) * ANSWER_WEIGHT
        case Report(body=body):
            return len(body), INPUT_WEIGHT
        case Command(arguments=arguments):
            return len(arguments), INPUT_WEIGHT
        case SnapshotPiece(data=data):
            return len(data), INPUT_WEIGHT
        case CommandReply(outcome=outcome):
            return len(outcome), INPUT_WEIGHT
        case _:
            return 0, INPUT_WEIGHT
