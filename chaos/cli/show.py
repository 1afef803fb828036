"""Tables and paragraphs for people: the cluster, a plan, findings, and what a run showed.

Why it exists: what is printed is the product. Tables are rendered to text first: rich ends the program when a pipe's
reader goes away, and there may be a cluster to heal. It must not ask or decide anything.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from chaos.anatomy import Failover, Moment
from chaos.cli import tables
from chaos.evidence.record import Figures, RunRecord
from chaos.faults.port import Plan
from chaos.model import Place
from chaos.report import words
from chaos.situation import Situation
from chaos.targets.port import Finding

_STATUS = ("node", "role", "term", "commit", "applied", "instance", "runs on", "ready", "restarts")
_LEAVE_OUT = ("instance", "restarts", "runs on", "applied", "ready", "commit")
"""In this order, where a terminal is narrow."""
_COLOURS = {"pass": "green", "ok": "green", "fail": "bold red", "error": "bold red", "unknown": "yellow"}
_COLOURS |= {"warning": "yellow", "not-applicable": "dim"}
_NEXT = {
    1: "Keep the folder of this run: it holds the records that contradict each other, and raft-chaos report judges it.",
    2: "See raft-chaos status; raft-chaos heal --all takes back what may still be in force.",
    3: "Nothing was shown either way: raft-chaos doctor says whether faults work here; then run it once more.",
}
"""By exit code, what to do now."""
_HOW_SURE = (
    "[dim]±: how far that node's clock may be off ours; −: seen by a sample, so it happened up to so much earlier[/dim]"
)


def print_rich(*parts: str | Text | Table) -> None:
    """Print to stdout in one piece, coloured where a terminal reads; only tables are fitted to its width."""
    console = tables.console()
    with console.capture() as captured:
        for part in parts:
            console.print(part, soft_wrap=not isinstance(part, Table))
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    print(text, flush=True)


def cluster(title: str, situation: Situation, places: Mapping[str, Place], in_force: Sequence[str]) -> None:
    """`status`."""
    rows = []
    for node in situation.nodes:
        view, place = situation.views.get(node), places.get(node)
        known = (view.role, str(view.term), str(view.commit), str(view.applied)) if view else ("silent", "", "", "")
        runs = (
            (place.instance or "not running", place.where, _ready(place), str(place.restarts)) if place else ("",) * 4
        )
        style = "bold" if node == situation.leader else "" if view else "red"
        rows.append((dict(zip(_STATUS, (node, *known, *runs), strict=True)), style))
    table, left_out = _fitted(rows)
    leads = f"{situation.leader} leads term {situation.term}" if situation.leader else "nobody leads with a majority"
    print_rich(f"[bold]{escape(title)}[/bold]: {escape(leads)}", table)
    if left_out:
        print_rich(f"[dim]too narrow for: {', '.join(left_out)} (-o json has all)[/dim]")
    if in_force:
        print_rich("", "[bold]Policies and faults in force[/bold]", *(f"  {escape(line)}" for line in in_force))


def _fitted(rows: Sequence[tuple[Mapping[str, str], str]]) -> tuple[Table, list[str]]:
    """The table of `status` with as many columns as there is room for, and those that were left out."""
    console, left_out = tables.console(), list[str]()
    for name in (*_LEAVE_OUT, ""):
        columns = [column for column in _STATUS if column not in left_out]
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            right = column in ("commit", "applied")
            table.add_column(column, justify="right" if right else "left", no_wrap=True, overflow="fold")
        for row, style in rows:
            table.add_row(*(escape(row[column]) for column in columns), style=style)
        if tables.least_width(table) <= console.width or not name:
            break
        left_out.append(name)
    return table, left_out


def _ready(place: Place) -> str:
    return "leaving" if place.leaving else "yes" if place.ready else "no"


def findings(title: str, found: Iterable[Finding]) -> None:
    """`doctor`."""
    rows = [
        (Text(finding.level, style=_COLOURS[finding.level]), Text(finding.about, style="bold"), finding.sentence)
        for finding in found
    ]
    print_rich(f"[bold]{escape(title)}[/bold]", *tables.fitting(rows, prose=2))


def plan(title: str, plans: Plan, seed: int, refusal: str) -> None:
    """`--dry-run`."""
    lines = [f"[bold]{escape(plans.title)}[/bold] in {escape(title)}  (seed {seed}; dry run: nothing is changed)", ""]
    lines += ["It would do", *(f"  {number}. {escape(act)}" for number, act in enumerate(plans.acts, 1)), ""]
    lines += ["Raft predicts", *(f"  - {escape(line)}" for line in plans.predictions), ""]
    lines += [
        f"[yellow]It would be refused now:[/yellow] {escape(refusal)}" if refusal else "Nothing speaks against it."
    ]
    print_rich(*lines)


def announce(title: str, plans: Plan, seed: int) -> str:
    """What a run is about, before it begins; plain text."""
    told = "\n".join(f"  - {line}" for line in plans.predictions)
    return f"{plans.title} in {title} (seed {seed})\nRaft predicts:\n{told}\n\n"


def run(record: RunRecord, failovers: Sequence[Failover], folder: Path, trouble: str) -> None:
    """What a run showed: verdicts, failovers, figures, and where the report lies."""
    rows: list[tuple[tables.Cell, ...]] = []
    for verdict in record.verdicts:
        mark = Text(verdict.outcome, style=_COLOURS[verdict.outcome])
        title = "" if verdict.outcome == "pass" else f"{words.check(verdict.check)}: "
        rows.append((mark, Text(verdict.check, style="bold"), f"{title}{verdict.sentence}"))
        rows += [("", "", Text(line, style="dim")) for line in verdict.proof if verdict.outcome == "fail"]
    print_rich("", "[bold]Verdicts[/bold]", *tables.fitting(rows, prose=2))
    if len(failovers) == 1:
        _failover(failovers[0])
    elif failovers:
        _failovers(failovers)
    print_rich("", "[bold]What clients saw[/bold]", *_figures(record.figures))
    notes = [f"[yellow]note[/yellow]: {escape(note)}" for note in record.notes if note != trouble]
    print_rich("", *notes, _ending(record, trouble), f"Report: {escape(str(folder / 'report.html'))}")


def _steps(failover: Failover) -> tuple[tuple[str, Moment | None], ...]:
    return (
        ("last acknowledged write", failover.last_acknowledged),
        ("first suspicion", failover.suspicion),
        ("vote won", failover.won),
        ("first commit of the new term", failover.first_commit),
        ("first client success", failover.first_success),
    )


def _failover(failover: Failover) -> None:
    """Each step with the time since the kill began, and who saw it."""
    rows = [
        (name, *(("not seen", "") if moment is None else (_after(moment, failover), moment.node)))
        for name, moment in _steps(failover)
    ]
    table = tables.fitting(rows, ("step", "since the kill began", "seen by"), right=(1,))
    told = [f"nobody could write for {_ms(failover.unavailable_us)}" if failover.unavailable_us is not None else ""]
    if failover.new_term is not None:
        burned = failover.terms_burned or 0
        told.append(f"{failover.new_leader} won term {failover.new_term}{f', {burned} terms burned' if burned else ''}")
    if failover.election_timeout_ms is not None:
        told.append(f"election timeout {failover.election_timeout_ms:.0f} ms")
    if failover.down_us is not None:
        told.append(f"{failover.killed} ran again after {_ms(failover.down_us)} (not counted)")
    title = f"[bold]Failover[/bold]: {escape(failover.killed)}, leader of term {failover.old_term}"
    print_rich("", title, *table, escape("; ".join(text for text in told if text)), _HOW_SURE)


def _failovers(failovers: Sequence[Failover]) -> None:
    """One line each, in milliseconds, and the spread of the time in which nobody could write."""
    names = ("killed", "term", "won by", "new term")
    times = ("last write", "suspicion", "vote won", "commit", "first write", "no writes for", "down for")
    rows = []
    for one in failovers:
        steps = ["not seen" if moment is None else _after(moment, one, "") for _, moment in _steps(one)]
        new_term = "" if one.new_term is None else str(one.new_term)
        who = (one.killed, str(one.old_term), one.new_leader, new_term)
        rows.append((*who, *steps, *(_plain_ms(us) for us in (one.unavailable_us, one.down_us))))
    table = tables.fitting(rows, (*names, *times), right=range(len(names), len(names) + len(times)))
    gaps = sorted(one.unavailable_us for one in failovers if one.unavailable_us is not None)
    spread = (
        f"nobody could write for {_ms(int(statistics.median(gaps)))} (median), {_ms(gaps[-1])} (longest)"
        if gaps
        else ""
    )
    print_rich("", "[bold]Failovers[/bold] (milliseconds since each kill began)", *table, spread, _HOW_SURE)


def _after(moment: Moment, failover: Failover, unit: str = " ms") -> str:
    off_ms = (moment.uncertainty_us or 0) / 1000
    sign = "−" if moment == failover.first_commit else "±"
    off = f" {sign}{off_ms:.{1 if off_ms < 10 else 0}f}" if off_ms else ""
    off = " ±?" if moment.uncertainty_us is None else off
    return f"{(moment.at_us - failover.injected_us) / 1000:+.0f}{off}{unit}"


def _figures(figures: Figures) -> list[Table | Text]:
    rates = (figures.writes_per_s_before, figures.writes_per_s_during, figures.writes_per_s_after)
    before, during, after = ("-" if rate is None else f"{rate:.0f}" for rate in rates)
    writes = f"{figures.acknowledged_writes} acknowledged, {figures.failed_writes} refused"
    rows = (
        ("writes", f"{writes}, {figures.unknown_writes} of unknown outcome"),
        ("reads", f"{figures.good_reads} answered, {figures.failed_reads} not"),
        ("writes per second", f"{before} before, {during} during, {after} after"),
        ("latency of a write", f"p50 {_ms(figures.write_p50_us)}, p99 {_ms(figures.write_p99_us)}"),
        ("longest without one", _ms(figures.longest_gap_us)),
    )
    return tables.fitting(rows, prose=1)


def _plain_ms(value_us: int | None) -> str:
    return "unknown" if value_us is None else f"{value_us / 1000:.0f}"


def _ms(value_us: int | None) -> str:
    if value_us is None:
        return "unknown"
    return f"{value_us / 1e6:.1f} s" if value_us >= 10_000_000 else f"{value_us / 1000:.0f} ms"


def _ending(record: RunRecord, trouble: str) -> str:
    words = {
        0: "[bold green]Passed[/bold green]: nothing was lost, and the cluster recovered",
        1: "[bold red]A safety promise was broken[/bold red]",
        2: "[bold red]Not recovered in time[/bold red]",
        3: "[yellow]Proves nothing[/yellow]",
        4: "[yellow]Refused[/yellow]",
        130: "[yellow]Interrupted and healed[/yellow]",
    }
    said = words.get(record.exit_code, "[bold red]The tool failed[/bold red]")
    doubtful = [f"{one.check} ({one.outcome})" for one in record.verdicts if one.outcome in ("fail", "unknown")]
    why = trouble or (", ".join(doubtful) if record.exit_code else "")
    then = "" if "raft-chaos" in why else _NEXT.get(record.exit_code, "")
    return f"{said} (exit code {record.exit_code}){f': {escape(why)}' if why else ''}{then and chr(10)}{then}"
