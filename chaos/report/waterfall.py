"""The anatomy of failovers: where the time went between a leader's death and the first write after it.

Each step is a row with its numbers and a bar, so that the drawing is a table too. Times come from different clocks:
how far each may be off is beside it. It must not compute a moment: see chaos/anatomy.py.
"""

from collections.abc import Sequence
from statistics import median

from chaos.anatomy import Failover, Moment
from chaos.report.markup import Html, el, join
from chaos.report.scales import Window, lasting, window

SUMMARY_MIN = 2
HOW_SURE = (
    "How sure: ± is how far the clock of the node that says so may be off the tool's; − is a moment seen by a sample, "
    "which happened up to so much earlier; exact is by the tool's own clock."
)
MARGIN_SHARE = 0.04


def steps_of(failover: Failover) -> list[tuple[str, Moment | None]]:
    """The steps in the order in which they are explained."""
    return [
        ("Last write acknowledged before the gap", failover.last_acknowledged),
        ("First node suspects the leader", failover.suspicion),
        ("Election won", failover.won),
        ("First commit of the new term seen", failover.first_commit),
        ("First write acknowledged after it", failover.first_success),
    ]


def close_up(failover: Failover) -> Window:
    """The stretch of time worth looking at closely."""
    times = [moment.at_us for _, moment in steps_of(failover) if moment is not None]
    begin, end = min([failover.injected_us, *times]), max([failover.injected_us + 100_000, *times])
    margin = max(50_000, (end - begin) // 4)
    return window(max(0, begin - margin), end + margin)


def table(failover: Failover, run: str, number: int = 1) -> Html:
    """One failover: every step with when, how sure, who says so, and a bar from the step before it. Keys carry the
    name of the `run`, which is left out of them. `number`: of this failover, from 1."""
    known = [moment.at_us for _, moment in steps_of(failover) if moment is not None]
    begin, end = min([failover.injected_us, *known]), max([failover.injected_us + 1000, *known])
    margin = int((end - begin) * MARGIN_SHARE)
    shown = window(begin - margin, end + margin)
    rows = [_row(f"{failover.killed} killed", None, failover.injected_us, failover.injected_us, failover, shown, run)]
    before = failover.injected_us
    for name, moment in steps_of(failover):
        rows.append(_row(name, moment, None if moment is None else moment.at_us, before, failover, shown, run))
        before = max(before, moment.at_us) if moment is not None else before
    head = el(
        "tr",
        *(el("th", text, scope="col") for text in ("Step", "After the kill", "How sure", "Took", "Seen by", "Drawn")),
    )
    return el(
        "div",
        el("table", el("thead", head), el("tbody", *rows), class_="waterfall"),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=f"Steps of failover {number}: {failover.title}",
    )


def sentence(failover: Failover) -> str:
    """The failover in words."""
    if failover.first_success is None:
        return f"{failover.killed} led term {failover.old_term}; no write was acknowledged after it was killed."
    gap = (
        f"Nobody could write for {lasting(failover.unavailable_us)}"
        if failover.unavailable_us is not None
        else "Writes went on"
    )
    who = f"{failover.new_leader} led term {failover.new_term}" if failover.new_leader else "who led then was not seen"
    burned = (
        f"{failover.terms_burned} terms without a leader in between" if failover.terms_burned else "no term was burned"
    )
    timeout = (
        f" The shortest election timeout drawn was {failover.election_timeout_ms:.0f} ms."
        if failover.election_timeout_ms is not None
        else ""
    )
    down = (
        f" {failover.killed} itself ran again {lasting(failover.down_us)} after the kill: no part of the failover."
        if failover.down_us is not None
        else ""
    )
    return (
        f"{gap}: {who}, {burned}, {failover.campaigns} campaign{'s' if failover.campaigns != 1 else ''}.{timeout}{down}"
    )


def summary(failovers: Sequence[Failover]) -> Html | None:
    """Several failovers side by side, with the median and the worst; None for fewer than SUMMARY_MIN."""
    if len(failovers) < SUMMARY_MIN:
        return None
    gaps = sorted(f.unavailable_us for f in failovers if f.unavailable_us is not None)
    names = ("Killed", "Terms", "Suspected after", "Won after", "First write after", "No writes for", "Terms burned")
    head = el("tr", *(el("th", name, scope="col") for name in names))
    rows = (
        el(
            "tr",
            el("th", failover.killed, scope="row"),
            el("td", f"{failover.old_term} → {failover.new_term or '?'}", class_="whole"),
            *(
                el("td", _after(moment, failover), class_="whole")
                for moment in (failover.suspicion, failover.won, failover.first_success)
            ),
            el("td", "?" if failover.unavailable_us is None else lasting(failover.unavailable_us), class_="whole"),
            el("td", "?" if failover.terms_burned is None else str(failover.terms_burned)),
        )
        for failover in failovers
    )
    said = f"No writes for {lasting(int(median(gaps)))} in the median, {lasting(gaps[-1])} at worst." if gaps else ""
    return join(
        (
            el("p", said),
            el(
                "div",
                el("table", el("thead", head), el("tbody", join(rows))),
                class_="scroll",
                tabindex="0",
                role="region",
                aria_label="All failovers",
            ),
        )
    )


def _row(
    name: str, moment: Moment | None, at_us: int | None, before_us: int, failover: Failover, shown: Window, run: str
) -> Html:
    if at_us is None:
        return el("tr", el("th", name, scope="row"), el("td", "not seen", colspan=5), class_="missing")
    low, high = min(at_us, before_us), max(at_us, before_us)
    bar = el("rect", x=shown.at(low), width=shown.width(low, high), y="5", height="10", class_="bar")
    off = moment.uncertainty_us if moment else 0
    late = moment is not None and moment == failover.first_commit  # a sample sees it late, never early
    whisker = (
        el(
            "rect",
            x=shown.at(at_us - off),
            width=shown.width(at_us - off, at_us if late else at_us + off),
            y="9.5",
            height="1",
            class_="whisker",
        )
        if off
        else None
    )
    sure = "unknown" if off is None else f"{'−' if late else '±'}{lasting(off)}" if off else "exact"
    mark = el("rect", x=shown.at(at_us), width="2", y="2", height="16", class_="instant" if moment is None else "mark")
    drawn = el("svg", bar, whisker, mark, width="100%", height="20", aria_hidden="true")
    return el(
        "tr",
        el("th", name, scope="row"),
        el("td", "0" if moment is None else _signed(at_us - failover.injected_us), class_="n"),
        el("td", "" if moment is None else sure, class_="n"),
        el("td", "" if moment is None or at_us < before_us else lasting(at_us - before_us), class_="n"),
        el(
            "td",
            join((el("b", moment.node), " ", el("span", moment.what.replace(f"chaos/{run}/", ""), class_="what")))
            if moment
            else None,
        ),
        el("td", drawn, class_="drawn"),
    )


def _after(moment: Moment | None, failover: Failover) -> str:
    return "?" if moment is None else _signed(moment.at_us - failover.injected_us)


def _signed(duration_us: int) -> str:
    return f"+{lasting(duration_us)}" if duration_us >= 0 else f"−{lasting(-duration_us)}"
