"""Figures as tables for people. Why it exists: the JSON is for programs. It must not compute what the JSON lacks, and
must cut nothing: a figure that is kept in a file is read where no terminal is.
"""

import statistics
from typing import TYPE_CHECKING

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from benchmarks.failover import Failover
from benchmarks.load import percentile
from benchmarks.measure import Figure
from benchmarks.timeline import STEPS

if TYPE_CHECKING:
    from benchmarks.__main__ import Report

WIDEST_COLUMNS = 10_000
"""To see how wide a table would like to be."""


def all_tables(console: Console, report: "Report") -> None:
    """Everything that was measured; every row is one line, and nothing is cut."""
    about = report.machine
    console.print(
        f"\n{about['cores']} cores, {about['memory_gib']} GiB, {about['filesystem']}, Python {about['python']}, "
        f"load average before {about['load_average'][0]}; {report.plan.rounds} rounds of {report.plan.load_seconds} s, "
        f"medians; requests go to {report.target}",
        highlight=False,
        soft_wrap=True,
    )
    if report.versions:
        versions = "; ".join(f"{name}: {text}" for name, text in report.versions.items())
        console.print(versions, highlight=False, soft_wrap=True)
    if about["filesystem"] in ("tmpfs", "ramfs"):
        note = "[yellow]the data folder is memory: fsync costs nothing there; see --data-dir[/yellow]"
        console.print(note, soft_wrap=True)
    if report.loads:
        _print(console, _loads(report))
    if report.failover:
        _print(console, _failover(report))
        _print(console, _timeline(report))
    if report.handover:
        _print(console, _handover(report))
    if report.footprint:
        _print(console, _footprint(report))


def _print(console: Console, table: Table) -> None:
    """As wide as the table wants to be: a terminal may break its lines, but a cell that is cut says nothing."""
    before = console.width
    console.width = Measurement.get(console, console.options.update(max_width=WIDEST_COLUMNS), table).maximum
    console.print(table)
    console.width = before


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _loads(report: "Report") -> Table:
    columns = ("load", "clients", "system", "a second", "p50 ms", "p99 ms", "leader changes", "errors", "ours/etcd")
    table = _table("255-byte values, 3 nodes, fsync", *columns)
    by_key = {(figure.load, figure.clients, figure.system): figure for figure in report.loads}
    for figure in (*report.ceiling, *report.loads):
        etcd = by_key.get((figure.load, figure.clients, "etcd"))
        ratio = f"{figure.per_second / etcd.per_second:.2f}" if figure.system == "ours" and etcd else ""
        table.add_row(*_load_row(figure), ratio)
    return table


def _load_row(figure: Figure) -> tuple[str, ...]:
    errors = ", ".join(f"{count} x {reason}" for reason, count in figure.errors.items())
    return (
        figure.load,
        str(figure.clients),
        figure.system,
        f"{figure.per_second:,.0f}",
        f"{figure.p50_ms:.2f}",
        f"{figure.p99_ms:.2f}",
        str(figure.leader_changes),
        errors or "none",
    )


def _failover(report: "Report") -> Table:
    title = "SIGKILL of the leader to the first acknowledged write"
    table = _table(title, "system", "timings of", "nodes", "kills", "p50 ms", "p99 ms", "max ms")
    for row in report.failover:
        times = (f"{row.p50_ms:.0f}", f"{row.p99_ms:.0f}", f"{max(row.times_ms):.0f}")
        timings = row.timings if row.system != "etcd" else "etcd"
        table.add_row(row.system, timings, str(row.nodes), str(len(row.times_ms)), *times)
    return table


def _timeline(report: "Report") -> Table:
    rows = [row for row in report.failover if len(row.timeline) > 1]
    table = _table("ms from SIGKILL to each step, medians", "step", *(_of(row) for row in rows), "what has happened")
    for step, meaning in STEPS.items():
        table.add_row(step, *(f"{row.timeline[step]:.1f}" if step in row.timeline else "" for row in rows), meaning)
    return table


def _of(row: Failover) -> str:
    return f"{row.system}, {row.nodes} nodes, {row.timings}"


def _handover(report: "Report") -> Table:
    title = "the lead is handed over: longest pause between two acknowledged writes of a client"
    columns = ("system", "nodes", "times", "p50 ms", "p99 ms", "max ms", "p50 ms before it", "refused", "failed")
    table = _table(title, *columns)
    for row in report.handover:
        stalls = sorted(row.stalls_ms)
        times = (f"{statistics.median(stalls):.0f}", f"{percentile(stalls, 0.99):.0f}", f"{stalls[-1]:.0f}")
        before = f"{statistics.median(row.stalls_before_ms):.0f}"
        table.add_row(row.system, str(row.nodes), str(len(stalls)), *times, before, str(row.refused), str(row.failed))
    return table


def _footprint(report: "Report") -> Table:
    columns = ("system", "idle CPU leader", "idle CPU others", "memory at start", "MiB per 100,000 keys")
    table = _table("one of 3 nodes; CPU of one core", *columns)
    for row in report.footprint:
        others = [share for node, share in enumerate(row.idle_cpu) if node != row.leader]
        leader = row.idle_cpu[row.leader] if row.leader >= 0 else 0.0
        mean = sum(others) / max(1, len(others))
        start = max(row.memory_before_mib)
        table.add_row(row.system, f"{leader:.1%}", f"{mean:.1%}", f"{start:.0f} MiB", f"{row.mib_per_100k_keys:.0f}")
    return table
