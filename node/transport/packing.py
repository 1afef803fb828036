"""Several frames in one WebSocket message: each is its length (4 bytes, big-endian) and its bytes.

Why it exists: a WebSocket message costs some ten microseconds of Python at each end, a frame in one of many costs
half of one; frames that were queued in the same loop turn therefore travel together. It must not wait for more.
"""

import struct
from collections import deque
from collections.abc import Iterator

PACK_BYTES_MAX = 64 * 1024
"""A pack is closed before it grows beyond this, prefixes included; a longer frame travels alone."""

PACK_FRAMES_MAX = 256
"""Together with the bytes, bounds what the receiver does in one turn of its loop."""

PREFIX_BYTES = 4
_PREFIX = struct.Struct(">I")


class PackError(Exception):
    """These bytes are not a pack; the message is one sentence."""


def take_pack(queue: deque[bytes], bytes_max: int = PACK_BYTES_MAX) -> tuple[bytes, int]:
    """Remove frames from the left of `queue` (not empty): the pack, and how many bytes of frames are in it."""
    parts: list[bytes] = []
    taken = frames = 0
    while queue and frames < PACK_FRAMES_MAX:
        frame = queue[0]
        if frames and taken + len(frame) + (frames + 1) * PREFIX_BYTES > bytes_max:
            break
        parts += (_PREFIX.pack(len(frame)), frame)
        taken += len(frame)
        frames += 1
        queue.popleft()
    return b"".join(parts), taken


def frames_of(pack: bytes) -> Iterator[bytes]:
    """The frames of a pack, one after the other. Raises `PackError` where a length leads beyond the end."""
    position, end = 0, len(pack)
    while position < end:
        start = position + PREFIX_BYTES
        if start > end:
            raise PackError("a pack ends within a frame's length")
        position = start + _PREFIX.unpack_from(pack, position)[0]
        if position > end:
            raise PackError("a pack ends within a frame")
        yield pack[start:position]
