"""A real etcd of three, started and broken by the tool: an honest one passes, one that sells old reads does not."""

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos.checks.judge import judge
from chaos.evidence.loading import load_run
from chaos.faults.groups import Isolate
from chaos.faults.kill_leader import KillLeader
from chaos.faults.partition import Partition
from chaos.faults.port import Fault
from chaos.faults.shapes import parse_one_way
from chaos.lab.etcd import CONTROL_PORT_OFFSET, PEER_PORT_OFFSET, EtcdLab
from chaos.run import Options, RunResult, run
from chaos.targets.find import Choice, open_target
from tests.etcd.processes import etcd_program
from tests.ports import free_row
from tests.supervisor.conftest import alive, eventually

pytestmark = pytest.mark.slowest

NODES = 3
CUT_SECONDS = 3.0


class Lab:
    """`raft-chaos lab etcd` as a process."""

    def __init__(self, program: str, folder: Path) -> None:
        self.data_dir, self._out = folder / "etcd-data", folder / "lab.out"
        self._program = program
        self.base_port = free_row(CONTROL_PORT_OFFSET + NODES)
        self.start()

    def start(self) -> None:
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                self.command(), stdout=out, stderr=out, env={**os.environ, "ETCD": self._program}
            )
        eventually(lambda: "Ctrl-C ends all nodes" in self.output or self.process.poll() is not None, "the lab")
        assert self.process.poll() is None, self.output

    def command(self) -> list[str]:
        flags = ["--nodes", str(NODES), "--base-port", str(self.base_port), "--data-dir", str(self.data_dir)]
        return [sys.executable, "-m", "chaos.cli", "lab", "etcd", *flags]

    @property
    def output(self) -> str:
        return self._out.read_text()

    @property
    def file(self) -> Any:
        return json.loads((self.data_dir / "cluster.json").read_text())

    def pids(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30.0)


async def test_a_node_that_two_ask_to_start_is_started_once(tmp_path: Path) -> None:
    """A tool that wakes, say, while its switch heals."""
    program = tmp_path / "etcd"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    (tmp_path / "data").mkdir()
    lab = EtcdLab(str(program), tmp_path / "data", 1, free_row(CONTROL_PORT_OFFSET + NODES))
    try:
        assert sorted(await asyncio.gather(lab.start("n1"), lab.start("n1"))) == ["", "n1 runs already"]
        assert len(lab._watchers) == 1
    finally:
        async with asyncio.timeout(20):
            await lab._end([])


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Lab]:
    program = etcd_program()
    if program is None:
        pytest.skip("no etcd: put etcd 3.6 on PATH, or name it in ETCD")
    made = Lab(program, folder)
    try:
        yield made
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            made.end()
        made.process.kill()
        made.process.wait()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running(tmp_path_factory.mktemp("lab")) as made:
        yield made


async def played(lab: Lab, folder: Path, fault: Fault, serializable: bool = False) -> RunResult:
    """`serializable`: reads are asked for as an etcd serves them from its own store, and sold as linearizable."""
    options = Options(
        name="etcd",
        seed=1,
        out=folder / "chaos-runs",
        command_line="raft-chaos",
        heal_command="raft-chaos heal",
        duration_s=0.5,
        baseline_s=1.0,
        after_s=0.5,
    )
    target = await open_target(Choice(system="etcd", data_dir=lab.data_dir))
    if serializable:
        target.system.serializable = True  # type: ignore[attr-defined]
    try:
        return await run(target, [fault], options, print)
    finally:
        await target.close()
        await asyncio.get_running_loop().shutdown_default_executor()


async def test_an_honest_etcd_passes_the_kill_of_its_leader(lab: Lab, tmp_path: Path) -> None:
    result = await played(lab, tmp_path, KillLeader("sigkill"))
    assert [(v.check, v.outcome, v.sentence) for v in result.record.verdicts if v.outcome != "pass"] == []
    assert (result.exit_code, result.trouble, result.record.system) == (0, "", "etcd")
    failover = result.record.failovers[0]
    assert failover.new_term is not None
    assert failover.new_term > failover.old_term
    assert None not in (failover.suspicion, failover.won, failover.first_success)
    kept = load_run(result.folder)
    assert judge(kept.evidence) == kept.record.verdicts


