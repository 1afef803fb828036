"""What a simulated network does to what it carries, and how patient its endpoints are.

Why it exists: a world draws its weather before there is a network, and everybody names it. It must not carry anything.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from node.transport.port import FRAME_BYTES_MAX, QUEUE_BYTES_MAX, QUEUE_FRAMES_MAX


class Schedule(Protocol):
    """Runs `callback` at virtual time `at_us` (never earlier than now, ties in the order of scheduling)."""

    def __call__(self, at_us: int, callback: Callable[[], None]) -> None: ...


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """The weather of one direction, or of all. Chances are 0 to 1 a frame; durations microseconds, evenly spread."""

    delay_min_us: int = 100
    delay_max_us: int = 1_000
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_max_us: int = 20_000
    """A reordered or duplicate frame is late by up to this, and later frames pass it."""
    flip: float = 0.0
    """One bit of the frame is flipped on its way."""


class NetworkLimits(msgspec.Struct, frozen=True, kw_only=True):
    """As `node.transport.settings.LinkSettings`, in microseconds of virtual time."""

    dial_timeout_us: int = 1_000_000
    redial_min_us: int = 20_000
    redial_max_us: int = 1_000_000
    silence_us: int = 2_000_000
    inbound_silence_us: int = 5_000_000
    frame_bytes_max: int = FRAME_BYTES_MAX
    queue_frames_max: int = QUEUE_FRAMES_MAX
    queue_bytes_max: int = QUEUE_BYTES_MAX
