"""All remembered keys in order, and how many of them live: what ranges are read by.

Why it exists: a range must be read, counted and deleted a bounded piece at a time, while other pieces of the store
change between two pieces; and counting living keys must not walk over them. It must not know versions beyond
whether a key's newest one lives.

Shape: blocks of at most `BLOCK_KEYS_MAX` keys, like sortedcontainers, with the number of living keys beside each
block. A position is never kept: a reader goes on from a key.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator

from node.statemachine.untracked import untracked

BLOCK_KEYS_MAX = 512
"""Keys of one block, and so the longest piece, and the most that are looked at one by one to count a range's end."""

BLOCK_KEYS_MIN = BLOCK_KEYS_MAX // 8
"""A smaller block joins its neighbour."""


class OrderedKeys:
    """Keys in order. `lives`: whether the newest version of a key that is in here is not a tombstone."""

    def __init__(self, lives: Callable[[bytes], bool]) -> None:
        self.living = 0
        """How many live."""
        self._lives = lives
        self._blocks: list[list[bytes]] = []
        self._lasts: list[bytes] = []
        self._living: list[int] = []

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    @property
    def first(self) -> bytes | None:
        """The first of all; None: there is none."""
        return self._blocks[0][0] if self._blocks else None

    def add(self, key: bytes) -> None:
        """A key that is not in here yet, and lives."""
        self.living += 1
        if not self._blocks:
            self._blocks, self._lasts, self._living = [untracked([key])], [key], [1]
            return
        at = bisect_left(self._lasts, key)
        if at == len(self._lasts):
            at -= 1
            if len(self._blocks[at]) == BLOCK_KEYS_MAX:
                self._blocks.append(untracked([key]))
                self._lasts.append(key)
                self._living.append(1)
                return
            self._blocks[at].append(key)
            self._lasts[at] = key
        else:
            insort(self._blocks[at], key)
        self._living[at] += 1
        if len(self._blocks[at]) > BLOCK_KEYS_MAX:
            self._split(at)

    def append(self, keys: list[bytes]) -> None:
        """Keys in order, beyond all that are in here, and living; all at once."""
        self.living += len(keys)
        at = 0
        while at < len(keys):
            if not self._blocks or len(self._blocks[-1]) >= BLOCK_KEYS_MAX:
                self._blocks.append(untracked([]))
                self._lasts.append(keys[at])
                self._living.append(0)
            block = self._blocks[-1]
            some = keys[at : at + BLOCK_KEYS_MAX - len(block)]
            block += some
            self._lasts[-1] = some[-1]
            self._living[-1] += len(some)
            at += len(some)

    def drop(self, key: bytes) -> None:
        """Forget a key that is in here and lives."""
        at = bisect_left(self._lasts, key)
        self.living -= 1
        self._living[at] -= 1
        self._forget(at, key)

    def drop_first(self, count: int) -> None:
        """Forget the first `count` keys, all of which live: there are as many."""
        self.living -= count
        while count:
            some = min(count, len(self._blocks[0]))
            count -= some
            self._living[0] -= some
            del self._blocks[0][:some]
            if len(self._blocks[0]) < BLOCK_KEYS_MIN:
                self._drop_small_first()

    def remove(self, key: bytes) -> None:
        """Forget a key that is in here and does not live."""
        self._forget(bisect_left(self._lasts, key), key)

    def _forget(self, at: int, key: bytes) -> None:
        block = self._blocks[at]
        del block[bisect_left(block, key)]
        if block:
            self._lasts[at] = block[-1]
        if len(block) < BLOCK_KEYS_MIN:
            self._shrunk(at)

    def revive(self, key: bytes) -> None:
        """A key that is in here lives again."""
        self.living += 1
        self._living[bisect_left(self._lasts, key)] += 1

    def bury(self, key: bytes, count: int = 1) -> None:
        """`key`, and others of the same piece, `count` in all, live no more."""
        self.living -= count
        self._living[bisect_left(self._lasts, key)] -= count

    def emptying(self) -> Iterator[list[bytes]]:
        """All keys in here, in blocks that are taken out before they are told."""
        while self._blocks:
            yield self._blocks.pop()

    def piece(
        self, start: bytes, end: bytes | None, keys_max: int, *, living: bool = False
    ) -> tuple[list[bytes], bytes | None]:
        """The first keys of [start, end), at most `keys_max` and of one block, and where the next piece begins (None:
        that was all). `end` None: to the last. `living`: blocks without a living key are left out, `keys_max` of them
        at a time; then there may be no keys although there is a next piece."""
        blocks, at = self._blocks, bisect_left(self._lasts, start)
        if living:
            last = min(at + keys_max, len(blocks))
            while at < last and not self._living[at]:
                at += 1
        if at == len(blocks):
            return [], None
        block = blocks[at]
        first = bisect_left(block, start)
        beyond = len(block) if end is None or self._lasts[at] < end else bisect_left(block, end)
        last = min(first + keys_max, beyond)
        if last < len(block):
            following = block[last] if last < beyond else None
        elif at + 1 < len(blocks) and (end is None or blocks[at + 1][0] < end):
            following = blocks[at + 1][0]
        else:
            following = None
        return block[first:last], following

    def count(self, start: bytes, end: bytes | None) -> int:
        """How many keys of [start, end) live: by block, and one by one in two blocks at most."""
        beyond = self.living if end is None else self._living_before(end)
        return max(0, beyond - self._living_before(start))

    def _living_before(self, key: bytes) -> int:
        at = bisect_left(self._lasts, key)
        if at == len(self._blocks):
            return self.living
        before, block = sum(self._living[:at]), self._blocks[at]
        within = bisect_left(block, key)
        if self._living[at] in (0, len(block)):
            return before + (within if self._living[at] else 0)
        return before + sum(map(self._lives, block[:within]))

    def _drop_small_first(self) -> None:
        if self._blocks[0]:
            self._shrunk(0)
        else:
            del self._blocks[0], self._lasts[0], self._living[0]

    def _split(self, at: int) -> None:
        block = self._blocks[at]
        middle = len(block) // 2
        right = untracked(block[middle:])
        del block[middle:]
        living = self._living[at]
        living_right = sum(map(self._lives, right)) if living < middle + len(right) else len(right)
        self._blocks.insert(at + 1, right)
        self._lasts.insert(at, block[-1])
        self._living[at] = living - living_right
        self._living.insert(at + 1, living_right)

    def _shrunk(self, at: int) -> None:
        """Join the small block `at` to the one before or after it, where both fit into one."""
        if at + 1 == len(self._blocks):
            at -= 1
        if at < 0:
            if not self._blocks[0]:
                self._blocks, self._lasts, self._living = [], [], []
            return
        if len(self._blocks[at]) + len(self._blocks[at + 1]) > BLOCK_KEYS_MAX:
            return  # so neither is empty
        self._blocks[at] += self._blocks.pop(at + 1)
        self._living[at] += self._living.pop(at + 1)
        self._lasts[at] = self._blocks[at][-1]
        del self._lasts[at + 1]
