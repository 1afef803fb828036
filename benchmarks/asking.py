"""What is asked of this project's nodes beside writes and reads: how they are, snapshots, compactions, memory.

Why it exists: a store that is large is measured by what its nodes say of themselves and by what the kernel says of
their processes. It must not know what for.
"""

import http.client
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.load import SLAB_KEYS, Load, puts_per_request
from benchmarks.measure import MIB, run_generator
from benchmarks.systems import HERE, BenchmarkError, System, ask, run_command

WAIT_SECONDS_MAX = 180.0
POLL_S = 0.02
TRIES_MAX = 3
"""How often all of them are written where some are refused: on a busy machine the leader may change meanwhile."""

LOADING_CLIENTS = 4
"""Of transactions: few are enough to keep every node busy."""

TURN_BOUND = "0.015"
"""Seconds, as a bucket of `raft_loop_turn_seconds` is called: no piece of work may hold a node's loop for longer."""

T = TypeVar("T")


def until(ready: Callable[[], T], what: str) -> T:
    """What `ready` says once that is true."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not (said := ready()):
        if time.monotonic() > deadline:
            raise BenchmarkError(f"waited {WAIT_SECONDS_MAX:.0f} s in vain: {what}")
        time.sleep(POLL_S)
    return said


def leader_of(system: System) -> int:
    """The node that leads."""
    return until(lambda: [node] if (node := system.leader()) is not None else [], "there is a leader")[0]


def follower_of(system: System) -> int:
    """One that does not lead."""
    leader = leader_of(system)
    return next(node for node in range(len(system.ports)) if node != leader)


def status(system: System, node: int) -> dict[str, Any]:
    """What it says of itself; empty while it does not answer."""
    said = ask(system.ports[node], "/status")
    return dict(said) if said else {}


def settle(system: System) -> None:
    """Wait until every node holds the same, and none is busy with a snapshot."""

    def settled() -> bool:
        views = [status(system, node) for node in range(len(system.ports))]
        if not all(views) or len({view["applied"] for view in views}) != 1:
            return False
        return not any(view["snapshot"]["taking"] or view["snapshot"]["restoring"] for view in views)

    until(settled, "all nodes hold the same")


def write_keys(system: System, keys: int, kind: str, clients: int) -> None:
    """Each of so many keys once."""
    per_request = puts_per_request(kind)
    for first in range(0, keys, SLAB_KEYS):
        some = min(SLAB_KEYS, keys - first)
        count = -(-some // per_request)
        for _ in range(TRIES_MAX):
            target = ("127.0.0.1", system.ports[leader_of(system)])
            load = Load([target], kind, clients, WAIT_SECONDS_MAX, count=count, keys=some, first_key=first)
            tally = run_generator(load)
            if tally.done >= count:
                break
            settle(system)
        else:
            raise BenchmarkError(f"only {tally.done} of {count} writes were taken ({tally.errors})")


def write_in_transactions(system: System, keys: int) -> None:
    """The same, as fast as it goes."""
    write_keys(system, keys, "v3-txn", LOADING_CLIENTS)


def compact(system: System) -> None:
    """Let go every version that is not the newest of its key."""
    port = system.ports[leader_of(system)]
    head = ask(port, "/v3/kv/range", {"key": "YQ=="})
    if head is None or ask(port, "/v3/kv/compaction", {"revision": head["header"]["revision"]}) is None:
        raise BenchmarkError("the store was not compacted")


def take_snapshot(system: System, node: int) -> None:
    """Of what it has applied by now: asked for as a backup, of which nothing is read."""
    connection = http.client.HTTPConnection("127.0.0.1", system.ports[node], timeout=WAIT_SECONDS_MAX)
    try:
        connection.request("GET", "/backup")
        taken = connection.getresponse().status == 200
    except OSError:
        taken = False
    finally:
        connection.close()
    if not taken:
        raise BenchmarkError(f"node {node} has taken no snapshot")


class Snapshots:
    """All nodes take one at the same time; `with` waits for all of them at its end. `seconds`: of each."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.seconds: list[float] = []
        self._threads = [threading.Thread(target=self._one, args=(node,)) for node in range(len(system.ports))]

    def __enter__(self) -> "Snapshots":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()
        if len(self.seconds) < len(self._threads):
            raise BenchmarkError("a node has taken no snapshot")

    def _one(self, node: int) -> None:
        began = time.monotonic()
        take_snapshot(self._system, node)
        self.seconds.append(round(time.monotonic() - began, 2))


def replace_disk(system: System, name: str, leader: int) -> None:
    """What an operator says of a node that has come back with an empty disk."""
    run_command(HERE, "members", "replace", name, f"http://127.0.0.1:{system.ports[leader]}")


def back_up(system: System, node: int, file: Path) -> None:
    """The whole store in a file."""
    run_command(HERE, "backup", f"http://127.0.0.1:{system.ports[node]}", str(file))


def memory_mib(system: System) -> list[float]:
    """Resident memory by node."""
    return [_memory(system.pid(node), "VmRSS") for node in range(len(system.ports))]


def peak_mib(system: System) -> list[float]:
    """The most that it ever was."""
    return [_memory(system.pid(node), "VmHWM") for node in range(len(system.ports))]


def _memory(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024 / MIB, 1)


def store_bytes(system: System) -> list[float]:
    """What each node's store counts of itself."""
    return [_metrics(port)["raft_store_bytes"] for port in system.ports]


def long_turns(system: System) -> dict[str, int]:
    """How many pieces of work were longer than the bound so far, by what they were; of all nodes together."""
    head, found = "raft_loop_turn_seconds_bucket", dict[str, int]()
    for port in system.ports:
        metrics = _metrics(port)
        for name, count in metrics.items():
            if name.startswith(head) and f'le="{TURN_BOUND}"' in name:
                doing = name.partition('doing="')[2].partition('"')[0]
                everything = metrics[name.replace(f'le="{TURN_BOUND}"', 'le="+Inf"')]
                found[doing] = found.get(doing, 0) + int(everything - count)
    return found


def _metrics(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5.0) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}
