"""The drawing of a run, or of a part of it: faults, who led, what every node was, and what its clients were told.

Rows of the same stretch of time under each other, each its own SVG that is as wide as the screen leaves it. Colour
repeats what is written or what the form says already; roles and terms look as on the dashboard. Without a script
everything is there: hints are `<title>`s, zooming is a choice of the reader's that style sheets understand. It must not
derive anything: lanes.py does.
"""

from collections.abc import Mapping, Sequence

from chaos.evidence.record import RunRecord
from chaos.model import FaultSpan
from chaos.report import operations, words
from chaos.report.lanes import Segment
from chaos.report.markup import Html, el, join
from chaos.report.scales import Window, lasting, when
from chaos.workload.history import Op, columns_of

AXIS_HEIGHT, FAULT_HEIGHT, LEADER_HEIGHT, ROLE_HEIGHT, OPS_HEIGHT, RATE_HEIGHT = 22, 24, 24, 22, 26, 64
CLOSE_OPS_HEIGHT = 40
TEXT_PIXELS, WIDTH_PIXELS = 6.8, 1150
"""Of a letter, and of an unzoomed drawing on a desk: what decides whether a name fits its stretch."""
ZOOMS = (1, 2, 4, 8, 16)
FAULTS_DRAWN_MAX = 40
TERM_COLOURS, TERM_HEIGHT = 8, 4
"""How many the style sheet has, as many as the dashboard; and of the line along the top of a stretch."""
SPOKEN_MAX = 8
"""Segments of a lane that its description names; the table has them all."""
_PHASES = (
    ("injected_us", "effective_us", "wait", "done, not yet proven"),
    ("effective_us", "reverted_us", "on", "proven to work"),
    ("reverted_us", "healed_us", "heal", "taken back, not yet proven to be gone"),
)


