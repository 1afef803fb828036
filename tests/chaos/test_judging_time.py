"""What it takes to judge a long run: processor time, and memory."""

import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from chaos.checks.verdict import Evidence
from chaos.evidence.record import RunRecord
from chaos.run.outcome import judged
from chaos.workload.history import History
from tests.chaos import long_run

PASSES_MAX = 24
"""Judging may take as long as so many plain passes over the same history. It takes eight or nine, seventeen beside busy
neighbours; where every check makes its requests anew it takes forty."""
FAULTS_MAX_FACTOR = 2
"""A run with many faults may take so many times what one with few takes."""
SECONDS_MAX = 5.0
MEGABYTES_RECORDED, MEGABYTES_JUDGED = 180, 280


def record() -> RunRecord:
    return RunRecord(
        tool_version="0", run="long", command_line="", target_title="", target_kind="local", seed=1, began_wall_us=0,
        exit_code=0,
    )  # fmt: skip


def cpu_seconds(work: Callable[[Evidence], object], evidence: Evidence, rounds: int = 3) -> float:
    """The least of some rounds, each over a history that nobody has asked anything: others on this machine make it only
    longer."""
    times = []
    for _ in range(rounds):
        asked = msgspec.structs.replace(evidence, history=History(evidence.history))
        began = time.process_time()
        work(asked)
        times.append(time.process_time() - began)
    return min(times)


def pass_over(evidence: Evidence) -> None:
    deque(evidence.history, maxlen=0)


def judge(evidence: Evidence) -> None:
    found = {verdict.check: verdict.outcome for verdict in judged(record(), evidence).verdicts}
    assert set(found.values()) == {"pass"}, found


def test_judging_takes_as_long_as_some_plain_passes_over_the_history() -> None:
    """A request that is made anew for each check that looks at it costs thirty of them."""
    evidence = long_run.evidence(20_000, views=1000, events=1000, entries=1000)
    ratios = [cpu_seconds(judge, evidence, 1) / cpu_seconds(pass_over, evidence) for _ in range(3)]
    assert min(ratios) < PASSES_MAX, ratios  # neighbours of another moment make only one of the two slower


def test_many_faults_make_judging_little_longer() -> None:
    """What nodes and clients told is not walked over again for each."""
    few, many = (long_run.evidence(12_000, kills, 1000, 2000, 1000) for kills in (1, 60))
    ratios = [cpu_seconds(judge, many, 1) / cpu_seconds(judge, few, 1) for _ in range(3)]
    assert min(ratios) < FAULTS_MAX_FACTOR, ratios


@pytest.mark.longest
def test_half_a_million_requests_are_judged_in_five_seconds() -> None:
    assert cpu_seconds(judge, long_run.evidence(500_000), rounds=1) < SECONDS_MAX


def main(requests: int) -> None:
    """What the process of the test below does."""
    evidence = long_run.evidence(requests, views=1000, events=1000, entries=1000)
    recorded = megabytes()
    judge(evidence)
    print(recorded, megabytes())


def megabytes() -> int:
    """The most that this program took. Not `getrusage`: that begins with what the process had that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1000


@pytest.mark.longest
def test_a_million_requests_are_recorded_and_judged_in_bounded_memory() -> None:
    command = [sys.executable, "-c", "from tests.chaos.test_judging_time import main; main(1_000_000)"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=400)
    recorded, judged = map(int, ended.stdout.split())
    assert recorded < MEGABYTES_RECORDED
    assert judged < MEGABYTES_JUDGED
