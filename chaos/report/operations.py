"""Client operations as drawings: single marks where there are few, a density where there are many.

Why it exists: the gap in the writes is what people look for, and a page must stay small whether a run had a hundred
operations or half a million. Acknowledged operations stand above the line, all others hang below it: the direction
says it, colour only repeats it. It must not count anything that is quoted elsewhere: see figures.py.
"""

import itertools
from array import array
from collections.abc import Iterable, Sequence

from chaos.report.markup import Html, el, join
from chaos.report.scales import Window, when
from chaos.workload.history import Op

COLUMNS_MIN, COLUMNS_MAX = 60, 360
OPS_A_COLUMN = 5
"""A density has as many columns as give each so many operations, within these bounds, whatever its width."""
MARKS_MAX = 150
"""Operations of one lane that are drawn one by one, with what became of each."""
_SAID = {"ok": "acknowledged", "fail": "refused", "unknown": "outcome unknown"}


def lane(ops: Iterable[Op], shown: Window, height: int) -> Html:
    """The operations of that window in a strip of `height` pixels, as marks or as a density."""
    few, all_of_it = itertools.tee(op for op in ops if shown.overlaps(op.sent_us, op.done_us + 1))
    there = list(itertools.islice(few, MARKS_MAX + 1))
    del few  # or all that the other takes would be kept for it
    return _marks(there, shown, height) if len(there) <= MARKS_MAX else _density(all_of_it, shown, height)


def density(ops: Iterable[Op], shown: Window, height: int) -> Html:
    """Columns: acknowledged ones up, refused and then unknown ones down; both on the scale of the highest column."""
    return _density((op for op in ops if shown.overlaps(op.sent_us, op.done_us + 1)), shown, height)


def _density(there: Iterable[Op], shown: Window, height: int) -> Html:
    columns = _columns(there, shown)
    highest = max((max(sum(column), 1) for column in columns), default=1)
    up, down = height * 0.62, height * 0.38
    paths = dict.fromkeys(_SAID, "")
    for number, (good, refused, unknown) in enumerate(columns):
        if good:
            paths["ok"] += _column(number, up - (up - 1) * good / highest, up)
        below = up + 0.5
        for outcome, amount in (("fail", refused), ("unknown", unknown)):
            if amount:
                end = below + max(2.0, (down - 1) * amount / highest)
                paths[outcome] += _column(number, below, min(end, float(height)))
                below = end
    drawn = (el("path", class_=f"o-{outcome}", d=path) for outcome, path in paths.items() if path)
    line = el("path", class_="base", d=f"M0 {up:g}H{len(columns)}")
    box = f"0 0 {len(columns)} {height}"
    return el("svg", line, *drawn, viewBox=box, preserveAspectRatio="none", width="100%", height=height)


def highest_rate(ops: Iterable[Op], shown: Window) -> float:
    """Acknowledged operations a second in the fullest column of their density."""
    columns = _columns((op for op in ops if shown.overlaps(op.sent_us, op.done_us + 1)), shown)
    return max(column[0] for column in columns) * 1e6 * len(columns) / (shown.to_us - shown.from_us)


def _columns(ops: Iterable[Op], shown: Window) -> list[list[int]]:
    """(acknowledged, refused, unknown) of each column, by when the answer was there. What is kept meanwhile is nine
    bytes an operation."""
    done_us, outcomes = array("q"), array("B")
    place = {"ok": 0, "fail": 1, "unknown": 2}
    for op in ops:
        done_us.append(op.done_us)
        outcomes.append(place[op.outcome])
    number = min(COLUMNS_MAX, max(COLUMNS_MIN, len(done_us) // OPS_A_COLUMN))
    columns = [[0, 0, 0] for _ in range(number)]
    for at_us, outcome in zip(done_us, outcomes, strict=True):
        if shown.from_us <= at_us < shown.to_us:
            columns[int(shown.share(at_us) * number)][outcome] += 1
    return columns


def _column(number: int, top: float, bottom: float) -> str:
    return f"M{number} {bottom:.4g}V{top:.4g}h1V{bottom:.4g}z"


def _marks(ops: Sequence[Op], shown: Window, height: int) -> Html:
    """One bar an operation, from when it was sent to when its answer was there, which a tick marks."""
    up = height * 0.62
    drawn = []
    for op in ops:
        top, tall = (2.0, up - 3) if op.outcome == "ok" else (up + 2, height - up - 2)
        tall = tall / 2 - 0.5  # writes above reads
        top += 0 if op.kind == "write" else tall + 1
        did = f"wrote {op.value}" if op.kind == "write" else f"read {op.value if op.outcome == 'ok' else ''}".strip()
        why = f": {op.error}" if op.error else ""
        hint = f"{op.client} {did} via {op.via}, {when(op.sent_us)} to {when(op.done_us)}, {_SAID[op.outcome]}{why}"
        box = {"y": f"{top:g}", "height": f"{tall:g}"}
        bar = el("rect", x=shown.at(op.sent_us), width=shown.width(op.sent_us, op.done_us), class_="span", **box)
        tick = el("rect", x=shown.at(op.done_us), width=2, **box)
        drawn.append(el("g", el("title", hint), bar, tick, class_=f"o-{op.outcome}"))
    line = el("rect", class_="base", x="0", width="100%", y=f"{up:g}", height="0.5")
    return el("svg", line, join(drawn), width="100%", height=height)
