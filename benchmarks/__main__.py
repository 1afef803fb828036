"""`python -m benchmarks`: measure everything in one run, show it as tables, keep it as JSON.

Why it exists: the figures in the documentation name this command, so that anyone can make them again. It must not
measure by itself.
"""

import os
import platform
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import msgspec
import psutil
import typer
from rich.console import Console

from benchmarks import show, sizes
from benchmarks.failover import Failover, Handover, failover, handover
from benchmarks.measure import Figure, Footprint, ceiling, fill, footprint, loads
from benchmarks.stock import StockFigure, find_program, stock
from benchmarks.systems import HERE, LOCAL_TIMING, BenchmarkError, find_etcd, running

CLIENTS = (1, 64, 256)
PARTS = ("failover", "handover", "writes", "reads", "grpc", "footprint", "overwritten", "large")
NODES = 3
FAILOVER_NODES = (5, 3)
WARM_KEYS = 10_000
"""Keys that every cluster holds before it is measured: those that reads ask for."""


class Plan(msgspec.Struct, frozen=True):
    """How long and how often."""

    kills: int
    handovers: int
    rounds: int
    load_seconds: float
    idle_seconds: float
    keys: int
    overwrites: int
    large_keys: int
    tail: int
    """Entries after the snapshot of a large store. More than the 10,000 that a log keeps before a snapshot: else a new
    disk would be given the log."""
    snapshot_seconds: float


FULL = Plan(
    kills=20,
    handovers=20,
    rounds=3,
    load_seconds=2.5,
    idle_seconds=10.0,
    keys=100_000,
    overwrites=10,
    large_keys=1_000_000,
    tail=50_000,
    snapshot_seconds=20.0,
)
QUICK = Plan(
    kills=3,
    handovers=3,
    rounds=1,
    load_seconds=1.5,
    idle_seconds=3.0,
    keys=10_000,
    overwrites=10,
    large_keys=50_000,
    tail=12_000,
    snapshot_seconds=2.0,
)


class Report(msgspec.Struct):
    """What the JSON file holds."""

    machine: dict[str, Any]
    plan: Plan
    versions: dict[str, str]
    target: str
    ceiling: list[Figure] = []
    loads: list[Figure] = []
    stock: list[StockFigure] = []
    failover: list[Failover] = []
    handover: list[Handover] = []
    footprint: list[Footprint] = []
    overwritten: list[sizes.Overwritten] = []
    filled: list[sizes.Filled] = []
    large: list[sizes.Large] = []
    meanwhile: list[sizes.Meanwhile] = []
    caught_up: list[sizes.CaughtUp] = []


