"""Figures as tables for people. Why it exists: the JSON is for programs. It must not compute what the JSON lacks, and
must cut nothing: a figure that is kept in a file is read where no terminal is.
"""

import statistics
from typing import TYPE_CHECKING

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from benchmarks.failover import Failover
from benchmarks.load import Tally, percentile
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
    if report.stock:
        _print(console, _stock(report))
    if report.failover:
        _print(console, _failover(report))
        _print(console, _timeline(report))
    if report.handover:
        _print(console, _handover(report))
    if report.footprint:
        _print(console, _footprint(report))
    for table in (_overwritten, _filled, _large, _meanwhile, _caught_up):
        if (made := table(report)).rows:
            _print(console, made)


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


def _stock(report: "Report") -> Table:
    columns = ("load", "clients", "system", "a second", "p50 ms", "p99 ms", "CPU us each", "ours/etcd", "CPU ours/etcd")
    table = _table("etcd's benchmark over gRPC; CPU of all nodes; watch: 100 watchers, times of events", *columns)
    by_key = {(figure.load, figure.clients, figure.system): figure for figure in report.stock}
    for figure in report.stock:
        etcd = by_key.get((figure.load, figure.clients, "etcd"))
        medians = [figure.median(name) for name in ("per_second", "p50_ms", "p99_ms", "cpu_us")]
        ratios = ["", ""]
        if figure.system != "etcd" and etcd:
            speed = (
                etcd.median("p50_ms") / medians[1] if figure.load == "watch" else medians[0] / etcd.median("per_second")
            )
            ratios = [f"{speed:.2f}", f"{medians[3] / etcd.median('cpu_us'):.2f}"]
        cells = (f"{medians[0]:,.0f}", f"{medians[1]:.2f}", f"{medians[2]:.2f}", f"{medians[3]:,.0f}")
        table.add_row(figure.load, str(figure.clients), figure.system, *cells, *ratios)
    return table


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


def _overwritten(report: "Report") -> Table:
    columns = ("keys", "written once, MiB", "times", "every version", "compacted", "compacted / once")
    table = _table("memory of keys that are written again and again: each node", *columns)
    for row in report.overwritten:
        sizes = (_mib(row.once_mib), str(row.times), _mib(row.uncompacted_mib), _mib(row.compacted_mib))
        table.add_row(f"{row.keys:,}", *sizes, f"{row.ratio:.2f}")
    return table


def _filled(report: "Report") -> Table:
    table = _table("one node alone is filled", "keys", "s", "MiB", "most")
    for row in report.filled:
        table.add_row(f"{row.keys:,}", f"{row.seconds:.0f}", f"{row.memory_mib:.0f}", f"{row.peak_mib:.0f}")
    return table


def _large(report: "Report") -> Table:
    columns = ("keys", "MiB each node", "most", "snapshot MiB", "entries after it", "start s", "of it CPU s")
    table = _table("a large store, and the start of a node that was killed", *columns)
    for row in report.large:
        sizes = (_mib(row.memory_mib), _mib(row.peak_mib), f"{row.snapshot_mib:.0f}", f"{row.tail:,}")
        table.add_row(f"{row.keys:,}", *sizes, f"{row.restart_seconds:.1f}", f"{row.restart_cpu_seconds:.1f}")
    return table


def _meanwhile(report: "Report") -> Table:
    columns = ("snapshot", "a second", "p50 ms", "p99 ms", "p99 ratio", "took s", "turns above 15 ms")
    table = _table("64 clients write while every node takes a snapshot", *columns)
    for row in report.meanwhile:
        took = ", ".join(f"{seconds:.1f}" for seconds in row.snapshot_seconds)
        table.add_row("no", *_medians(row.without), "", "", _counts(row.long_turns_without))
        table.add_row("yes", *_medians(row.during), f"{row.p99_ratio:.2f}", took, _counts(row.long_turns_during))
    return table


def _caught_up(report: "Report") -> Table:
    columns = (
        "store",
        "snapshot MiB",
        "on disk s",
        "in the store s",
        "of it CPU s",
        "MB a second",
        "caught up s",
        "writes a second",
    )
    table = _table("a follower on a new disk, while 64 clients write", *columns)
    for row in report.caught_up:
        times = (f"{row.on_disk_seconds:.1f}", f"{row.restored_seconds:.1f}", f"{row.cpu_seconds:.1f}")
        ends = (f"{row.mb_per_second:.0f}", f"{row.caught_up_seconds:.1f}", f"{row.writes_per_second:,.0f}")
        table.add_row(row.store, f"{row.snapshot_mib:.0f}", *times, *ends)
    return table


def _mib(sizes: list[float]) -> str:
    return " ".join(f"{size:.0f}" for size in sizes)


def _medians(rounds: list[Tally]) -> tuple[str, str, str]:
    per_second, p50, p99 = (
        statistics.median(getattr(tally, name) for tally in rounds) for name in ("per_second", "p50_ms", "p99_ms")
    )
    return f"{per_second:,.0f}", f"{p50:.2f}", f"{p99:.2f}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} x {what}" for what, count in counts.items()) or "none"
