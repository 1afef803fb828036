"""The superseded versions of a loaded state, in the order in which compactions let them go.

Why it exists: a compaction frees what was superseded until its revision, so that must be found without a walk over all
keys. What is written comes in that order (`packed.py`); what is loaded comes in the order of its keys, and may be
millions: it goes into blocks by revision, so that nothing is sorted in one go. It must not decide what may go.
"""

from node.statemachine.untracked import untracked

REVISIONS_PER_BLOCK = 512
"""Revisions that are put in order in one go."""

Due = int | bytes
"""The address of a superseded version, or the key of a tombstone that superseded none."""

_Slot = Due | list[Due] | None


class Superseding:
    """What is due, by revision. Of one revision there is no order."""

    def __init__(self) -> None:
        self._loaded: dict[int, list[_Slot]] = {}
        self._order: list[int] = []
        self._reached: list[tuple[int, _Slot]] = []

    def __bool__(self) -> bool:
        return bool(self._loaded or self._reached)

    def load(self, due: Due, revision: int) -> None:
        """It is due once nobody reads below `revision`. All are loaded before the first is taken out."""
        number, position = divmod(revision, REVISIONS_PER_BLOCK)
        block = self._loaded.get(number)
        if block is None:
            block = self._loaded[number] = untracked([None] * REVISIONS_PER_BLOCK)
            untracked(self._loaded)
        others = block[position]
        if others is None:
            block[position] = due
        elif isinstance(others, list):
            others.append(due)
        else:
            block[position] = untracked([others, due])

    def pop(self, revision: int) -> Due | None:
        """Take out the next one, if it is due at `revision` or before it."""
        if not self._reached:
            if not self._loaded:
                return None
            self._order = self._order or sorted(self._loaded, reverse=True)
            first = self._order[-1] * REVISIONS_PER_BLOCK
            if first > revision:
                return None
            slots = enumerate(self._loaded.pop(self._order.pop()), first)
            self._reached = [(at, slot) for at, slot in slots if slot is not None]
            self._reached.reverse()
        at, slot = self._reached[-1]
        if at > revision:
            return None
        if isinstance(slot, list) and len(slot) > 1:
            return slot.pop()
        self._reached.pop()
        return slot[0] if isinstance(slot, list) else slot
