"""Which keys each revision changed, in the order in which it changed them: what a watch resumes from.

Why it exists: versions are found by key, and whoever follows the store asks by revision. It holds references to keys
that the versions hold anyway, eight bytes a revision; what became of a key is asked of the versions. It must not decide
which revisions are kept.

Revisions are dense, so they are positions in blocks. A loaded state comes in the order of its keys: the keys of one
revision are then in order, and where the revision changed them in another one, that is told afterwards.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from node.statemachine.untracked import untracked

REVISIONS_PER_BLOCK = 512
"""Revisions in one list, which goes as a whole."""

KEYS_AT_ONCE = 512
"""Keys of one revision that are let go in one step: it may have changed every key of the store."""

SLOTS_PER_STEP = 16
"""Revisions that are let go for one step."""

_Slot = bytes | list[bytes] | None
_NONE: tuple[bytes, ...] = ()


class History:
    """Keys by revision. Whoever asks for a revision knows that it is kept."""

    def __init__(self) -> None:
        self._blocks: dict[int, list[_Slot]] = {}
        self._lowest: int | None = None
        """The number of the first block; None: not known."""
        self._unordered: deque[int] = deque()
        """Revisions that changed keys in another order than theirs, or a key twice."""

    def add(self, revision: int, key: bytes) -> None:
        """`revision` changed that key, after those that were added before."""
        number, position = divmod(revision, REVISIONS_PER_BLOCK)
        block = self._blocks.get(number)
        if block is None:
            block = self._begin_block(number)
        slot = block[position]
        if slot is None:
            block[position] = key
            return
        if isinstance(slot, bytes):
            slot = block[position] = untracked([slot])
        if key <= slot[-1]:
            self._is_unordered(revision)
        slot.append(key)

    def replace(self, revision: int, keys: list[bytes]) -> None:
        """What `revision` changed, in order; revisions are told in theirs."""
        number, position = divmod(revision, REVISIONS_PER_BLOCK)
        block = self._blocks.get(number)
        if block is None:
            block = self._begin_block(number)
        block[position] = untracked(keys) if len(keys) > 1 else keys[0]
        self._is_unordered(revision)

    def changed(self, revision: int) -> Sequence[bytes]:
        """The keys that `revision` changed, in order; one that it changed twice may be there twice."""
        number, position = divmod(revision, REVISIONS_PER_BLOCK)
        block = self._blocks.get(number)
        slot = None if block is None else block[position]
        return _NONE if slot is None else (slot,) if isinstance(slot, bytes) else slot

    def unordered(self, after: int, until: int) -> list[int]:
        """Revisions after `after` and not after `until` whose order is not that of their keys."""
        return [revision for revision in self._unordered if after < revision <= until]

    def cut(self, revision: int, steps_max: int) -> int:
        """Let go a part of what lies before `revision`, block by block. Returns the steps, as `Versions.purge` does."""
        steps = 0
        while steps < steps_max and self._blocks:
            if self._lowest is None:
                self._lowest = min(self._blocks)
            if (self._lowest + 1) * REVISIONS_PER_BLOCK > revision:
                break
            steps += self._cut_block(self._blocks[self._lowest], steps_max - steps)
            if not self._blocks[self._lowest]:
                del self._blocks[self._lowest]
                self._lowest = self._lowest + 1 if self._lowest + 1 in self._blocks else None
        while self._unordered and self._unordered[0] < revision and steps < steps_max:
            self._unordered.popleft()
            steps += 1
        return steps

    @staticmethod
    def _cut_block(block: list[_Slot], steps_max: int) -> int:
        steps = 0
        while block and steps < steps_max:
            slot = block[-1]
            if isinstance(slot, list) and len(slot) > KEYS_AT_ONCE:
                del slot[-KEYS_AT_ONCE:]
                steps += KEYS_AT_ONCE // SLOTS_PER_STEP
            elif list in map(type, block[-SLOTS_PER_STEP:]):
                block.pop()
                steps += 1
            else:
                del block[-SLOTS_PER_STEP:]
                steps += 1
        return steps

    def emptying(self) -> Iterator[int]:
        """Let everything go, piece by piece, and tell for each in how many steps."""
        self._unordered.clear()
        while self._blocks:
            block = self._blocks.popitem()[1]
            while block:
                yield max(1, self._cut_block(block, REVISIONS_PER_BLOCK))

    def _begin_block(self, number: int) -> list[_Slot]:
        block = self._blocks[number] = untracked([None] * REVISIONS_PER_BLOCK)
        untracked(self._blocks)
        if self._lowest is not None and number < self._lowest:
            self._lowest = None
        return block

    def _is_unordered(self, revision: int) -> None:
        if not self._unordered or self._unordered[-1] != revision:
            self._unordered.append(revision)
