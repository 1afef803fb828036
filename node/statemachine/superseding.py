"""The versions that superseded others, in the order in which compactions let these go.

Why it exists: a compaction frees what was superseded until its revision, so that must be found without a walk over all
keys. What is written comes in that order; what is loaded comes in the order of its keys, and may be millions: it goes
into blocks by revision, so that nothing is sorted in one go. It must not decide what may go.
"""

from collections import deque
from collections.abc import Iterable

from node.statemachine.untracked import untracked
from node.statemachine.writes import KeyValue

REVISIONS_PER_BLOCK = 512
"""Revisions that are put in order in one go."""

_Slot = KeyValue | list[KeyValue] | None


class Superseding:
    """Superseding versions by revision. Of one revision there is no order: they are of different keys, or in the order
    in which they were written."""

    def __init__(self) -> None:
        self._written: deque[KeyValue] = untracked(deque())
        self._loaded: dict[int, list[_Slot]] = {}
        self._order: list[int] = []
        self._reached: list[_Slot] = []

    def __bool__(self) -> bool:
        return bool(self._written or self._loaded or self._reached)

    def add(self, kvs: Iterable[KeyValue]) -> None:
        """They were just written."""
        self._written.extend(kvs)

    def load(self, kv: KeyValue) -> None:
        """`kv` was written some time before anything is added here."""
        number, position = divmod(kv.mod_revision, REVISIONS_PER_BLOCK)
        block = self._loaded.get(number)
        if block is None:
            block = self._loaded[number] = untracked([None] * REVISIONS_PER_BLOCK)
            untracked(self._loaded)
        others = block[position]
        if others is None:
            block[position] = kv
        elif isinstance(others, list):
            others.append(kv)
        else:
            block[position] = untracked([others, kv])

    def pop(self, revision: int) -> KeyValue | None:
        """Take out the next one, if it was written at `revision` or before it."""
        if self._loaded or self._reached:
            return self._pop_loaded(revision)
        if self._written and self._written[0].mod_revision <= revision:
            return self._written.popleft()
        return None

    def _pop_loaded(self, revision: int) -> KeyValue | None:
        if not self._reached:
            self._order = self._order or sorted(self._loaded, reverse=True)
            if self._order[-1] * REVISIONS_PER_BLOCK > revision:
                return None
            slots = reversed(self._loaded.pop(self._order.pop()))
            self._reached = untracked([slot for slot in slots if slot is not None])
        slot = self._reached[-1]
        kv = slot[-1] if isinstance(slot, list) else slot
        if kv is None or kv.mod_revision > revision:
            return None
        if isinstance(slot, list) and len(slot) > 1:
            slot.pop()
        else:
            self._reached.pop()
        return kv
