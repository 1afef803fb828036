"""Real processes with broken outputs: those that go on for long, and one of each sort of the others."""

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.chaos.local_cluster import LocalCluster
from tests.outputs.paths import OUTPUT, WHY
from tests.ports import free_base_port
from tests.supervisor.conftest import alive, eventually

SLOWEST = pytest.mark.slowest
pytestmark = pytest.mark.slow
REDIRECTED = {"closed": ">&-", "pipe": "| head -0", "full": "> /dev/full"}
NOT_UTF8 = b"schl\xfcssel"


def shell(
    line: str, *, cwd: "Path | bytes | None" = None, environ: "dict[str, str] | None" = None
) -> "subprocess.CompletedProcess[str]":
    """A line of shell in which `raft-node` and `raft-chaos` are the commands of this checkout."""
    for tool, module in (("raft-node", "node.cli"), ("raft-chaos", "chaos.cli")):
        line = line.replace(f"{tool} ", f"{sys.executable} -m {module} ", 1)
    given = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **(environ or {})}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], cwd=cwd, env=given, capture_output=True, text=True, errors="replace",
        timeout=100, check=False,
    )  # fmt: skip


def _each_sort() -> Iterator[object]:
    """Every kind, and both commands; in `make test-slow` each with each."""
    for at, kind in enumerate(REDIRECTED):
        for number, command in enumerate(("put k v", "status")):
            yield pytest.param(command, kind, marks=() if at % 2 == number else SLOWEST)


@pytest.mark.parametrize(("command", "kind"), list(_each_sort()))
def test_one_of_each_sort_as_a_real_process(cluster: LocalCluster, kind: str, command: str) -> None:
    ran = shell(f"raft-node {command} --data-dir {cluster.data_dir} {REDIRECTED[kind]}")
    assert ran.returncode == OUTPUT, ran
    assert ran.stderr.rstrip().endswith(f"but standard output cannot be written: {WHY[kind]}.")
    assert ("put k (revision" in ran.stderr) == (command == "put k v")


@pytest.mark.parametrize("environ", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_what_was_written_is_told_in_any_locale(cluster: LocalCluster, environ: dict[str, str]) -> None:
    ran = shell(f"raft-node put schlüssel v --data-dir {cluster.data_dir}", environ=environ)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("put schl")


def test_a_standard_input_that_is_closed_writes_nothing(cluster: LocalCluster) -> None:
    ran = shell(f"raft-node put empty - --data-dir {cluster.data_dir} <&-")
    assert ran.returncode == 1
    assert "cannot be read from standard input: it is closed; nothing was written" in ran.stderr
    assert shell(f"raft-node get empty --data-dir {cluster.data_dir}").returncode == 1


@pytest.mark.slowest
def test_a_node_that_was_started_is_told_of_where_the_output_is_full(cluster: LocalCluster) -> None:
    pid = cluster.pid("n3")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: cluster.pid("n3") is None, "the death of n3")
    ran = shell(f"raft-node start n3 --data-dir {cluster.data_dir} > /dev/full")
    assert ran.returncode == OUTPUT
    assert ran.stderr.startswith("raft-node: n3 was started as process ")
    eventually(lambda: "all 3 up" in shell(f"raft-node status --data-dir {cluster.data_dir}").stdout, "n3")


@pytest.mark.slowest
def test_a_scenario_that_nobody_reads_is_not_played(tmp_path: Path) -> None:
    ran = shell("raft-node demo-scenario leader-election >&-", environ={"TMPDIR": str(tmp_path)})
    assert ran.returncode == OUTPUT
    assert ran.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slowest
def test_a_cluster_that_nobody_could_ever_read_is_not_started(tmp_path: Path) -> None:
    ran = shell(f"raft-node cluster --base-port {free_base_port(5)} >&-", cwd=tmp_path)
    assert ran.returncode == OUTPUT
    assert "Standard output is closed, so nothing was started" in ran.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["registry --port 0", "mpi-cluster --discovery-port {port}"])
def test_a_registry_or_a_world_that_nobody_could_ever_read_is_not_started(command: str, tmp_path: Path) -> None:
    ran = shell(f"raft-node {command.format(port=free_base_port(1))} >&-", cwd=tmp_path)
    assert ran.returncode == OUTPUT
    assert "Standard output is closed, so nothing was started" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_registry_that_cannot_say_where_it_is_ends(tmp_path: Path) -> None:
    ran = shell("raft-node registry --port 0 > /dev/full", cwd=tmp_path)
    assert ran.returncode == OUTPUT
    assert ran.stderr.count("\n") == 1


@pytest.mark.slowest
def test_a_cluster_goes_on_where_its_output_is_full_and_says_so_at_its_end(tmp_path: Path) -> None:
    port = free_base_port(3)
    flags = ["--nodes", "3", "--base-port", str(port), "--data-dir", str(tmp_path / "data"), "--no-monitor"]
    with open("/dev/full", "wb") as full:
        running = subprocess.Popen(
            [sys.executable, "-m", "node.cli", "cluster", *flags], stdout=full, stderr=subprocess.PIPE, text=True
        )
    nodes: list[int] = []
    try:
        eventually(lambda: _answers(port), "the first node")
        nodes = [child.pid for child in psutil.Process(running.pid).children()]
    finally:
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == OUTPUT
    assert "All nodes have ended, their data stays in" in said
    assert WHY["full"] in said
    assert said.count("\n") == 1
    assert alive(nodes) == []


