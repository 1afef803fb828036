"""How long nobody can write: after the leader's process was killed, and while it hands over.

Why it exists: both are what a client feels, so both are measured by clients that write, against any system in the same
way. It must not print.
"""

import http.client
import json
import statistics
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import msgspec

from benchmarks.load import percentile
from benchmarks.systems import BenchmarkError, System, ask, wait_until_ready
from benchmarks.timeline import medians, steps, told

PROBE_PAUSE_S = 0.005
"""Between a refusal and the next try of the client that waits for a new leader; bounds the resolution of failover."""

PROBE_TIMEOUT_S = 0.1
"""A try that hangs, because that node still believes in the dead leader, is given up for a new one."""

FAILOVER_SECONDS_MAX = 30.0
SETTLE_S = 1.0
"""Between a node's return and the next kill."""

WRITE_PAUSE_S = 0.002
"""Of each client that writes while the lead is handed over."""
WRITE_SECONDS_MAX = 5.0
BEFORE_S = AFTER_S = 0.4
"""How long clients write before a hand-over and after it."""


class Failover(msgspec.Struct):
    """Milliseconds from SIGKILL of the leader to the first write that was acknowledged, one a kill. `timings`: of whom
    the defaults are, `serve` or `cluster`. `timeline`: the medians of the steps to it."""

    system: str
    nodes: int
    times_ms: list[float]
    timings: str = "serve"
    timeline: dict[str, float] = {}

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.times_ms)

    @property
    def p99_ms(self) -> float:
        return percentile(sorted(self.times_ms), 0.99)


class Handover(msgspec.Struct):
    """Milliseconds of the longest pause between two acknowledged writes of any client, one a hand-over: while the lead
    moved, and in as long a time before."""

    system: str
    nodes: int
    stalls_ms: list[float]
    stalls_before_ms: list[float]
    refused: int
    """Writes that were answered with an error, all together."""
    failed: int = 0
    """Hand-overs that came to nothing: their stalls count, too."""


def failover(system: System, kills: int, timings: str = "serve") -> Failover:
    """Kill the leader again and again; each time all other nodes are asked to write until one has."""
    times, timelines = [], []
    for _ in range(kills):
        wait_until_ready(system)
        time.sleep(SETTLE_S)
        leader = _leader_of(system)
        killed_us, seconds = _one_failover(system, leader)
        times.append(round(seconds * 1000, 1))
        events = [event for node, port in enumerate(system.ports) if node != leader for event in told(port)]
        timelines.append(steps(events, killed_us, killed_us + int(seconds * 1e6)))
        system.restart(leader)
    return Failover(system.label, len(system.ports), times, timings, medians(timelines))


def _leader_of(system: System) -> int:
    leader = system.leader()
    if leader is None:
        raise BenchmarkError(f"{system.label} has no leader")
    return leader


def _one_failover(system: System, leader: int) -> tuple[int, float]:
    """When the leader was killed, in microseconds since the epoch, and how many seconds it took."""
    written = threading.Event()
    first: list[float] = []
    began = threading.Barrier(len(system.ports))
    probes = [
        threading.Thread(target=_probe, args=(system, port, began, written, first), daemon=True)
        for node, port in enumerate(system.ports)
        if node != leader
    ]
    for probe in probes:
        probe.start()
    began.wait()
    killed_us, killed_at = time.time_ns() // 1000, time.perf_counter()
    system.kill(leader)
    if not written.wait(FAILOVER_SECONDS_MAX):
        raise BenchmarkError(f"{system.label}: no write within {FAILOVER_SECONDS_MAX:.0f} s of the leader's end")
    for probe in probes:
        probe.join()
    return killed_us, min(first) - killed_at


def _probe(system: System, port: int, began: threading.Barrier, written: threading.Event, first: list[float]) -> None:
    """Try to write over one node until anybody succeeded. Its connection is open before the leader dies."""
    write, connection = _writer(system, port, b"failover", PROBE_TIMEOUT_S)
    began.wait()
    time.sleep(PROBE_PAUSE_S)  # whatever is asked now is asked of a cluster whose leader is dead
    while not written.is_set():
        if write() == 200:
            first.append(time.perf_counter())
            written.set()
            break
        time.sleep(PROBE_PAUSE_S)
    with suppress(OSError):
        connection.close()


def handover(system: System, times: int) -> Handover:
    """Hand the lead from node to node, while a client writes over each of them."""
    found = Handover(system.label, len(system.ports), [], [], 0)
    for _ in range(times):
        wait_until_ready(system)
        leader = _leader_of(system)
        target = (leader + 1) % len(system.ports)
        moved: list[float] = []
        writers = [_Writes(system, port) for port in system.ports]
        for writer in writers:
            writer.start()
        time.sleep(BEFORE_S)
        moved.append(time.perf_counter())
        found.failed += not _hand_over(system, leader, target)
        moved.append(time.perf_counter())
        time.sleep(AFTER_S)
        for writer in writers:
            writer.over.set()
        for writer in writers:
            writer.join()
        found.stalls_before_ms.append(_longest_ms(writers, moved[0] - BEFORE_S, moved[0]))
        found.stalls_ms.append(_longest_ms(writers, moved[0], moved[1] + AFTER_S))
        found.refused += sum(writer.refused for writer in writers)
    return found


class _Writes(threading.Thread):
    """One client: writes over one node, one write after the other, and notes when each was acknowledged."""

    def __init__(self, system: System, port: int) -> None:
        super().__init__(daemon=True)
        self._write, self._connection = _writer(system, port, f"handover-{port}".encode(), WRITE_SECONDS_MAX)
        self.over = threading.Event()
        self.acknowledged: list[float] = []
        self.refused = 0

    def run(self) -> None:
        while not self.over.wait(WRITE_PAUSE_S):
            if self._write() == 200:
                self.acknowledged.append(time.perf_counter())
            else:
                self.refused += 1
        with suppress(OSError):
            self._connection.close()


def _longest_ms(writers: list[_Writes], since: float, until: float) -> float:
    """The longest that a client waited from one acknowledgement to the next, of those pauses that touch this time."""
    pauses = [
        after - before
        for writer in writers
        for before, after in pairwise(writer.acknowledged)
        if after >= since and before <= until
    ]
    if not pauses:
        raise BenchmarkError("no client could write while the lead was handed over")
    return round(max(pauses) * 1000, 1)


def _hand_over(system: System, leader: int, target: int) -> bool:
    """The same request to both systems; whether the lead moved."""
    status = ask(system.ports[target], "/v3/maintenance/status", {})
    if status is None:
        raise BenchmarkError(f"{system.label}: a node gave no status")
    body = {"targetID": status["header"]["member_id"]}
    return ask(system.ports[leader], "/v3/maintenance/transfer-leadership", body, WRITE_SECONDS_MAX) is not None


def _writer(
    system: System, port: int, key: bytes, timeout_s: float
) -> tuple[Callable[[], int], http.client.HTTPConnection]:
    """One write over a kept connection: its status, 0 where there was no answer in time."""
    path, method, body = f"/kv/{key.decode()}", "PUT", b"x"
    if system.api == "v3":
        path, method = "/v3/kv/put", "POST"
        body = json.dumps({"key": b64encode(key).decode(), "value": "eA=="}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    connection.connect()

    def write() -> int:
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            connection.close()
            return 0

    return write, connection
