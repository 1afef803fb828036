"""The store with tiny blocks, runs and pieces, so that five keys are already split in every way.

Why it exists: what takes slices only from 512 keys on would else be tried by no random test.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from node.statemachine import (
    decoding,
    ordered,
    packed,
    ranges,
    restoring,
    snapshotting,
    sorting,
    superseded,
    superseding,
    work,
)


@contextmanager
def small_pieces() -> Iterator[None]:
    """While it lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "KEYS_SEEN_PER_UNIT", 1)
        patch.setattr(ordered, "BLOCK_KEYS_MAX", 4)
        patch.setattr(ordered, "BLOCK_KEYS_MIN", 2)
        patch.setattr(packed, "BLOCK_BYTES", 128)
        patch.setattr(packed, "COPIED_BYTES_MAX", 16)
        patch.setattr(superseded, "PIECE_VERSIONS_MAX", 2)
        patch.setattr(sorting, "RUN_KEYS_MAX", 2)
        patch.setattr(sorting, "MERGED_RUNS_MAX", 2)
        patch.setattr(ranges, "SEEN_KEYS_MIN", 1)
        patch.setattr(ranges, "STRIPPED_KEYS_MAX", 2)
        patch.setattr(ranges, "COUNT_UNITS", 1)
        patch.setattr(decoding, "DECODE_BYTES_AT_ONCE", 20)
        patch.setattr(snapshotting, "CHUNK_BYTES", 80)
        patch.setattr(snapshotting, "HISTORY_AT_ONCE", 2)
        patch.setattr(restoring, "LOADED_AT_ONCE", 2)
        patch.setattr(superseding, "REVISIONS_PER_BLOCK", 2)
        yield