async def test_an_honest_etcd_passes_the_isolation_of_its_leader(lab: Lab, tmp_path: Path) -> None:
    result = await played(lab, tmp_path, Partition(Isolate("leader"), random.Random(1), CUT_SECONDS))
    assert [(v.check, v.outcome, v.sentence) for v in result.record.verdicts if v.outcome != "pass"] == []
    assert (result.exit_code, result.trouble) == (0, "")
    facts = " ".join(result.record.faults[0].facts)
    assert "4 blocked pairs cannot connect" in facts
    assert "has stepped down" in facts


@pytest.mark.longest
@pytest.mark.parametrize("ends", ["leader:follower", "others:leader"])
async def test_a_cut_one_way_is_proven_to_block_one_way_and_to_leave_the_other_open(
    lab: Lab, tmp_path: Path, ends: str
) -> None:
    result = await played(lab, tmp_path, Partition(parse_one_way(ends), random.Random(1), CUT_SECONDS))
    assert result.trouble == ""
    assert result.record.faults[0].effective_us is not None
    assert [verdict.check for verdict in result.record.verdicts if verdict.outcome == "fail"] == []


async def test_reads_of_the_past_that_are_sold_as_linearizable_are_caught_by_name(lab: Lab, tmp_path: Path) -> None:
    fault = Partition(Isolate("follower"), random.Random(1), CUT_SECONDS)
    result = await played(lab, tmp_path, fault, serializable=True)
    failed = {verdict.check: verdict.sentence for verdict in result.record.verdicts if verdict.outcome == "fail"}
    assert result.exit_code == 1, failed
    told = r"(r\d|final) read w\d = \d+ via n\d, sent at [\d.]+ s, although \d+ had been (acknowledged|read) via n\d"
    assert re.search(told, failed["no-stale-read"]), failed


def test_a_lab_ends_with_its_nodes_however_it_ends_goes_on_where_it_was_and_is_not_started_twice(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as lab:
        again = subprocess.run(lab.command(), capture_output=True, text=True, env={**os.environ, "ETCD": "/bin/true"})
        assert (again.returncode, again.stderr.count("\n")) == (4, 1)
        assert "still runs: end it first" in again.stderr
        pids = lab.pids()
        assert len(pids) == NODES
        assert lab.end() == 0
        assert alive(pids) == []
        assert lab.file["state"] == "stopped"
        lab.start()
        assert all(node["pid"] for node in lab.file["nodes"])
        pids = lab.pids()
        lab.process.kill()
        eventually(lambda: not alive(pids), "the end of the nodes")


@pytest.mark.parametrize("offset", [PEER_PORT_OFFSET, CONTROL_PORT_OFFSET])
def test_a_port_that_is_taken_is_told_before_anything_is_started(tmp_path: Path, offset: int) -> None:
    base = free_row(CONTROL_PORT_OFFSET + NODES)
    with socket.create_server(("127.0.0.1", base + offset)):
        command = [sys.executable, "-m", "chaos.cli", "lab", "etcd", "--base-port", str(base)]
        env = {**os.environ, "ETCD": "/bin/true"}
        told = subprocess.run([*command, "--data-dir", str(tmp_path)], capture_output=True, text=True, env=env)
    assert (told.returncode, told.stderr.count("\n")) == (4, 1)
    assert "of the lab is taken" in told.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_an_etcd_it_says_where_to_name_one(tmp_path: Path) -> None:
    env = {**os.environ, "ETCD": str(tmp_path / "none")}
    told = subprocess.run([sys.executable, "-m", "chaos.cli", "lab", "etcd"], capture_output=True, text=True, env=env)
    assert told.returncode == 4
    assert "There is no etcd to start" in told.stderr
