"""The page of a run: one file that opens offline and needs nobody, verdict first.

The page's own policy forbids it to load anything or to run any script but the one that it carries, whose hash is in the
policy; without that script nothing is missing but the time under the pointer. What it shows is bounded: densities
have operations.COLUMNS_MAX columns, lanes lanes.SEGMENTS_MAX stretches, tables sections.TABLE_ROWS_MAX rows, and
CLOSE_UPS_MAX failovers are drawn closely: a page of 15 nodes stays under PAGE_BYTES_MAX, however long the run
was. Same record, same bytes: no clock, no chance, no version of the machine goes into it.
"""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files

from chaos.evidence.record import RunRecord
from chaos.model import Event, View
from chaos.report import lanes, legend, sections, waterfall, words
from chaos.report.markup import Html, el, join
from chaos.report.scales import window
from chaos.report.timeline import ZOOMS, Drawing
from chaos.workload.history import Op

PAGE_BYTES_MAX = 3_000_000
CLOSE_UPS_MAX = 4
FAILOVERS_MAX = 20


def render(record: RunRecord, history: Sequence[Op], views: Sequence[View], events: Sequence[Event]) -> str:
    """The whole page. Same record, same bytes."""
    nodes = _nodes(record, views)
    tracks = lanes.tracks(nodes, views, events, record.uncertainty_us, record.faults, record.ended_us)
    leads = lanes.leaders(tracks, record.ended_us)
    drawing = Drawing(record, history, tracks, leads)
    body = (
        _header(record),
        el(
            "main",
            _card("checks", "What was proved", sections.verdicts(record)),
            _card("figures", "In numbers", sections.figures(record)),
            _timeline(record, drawing),
            _failovers(record, drawing),
            _card("faults", "What was done", sections.faults(record)),
            _notes(record),
            _card(
                "tables",
                "The drawings as tables",
                _folded("What the clients of each node were told", sections.clients(history, nodes)),
                _folded("The timeline, in the order of time", sections.happenings(record, tracks, leads)),
            ),
        ),
        _footer(record),
        legend.patterns(),
    )
    style, script = _resource("page.css"), _resource("page.js")
    return "<!doctype html>\n" + el(
        "html",
        _head(record, style, script),
        el("body", *body, el("script", Html(script))),
        lang="en",
    )


