"""What a store costs while somebody uses it: CPU, disk, watches and requests, over a time.

Why it exists: these are the figures of docs/kubernetes-on-raft.md. `python -m tests.judges.weighing SECONDS PID FOLDER
...` weighs any programs by process id and folder, so that an etcd can be weighed beside ours; it judges nothing.
"""

import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psutil

ANSWER_SECONDS_MAX = 10.0
_SAMPLE = re.compile(r"^(\w+)(\{[^}]*\})? (\S+)", re.MULTILINE)
REQUESTS = "etcd_requests_total"
"""The API server's own count of what it asked of its store."""
SHOWN = ("raft_watches", "raft_watch_streams", "raft_kv_keys", "raft_kv_revision", "raft_leases", "raft_store_bytes")


@dataclass(frozen=True)
class Program:
    """One process of a store and the folder of its data."""

    name: str
    pid: int
    folder: Path


def metrics(text: str) -> dict[str, float]:
    """Prometheus' text, every name added up over its labels."""
    found: dict[str, float] = {}
    for name, _, value in _SAMPLE.findall(text):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def node_metrics(url: str) -> str:
    """What a node says of its store and its watches, in short."""
    with urlopen(f"{url}/metrics", timeout=ANSWER_SECONDS_MAX) as answer:
        found = metrics(answer.read().decode())
    return ", ".join(f"{name} {found.get(name, 0):,.0f}" for name in SHOWN)


def weigh(programs: list[Program], seconds: float, api_metrics: Callable[[], str] | None = None) -> list[str]:
    """Lines to read: each program's share of a core, memory and disk; requests per second of the API server."""
    processes = [psutil.Process(one.pid) for one in programs]
    asked = metrics(api_metrics()).get(REQUESTS, 0.0) if api_metrics else 0.0
    before, begin = [_cpu_seconds(one) for one in processes], time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begin
    lines = [
        f"{program.name}: {(_cpu_seconds(process) - was) / took:.1%} of a core, "
        f"{process.memory_info().rss / 2**20:.0f} MiB of memory, {_bytes(program.folder) / 2**20:.1f} MiB on the disk"
        for program, process, was in zip(programs, processes, before, strict=True)
    ]
    if api_metrics:
        lines.append(
            f"{(metrics(api_metrics()).get(REQUESTS, 0.0) - asked) / took:.1f} requests per second of the API server"
        )
    return lines


def _cpu_seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def _bytes(folder: Path) -> int:
    """What the files take, not how long they are called: a log is made ahead of what is in it."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def main(words: list[str]) -> None:
    seconds, *pairs = words
    programs = [Program(pid, int(pid), Path(folder)) for pid, folder in zip(pairs[::2], pairs[1::2], strict=True)]
    print("\n".join(weigh(programs, float(seconds))))


if __name__ == "__main__":
    main(sys.argv[1:])
