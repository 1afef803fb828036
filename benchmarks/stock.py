"""etcd's own `benchmark`, over gRPC, on each cluster in turn: a program that nobody here wrote.

Why it exists: a load generator of our own could flatter us, and speaks JSON. This one is what etcd's figures are made
with. It must not know what is good: marks stand in docs/performance.md.
"""

import os
import re
import shutil
import statistics
import subprocess
from collections.abc import Sequence

import msgspec
import psutil

from benchmarks.systems import BenchmarkError, System

ROUND_SECONDS_MAX = 300.0
CONNECTIONS_MAX = 8
KEY_SPACE = 100_000
VALUE_BYTES = 256
RANGE_KEY = "bench/00000000"
"""One of those that every cluster holds before it is measured."""

WATCH_STREAMS, WATCHERS_PER_STREAM, WATCHED_PUTS_PER_SECOND = 10, 10, 66

_PER_SECOND = re.compile(r"Requests/sec:\s+([0-9.]+)")
_QUANTILE = re.compile(r"^\s+([0-9.]+)% in ([0-9.]+) secs", re.MULTILINE)
_ERRORS = "Error distribution:"


class Round(msgspec.Struct, frozen=True):
    """What the program says of one load, and what the nodes' processes took for it: `cpu_us` for each put or range."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


class StockFigure(msgspec.Struct):
    """One load ("put", "range", "watch") on one system: every round, and the medians over them. The times of "watch"
    are those from the write to the event at a watcher, and there are 100 watchers."""

    system: str
    load: str
    clients: int
    rounds: list[Round]

    def median(self, name: str) -> float:
        """Of one field of the rounds."""
        return float(statistics.median(getattr(each, name) for each in self.rounds))


def find_program() -> str | None:
    """etcd's `benchmark`: what BENCHMARK names, else the one on PATH."""
    return shutil.which(os.environ.get("BENCHMARK") or "benchmark")


def stock(systems: Sequence[System], clients: Sequence[int], seconds: float, rounds: int) -> list[StockFigure]:
    """Puts at every number of clients, ranges of one key at the middle one, and watches: system after system, round
    after round, each for about so many seconds (a load is counted in requests; how many is found by a short one)."""
    program = find_program()
    if program is None:
        raise BenchmarkError("there is no benchmark of etcd: put it on PATH, or name it in BENCHMARK")
    loads = [("put", count) for count in clients] + [("range", 1), ("range", clients[len(clients) // 2])]
    figures = {
        (*load, system.label): StockFigure(system.label, *load, [])
        for load in (*loads, ("watch", 1))
        for system in systems
    }
    totals: dict[tuple[str, int], int] = {}
    for load in loads:
        tried = _run(program, systems[-1], *load, 200 * min(load[1], CONNECTIONS_MAX))
        totals[load] = max(200, int(tried.per_second * seconds))
    totals["watch", 1] = int(WATCHED_PUTS_PER_SECOND * max(seconds, 3.0))
    for _ in range(rounds):
        for (kind, count, label), figure in figures.items():
            system = next(system for system in systems if system.label == label)
            figure.rounds.append(_run(program, system, kind, count, totals[kind, count]))
    return list(figures.values())


def _run(program: str, system: System, kind: str, clients: int, total: int) -> Round:
    leader = system.leader()
    if leader is None:
        raise BenchmarkError(f"{system.label} has no leader")
    command = [program, "--endpoints", f"127.0.0.1:{system.ports[leader]}", "--clients", str(clients)]
    command += ["--conns", str(min(clients, CONNECTIONS_MAX)), *_arguments(kind, total)]
    processes = [psutil.Process(system.pid(node)) for node in range(len(system.ports))]
    before = [sum(process.cpu_times()[:2]) for process in processes]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ROUND_SECONDS_MAX)
    used = sum(sum(process.cpu_times()[:2]) for process in processes) - sum(before)
    if done.returncode or _ERRORS in done.stdout:
        raise BenchmarkError(f"etcd's benchmark failed on {system.label}: {(done.stdout + done.stderr)[-400:]}")
    return parse(done.stdout, used / total * 1e6)


def _arguments(kind: str, total: int) -> list[str]:
    if kind == "put":
        return ["put", f"--total={total}", f"--val-size={VALUE_BYTES}", f"--key-space-size={KEY_SPACE}"]
    if kind == "range":
        return ["range", RANGE_KEY, f"--total={total}"]
    watchers = [f"--streams={WATCH_STREAMS}", f"--watchers-per-stream={WATCHERS_PER_STREAM}"]
    return ["watch-latency", *watchers, f"--put-rate={WATCHED_PUTS_PER_SECOND}", f"--put-total={total}"]


def parse(text: str, cpu_us: float) -> Round:
    """The last summary that the program printed: of events, where there is one of puts before it."""
    summary = text[text.rfind("Summary:") :]
    rate, quantiles = _PER_SECOND.search(summary), dict(_QUANTILE.findall(summary))
    if rate is None or not {"50", "99"} <= quantiles.keys():
        raise BenchmarkError(f"etcd's benchmark printed no summary that is understood: {text[-400:]!r}")
    return Round(float(rate[1]), float(quantiles["50"]) * 1000, float(quantiles["99"]) * 1000, cpu_us)
