"""Whether the log and the newest snapshot belong together, and what is left of the log if they do.

Why it exists: each of them is whole by itself, and between them entries may still be missing, or be others. A start
must not serve a state that never was. This module only judges.

- The log begins with the birth or after an entry that the snapshot holds; otherwise entries are missing: refused.
- The log holds the snapshot's last entry, or follows it: it goes on.
- The log ends before that entry, or holds another one there: a crash came after the snapshot of another node was whole
  and before the log began anew. The log is discarded, as section 7 says. Not if that entry is committed: then two
  histories exist, and one is wrong: refused.
"""

import msgspec

from node.raft.types import HardState, SnapshotInfo
from node.storage.errors import StorageError, damaged
from node.storage.files import FilePort
from node.storage.recovery import Recovered
from node.storage.scanning import segment_name
from node.storage.snapshot_files import SnapshotsFound, snapshot_name


def join(files: FilePort, log: Recovered, first: int, found: SnapshotsFound) -> Recovered:
    """What a start begins with: the log whose first segment is `first`, or nothing of it but the hard state, after the
    newest snapshot. Raises `StorageError`. Where the base of the result is another than the log's, it is to be
    written."""
    latest = found.latest
    log = msgspec.structs.replace(log, partial=found.partial)
    if latest is None:
        if log.base.index > 0:
            what = f"the log begins at entry {log.base.index + 1}, and there is no snapshot of what came before"
            raise damaged(f"{files.folder}/{segment_name(first)}", 0, what)
        return log
    index = latest.base.index
    if log.cluster_id and index < log.base.index:
        what = f"the log begins at entry {log.base.index + 1}, and the newest snapshot ends at entry {index}"
        raise damaged(f"{files.folder}/{segment_name(first)}", 0, what)
    term, committed = _term_at(log, index), index <= max(log.hard_state.commit, log.base.index)
    log = msgspec.structs.replace(log, snapshot=latest, hard_state=_agreeing(log.hard_state, latest))
    if log.cluster_id and term == latest.base.term:
        return log
    if term is not None and committed:
        what = f"entry {index} is of term {latest.base.term} in the snapshot, and of term {term} in the log"
        raise damaged(f"{files.folder}/{snapshot_name(index)}", 0, what)
    return msgspec.structs.replace(log, base=latest.base, entries=())


def missing(files: FilePort, found: SnapshotsFound) -> StorageError:
    """Snapshots without a log: what this node has promised, its term and its vote, is gone."""
    assert found.latest is not None
    path = f"{files.folder}/{snapshot_name(found.latest.base.index)}"
    return damaged(path, 0, "there is a snapshot, but no log beside it")


def _term_at(log: Recovered, index: int) -> int | None:
    position = index - log.base.index - 1
    if 0 <= position < len(log.entries):
        return log.entries[position].term
    return log.base.term if position == -1 else None


def _agreeing(state: HardState, latest: SnapshotInfo) -> HardState:
    """All that a snapshot holds is committed, and its term was seen, whether or not the log had said so yet."""
    term, base = max(state.term, latest.base.term), latest.base
    return HardState(term, state.vote if term == state.term else "", max(state.commit, base.index))