class Drawing:
    """Everything that the rows of one window need. `lanes`: by node; `leads`: who led."""

    def __init__(
        self,
        record: RunRecord,
        history: Sequence[Op],
        lanes: Mapping[str, Sequence[Segment]],
        leads: Sequence[Segment],
    ) -> None:
        self._record, self.lanes, self._leads = record, lanes, leads
        self._faults = record.faults[:FAULTS_DRAWN_MAX]
        columns = columns_of(history)
        self._by_node, self._writes = columns.split("via"), columns.writes()

    def rows(self, shown: Window, *, close: bool = False) -> Html:
        """All rows of that window; `close`: higher ones for the clients of each node, and none of all writes."""
        rows = [self._axis(shown), self._fault_row(shown), self._leader_row(shown)]
        rows += [self._node_row(node, shown, CLOSE_OPS_HEIGHT if close else OPS_HEIGHT) for node in self.lanes]
        if not close:
            rows.append(self._rate_row(shown))
        return el("div", *rows, class_="rows")

    # --- rows ----------------------------------------------------------------------------------------------------

    def _axis(self, shown: Window) -> Html:
        marks = (el("text", text, x=shown.at(at), y="15", class_="tick") for at, text in _inner(shown))
        return _row("", el("svg", join(marks), width="100%", height=AXIS_HEIGHT, aria_hidden="true"), "axis")

    def _fault_row(self, shown: Window) -> Html:
        boxes, spoken = [], []
        for fault in self._faults:
            steps = phases(fault, self._record.ended_us)
            for begin, end, kind, said in steps:
                if shown.overlaps(begin, end):
                    hint = f"{fault.title}: {said}, {when(begin)} to {when(end)} ({lasting(end - begin)})"
                    boxes.append(_box(shown, begin, end, FAULT_HEIGHT, f"band b-{kind}", "", hint))
                    spoken.append(hint)
            if steps and shown.overlaps(steps[0][0], steps[-1][1]):
                begin, end, *_ = max(steps, key=lambda step: step[1] - step[0])
                if _fit(shown, begin, end, fault.title):
                    begin, end = steps[0][0], steps[-1][1]
                boxes.append(_box(shown, begin, end, FAULT_HEIGHT, "name", fault.title, fault.title))
        return _row("Faults", self._svg(shown, FAULT_HEIGHT, boxes, spoken, None), "faults")

    def _leader_row(self, shown: Window) -> Html:
        boxes, spoken = [], []
        for segment in self._leads:
            if shown.overlaps(segment.from_us, segment.to_us):
                name = f"{segment.role} · term {segment.term}" if segment.role else "nobody led"
                hint = f"{name}, {_stretch(segment)}"
                look = "leader" if segment.role else "nobody"
                boxes.append(_role_box(shown, segment, LEADER_HEIGHT, look, name, hint))
                spoken.append(hint)
        return _row("Leader", self._svg(shown, LEADER_HEIGHT, boxes, spoken))

    def _node_row(self, node: str, shown: Window, ops_height: int) -> Html:
        boxes, spoken = [], []
        for segment in self.lanes[node]:
            if shown.overlaps(segment.from_us, segment.to_us):
                name = words.role(segment.role) + (f", term {segment.term}" if segment.role else "")
                hint = f"{node}: {name}, {_stretch(segment)}"
                boxes.append(_role_box(shown, segment, ROLE_HEIGHT, segment.role or "unknown", name, hint))
                spoken.append(f"{name}, {_stretch(segment)}")
        strip = operations.lane(self._by_node.get(node, ()), shown, ops_height)
        below = el("svg", strip, y=ROLE_HEIGHT, width="100%", height=ops_height)
        return _row(node, self._svg(shown, ROLE_HEIGHT + ops_height, [*boxes, below], spoken, node), "node")

    def _rate_row(self, shown: Window) -> Html:
        highest = operations.highest_rate(self._writes, shown)
        drawn = [operations.density(self._writes, shown, RATE_HEIGHT)]
        spoken = [f"at most {highest:.0f} acknowledged writes per second"]
        figures = self._record.figures
        if figures.longest_gap_us is not None and figures.gap_from_us is not None:
            begin, end = figures.gap_from_us, figures.gap_from_us + figures.longest_gap_us
            if shown.overlaps(begin, end):
                said = f"longest gap {lasting(end - begin)}"
                hint = f"no write was acknowledged from {when(begin)} to {when(end)}"
                drawn.append(_gap(shown, begin, end, said, hint))
                spoken.append(f"{said}: {hint}")
        label = join(("All writes", el("small", f"top: {highest:.0f}/s")))
        return _row(label, self._svg(shown, RATE_HEIGHT, drawn, spoken), "rate")

    # --- parts ---------------------------------------------------------------------------------------------------

    def _svg(
        self, shown: Window, height: int, drawn: Sequence[str], spoken: Sequence[str], node: str | None = ""
    ) -> Html:
        """One row's drawing: the faults behind it (`node` None: none), the grid, and what it shows."""
        behind = [self._band(fault, shown, height, node) for fault in self._faults] if node is not None else []
        grid = (el("rect", x=shown.at(at), width="1", height=height, class_="grid") for at, _ in _inner(shown))
        more = f"; and {len(spoken) - SPOKEN_MAX} more, see the table" if len(spoken) > SPOKEN_MAX else ""
        label = "; ".join(spoken[:SPOKEN_MAX]) + more or "nothing"
        return el("svg", *behind, join(grid), *drawn, width="100%", height=height, role="img", aria_label=label)

    def _band(self, fault: FaultSpan, shown: Window, height: int, node: str) -> Html:
        """Behind a row, stronger where the fault hits that node most."""
        hit = " hit" if node in self._hit(fault) else ""
        parts = [
            el("rect", x=shown.at(begin), width=shown.width(begin, end), height=height, class_=f"behind{hit} b-{kind}")
            for begin, end, kind, _ in phases(fault, self._record.ended_us)
            if shown.overlaps(begin, end)
        ]
        if fault.injected_us is not None and shown.overlaps(fault.injected_us, fault.injected_us + 1):
            parts.append(el("rect", x=shown.at(fault.injected_us), width="1.5", height=height, class_="instant"))
        return join(parts)

    def _hit(self, fault: FaultSpan) -> set[str]:
        """Who is cut off from every majority, or at least hears not everybody; else the fault's nodes."""
        return set(fault.excused(self._record.voters)) or {heard_by for _, heard_by in fault.links}


