"""What a line of each file of a run is, and what stands in `evidence.json`.

Why it exists: the same lines are appended while a run goes on and written anew when that broke off. It must not touch
a disk.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from chaos.evidence.record import VERSION
from chaos.model import Event, Lost, Pause
from chaos.workload.history import PastRead

_EVENT_KEYS = ("seq", "time_us", "node", "kind", "term", "role", "detail")


class Rest(msgspec.Struct, kw_only=True):
    """`evidence.json`. A log line is (index, term, checksum); `event_at_us`, `event_boot` and `event_off_us` have one
    each for every line of the trace. `history_lines`, `views_lines`: of those files; None: of an older tool."""

    format: Literal["raft-chaos evidence"] = "raft-chaos evidence"
    version: int = VERSION
    logs: dict[str, tuple[tuple[int, int, str], ...]] = {}
    final: dict[str, int] = {}
    final_versions: dict[str, int] = {}
    past: dict[str, tuple[PastRead, ...]] = {}
    event_at_us: tuple[int, ...] = ()
    event_boot: tuple[str, ...] = ()
    event_off_us: tuple[int, ...] = ()
    lost: tuple[Lost, ...] = ()
    views_dropped: int = 0
    pauses: tuple[Pause, ...] = ()
    history_lines: int | None = None
    views_lines: int | None = None


class RestLine(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A line of `rest.ndjson`. `event`: of a line of the trace (the first is 0), which process told it, and when it
    was there. `lost`, `pause`: with their place in the list of all. The last line for a place counts. `dropped`: of the
    views."""

    event: tuple[int, str, int] | None = None
    lost: tuple[int, Lost] | None = None
    pause: tuple[int, Pause] | None = None
    dropped: int = 0


def encoded(values: Iterable[Any]) -> Iterator[bytes]:
    """A line for each."""
    encode = msgspec.json.Encoder().encode
    return (encode(value) + b"\n" for value in values)


def of_events(events: Iterable[Event]) -> Iterator[bytes]:
    """As the nodes sent them: without what we know of them besides."""
    return encoded({key: getattr(event, key) for key in _EVENT_KEYS} for event in events)
