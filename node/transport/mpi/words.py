"""What two carriers say to each other over MPI: links, in a world that has none.

Why it exists: MPI moves messages between ranks and knows of no connection, so it cannot break one, refuse one or say
goodbye. The carrier's port promises all that, so it is said in words: one kind, the number of a link, and a rest. Who
dials numbers its links upwards, so what comes late is recognised. It must not know what a frame means.
"""

import enum
import struct
from typing import NamedTuple

_HEAD = struct.Struct(">BQ")
HEAD_BYTES = _HEAD.size


class Kind(enum.IntEnum):
    """Who dialled says the first five, who was dialled the others; both on the lane's tag."""

    DIAL = 1
    """The rest: who calls whom, two names with a NUL between them."""
    PACK = 2
    """The rest: frames, see packing.py."""
    PING = 3
    BYE = 4
    """Nothing follows on this link; it ended on purpose."""
    RESET = 5
    """The link is gone, without goodbye."""
    OPEN = 16
    """The link is up."""
    PONG = 17
    NOBODY = 18
    """No carrier runs in this rank, or it listens to nobody: refused."""
    NO = 19
    """No link, for the rest says why."""
    CLOSED = 20
    """This end closed it; the rest says why, and is empty for a goodbye."""
    LOST = 21
    """There is no such link here: this process dropped it."""


BY_DIALLER = frozenset((Kind.DIAL, Kind.PACK, Kind.PING, Kind.BYE, Kind.RESET))
_KINDS = {int(kind): kind for kind in Kind}


class Word(NamedTuple):
    kind: Kind
    link: int
    rest: bytes


def spoken(kind: Kind, link: int, rest: bytes = b"") -> bytes:
    """The bytes of a word."""
    return _HEAD.pack(kind, link) + rest


def heard(message: bytes) -> Word | None:
    """The word in a message; None: it is none."""
    if len(message) < HEAD_BYTES:
        return None
    number, link = _HEAD.unpack_from(message)
    kind = _KINDS.get(number)
    return None if kind is None else Word(kind, link, message[HEAD_BYTES:])
