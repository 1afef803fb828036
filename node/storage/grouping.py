"""How writes that wait together become frames: one, unless they do not fit into it.

Why it exists: what a crash may leave of a group that takes several frames is decided here, and nothing else is. It must
not know files.
"""

from collections.abc import Sequence

import msgspec

from node.raft.effects import Persist
from node.raft.types import Base, Entry, HardState
from node.storage.frames import ENTRY_FRAME_BYTES_MAX, FRAME_PAYLOAD_BYTES_MAX, FrameBody

FRAME_BYTES = FRAME_PAYLOAD_BYTES_MAX - 256 * 1024
"""What goes into one frame at most, as `payload_bytes` counts; the rest is room for the fixed part and stuffing."""


class Group(msgspec.Struct):
    """What several Persists come to when they are written as one."""

    hard_state: HardState | None
    truncate_from: int | None
    entries: list[Entry]
    cluster_id: str | None
    """Set where the group gives birth, or a base that does."""
    base: Base | None = None


def payload_bytes(entry: Entry) -> int:
    """What an entry takes in a frame, at most."""
    return ENTRY_FRAME_BYTES_MAX + len(entry.data)


def merge(writes: Sequence[Persist]) -> Group:
    """The one write that leaves the log as `writes` in their order would."""
    group = Group(None, None, [], None)
    for write in writes:
        if write.base is not None:
            group.base, group.truncate_from, group.entries = write.base, None, []
        start = write.truncate_from
        if start is not None:
            if group.entries and start > group.entries[0].index:
                del group.entries[start - group.entries[0].index :]
            else:
                group.entries = []
                group.truncate_from = start  # never above an earlier one: the log ended there
        group.entries.extend(write.entries)
        group.hard_state = write.hard_state or group.hard_state
        group.cluster_id = write.cluster_id or group.cluster_id
    return group


def split(group: Group, durable: HardState, frame_bytes: int = FRAME_BYTES) -> list[FrameBody]:
    """The frames of a group, each within `frame_bytes`; almost always one.

    A crash may come between two of them, so the first carries term and vote (never an entry of a term that the node
    does not know), and only the last the commit index (never beyond the entries).
    """
    parts: list[list[Entry]] = [[]]
    room = frame_bytes
    for entry in group.entries:
        cost = payload_bytes(entry)
        if cost > room and parts[-1]:
            parts.append([])
            room = frame_bytes
        parts[-1].append(entry)
        room -= cost
    state = group.hard_state
    if len(parts) == 1 or state is None:
        states: list[HardState | None] = [state] + [None] * (len(parts) - 1)
    else:
        early = HardState(state.term, state.vote, min(state.commit, durable.commit))
        states = [early] + [None] * (len(parts) - 2) + [state]
    bodies = [FrameBody(state, None, part) for state, part in zip(states, parts, strict=True)]
    bodies[0] = FrameBody(states[0], group.truncate_from, parts[0], group.base)
    return bodies
