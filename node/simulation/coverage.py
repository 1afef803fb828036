"""What a batch of worlds must have seen, or it proves nothing about it: one table.

Why it exists: chance, a fault that strikes no more, or a default that changed may quietly keep a case from ever
happening. What nothing counted is *not covered*, and the batch fails.
"""

from collections.abc import Mapping, Sequence

WORLDS_MIN = 60
"""Half of them worlds in which members change: fewer need not have seen everything."""

COVERAGE = (
    "split votes",
    "conflicts: entries removed",
    "leaders without a quorum stepped down",
    "silent disks noticed",
    "ends of leaders seen",
    "ends of leaders seen wrongly",
    "hand-overs done",
    "hand-overs failed",
    "snapshots taken",
    "snapshots sent",
    "snapshots given up on their way",
    "snapshots installed under load",
    "starts with an empty disk",
    "starts with a log alone",
    "starts with a snapshot and a log",
    "starts with a part of a snapshot",
    "starts with a torn frame",
    "damaged logs refused",
    "frames with a flipped bit",
    "orders refused",
    "leaders elected in the middle of a change of members",
    "leaders that removed themselves",
    "changes of members committed",
    "changes of members rolled back",
    "lost disks that came back as voters",
    "removed members told so when they came back",
    "worlds that let nodes in by themselves",
)
"""As they are counted, see happenings.py and playing.py."""


def not_covered(outcomes: Mapping[str, int]) -> Sequence[str]:
    """What such a batch should have seen and did not."""
    return [name for name in COVERAGE if not outcomes.get(name)]
