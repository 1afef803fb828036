"""Answers on their way to other nodes: of forwarded writes in batches, of relayed commands one by one.

Why it exists: an answer that is lost leaves the other node's client without one although all is decided, so what a
link refuses is offered again for a while, and then counted. What one turn encodes and sends is bounded. It must not
decide anything; an answer is sent once at most.
"""

from collections import deque
from collections.abc import Callable

import msgspec

from node.raft.messages import (
    FORWARD_REPLY_ANSWERS_MAX,
    FORWARD_REPLY_BYTES_MAX,
    CommandReply,
    ForwardedAnswer,
    ForwardReply,
    Message,
)
from node.runtime.onehop import HopCounts
from node.runtime.outcomes import encode_wire, for_a_peer
from node.runtime.ports import DoneUntold, Outcome

ANSWER_KEPT_US = 1_000_000
"""How long an answer is offered to a link that does not take it: a link that was lost is dialled again by then."""

ANSWER_RETRY_US = 10_000
"""Between two offers to a link, where nothing else happens meanwhile."""

ANSWERS_PER_TURN_MAX = 1024
"""Answers that are encoded and sent, or given up, in one turn of the loop."""

ANSWER_BYTES_PER_TURN_MAX = 4 * 1024 * 1024
"""Bytes of answers likewise; the last message of a turn may go above it."""

_ITEM_BYTES = 16
"""What an answer in a ForwardReply costs beside its outcome, at most."""


class _Owed(msgspec.Struct):
    """One answer. It is encoded when its turn comes (`outcome` is None afterwards): what waits costs nothing yet."""

    since_us: int
    boot: str
    number: int
    outcome: Outcome | None
    encoded: bytes = b""
    command: bool = False


class _Line(msgspec.Struct):
    """What one peer is owed. `retry_us`: its link refused, and is asked again then; 0: it may be asked at once."""

    owed: deque[_Owed]
    retry_us: int = 0


class Answers:
    """`encode_result`: see `StateMachine`. `send`: the links'. `lost(peer, count)`: told when answers are given up."""

    def __init__(
        self,
        encode_result: Callable[[object, int], bytes | None],
        send: Callable[[str, Message], bool],
        counts: HopCounts,
        lost: Callable[[str, int], None],
    ) -> None:
        self._encode_result = encode_result
        self._send = send
        self._counts = counts
        self._lost = lost
        self._lines: dict[str, _Line] = {}
        self._count = 0
        self.now = 0
        """The time of this turn, for what is added in it."""

    def __len__(self) -> int:
        return self._count

    @property
    def deadline(self) -> int | None:
        """When a link that took nothing is to be asked again; None: nothing waits for one."""
        if not self._count:
            return None
        return min((line.retry_us for line in self._lines.values() if line.owed and line.retry_us), default=None)

    def add(self, peer: str, boot: str, number: int, outcome: Outcome) -> None:
        """`peer`'s process `boot` asked for a write, and called it `number`."""
        self._append(peer, _Owed(self.now, boot, number, outcome))

    def add_command(self, peer: str, boot: str, number: int, encoded: bytes) -> None:
        """The same of a command, whose outcome is encoded already."""
        self._append(peer, _Owed(self.now, boot, number, None, encoded, command=True))

    def send(self, now: int, everything: bool = False) -> bool:
        """Send as much as one turn may; whether more could be sent at once. `everything`: there is no later turn."""
        self.now = now
        if not self._count:
            return False
        answers_left, bytes_left = ANSWERS_PER_TURN_MAX, ANSWER_BYTES_PER_TURN_MAX
        for peer, line in self._lines.items():
            if now < line.retry_us and not everything:
                continue
            line.retry_us = 0
            while line.owed and (everything or (answers_left > 0 and bytes_left > 0)):
                message, count, size_bytes = self._next_message(line.owed)
                answers_left -= count
                bytes_left -= size_bytes
                if not self._send(peer, message):
                    if not everything and now - line.owed[0].since_us < ANSWER_KEPT_US:
                        line.retry_us = now + ANSWER_RETRY_US
                        break
                    self._counts.lost += count
                    self._lost(peer, count)
                self._count -= count
                for _ in range(count):
                    line.owed.popleft()
        return answers_left <= 0 or bytes_left <= 0

    def _append(self, peer: str, owed: _Owed) -> None:
        line = self._lines.get(peer)
        if line is None:
            line = self._lines[peer] = _Line(deque())
        line.owed.append(owed)
        self._count += 1

    def _next_message(self, queue: deque[_Owed]) -> tuple[Message, int, int]:
        """What stands first in the queue, how many answers it holds, and their bytes. They stay in the queue."""
        first = queue[0]
        if first.command:
            return CommandReply(first.boot, first.number, first.encoded), 1, len(first.encoded)
        answers: list[ForwardedAnswer] = []
        total_bytes = 0
        for owed in queue:
            if owed.command or owed.boot != first.boot or len(answers) == FORWARD_REPLY_ANSWERS_MAX:
                break
            if owed.outcome is not None:
                owed.encoded, owed.outcome = self._encode(owed.outcome), None
            size_bytes = len(owed.encoded) + _ITEM_BYTES
            if answers and total_bytes + size_bytes > FORWARD_REPLY_BYTES_MAX:
                break
            answers.append(ForwardedAnswer(owed.number, owed.encoded))
            total_bytes += size_bytes
        return ForwardReply(first.boot, tuple(answers)), len(answers), total_bytes

    def _encode(self, outcome: Outcome) -> bytes:
        said = for_a_peer(outcome, self._encode_result)
        self._counts.untold += isinstance(said, DoneUntold)
        return encode_wire(said)
