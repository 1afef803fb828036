"""What a snapshot says of the history by revision beside the versions themselves, written and read back.

Why it exists: a restored store must show watchers what the one before showed. Most of it follows from the versions:
each stands at its revision, and the keys of one revision are in their order. What does not: another order, and a delete
at the very revision that was compacted, of which no version is left. It must not know how chunks travel.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from node.statemachine.sections import CHUNK_BYTES, CHUNK_ROWS_MAX, ChangedKeys, ChangesSection
from node.statemachine.versions import Versions
from node.statemachine.work import KEYS_SEEN_PER_UNIT, Meter, Slices

KEY_BYTES_BESIDE = 3
"""What a key takes in a chunk beside itself, about."""

KEYS_PER_PIECE = 512
"""Keys that are looked at in one go."""


def telling(
    versions: Versions, compacted: int, last: int, meter: Meter, end: Callable[[ChangesSection], None]
) -> Slices[None]:
    """Give `end` the sections, from first to last: of the revisions from `compacted` to `last`."""
    rows: list[ChangedKeys] = []
    filled_bytes = 0
    for revision in _candidates(versions, compacted, last):
        keys = list(dict.fromkeys(versions.changes.changed(revision)))
        meter.left -= len(keys) // KEYS_SEEN_PER_UNIT
        if not (yield from _needs_telling(versions, revision, keys, compacted, meter)):
            continue
        row: list[bytes] = []
        for key in keys:
            if filled_bytes >= CHUNK_BYTES or len(rows) == CHUNK_ROWS_MAX:
                end(ChangesSection([*rows, ChangedKeys(revision, row)] if row else rows))
                rows, row, filled_bytes = [], [], 0
            row.append(key)
            filled_bytes += len(key) + KEY_BYTES_BESIDE
            meter.left -= 1
            if meter.left <= 0:
                yield
        rows.append(ChangedKeys(revision, row))
    if rows:
        end(ChangesSection(rows))


def _candidates(versions: Versions, compacted: int, last: int) -> Iterator[int]:
    """`compacted` itself, and what changed keys in another order than theirs; later writes do not change it."""
    if compacted >= 0:
        yield compacted
    yield from versions.changes.unordered(max(0, compacted), last)


def _needs_telling(
    versions: Versions, revision: int, keys: Sequence[bytes], compacted: int, meter: Meter
) -> Slices[bool]:
    for start in range(0, len(keys), KEYS_PER_PIECE):
        piece = keys[start : start + KEYS_PER_PIECE + 1]
        if any(key > following for key, following in pairwise(piece)):
            return True
        if revision == compacted and any(versions.at(key, revision) is None for key in piece):
            return True
        meter.left -= len(piece)
        if meter.left <= 0:
            yield
    return False


class ChangesLoading:
    """Takes the sections in order, once all versions are loaded. Raises `ValueError` for what cannot be."""

    def __init__(self, versions: Versions, meter: Meter) -> None:
        self.begun = False
        self._versions = versions
        self._meter = meter
        self._revision = -1
        self._keys: list[bytes] = []
        self._expected: dict[bytes, None] = {}

    def load(self, section: ChangesSection) -> Slices[None]:
        """The next one."""
        self.begun = True
        versions = self._versions
        for row in section.changes:
            if row.revision != self._revision:
                self.end()
                if not max(self._revision + 1, versions.compacted, 0) <= row.revision <= versions.last:
                    raise ValueError(f"the changes of revision {row.revision} stand in the snapshot where they cannot")
                self._revision = row.revision
                self._expected = dict.fromkeys(versions.changes.changed(row.revision))
                self._meter.left -= len(self._expected) // KEYS_SEEN_PER_UNIT
            for key in row.keys:
                self._take(key)
                self._meter.left -= 1
                if self._meter.left <= 0:
                    yield

    def _take(self, key: bytes) -> None:
        revision = self._revision
        if key in self._expected:
            del self._expected[key]
        elif revision != self._versions.compacted or not key or self._versions.at(key, revision) is not None:
            raise ValueError(f"revision {revision} did not change the key {key[:40]!r}, as the snapshot says")
        self._keys.append(key)

    def end(self) -> None:
        """All of the revision that came last was loaded."""
        if self._expected:
            raise ValueError(f"of the changes of revision {self._revision} the snapshot tells a part alone")
        if self._keys:
            self._versions.changes.replace(self._revision, self._keys)
            self._keys = []