@pytest.mark.parametrize("redirected", ["2>&-", "2> /dev/full", "<&- >&- 2>&-"])
def test_a_node_serves_whatever_its_standard_error_is(tmp_path: Path, redirected: str) -> None:
    port = free_base_port(1)
    with _serving(tmp_path / "n1", port, redirected) as pid:
        eventually(lambda: _answers(port), "the node")
        if "2>&-" in redirected:  # not the log, nor a connection
            assert os.readlink(f"/proc/{pid}/fd/2") == "/dev/null"


@pytest.mark.slowest
def test_a_node_may_live_in_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + NOT_UTF8))
    port = free_base_port(1)
    with _serving(folder, port, "2> /dev/null"):
        eventually(lambda: _answers(port), "the node")
    for command in ("dump", "verify"):
        for form in ("", " --json"):
            ran = shell(f"raft-node log {command} {NOT_UTF8.decode(errors='surrogateescape')}{form}", cwd=tmp_path)
            assert (ran.returncode, ran.stderr) == (0, ""), ran
    quoted = NOT_UTF8.decode(errors="surrogateescape")
    given = f"--name n1 --seeds n1=127.0.0.1:1 --data-dir {quoted} --print-config --json"
    ran = shell(f"raft-node serve {given}", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, ""), ran


@pytest.mark.slowest
def test_a_cluster_in_such_a_folder_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/" + NOT_UTF8
    os.mkdir(folder)
    ran = shell("raft-node cluster", cwd=folder)
    assert ran.returncode == 1
    assert "is not UTF-8, so cluster.json cannot hold it; nothing was made" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert os.listdir(folder) == []
    for command in ("status", "start n1", "put k v"):
        ran = shell(f"raft-node {command}", cwd=folder)
        assert "internal error" not in ran.stderr
        assert ran.stderr.count("\n") == 1


@pytest.mark.slowest
@pytest.mark.parametrize(
    "commands",
    [("heal",), pytest.param(("heal --dry-run --json", "kill-leader --dry-run", "status --json"), marks=SLOWEST)],
)
def test_raft_chaos_keeps_its_runs_in_such_a_folder(
    cluster: LocalCluster, tmp_path: Path, commands: tuple[str, ...]
) -> None:
    quoted = NOT_UTF8.decode(errors="surrogateescape")
    os.mkdir(os.fsencode(tmp_path) + b"/" + NOT_UTF8)
    for command in commands:
        ran = shell(f"raft-chaos {command} --data-dir {cluster.data_dir} --out {quoted}", cwd=tmp_path)
        assert (ran.returncode, ran.stderr) == (0, ""), ran
    ran = shell(f"raft-chaos report --out {quoted} --json", cwd=tmp_path)
    assert ran.returncode == 64
    assert "internal error" not in ran.stderr


@SLOWEST
def test_a_run_that_nobody_can_read_heals_and_names_its_report(cluster: LocalCluster, tmp_path: Path) -> None:
    quoted = NOT_UTF8.decode(errors="surrogateescape")
    line = f"raft-chaos partition --duration 2s --yes --data-dir {cluster.data_dir} --out {quoted}"
    for form in ("", " --json"):
        ran = shell(f"{line}{form} > /dev/full", cwd=tmp_path)
        assert ran.returncode in (OUTPUT, 3), ran  # 3: a busy machine wrote too little to tell
        assert "The run is over (exit code " in ran.stderr.splitlines()[-1]
        assert "report.html, but standard output cannot be written" in ran.stderr


def test_nodes_of_a_local_cluster_log_for_people(cluster: LocalCluster) -> None:
    line = (cluster.data_dir / "n1" / "node.log").read_text().splitlines()[0]
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} n1 \S+/\d+ [A-Z]+ ", line), line


@pytest.mark.slowest
@pytest.mark.parametrize(
    ("flags", "environ"),
    [(("--log-format", "json"), {}), pytest.param((), {"RAFT_LOG_FORMAT": "json"}, marks=SLOWEST)],
)
def test_nodes_of_a_local_cluster_log_in_json_on_request(
    tmp_path: Path, flags: tuple[str, ...], environ: dict[str, str]
) -> None:
    where = [
        "--nodes",
        "3",
        "--base-port",
        str(free_base_port(3)),
        "--no-monitor",
        "--data-dir",
        str(tmp_path / "data"),
    ]
    log = tmp_path / "data" / "n1" / "node.log"
    running = subprocess.Popen(
        [sys.executable, "-m", "node.cli", "cluster", *where, "--data-dir", str(tmp_path / "data"), *flags],
        stdout=subprocess.DEVNULL,
        env={**os.environ, **environ},
    )
    try:
        eventually(functools.partial(_has_lines, log), "a line")
    finally:
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
    assert json.loads(log.read_text().splitlines()[0])["node"] == "n1"


def _has_lines(log: Path) -> bool:
    return log.exists() and log.read_text().count("\n") > 1


@contextlib.contextmanager
def _serving(folder: Path, port: int, redirected: str) -> Iterator[int]:
    """A cluster of one; it must end well."""
    line = f'exec "$@" {redirected}'
    command = [sys.executable, "-m", "node.cli", "serve", "--name", "n1", "--seeds", f"n1=127.0.0.1:{port + 1000}"]
    rest = ["--port", str(port), "--data-dir", str(folder)]
    process = subprocess.Popen(["bash", "-c", line, "bash", *command, *rest])
    try:
        yield process.pid
    finally:
        process.terminate()
        assert process.wait(60) == 0


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
        return bool(answer.status == 200)
    return False
