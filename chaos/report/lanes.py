"""What every node was, and who led, as stretches of time: from samples of `/status` and from the nodes' own events.

Why it exists: a sample says what was true when it was taken, an event when it changed; neither alone draws a lane.
Where both speak of the same instant the event counts, because it is not late. It must not judge: two leaders of one
term are drawn as two.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, zip_longest
from statistics import median

import msgspec

from chaos.model import Event, FaultSpan, View

SILENT_US_MIN = 700_000
"""A node that was not heard of for longer (and for five of its usual pauses) did not answer."""
OFF_US_MAX = 100_000
"""Of an event that is less sure than this, samples say more."""
BLINK_US = 500
"""A node tells of a new term and of its role in it one after the other: what it was in between, it never was."""
SEGMENTS_MAX = 300
"""Of one lane; when there are more, the shortest are joined to what was before them."""


class Segment(msgspec.Struct, frozen=True):
    """`role` empty: it did not answer. In the leader's lane `role` is the leader's name, empty: nobody led."""

    from_us: int
    to_us: int
    role: str
    term: int


class _Point(msgspec.Struct, frozen=True, order=True):
    at_us: int
    role: str
    term: int


def tracks(
    nodes: Sequence[str],
    views: Iterable[View],
    events: Iterable[Event],
    uncertainty_us: Mapping[str, int | None],
    faults: Sequence[FaultSpan],
    ended_us: int,
) -> dict[str, tuple[Segment, ...]]:
    """By node, what it was from the beginning of the run to its end, without holes. A node that was killed (`faults`
    of one node) was what it was until then, not only until it was last asked."""
    sampled: dict[str, list[View]] = {node: [] for node in nodes}
    told: dict[str, list[_Point]] = {node: [] for node in nodes}
    for view in views:
        if view.name in sampled:
            sampled[view.name].append(view)
    for event in events:
        point = _point_of(event)
        if point is not None and event.node in told and event.off_us <= OFF_US_MAX:
            told[event.node].append(point)
    kills = {node: [f.injected_us for f in faults if f.effect == "killed" and f.nodes == (node,)] for node in nodes}
    return {
        node: _track(
            sampled[node],
            sorted(told[node]),
            uncertainty_us.get(node) or 0,
            [at for at in kills[node] if at is not None],
            ended_us,
        )
        for node in nodes
    }


def leaders(lanes: Mapping[str, Sequence[Segment]], ended_us: int) -> tuple[Segment, ...]:
    """Who led: where two nodes take themselves for the leader, the one of the higher term."""
    leads = [(s, node) for node, segments in lanes.items() for s in segments if s.role == "leader"]
    edges = sorted({0, ended_us, *(s.from_us for s, _ in leads), *(s.to_us for s, _ in leads)})
    found = []
    for begin, end in pairwise(edges):
        over = [(s.term, node) for s, node in leads if s.from_us <= begin < s.to_us]
        term, node = max(over, default=(0, ""))
        found.append(Segment(begin, end, node, term))
    return _joined(found)


def _track(
    views: Sequence[View], told: Sequence[_Point], off_us: int, kills: Sequence[int], ended_us: int
) -> tuple[Segment, ...]:
    points = sorted([*told, *_not_contradicted(views, told, off_us)])
    pauses = [b.answered_us - a.answered_us for a, b in pairwise(views)]
    silent_us = max(SILENT_US_MIN, 5 * int(median(pauses)) if pauses else 0)
    found: list[Segment] = []
    first = points[0] if points and 0 <= points[0].at_us <= silent_us and told[:1] != points[:1] else None
    role, term, seen_us = (first.role, first.term, 0) if first else ("", 0, 0)  # so it was when it was first asked
    for point, after in zip_longest(points, points[1:]):
        if after is not None and after.at_us - point.at_us < BLINK_US:
            continue
        at_us = min(max(point.at_us, 0), ended_us)
        if at_us - seen_us > silent_us:
            died_us = next((kill for kill in kills if seen_us < kill < at_us), seen_us)
            found += [Segment(seen_us, died_us, role, term), Segment(died_us, at_us, "", term)]
        else:
            found.append(Segment(seen_us, at_us, role, term))
        role, term, seen_us = point.role, point.term, at_us
    found.append(Segment(seen_us, ended_us, role if ended_us - seen_us <= silent_us else "", term))
    return _bounded(_joined(found))


def _not_contradicted(views: Sequence[View], told: Sequence[_Point], off_us: int) -> list[_Point]:
    """Samples, without those during which the node itself told of a change. A node tells of a new term at once, and
    shows it only when its disk has it: a sample of the older term in between is late, if the new one is seen later."""
    found: list[_Point] = []
    late: list[_Point] = []
    next_told, last = 0, _Point(0, "", 0)
    for view in views:
        while next_told < len(told) and told[next_told].at_us < view.asked_us - off_us:
            found += late if told[next_told].term < last.term else _as_told(late, last)
            late, last = [], told[next_told]
            next_told += 1
        if next_told < len(told) and told[next_told].at_us <= view.answered_us + off_us:
            continue
        point = _Point(view.answered_us, view.role, view.term)
        if view.term < last.term:
            late.append(point)
            continue
        found += [*_as_told(late, last), point]
        late = []
    return found + late


def _as_told(late: Iterable[_Point], told: _Point) -> list[_Point]:
    return [_Point(point.at_us, told.role, told.term) for point in late]


def _point_of(event: Event) -> _Point | None:
    """What the node was after this event; None: it says nothing of that."""
    to = event.detail.get("to")
    if event.kind == "role":
        return _Point(event.at_us, str(to), event.term)
    if event.kind == "term" and isinstance(to, int):
        return _Point(event.at_us, event.role, to)
    return _Point(event.at_us, event.role, event.term) if event.kind == "started" else None


def _joined(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Neighbours that say the same are one, and empty ones none."""
    found: list[Segment] = []
    for segment in segments:
        if segment.to_us <= segment.from_us:
            continue
        last = found[-1] if found else None
        if last and (last.role, last.term if last.role else 0) == (segment.role, segment.term if segment.role else 0):
            found[-1] = Segment(last.from_us, segment.to_us, last.role, last.term)
        else:
            found.append(segment)
    return tuple(found)


def _bounded(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """At most SEGMENTS_MAX, by giving the time of the shortest to what was before them."""
    if len(segments) <= SEGMENTS_MAX:
        return segments
    shortest = sorted(range(1, len(segments)), key=lambda n: segments[n].to_us - segments[n].from_us)
    gone = set(shortest[: len(segments) - SEGMENTS_MAX])
    kept = [segment for n, segment in enumerate(segments) if n not in gone]
    ends = [segment.from_us for segment in kept[1:]] + [segments[-1].to_us]
    return _joined(Segment(s.from_us, end, s.role, s.term) for s, end in zip(kept, ends, strict=True))
