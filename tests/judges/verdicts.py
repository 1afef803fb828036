"""What an API server listed beside what its store holds, and what its log may say: pure functions.

Why it exists: these decide whether a judge was content, so they are tested themselves (test_judging.py).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

INTERNAL = (
    "/registry/ranges/",  # bitmaps of addresses and ports that were given away
    "/registry/masterleases/",
    "/registry/peerserverleases/",
)
"""Keys that the API server keeps for itself: no resource shows them."""


@dataclass(frozen=True)
class Stored:
    """One key of the store."""

    key: str
    revision: int
    value: bytes


@dataclass(frozen=True)
class Listed:
    """One object as the API showed it."""

    resource: str
    namespace: str
    name: str
    revision: int

    def is_at(self, key: str) -> bool:
        """Whether that key may be this object's. What stands before the last names differs, for historic reasons."""
        return key.endswith(f"/{self.namespace}/{self.name}" if self.namespace else f"/{self.name}")


@dataclass(frozen=True)
class Span:
    """What the store held just before a list was asked for, and just after, as of `revision`."""

    before: dict[str, Stored]
    after: dict[str, Stored]
    revision: int

    def resting(self) -> dict[int, Stored]:
        """By revision, which names one key: those that nobody wrote meanwhile."""
        return {held.revision: held for key, held in self.before.items() if self.after.get(key) == held}

    def moving(self) -> dict[str, range]:
        """By key, for those that somebody wrote: the revisions that a list may have shown of it."""
        keys = {key for key in self.before.keys() | self.after.keys() if self.before.get(key) != self.after.get(key)}
        first = min((held.revision for held in self.before.values()), default=0)
        return {
            key: range(self.before[key].revision if key in self.before else first, self.revision + 1) for key in keys
        }


def unlike(span: Span, listed: Iterable[Listed]) -> list[str]:
    """Every difference, as a sentence. What was written meanwhile may be shown as before, as after or as in between."""
    resting, moving = span.resting(), span.moving()
    wrong = []
    seen = set()
    for shown in listed:
        held = resting.get(shown.revision)
        if held is not None and shown.is_at(held.key):
            seen.add(held.key)
        elif held is not None:
            wrong.append(f"{shown} was listed: that revision is of {held.key}")
        elif fitting := [key for key, may in moving.items() if shown.is_at(key) and shown.revision in may]:
            seen.update(fitting)
        else:
            wrong.append(f"{shown} was listed: no key has that revision")
    for key in span.before.keys() & span.after.keys() - seen:
        if not key.startswith(INTERNAL):
            wrong.append(f"{key} of revision {span.after[key].revision} was not listed")
    return wrong


@dataclass(frozen=True)
class Window:
    """A time in which a node was away, or had just come back: seconds since 1970."""

    begin: float
    end: float


@dataclass(frozen=True)
class Line:
    """A line of the log at level W, E or F."""

    at: float
    level: str
    text: str


_KLOG = re.compile(r"^([IWEF])(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{6}) +\d+ (.*)$")


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_STORAGE = _any_of(
    *("etcd", "grpc", "rpc error", r"storage(?!\.k8s)", "cacher", "reflector", "watch", "compact", "interceptor"),
    *(r"logging\.go", "context deadline", "timeout"),
)
_OF_ITS_OWN_DOING = _any_of(
    r"createTransport failed.*(operation was canceled|use of closed network connection)",
    r"watcher\.go:\d+\] failed to sync with latest state: context canceled$",
)
"""A channel of its client that was closed while it dialled: so it says at every start, whatever store it has. And
whoever asked for a watch and left before its first list was read: the context is that client's."""

_OF_A_LOST_NODE = _any_of(
    *("code = Unavailable", "code = Canceled", "code = DeadlineExceeded", "connection refused", "connection reset"),
    *("error reading from server", "createTransport failed", "broken pipe", "EOF", "transport is closing"),
    *("leader changed", "no leader", "timeout", "timed out", "context deadline exceeded", "context canceled"),
)
_NEVER = _any_of(
    *("panic", "Unimplemented", "code = Internal", "code = Unknown", "code = DataLoss", "future revision"),
    *("decode", "unmarshal", "corrupt", "GoAway with error"),
)


def lines(log: str, year: int) -> list[Line]:
    """Of klog in UTC: warnings and worse."""
    found = []
    for text in log.splitlines():
        match = _KLOG.match(text)
        if match and match[1] != "I":
            month, day, hour, minute, second, micros = map(int, match.groups()[1:7])
            at = datetime(year, month, day, hour, minute, second, micros, tzinfo=UTC).timestamp()
            found.append(Line(at, match[1], text))
    return found


def storage_errors(found: Sequence[Line], windows: Sequence[Window]) -> list[str]:
    """The lines that nothing excuses.

    Of its store a log may speak at level W or worse only within a window, and only of a node that cannot be reached, of
    requests that were under way to it, or of time that ran out. What says that an answer was wrong is never excused.
    """
    wrong = []
    for line in found:
        if not any(one.search(line.text) for one in (_STORAGE, _NEVER)) and line.level != "F":
            continue
        if _OF_ITS_OWN_DOING.search(line.text):
            continue
        meanwhile = any(window.begin <= line.at <= window.end for window in windows)
        if line.level == "F" or _NEVER.search(line.text) or not (meanwhile and _OF_A_LOST_NODE.search(line.text)):
            wrong.append(line.text)
    return wrong
