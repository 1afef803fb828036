"""What a start begins with: the log as it was read back, if all of it may be used, and what is needed to go on with it.

Why it exists: a log that opens after damage with a part of what was acknowledged is worse than one that does not open.
What is damage is `scanning.py`'s to say. This module only reads; cutting off and tidying up is `opening.py`'s, once all
of it has passed.
"""

import msgspec

from node import cures
from node.raft.types import Base, Entry, HardState, SnapshotInfo
from node.storage.errors import StorageError
from node.storage.files import FilePort
from node.storage.replay import Replay
from node.storage.scanning import SegmentScan, scan, segment_numbers, without_leftovers
from node.storage.snapshot_files import Partial
from node.storage.starts import Starts


class Recovered(msgspec.Struct, frozen=True):
    """What a start begins with. `entries` follow `base` without a gap; both are empty where the node was not born.

    `snapshot` is the state that the log follows: its last entry lies in the log or right before it; None where the log
    holds everything. `partial`: another one that was being received. `torn_files`: names of the files that keep what
    was cut off.
    """

    name: str
    incarnation: str
    hard_state: HardState
    base: Base
    entries: tuple[Entry, ...]
    torn_files: tuple[str, ...] = ()
    snapshot: SnapshotInfo | None = None
    partial: Partial | None = None

    @property
    def cluster_id(self) -> str:
        """Empty where the node was not born."""
        return self.base.cluster_id


class Survey(msgspec.Struct):
    """A log that may be opened: its contents, where writing goes on, and the last two segments, for tidying up."""

    recovered: Recovered
    last: SegmentScan
    before_last: SegmentScan | None
    sequence: int
    chain: int
    starts: Starts
    first: int
    leftovers: list[int]


def survey(files: FilePort, name: str) -> Survey | None:
    """Read the whole log of the node `name`; None where there is none. Raises `StorageError`; changes nothing."""
    replay, starts, last, before_last = Replay(), Starts(), None, None
    sequence, chain = 1, 0
    for result in scan(files, replay, starts):
        if result.damage is not None:
            raise result.damage
        if result.header.name != name:
            raise StorageError(
                f"{result.file}, byte 0: this log belongs to node {result.header.name}, not to {name}: "
                f"{cures.OWN_FOLDER}",
                file=result.file,
                offset=0,
            )
        if result.frames:
            sequence, chain = result.frames[-1].sequence + 1, result.frames[-1].chain
        if last is not None:
            last.frames = []  # replayed; a long log must not be held twice
        last, before_last = result, last
    if last is None:
        return None
    head = last.header
    recovered = Recovered(head.name, head.incarnation, replay.hard_state, replay.base, tuple(replay.entries))
    leftovers, numbers = without_leftovers(segment_numbers(files))
    return Survey(recovered, last, before_last, sequence, chain, starts, numbers[0], leftovers)