def _head(record: RunRecord, style: str, script: str) -> Html:
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return el(
        "head",
        el("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("link", rel="icon", href="data:,"),
        el("title", f"{words.outcome(record)[0]}: {record.run}"),
        el("style", Html(style)),
    )


def _header(record: RunRecord) -> Html:
    word, look, meaning = words.outcome(record)
    done = [
        f"{fault.title} at {fault.injected_us / 1e6:.1f} s" for fault in record.faults if fault.injected_us is not None
    ]
    titles = "; then ".join(done[:3]) + (f"; and {len(done) - 3} more faults" if len(done) > 3 else "")
    failed = [verdict for verdict in record.verdicts if verdict.outcome in ("fail", "unknown")]
    began = datetime.fromtimestamp(record.began_wall_us / 1e6, UTC)
    lasted = f"lasted {record.ended_us / 1e6:.1f} s"
    return el(
        "header",
        el("p", f"raft-chaos against {record.target_title}", class_="where"),
        el("h1", el("span", word, class_=f"verdict {look}"), f" {meaning[0].upper()}{meaning[1:]}"),
        el("p", join((el("b", "Done: "), f"{titles or 'nothing was broken'}."))),
        el("p", join((el("b", "Proved: "), words.proved(record)))),
        *(
            el(
                "p",
                join((el("b", f"{words.check(v.check)}, {words.MARKS[v.outcome][1]}: "), v.sentence)),
                class_=f"broken {v.outcome}",
            )
            for v in failed
        ),
        el(
            "p",
            f"{began:%Y-%m-%d %H:%M:%S} UTC · {lasted} · seed {record.seed} · exit code {record.exit_code}",
            class_="meta",
        ),
    )


def _timeline(record: RunRecord, drawing: Drawing) -> Html:
    zooms = [
        join(
            (
                el(
                    "input",
                    type="radio",
                    name="zoom",
                    id=f"zoom-{factor}",
                    value=factor,
                    checked=factor == 1,
                    class_=f"zoom z{factor}",
                ),
                el("label", f"{factor}×", for_=f"zoom-{factor}"),
            )
        )
        for factor in ZOOMS
    ]
    rows = el(
        "div",
        el("div", drawing.rows(window(0, record.ended_us)), class_="wide"),
        class_="scroll timeline",
        tabindex="0",
        role="region",
        aria_label="Timeline; the same as a table is at the end of the page",
        data_from=0,
        data_to=record.ended_us,
    )
    hint = el("output", "", class_="now", aria_hidden="true")
    return el(
        "section",
        el("h2", "What happened"),
        el(
            "p", "Everything on one clock, that of the tool; times count from the beginning of the run.", class_="quiet"
        ),
        el("fieldset", el("legend", "Zoom"), *zooms, hint, rows, class_="zooming"),
        legend.legend(drawing.lanes),
        class_="card",
        id="timeline",
    )


def _failovers(record: RunRecord, drawing: Drawing) -> Html | None:
    if not record.failovers:
        return None
    told = []
    for number, failover in enumerate(record.failovers[:FAILOVERS_MAX], start=1):
        shown = waterfall.close_up(failover)
        close = None
        if number <= CLOSE_UPS_MAX:
            rows = el("div", drawing.rows(shown, close=True), class_="wide")
            close = el(
                "div",
                rows,
                class_="scroll timeline",
                tabindex="0",
                role="region",
                aria_label=f"Close-up of failover {number}: {failover.title}",
                data_from=shown.from_us,
                data_to=shown.to_us,
            )
        told.append(
            el(
                "article",
                el("h3", failover.title),
                el("p", waterfall.sentence(failover)),
                waterfall.table(failover, record.run, number),
                close,
            )
        )
    if len(record.failovers) > FAILOVERS_MAX:
        told.append(el("p", f"{len(record.failovers) - FAILOVERS_MAX} more are in run.json."))
    name = "Anatomy of the failover" if len(record.failovers) == 1 else "Anatomy of the failovers"
    return _card(
        "failovers", name, waterfall.summary(record.failovers), *told, el("p", waterfall.HOW_SURE, class_="quiet")
    )


def _notes(record: RunRecord) -> Html | None:
    return _card("notes", "Notes", el("ul", *(el("li", note) for note in record.notes))) if record.notes else None


def _footer(record: RunRecord) -> Html:
    off = ", ".join(
        f"{node} {'unknown' if us is None else f'±{us / 1000:.1f} ms'}"
        for node, us in sorted(record.uncertainty_us.items())
    )
    return el(
        "footer",
        el("p", join(("Typed: ", el("code", record.command_line)))),
        el("p", f"How far the nodes' times may be off on the tool's clock: {off}.") if off else None,
        el(
            "p",
            join(
                (
                    "Judged again and drawn again from the files beside this page: ",
                    el("code", "raft-chaos report FOLDER"),
                )
            ),
        ),
        el("p", f"raft-chaos {record.tool_version}, run {record.run}"),
    )


def _card(name: str, title: str, *content: str | None) -> Html:
    return el("section", el("h2", title), *content, class_="card", id=name)


def _folded(title: str, content: Html) -> Html:
    return el("details", el("summary", title), content)


def _nodes(record: RunRecord, views: Sequence[View]) -> tuple[str, ...]:
    """Voters first, then whoever else was seen."""
    return tuple(dict.fromkeys((*record.voters, *sorted({view.name for view in views}))))


def _resource(name: str) -> str:
    return files("chaos.report").joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
