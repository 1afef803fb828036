"""What waits for the driver: two lanes as the links have, and a bounded amount of work for each turn of the loop.

Why it exists: many inputs as one step are one sync and one acknowledgement, but a step must end soon, and what holds
an election off (heartbeats, votes, acknowledgements) must not wait behind data here either. It must not answer
anybody: whoever posts a client's wish asks `full` first.
"""

from collections import deque

from node.raft.events import Deadline
from node.raft.messages import Lane, lane_of
from node.runtime.inputs import Arrived, Input, weigh

TURN_WEIGHT_MAX = 5_000
"""The weight of inputs that are handled in one turn: about as many microseconds, a third of what a turn may take.
One input that is heavier is handled alone in its lane."""

INBOX_INPUTS_MAX = 100_000
"""Inputs that may wait in each lane; messages above it are dropped and counted, client requests are refused."""

INBOX_BYTES_MAX = 256 * 1024 * 1024
"""Their data; likewise."""


class Inbox:
    """First come, first served, in each lane; the control lane goes first, and never alone while others wait.

    A `Deadline` goes last: what has arrived may be the very sign of life that it would miss. It waits for nothing that
    is left for a later turn, or a leader with much to do would send no heartbeat.
    """

    def __init__(self) -> None:
        self._control: deque[tuple[int, int, Input]] = deque()
        self._others: deque[tuple[int, int, Input]] = deque()
        self._deadline: Deadline | None = None
        self._size_bytes = 0
        self.dropped: dict[type, int] = {}
        """Messages that came in while too much waited, by type."""

    def __len__(self) -> int:
        return len(self._control) + len(self._others) + (self._deadline is not None)

    @property
    def waits(self) -> bool:
        """Whether anything does."""
        return bool(self._control or self._others or self._deadline)

    @property
    def full(self) -> bool:
        return len(self._others) >= INBOX_INPUTS_MAX or self._size_bytes >= INBOX_BYTES_MAX

    def offer(self, item: Arrived) -> bool:
        """`post` a message, unless too much waits in its lane: then it is lost, as on a link, and counted."""
        urgent = lane_of(item.message) is Lane.CONTROL
        if len(self._control) >= INBOX_INPUTS_MAX if urgent else self.full:
            kind = type(item.message)
            self.dropped[kind] = self.dropped.get(kind, 0) + 1
            return False
        self._put(self._control if urgent else self._others, item)
        return True

    def post(self, item: Input) -> None:
        """`item` waits its turn."""
        if isinstance(item, Deadline):
            self._deadline = item
            return
        self._put(self._control if _is_urgent(item) else self._others, item)

    def _put(self, lane: "deque[tuple[int, int, Input]]", item: Input) -> None:
        weight, size_bytes = weigh(item)
        self._size_bytes += size_bytes
        lane.append((weight, size_bytes, item))

    def take_turn(self) -> list[Input]:
        """Take what one turn may hold: at least one of each lane, where one waits."""
        taken: list[Input] = []
        left = TURN_WEIGHT_MAX
        for lane in (self._control, self._others):
            first = True
            while lane and (first or lane[0][0] <= left):
                weight, size_bytes, item = lane.popleft()
                self._size_bytes -= size_bytes
                left -= weight
                taken.append(item)
                first = False
        if self._deadline is not None:
            taken.append(self._deadline)
            self._deadline = None
        return taken

    def drain(self) -> list[Input]:
        """Take everything: the node stops."""
        items = [item for lane in (self._control, self._others) for _, _, item in lane]
        self._control.clear()
        self._others.clear()
        self._deadline = None
        self._size_bytes = 0
        return items


def _is_urgent(item: Input) -> bool:
    return isinstance(item, Arrived) and lane_of(item.message) is Lane.CONTROL
