"""What an operator does when a majority of the disks is lost for good, step by step as docs/operations.md says it.

Why it exists: the rules of `raft-node members force-new` run here on simulated disks. It must not decide by itself who
goes on: the product does (node/survivors.py).
"""

from collections.abc import Mapping
from typing import NamedTuple

from node import survivors
from node.raft.types import SnapshotInfo
from node.simulation.storage import FragileDisk
from node.storage import opening
from node.storage.errors import StorageError
from node.survivors import CannotGoOn, Survivor

INDEX_GAP = 1_000
"""More entries than a world has, as the product's is more than a cluster loses."""


class Made(NamedTuple):
    """What a member of the new cluster begins with."""

    disk: FragileDisk
    info: SnapshotInfo
    digest: str


def read(disk: FragileDisk) -> Survivor | StorageError:
    """Step 3 on one machine, whose node is stopped; why it cannot be read."""
    opening.lock(disk)
    try:
        return survivors.read_survivor(disk)
    except StorageError as error:
        return error
    finally:
        disk.unlock()


def who_goes_on(found: Mapping[str, Survivor]) -> list[str]:
    """Step 4: each is asked with the positions of all; who cannot go on is left out, or waits to be let in."""
    positions = {name: survivor.position for name, survivor in found.items()}
    while True:
        best: list[str] = []
        left_out = ""
        for name in positions:
            try:
                best = survivors.going_on(found[name], positions)
            except CannotGoOn as why:
                left_out = name if why.leave_out else left_out
        if not left_out:
            return best
        del positions[left_out]


def make(survivor: Survivor, disk: FragileDisk, names: list[str], chance: str) -> Made:
    """Step 5: the new files, on a disk of their own; the old ones are not touched."""
    new = FragileDisk(survivor.member.name)
    info, store = survivors.make_anew(new, disk, survivor, names, chance, INDEX_GAP)
    return Made(new, info, store.digest())
