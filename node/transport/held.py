"""Frames that wait for their time on a slow link: in order within a lane, bounded, and gone with their link.

Why it exists: `faulty.py` decides what is late; how frames wait is a matter of its own. It must not look into them.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from node.raft.messages import Lane

HELD_BYTES_MAX = 8 * 1024 * 1024
"""Of delayed frames, for one lane of one direction of one link; what is beyond is lost."""

HELD_FRAMES_MAX = 4096

Way = tuple[str, str, Lane]
"""Direction, peer, lane."""


class _Waiting(msgspec.Struct):
    """Frames of one lane in one direction, each with its time in seconds of the loop's clock."""

    frames: deque[tuple[float, bytes]]
    size_bytes: int = 0
    timer: asyncio.TimerHandle | None = None


class Held:
    """`pass_on` takes a frame whose time has come; False: its link is gone, and with it all that was held for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pass_on: Callable[[Way, bytes], bool]) -> None:
        self._loop = loop
        self._pass_on = pass_on
        self._waiting: dict[Way, _Waiting] = {}

    def __contains__(self, way: object) -> bool:
        return way in self._waiting

    def ways(self) -> list[Way]:
        """Where something is held now."""
        return list(self._waiting)

    def hold(self, way: Way, frame: bytes, delay_s: float) -> bool:
        """Pass the frame on so much later. False: there is no room for it, and it is lost."""
        held = self._waiting.setdefault(way, _Waiting(deque()))
        full = held.size_bytes + len(frame) > HELD_BYTES_MAX or len(held.frames) >= HELD_FRAMES_MAX
        if full and held.frames:
            return False
        due = self._loop.time() + delay_s
        held.frames.append((due, frame))
        held.size_bytes += len(frame)
        if held.timer is None:
            held.timer = self._loop.call_at(due, self.release, way)
        return True

    def release(self, way: Way, everything: bool = False) -> None:
        """Pass on what is due; the first holds up the rest, so the order stays."""
        held = self._waiting.get(way)
        if held is None:
            return
        if held.timer is not None:
            held.timer.cancel()
            held.timer = None
        now = self._loop.time()
        while held.frames and (everything or held.frames[0][0] <= now):
            _, frame = held.frames.popleft()
            held.size_bytes -= len(frame)
            if not self._pass_on(way, frame) or self._waiting.get(way) is not held:
                return
        if held.frames:
            held.timer = self._loop.call_at(held.frames[0][0], self.release, way)
        else:
            del self._waiting[way]

    def forget(self, way: Way) -> None:
        """What is held there is lost."""
        held = self._waiting.pop(way, None)
        if held is not None and held.timer is not None:
            held.timer.cancel()
