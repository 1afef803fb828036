"""Clients' wishes at the door: taken while there is room, refused at once otherwise.

Why it exists: everything that waits for a client costs memory and, in the end, an answer, wherever it waits (for the
log, for another node, for its answer to be told), so there is one bound over all of it. It must not propose anything.
"""

from collections.abc import Sequence, Sized
from functools import partial

from node.raft.events import Proposal
from node.raft.messages import PROPOSAL_BYTES_MAX
from node.runtime.inputs import WantRead, WantWrite
from node.runtime.outcomes import overloaded, too_large
from node.runtime.pending import Pending, PendingWrite
from node.runtime.ports import ReadFailed
from node.runtime.replies import Replies

PENDING_REQUESTS_MAX = 20_000
"""Requests that may wait on one node; more are refused as overloaded."""


class Admission:
    """`parts`: everything in which requests wait."""

    def __init__(self, requests_max: int, pending: Pending, replies: Replies, parts: Sequence[Sized]) -> None:
        self._requests_max = requests_max
        self._pending = pending
        self._replies = replies
        self._parts = parts

    def full(self) -> bool:
        """Whether as many wait as may."""
        return sum(map(len, self._parts)) >= self._requests_max

    def write(self, item: WantWrite, proposals: list[Proposal]) -> None:
        """Of a client of this node."""
        if len(item.data) > PROPOSAL_BYTES_MAX:
            item.reply(too_large(len(item.data), PROPOSAL_BYTES_MAX))
            return
        if self.full():
            item.reply(overloaded("this node"))
            return
        reply = partial(self._replies.add, item.reply)
        write = PendingWrite(item.data, reply, True, item.deadline_us, item.session, item.sequence)
        proposals.append(Proposal(self._pending.add_write(write), item.data, item.session, item.sequence))

    def read(self, item: WantRead, reads: list[int]) -> None:
        """Likewise."""
        if self.full():
            refusal = overloaded("this node")
            item.reply(ReadFailed(refusal.code, refusal.reason))
            return
        reads.append(self._pending.add_read(partial(self._replies.add, item.reply), item.deadline_us))
