"""The measurements, each a function from running clusters to figures.

Why it exists: a shared machine is noisy, so whatever is compared runs in alternating rounds (ours, etcd, ours, ...)
and medians are reported, with every round kept in the JSON. It must not print.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import msgspec
import psutil

from benchmarks.load import Load, Tally
from benchmarks.systems import HERE, BenchmarkError, System

WRITE_KINDS = {"v3": "v3-put", "kv": "kv-put"}
READ_KINDS = {
    ("v3", "linearizable"): "v3-range",
    ("v3", "stale"): "v3-range-stale",
    ("kv", "linearizable"): "kv-get",
    ("kv", "stale"): "kv-get-stale",
}
LOAD_OVERTIME_SECONDS = 60.0
MIB = 1024 * 1024


class Figure(msgspec.Struct):
    """One load on one system: every round, and the medians over them."""

    system: str
    load: str
    clients: int
    rounds: list[Tally]
    leader_changes: int = 0

    @property
    def per_second(self) -> float:
        return statistics.median(tally.per_second for tally in self.rounds)

    @property
    def p50_ms(self) -> float:
        return statistics.median(tally.p50_ms for tally in self.rounds)

    @property
    def p99_ms(self) -> float:
        return statistics.median(tally.p99_ms for tally in self.rounds)

    @property
    def errors(self) -> dict[str, int]:
        summed: dict[str, int] = {}
        for tally in self.rounds:
            for reason, count in tally.errors.items():
                summed[reason] = summed.get(reason, 0) + count
        return summed


class Footprint(msgspec.Struct):
    """Of the whole cluster's nodes: `idle_cpu` shares of one core, memory in MiB of resident set."""

    system: str
    idle_cpu: list[float]
    leader: int
    memory_before_mib: list[float]
    memory_after_mib: list[float]
    keys: int

    @property
    def mib_per_100k_keys(self) -> float:
        """Of the node that grew most."""
        grown = zip(self.memory_before_mib, self.memory_after_mib, strict=True)
        return max(after - before for before, after in grown) * 100_000 / self.keys


def run_generator(load: Load) -> Tally:
    """The load from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"], input=msgspec.json.encode(load), stdout=subprocess.PIPE, cwd=HERE
    )
    if done.returncode != 0:
        raise BenchmarkError(f"the load generator failed at {load.kind} with {load.clients} clients")
    return msgspec.json.decode(done.stdout, type=Tally)


def ceiling(clients: Sequence[int], seconds: float) -> list[Figure]:
    """What the generator reaches against a server that does nothing."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.trivial"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        target = ("127.0.0.1", int(server.stdout.readline()))
        figures = []
        for count in clients:
            tally = run_generator(Load([target], "v3-put", count, seconds))
            figures.append(Figure("generator alone", "nothing", count, [tally]))
        server.stdin.close()
    return figures


def loads(
    systems: Sequence[System], kinds: Sequence[str], clients: Sequence[int], seconds: float, rounds: int, spread: bool
) -> list[Figure]:
    """Every kind of load ("write", "linearizable", "stale") at every number of clients, system after system, round
    after round. To the leader alone, or with `spread` to all nodes alike."""
    figures = {
        (kind, count, system.label): Figure(system.label, kind, count, [])
        for kind in kinds
        for count in clients
        for system in systems
    }
    for _ in range(rounds):
        for (kind, count, label), figure in figures.items():
            system = next(system for system in systems if system.label == label)
            api = WRITE_KINDS[system.api] if kind == "write" else READ_KINDS[system.api, kind]
            before = system.term()
            figure.rounds.append(run_generator(Load(_targets(system, spread), api, count, seconds)))
            figure.leader_changes += system.term() - before
    return list(figures.values())


def fill(system: System, keys: int, first_key: int = 0, clients: int = 64) -> None:
    """Write each of `keys` keys once."""
    kind = WRITE_KINDS[system.api]
    limit_s = LOAD_OVERTIME_SECONDS + keys / 500
    load = Load(_targets(system, False), kind, clients, limit_s, count=keys, keys=keys, first_key=first_key)
    tally = run_generator(load)
    if tally.done < keys:
        raise BenchmarkError(f"{system.label}: only {tally.done} of {keys} writes were taken ({tally.errors})")


def _targets(system: System, spread: bool) -> list[tuple[str, int]]:
    if spread:
        return [("127.0.0.1", port) for port in system.ports]
    leader = system.leader()
    if leader is None:
        raise BenchmarkError(f"{system.label} has no leader")
    return [("127.0.0.1", system.ports[leader])]


def footprint(system: System, idle_seconds: float, keys: int) -> Footprint:
    """Idle CPU first, then memory before and after `keys` new keys of 255 bytes."""
    processes = [psutil.Process(system.pid(node)) for node in range(len(system.ports))]
    leader = system.leader()
    before = [sum(process.cpu_times()[:2]) for process in processes]
    time.sleep(idle_seconds)
    used = [sum(process.cpu_times()[:2]) - earlier for process, earlier in zip(processes, before, strict=True)]
    memory_before = [process.memory_info().rss / MIB for process in processes]
    fill(system, keys, first_key=10_000_000)
    return Footprint(
        system=system.label,
        idle_cpu=[round(seconds / idle_seconds, 4) for seconds in used],
        leader=-1 if leader is None else leader,
        memory_before_mib=[round(size, 1) for size in memory_before],
        memory_after_mib=[round(process.memory_info().rss / MIB, 1) for process in processes],
        keys=keys,
    )
