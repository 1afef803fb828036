"""What waits for a link: frames in order, bounded in number and bytes, that leave as packs.

Why it exists: every carrier's links refuse by the same rule what they cannot hold. It must not know when one leaves.
"""

from collections import deque

from node.transport.packing import PACK_BYTES_MAX, take_pack
from node.transport.settings import LinkSettings


class FrameQueue:
    """True while something waits."""

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._frames: deque[bytes] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: bytes) -> bool:
        """False: it is too long, or too much waits. A frame that is not too long always fits where nothing waits."""
        settings, frames = self._settings, self._frames
        if len(frame) > settings.frame_bytes_max or len(frames) >= settings.queue_frames_max:
            return False
        if frames and self._bytes + len(frame) > settings.queue_bytes_max:
            return False
        frames.append(frame)
        self._bytes += len(frame)
        return True

    @property
    def first_bytes(self) -> int:
        """How long the first frame is; something must wait."""
        return len(self._frames[0])

    def take(self, bytes_max: int = PACK_BYTES_MAX) -> bytes:
        """The next pack; something must wait. Only a first frame that is longer makes it longer than `bytes_max`."""
        pack, taken_bytes = take_pack(self._frames, bytes_max)
        self._bytes -= taken_bytes
        return pack

    def clear(self) -> None:
        """Nothing waits any more."""
        self._frames.clear()
        self._bytes = 0
