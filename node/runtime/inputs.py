"""What the shell or the simulator hands to the driver: core events, messages that came in, clients' wishes.

Why it exists: the driver's only door in, as `node.raft.events` is the core's.
"""

from collections.abc import Callable

import msgspec

from node.raft.events import Deadline
from node.raft.messages import Message
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
    """An operator's command for the core of this node; see `driver.ORDERS`. `target`: of a hand-over, else empty."""

    command: str
    deadline_us: int
    reply: Callable[[CommandOutcome], None]
    target: str = ""


class WantRelay(msgspec.Struct, frozen=True):
    """An operator's command for another node; one hop. `arguments`: a JSON object."""

    node: str
    command: str
    arguments: bytes
    deadline_us: int
    reply: Callable[[CommandOutcome], None]


Input = Deadline | Arrived | WantWrite | WantRead | WantOrder | WantRelay
