"""What a large store costs: memory, a start, a snapshot that is taken under load, a follower that lost its disk.

Why it exists: a store lives in memory and its log ends in snapshots, so these decide how large it may be. Of this
project's nodes alone. It must not print.
"""

import shutil
import statistics
import threading
import time
from pathlib import Path

import msgspec
import psutil

from benchmarks.asking import (
    Snapshots,
    back_up,
    compact,
    follower_of,
    leader_of,
    long_turns,
    memory_mib,
    peak_mib,
    replace_disk,
    settle,
    status,
    store_bytes,
    take_snapshot,
    until,
    write_in_transactions,
    write_keys,
)
from benchmarks.load import Load, Tally
from benchmarks.measure import MIB, WRITE_KINDS, run_generator
from benchmarks.systems import System, ask

CLIENTS = 64


class Overwritten(msgspec.Struct):
    """`keys` keys of 255 bytes that were written once, then until each was written `times` times. Resident memory in
    MiB by node: after the first time, with all versions, and when the old ones were compacted."""

    keys: int
    times: int
    once_mib: list[float]
    uncompacted_mib: list[float]
    compacted_mib: list[float]

    @property
    def ratio(self) -> float:
        """Of the node that is the worst."""
        return max(after / once for after, once in zip(self.compacted_mib, self.once_mib, strict=True))


class Filled(msgspec.Struct):
    """One node alone, and so many keys that were written in transactions."""

    keys: int
    seconds: float
    memory_mib: float
    peak_mib: float


class Large(msgspec.Struct):
    """Three nodes with so many keys. `memory_mib`, `peak_mib`: resident, by node. The start of one that was killed
    reads a snapshot and replays `tail` entries."""

    keys: int
    memory_mib: list[float]
    peak_mib: list[float]
    snapshot_mib: float
    tail: int
    restart_seconds: float
    restart_cpu_seconds: float


class Meanwhile(msgspec.Struct):
    """Writes of 64 clients, alternating: none, and all nodes taking a snapshot. `long_turns`: pieces of work of more
    than 15 ms, by what they were."""

    keys: int
    without: list[Tally] = []
    during: list[Tally] = []
    long_turns_without: dict[str, int] = {}
    long_turns_during: dict[str, int] = {}
    snapshot_seconds: list[float] = []

    @property
    def p99_ratio(self) -> float:
        without, during = ([tally.p99_ms for tally in rounds] for rounds in (self.without, self.during))
        return statistics.median(during) / statistics.median(without)


class CaughtUp(msgspec.Struct):
    """A follower on a new disk while 64 clients write. From when the leader begins to send it the snapshot: until that
    is on its disk, until its store has it, and until it holds what the leader held by then."""

    store: str
    """Whether keys have older versions as well, which are found one by one."""
    snapshot_mib: float
    on_disk_seconds: float
    restored_seconds: float
    caught_up_seconds: float
    cpu_seconds: float
    """Of the follower, until its store has it: on a machine that others use, the time that it takes says little."""
    writes_per_second: float

    @property
    def mb_per_second(self) -> float:
        """Millions of bytes a second, until the store has them."""
        return self.snapshot_mib * MIB / 1e6 / self.restored_seconds


def overwritten(system: System, keys: int, times: int) -> Overwritten:
    """Write everything once, then again and again, then compact."""
    kind = WRITE_KINDS[system.api]
    write_keys(system, keys, kind, CLIENTS)
    size, once = store_bytes(system), _memory_after_a_snapshot(system)
    for _ in range(times - 1):
        write_keys(system, keys, kind, CLIENTS)
    uncompacted = _memory_after_a_snapshot(system)
    compact(system)
    until(lambda: store_bytes(system) == size, "the old versions are gone")
    return Overwritten(keys, times, once, uncompacted, _memory_after_a_snapshot(system))


def _memory_after_a_snapshot(system: System) -> list[float]:
    """So that the log is no longer than its tail."""
    settle(system)
    for node in range(len(system.ports)):
        take_snapshot(system, node)
    settle(system)
    return memory_mib(system)


