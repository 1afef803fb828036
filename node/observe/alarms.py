"""What is wrong with a node so that somebody must act, by names that programs can hold on to.

Why it exists: `/status`, the page, the command and the metrics must name the same things at the same moment; here is
the one table. Where etcd has an alarm, its name is etcd's. Nobody sets or clears an alarm: each is true while its
condition is. It must not know how anything is measured. (What Prometheus shall wake people for: docs/operations.md.)
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from node.observe.headline import FULL_BYTES, STORE_IS_FULL
from node.observe.health import READY_DISK_SILENT_US_MAX
from node.raft.status import CoreStatus


class Holding(Protocol):
    """What alarms read of `node.runtime.ports.StoreSummary`."""

    @property
    def size_bytes(self) -> int: ...
    @property
    def quota_bytes(self) -> int: ...


class Seen(Protocol):
    """What alarms read of `node.runtime.ports.Status`."""

    @property
    def core(self) -> CoreStatus: ...
    @property
    def store(self) -> Holding | None: ...


class Alarm(NamedTuple):
    """`message`: one sentence for people, with the cure."""

    name: str
    message: str
    rings: Callable[[Seen], bool]


def _store_is_full(seen: Seen) -> bool:
    """As the API judges it, which refuses the writes."""
    store = seen.store
    return store is not None and 0 < store.quota_bytes <= store.size_bytes


def _log_is_full(seen: Seen) -> bool:
    core = seen.core
    return 0 < core.log_limit_bytes < core.log_bytes + FULL_BYTES


def _vote_is_lost(seen: Seen) -> bool:
    return seen.core.vote_lost


def _disk_is_silent(seen: Seen) -> bool:
    return (seen.core.disk_silent_us or 0) > READY_DISK_SILENT_US_MAX


ALARMS = (
    Alarm(
        STORE_IS_FULL,
        "the store holds its quota (quota_bytes), so puts are refused: delete keys and compact, or raise the quota",
        _store_is_full,
    ),
    Alarm(
        "LOG_FULL",
        "the log holds its limit (max_log_bytes), so writes are refused until a snapshot lets go of its beginning",
        _log_is_full,
    ),
    Alarm(
        "DISK_SILENT",
        "the disk has not answered a write for more than three seconds: see what else uses it, or replace it",
        _disk_is_silent,
    ),
    Alarm(
        "VOTE_LOST",
        "this is another disk than this name had, so it has no vote: where auto_members names it, they let it in; "
        "else raft-node members replace, and promote, while a majority of them answers",
        _vote_is_lost,
    ),
)


def alarms_of(seen: Seen) -> list[Alarm]:
    """Those that are true now."""
    return [alarm for alarm in ALARMS if alarm.rings(seen)]
