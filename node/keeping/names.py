"""Names of kept backups, and which of them go when there are too many.

Why it exists: what is removed is decided here, of names alone, so that it can be read and tested without any storage. A
name tells cluster, time and entry, so they sort by age. It must not touch a place, and what it did not name is not its
own: it is neither counted nor removed.
"""

import re
from collections.abc import Iterable

_NAME = re.compile(r"raft-([0-9a-f]{8})-([0-9]{8}T[0-9]{6}Z)-([0-9]{1,20})\.snap")
CLUSTER_CHARS = 8
"""Of the cluster's id, in a name."""


def name_of(cluster_id: str, time: str, index: int) -> str:
    """`time`: UTC, as 20261129T031500Z. Ids of clusters are hexadecimal."""
    return f"raft-{cluster_id[:CLUSTER_CHARS]}-{time}-{index}.snap"


def is_backup(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def too_many(names: Iterable[str], newest: str, keep: int) -> list[str]:
    """Those of the cluster of `newest` that are older than the `keep` newest, oldest first. The log says which is older
    for clocks are set back. Backups of another cluster stay: a cluster that begins empty, or is restored from the wrong
    file, must not push out what would be needed."""
    found = _NAME.fullmatch(newest)
    if found is None:
        return []
    same = (match for match in map(_NAME.fullmatch, names) if match is not None and match[1] == found[1])
    ordered = sorted(((int(match[3]), match[2], match[0]) for match in same), reverse=True)
    return [name for _, _, name in reversed(ordered[keep:]) if name != newest]