def filled(system: System, keys: int, backup: Path) -> Filled:
    """Write them all, and keep them in a file for others to begin with."""
    began = time.monotonic()
    write_in_transactions(system, keys)
    seconds = round(time.monotonic() - began, 1)
    settle(system)
    [memory], [peak] = memory_mib(system), peak_mib(system)
    back_up(system, 0, backup)
    return Filled(keys, seconds, memory, peak)


def large(system: System, keys: int, tail: int) -> Large:
    """Of a system that has `keys` keys: kill a follower that has a snapshot and about `tail` entries after it, and
    start it again."""
    follower = follower_of(system)
    take_snapshot(system, follower)
    write_keys(system, tail, WRITE_KINDS[system.api], CLIENTS)
    settle(system)
    memory, peak, before = memory_mib(system), peak_mib(system), status(system, follower)
    system.kill(follower)
    system.ended(follower)
    began = time.monotonic()
    system.restart(follower)
    until(lambda: status(system, follower).get("applied", 0) >= before["applied"], "it holds what it held")
    seconds, snapshot = time.monotonic() - began, before["snapshot"]
    cpu = sum(psutil.Process(system.pid(follower)).cpu_times()[:2])
    return Large(
        keys=keys,
        memory_mib=memory,
        peak_mib=peak,
        snapshot_mib=round(snapshot["bytes"] / MIB, 1),
        tail=before["applied"] - snapshot["index"],
        restart_seconds=round(seconds, 2),
        restart_cpu_seconds=round(cpu, 2),
    )


def meanwhile(system: System, keys: int, seconds: float, rounds: int) -> Meanwhile:
    """Of a system that has `keys` keys. Each snapshot begins when a load does."""
    result = Meanwhile(keys)
    for _ in range(rounds):
        before = long_turns(system)
        result.without.append(_writes(system, seconds))
        between = long_turns(system)
        with Snapshots(system) as snapshots:
            result.during.append(_writes(system, seconds))
        after = long_turns(system)
        result.snapshot_seconds += snapshots.seconds
        _add(result.long_turns_without, before, between)
        _add(result.long_turns_during, between, after)
        settle(system)
    return result


def caught_up(system: System, load_seconds: float, store: str) -> CaughtUp:
    """Of a system that is filled: take a follower's disk away, let the new one in, wait until it holds everything."""
    leader, follower = leader_of(system), follower_of(system)
    name, port = f"n{follower + 1}", system.ports[leader]
    take_snapshot(system, leader)
    system.kill(follower)
    system.ended(follower)
    shutil.rmtree(system.folder / name)
    system.restart(follower)
    until(lambda: name in [one["name"] for one in ask(port, "/members")["applicants"]], f"{name} asks to be let in")
    tallies: list[Tally] = []
    load = threading.Thread(target=lambda: tallies.append(_writes(system, load_seconds)))
    load.start()
    replace_disk(system, name, leader)
    sent = until(lambda: status(system, leader).get("snapshot", {}).get("sending"), "the snapshot is being sent")
    began, process = time.monotonic(), psutil.Process(system.pid(follower))
    cpu_began = sum(process.cpu_times()[:2])
    until(lambda: status(system, follower).get("snapshot", {}).get("index"), "it is on the disk")
    on_disk = time.monotonic() - began
    until(lambda: status(system, follower).get("applied"), "the store has it")
    restored, cpu = time.monotonic() - began, sum(process.cpu_times()[:2]) - cpu_began
    held = status(system, leader)["applied"]
    until(lambda: status(system, follower)["applied"] >= held, "it holds what the leader held")
    holds = time.monotonic() - began
    load.join()
    return CaughtUp(
        store=store,
        snapshot_mib=round(sent[0]["of_bytes"] / MIB, 1),
        on_disk_seconds=round(on_disk, 2),
        restored_seconds=round(restored, 2),
        caught_up_seconds=round(holds, 2),
        cpu_seconds=round(cpu, 2),
        writes_per_second=tallies[0].per_second,
    )


def _writes(system: System, seconds: float) -> Tally:
    port = system.ports[leader_of(system)]
    return run_generator(Load([("127.0.0.1", port)], WRITE_KINDS[system.api], CLIENTS, seconds))


def _add(counts: dict[str, int], before: dict[str, int], after: dict[str, int]) -> None:
    for doing, count in after.items():
        if count > before.get(doing, 0):
            counts[doing] = counts.get(doing, 0) + count - before.get(doing, 0)