def machine(folder: Path) -> dict[str, Any]:
    """What the figures depend on."""
    kinds = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    mounts = [mount for mount in kinds if folder.resolve().is_relative_to(mount)]
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 1024**3, 1),
        "filesystem": kinds[max(mounts, key=len)] if mounts else "unknown",
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def main(
    quick: Annotated[bool, typer.Option("--quick", help="short rounds, few kills: to try it")] = False,
    only: Annotated[str, typer.Option(help=f"parts, with commas between: {', '.join(PARTS)}")] = ",".join(PARTS),
    json_file: Annotated[Path | None, typer.Option("--json", help="write everything measured to this file")] = None,
    spread: Annotated[bool, typer.Option("--spread", help="clients use all nodes, not the leader alone")] = False,
    against: Annotated[Path | None, typer.Option(help="another checkout of this project, measured beside it")] = None,
    with_etcd: Annotated[bool, typer.Option("--etcd/--no-etcd", help="etcd beside it, where there is one")] = True,
    backup: Annotated[Path | None, typer.Option(help="what the large store begins with, instead of writing it")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="where the nodes' disks are; must be a real disk")] = None,
) -> None:
    """Measure this cluster, and etcd beside it where the variable ETCD or PATH names one. Part `grpc` needs etcd's own
    `benchmark`, on PATH or named by BENCHMARK.

    Default settings on both sides, fsync on, everything on this machine. Systems that are compared run at the same
    time and are loaded in turns, so that a noisy machine is noisy to all of them.
    """
    parts = [part for part in only.split(",") if part]
    wrong = [part for part in parts if part not in PARTS]
    if wrong:
        raise typer.BadParameter(f"{wrong[0]!r} is not one of: {', '.join(PARTS)}", param_hint="--only")
    kinds = ["ours"] + (["other"] if against else []) + (["etcd"] if with_etcd and find_etcd() else [])
    plan = QUICK if quick else FULL
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="raft-bench-", dir=data_dir))
    try:
        target = "all nodes, round-robin" if spread else "the leader"
        report = Report(machine(folder), plan, {}, target)
        _measure(report, kinds, parts, folder, against, spread, console)
        _measure_sizes(report, parts, folder, backup, console)
    except BenchmarkError as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        raise typer.Exit(1) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show.all_tables(console, report)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def _measure(
    report: Report, kinds: list[str], parts: list[str], folder: Path, against: Path | None, spread: bool, out: Console
) -> None:
    plan, source = report.plan, against.resolve() if against else HERE

    def fresh(kind: str, part: str, nodes: int, *flags: str) -> Any:
        return running(kind, folder / f"{part}-{kind}", nodes, *flags, source=source if kind == "other" else HERE)

    loaded = ["write"] * ("writes" in parts) + ["linearizable", "stale"] * ("reads" in parts)
    by_grpc = "grpc" in parts and find_program() is not None
    if "grpc" in parts and not by_grpc:
        out.print("no benchmark of etcd on PATH or in BENCHMARK: nothing is measured over gRPC", style="dim")
    if loaded:
        out.print("load generator alone ...", style="dim")
        report.ceiling = ceiling(CLIENTS, min(plan.load_seconds, 2.0))
    if loaded or by_grpc:
        out.print(f"{' and '.join(kinds)}: {', '.join([*loaded, *['gRPC'] * by_grpc])} ...", style="dim")
        with ExitStack() as stack:
            systems = [stack.enter_context(fresh(kind, "loads", NODES)) for kind in kinds]
            for system in systems:
                report.versions[system.label] = f"{system.version} over {system.api}"
                fill(system, WARM_KEYS)
            if loaded:
                report.loads = loads(systems, loaded, CLIENTS, plan.load_seconds, plan.rounds, spread)
            if by_grpc:
                report.stock = stock(systems, CLIENTS, plan.load_seconds, plan.rounds)
    for kind in kinds:
        if "failover" in parts:
            out.print(f"{kind}: {plan.kills} leaders die, again and again ...", style="dim")
            for nodes in FAILOVER_NODES:
                with fresh(kind, f"failover-{nodes}", nodes) as system:
                    report.failover.append(failover(system, plan.kills))
            if kind != "etcd":
                with fresh(kind, "failover-local", FAILOVER_NODES[0], *LOCAL_TIMING) as system:
                    report.failover.append(failover(system, plan.kills, "cluster"))
        if "handover" in parts:
            out.print(f"{kind}: the lead is handed over {plan.handovers} times ...", style="dim")
            for nodes in FAILOVER_NODES:
                with fresh(kind, f"handover-{nodes}", nodes) as system:
                    report.handover.append(handover(system, plan.handovers))
        if "footprint" in parts:
            out.print(f"{kind}: idle, then {plan.keys} keys ...", style="dim")
            with fresh(kind, "footprint", NODES) as system:
                report.footprint.append(footprint(system, plan.idle_seconds, plan.keys))


def _measure_sizes(report: Report, parts: list[str], folder: Path, backup: Path | None, out: Console) -> None:
    plan = report.plan
    if "overwritten" in parts:
        out.print(f"ours: {plan.keys} keys, written {plan.overwrites} times ...", style="dim")
        with running("ours", folder / "overwritten", 1) as system:
            report.overwritten.append(sizes.overwritten(system, plan.keys, plan.overwrites))
    if "large" in parts:
        out.print(f"ours: {plan.large_keys} keys ...", style="dim")
        if backup is None:
            backup = folder / "large.snap"
            with running("ours", folder / "filled", 1) as system:
                report.filled.append(sizes.filled(system, plan.large_keys, backup))
        with running("ours", folder / "large", NODES, backup=backup) as system:
            report.large.append(sizes.large(system, plan.large_keys, plan.tail))
            out.print("ours: a follower without its disk ...", style="dim")
            report.caught_up.append(sizes.caught_up(system, plan.snapshot_seconds, "keys without a past"))
            out.print("ours: snapshots while 64 clients write ...", style="dim")
            report.meanwhile.append(sizes.meanwhile(system, plan.large_keys, plan.snapshot_seconds, plan.rounds))
            out.print("ours: a follower without its disk, again ...", style="dim")
            report.caught_up.append(sizes.caught_up(system, plan.snapshot_seconds, "written to since"))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command()(main)
    app(prog_name="python -m benchmarks")
