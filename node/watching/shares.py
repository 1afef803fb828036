"""What each client has of all that may be watched on one node, and why it gets no more.

Why it exists: a stream's watches are not bounded, and one client could open all that there may be. A watch costs a
position, and its events once they are wanted; but each *different* range, and each length that a prefix has, is looked
at for every key that anybody writes, and all that match are told in one go. So those are few for one client. Shares
are large otherwise, for a proxy is one client with all others behind it. It must not know what an address is.
"""

from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

from node.watching.interest import Shape

WATCHES_MAX = 100_000
"""Watches of one node, of all clients; a kibibyte each."""

WATCHES_OF_ONE_MAX = WATCHES_MAX * 3 // 4
"""Watches of one client. A machine's own address, which all behind its proxies share, may have all."""

SHAPES_OF_ONE_MAX = 256
"""Different ranges that are no prefix, and different lengths of prefixes, that one client follows. With so many each
key that is written costs 0.1 ms more, and 1 ms where all of them want it."""

EXHAUSTED = "rpc error: code = ResourceExhausted desc = "
TOO_MANY = "etcdserver: too many watches on this member"
TOO_MANY_OF_ONE = "etcdserver: too many watches of one client on this member"
TOO_MANY_SHAPES = (
    "etcdserver: too many different ranges are watched by one client on this member: watch keys, prefixes of few "
    "lengths, or one range that holds them"
)

K = TypeVar("K")


class Shares:
    """Of all clients, each named as its door names it; empty: one that has no name of its own."""

    def __init__(self) -> None:
        self.refused = 0
        """Watches that were not created for want of a share, or of room for all."""
        self._watches: Counter[str] = Counter()
        self._shapes: dict[str, Counter[Shape]] = {}

    @property
    def clients(self) -> int:
        """How many have some."""
        return len(self._watches)

    def refusal(self, whose: str, shape: Shape, watches: int) -> str:
        """Why that client may not follow that as well, where there are so many `watches` of all; empty: it may."""
        shapes: Mapping[Shape, int] = self._shapes.get(whose, {})
        if watches >= WATCHES_MAX:
            refusal = TOO_MANY
        elif whose and self._watches[whose] >= WATCHES_OF_ONE_MAX:
            refusal = TOO_MANY_OF_ONE
        elif shape is not None and shape not in shapes and len(shapes) >= SHAPES_OF_ONE_MAX:
            refusal = TOO_MANY_SHAPES
        else:
            return ""
        self.refused += 1
        return refusal

    def take(self, whose: str, shape: Shape) -> None:
        """It follows that, too."""
        self._watches[whose] += 1
        if shape is not None:
            self._shapes.setdefault(whose, Counter())[shape] += 1

    def give_back(self, whose: str, shape: Shape) -> None:
        """It follows that no more, once."""
        _less(self._watches, whose)
        if shape is not None:
            shapes = self._shapes[whose]
            _less(shapes, shape)
            if not shapes:
                del self._shapes[whose]


def _less(counter: Counter[K], key: K) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
