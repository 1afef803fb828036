"""What a batch of worlds must have seen, or it proves nothing about it: one table.

Why it exists: chance, a fault that strikes no more, or a default that changed may quietly keep a case from ever
happening. A row that nothing counted is *not covered*, and the batch fails.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

WORLDS_MIN = 30
"""Of each kind: fewer need not have seen everything."""


class Row(NamedTuple):
    """`name`: as it is counted. `kinds`: of worlds that can see it."""

    name: str
    kinds: tuple[str, ...] = ("world", "members")


COVERAGE: tuple[Row, ...] = (
    Row("split votes"),
    Row("conflicts: entries removed"),
    Row("leaders without a quorum stepped down"),
    Row("silent disks noticed"),
    Row("ends of leaders seen"),
    Row("ends of leaders seen wrongly"),
    Row("hand-overs done"),
    Row("hand-overs failed"),
    Row("snapshots taken"),
    Row("snapshots sent"),
    Row("snapshots given up on their way"),
    Row("snapshots installed under load"),
    Row("starts with an empty disk"),
    Row("starts with a log alone"),
    Row("starts with a snapshot and a log"),
    Row("starts with a part of a snapshot"),
    Row("starts with a torn frame"),
    Row("damaged logs refused"),
    Row("frames with a flipped bit"),
    Row("orders refused"),
    Row("leaders elected in the middle of a change of members", ("members",)),
    Row("leaders that removed themselves", ("members",)),
    Row("changes of members committed", ("members",)),
    Row("changes of members rolled back", ("members",)),
    Row("lost disks that came back as voters", ("members",)),
    Row("worlds that let nodes in by themselves", ("members",)),
)


def not_covered(kind: str, outcomes: Mapping[str, int]) -> Sequence[str]:
    """Names of what worlds of that kind should have seen and did not."""
    return [row.name for row in COVERAGE if kind in row.kinds and not outcomes.get(row.name)]