def phases(fault: FaultSpan, ended_us: int) -> list[tuple[int, int, str, str]]:
    """(from, to, kind, in words) of what a fault went through; a step that was not reached lasts until the end."""
    found = []
    for begins, ends, kind, said in _PHASES:
        begin, end = getattr(fault, begins), getattr(fault, ends)
        if begin is None:
            continue
        if end is None:
            later = [getattr(fault, name) for _, name, _, _ in _PHASES if getattr(fault, name) is not None]
            end = min((at for at in later if at > begin), default=ended_us)
        if end > begin:
            found.append((begin, end, kind, said))
    return found


def _row(label: str, drawing: Html, kind: str = "") -> Html:
    return el("div", el("div", label, class_="label"), el("div", drawing, class_="draw"), class_=f"row {kind}".strip())


def _role_box(shown: Window, segment: Segment, height: int, look: str, label: str, hint: str) -> Html:
    """A stretch in which a node was something, or someone led; along its top a line in the colour of the term."""
    if not segment.role:
        return _box(shown, segment.from_us, segment.to_us, height, "shape", label, hint, look)
    colour = (segment.term - 1) % TERM_COLOURS + 1 if segment.term > 0 else 0
    line = el("rect", width="100%", height=TERM_HEIGHT, class_="term")
    return _box(shown, segment.from_us, segment.to_us, height, "shape", label, hint, f"{look} c{colour}", line)


def _box(
    shown: Window,
    begin: int,
    end: int,
    height: int,
    kind: str,
    label: str,
    hint: str,
    look: str = "",
    more: Html | None = None,
) -> Html:
    """A stretch with its name in it, cut off where it is too short; its hint tells all. `look`: of all in it."""
    text = (
        el(
            "text",
            label,
            x="5",
            y=f"{height / 2 + (4 if more is None else 6):g}",
            class_=_fit(shown, begin, end, label),
        )
        if label
        else None
    )
    inside = el("rect", width="100%", height=height, class_=kind)
    return el(
        "svg",
        el("title", hint),
        inside,
        more,
        text,
        x=shown.at(begin),
        width=shown.width(begin, end),
        height=height,
        class_=f"box {look}".rstrip(),
    )


def _fit(shown: Window, begin: int, end: int, label: str) -> str | None:
    """The class that shows a name only from the zoom on at which it fits its stretch."""
    room = max(1e-6, shown.share(end) - shown.share(begin)) * WIDTH_PIXELS
    needed = (len(label) * TEXT_PIXELS + 8) / room
    return None if needed <= 1 else f"fit{next((zoom for zoom in ZOOMS if zoom >= needed), 99)}"


def _gap(shown: Window, begin: int, end: int, said: str, hint: str) -> Html:
    """A bracket over a stretch without a write; its words beside it, on the side with more room."""
    middle = shown.share((begin + end) // 2)
    left = middle > 0.6
    text = el(
        "text",
        said,
        x=shown.at(begin if left else end),
        dx="-6" if left else "6",
        y="14",
        text_anchor="end" if left else "start",
    )
    bar = el("rect", x=shown.at(begin), width=shown.width(begin, end), y="17", height="3")
    return el("g", el("title", hint), bar, text, class_="gap")


def _stretch(segment: Segment) -> str:
    return f"{when(segment.from_us)} to {when(segment.to_us)} ({lasting(segment.to_us - segment.from_us)})"


def _inner(shown: Window) -> list[tuple[int, str]]:
    """Ticks whose words fit: not those at the right edge."""
    return [(at, text) for at, text in shown.ticks() if shown.share(at) < 0.96]
