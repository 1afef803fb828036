"""`raft-node cluster` as a real process with real children: how it ends, what it tells, what it refuses."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from node.api.server import SHUTDOWN_SECONDS_MAX
from node.settings import LEAVE_BESIDE_MS
from node.supervisor import layout
from node.supervisor.introduction import NodeRow
from node.supervisor.narrator import Line
from node.supervisor.supervisor import Supervisor
from tests.ports import free_base_port
from tests.supervisor.conftest import PROGRAM, Cluster, alive, eventually


def test_ctrl_c_ends_every_node_and_the_file_says_so(cluster: Cluster) -> None:
    cluster.start().until_table()
    control = Path(cluster.file["control"])
    assert stat.S_IMODE(control.stat().st_mode) == 0o600
    assert stat.S_IMODE(control.parent.stat().st_mode) == 0o700
    assert len(alive(cluster.pids)) == 3
    cluster.signal(signal.SIGINT)
    assert cluster.wait() == 0
    assert alive(cluster.pids) == []
    assert cluster.file["state"] == "stopped"
    assert [node["pid"] for node in cluster.file["nodes"]] == [None] * 3
    assert not control.parent.exists()
    assert "All nodes have ended" in cluster.output
    assert "exit code" not in cluster.output  # an end that was asked for is not reported as a death


def test_killing_the_supervisor_ends_every_node_even_a_stopped_one(cluster: Cluster) -> None:
    cluster.start().until_table()
    os.kill(cluster.pids[1], signal.SIGSTOP)
    eventually(lambda: psutil.Process(cluster.pids[1]).status() == psutil.STATUS_STOPPED, "the stop")
    cluster.signal(signal.SIGKILL)
    cluster.wait()
    eventually(lambda: not alive(cluster.pids), f"the end of {cluster.pids}")


@pytest.mark.slowest
def test_after_a_killed_supervisor_the_next_goes_on_and_removes_its_socket(cluster: Cluster) -> None:
    cluster.start().until_table()
    stale = Path(cluster.file["control"]).parent
    cluster.signal(signal.SIGKILL)
    cluster.wait()
    eventually(lambda: not alive(cluster.pids), "the end of the nodes")
    assert stale.exists()
    cluster.start().until_table()
    assert "going on with the data" in cluster.output
    assert not stale.exists()
    assert (cluster.data_dir / "n1" / "data" / "starts").read_text() == "xx"


@pytest.mark.slowest
def test_stopped_and_deaf_nodes_are_ended_by_a_second_ctrl_c(cluster: Cluster) -> None:
    cluster.start(environ={"STAND_IN_DEAF": "n2"}).until_table()
    os.kill(cluster.pids[2], signal.SIGSTOP)
    cluster.signal(signal.SIGINT)
    eventually(lambda: alive(cluster.pids) == [cluster.pids[1]], "the end of all but the deaf one")
    cluster.signal(signal.SIGINT)
    assert cluster.wait() == 0
    assert alive(cluster.pids) == []


@pytest.mark.slowest
def test_a_deaf_node_is_killed_once_it_has_had_the_time_that_leaving_may_take(cluster: Cluster) -> None:
    settings = {"RAFT_REQUEST_TIMEOUT_MS": "10", "RAFT_LEAVE_WAIT_MS": "4000"}
    cluster.start(environ={"STAND_IN_DEAF": "n2", **settings}).until_table()
    began = time.monotonic()
    cluster.signal(signal.SIGINT)
    assert cluster.wait() == 0
    assert time.monotonic() - began > (4000 + 10 + LEAVE_BESIDE_MS) / 1000
    assert alive(cluster.pids) == []


def test_a_death_is_reported_not_repaired_and_start_brings_the_node_back_until_sigterm(cluster: Cluster) -> None:
    cluster.start().until_table()
    os.kill(cluster.pids[2], signal.SIGKILL)
    said = f"n3 (process {cluster.pids[2]}) was killed by SIGKILL; start it again with: raft-node start"
    eventually(lambda: said in cluster.output, "the report")
    assert "| n3 is up" in cluster.output  # the end of its log
    assert cluster.pid("n3") is None

    code, out, err = cluster.raft_node("start", "n3")
    assert (code, err) == (0, "")
    pid = cluster.pid("n3")
    assert pid is not None
    cluster.pids.append(pid)
    assert out == f"n3 was started as process {pid}.\n"
    assert alive([pid]) == [pid]
    eventually(lambda: f"n3 was started again as process {pid}" in cluster.output, "the line")

    twice = cluster.raft_node("start", "n3")
    assert twice == (1, "", f"raft-node: n3 is already running as process {pid}.\n")
    assert "There is no node n9: the nodes are n1, n2, n3." in cluster.raft_node("start", "n9")[2]

    cluster.signal(signal.SIGTERM)
    assert cluster.wait() == 0
    assert alive(cluster.pids) == []
    assert "is not running" in cluster.raft_node("start", "n3")[2]


def test_one_election_reads_as_a_few_lines_and_each_once_until_sighup(cluster: Cluster) -> None:
    cluster.start().until_table()
    told = [line[14:] for line in cluster.output.splitlines() if line[2:3] == ":" and line[8:9] == "."]
    assert told == [
        "n1 hears no leader and asks whether it could win an election",
        "n1 stands for election and asks for votes in term 1",
        "n1 won the election with 2 of 3 votes and leads in term 1",
    ]
    row = next(line for line in cluster.output.splitlines() if "│ n1" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "n1", f"http://127.0.0.1:{cluster.base_port}", str(cluster.pids[0]), "leader", "1",
    ]  # fmt: skip
    cluster.signal(signal.SIGHUP)
    assert cluster.wait() == 0
    assert alive(cluster.pids) == []


@pytest.mark.slowest
def test_a_long_temporary_folder_does_not_keep_the_control_socket_from_being_bound(cluster: Cluster) -> None:
    long = cluster.folder / ("x" * 90)
    long.mkdir()
    cluster.start(environ={"TMPDIR": str(long)}).until_table()
    assert cluster.raft_node("start", "n3")[2].startswith("raft-node: n3 is already running")
    assert str(cluster.file["control"]).startswith("/tmp/")


def test_when_no_node_survives_the_start_the_cluster_ends_and_shows_why(cluster: Cluster) -> None:
    cluster.start(environ={"STAND_IN_FAILS": "n1:3,n2:3,n3:3"})
    assert cluster.wait() == 1
    assert "n2 (process" in cluster.output
    assert "ended with exit code 3 (a storage error)" in cluster.output
    assert "| n2 was told to fail" in cluster.output
    assert "no node survived its start" in cluster.output


@pytest.mark.parametrize("answered", [False, True])  # they need longer to begin than to be killed
def test_when_all_nodes_are_killed_before_the_table_the_cluster_goes_on_and_they_can_be_started_again(
    cluster: Cluster, answered: bool
) -> None:
    cluster.start()

    def killed() -> bool:
        try:
            cluster.pids = [node["pid"] for node in cluster.file["nodes"] if node["pid"]]
        except FileNotFoundError:
            return False
        return len(cluster.pids) == 3

    eventually(killed, "three processes")
    if answered:
        eventually(lambda: "leads" in cluster.output, "a leader")
    for pid in cluster.pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: cluster.output.count("was killed by SIGKILL") == 3, "three deaths")
    for name in ("n1", "n2", "n3"):
        code, _, error = cluster.raft_node("start", name)
        assert code == 0, error


@pytest.mark.slowest
def test_it_ends_with_its_parent_when_told_to(tmp_path: Path, cluster: Cluster) -> None:
    """A parent process that starts the cluster and is killed."""
    flags = ["cluster", "--no-monitor", "--nodes", "3", "--base-port", str(cluster.base_port), "--exit-with-parent"]
    command = [sys.executable, str(PROGRAM), *flags, "--data-dir", str(cluster.data_dir)]
    code = f"import subprocess, sys; p = subprocess.Popen({command!r}); print(p.pid, flush=True); p.wait()"
    with (tmp_path / "log").open("wb") as log:
        parent = subprocess.Popen([sys.executable, "-c", code], stdout=log, stderr=log)
    try:
        eventually(lambda: "Ctrl-C ends" in (tmp_path / "log").read_text(), "the table")
        pids = [cluster.file["supervisor_pid"], *(node["pid"] for node in cluster.file["nodes"])]
    finally:
        parent.kill()
        parent.wait()
    cluster.pids = pids  # should they survive, the fixture ends them
    eventually(lambda: not alive(pids), "the end of all")
    assert cluster.file["state"] == "stopped"  # in good order: the supervisor had time to say so


def test_a_reader_that_goes_away_ends_the_cluster(cluster: Cluster) -> None:
    flags = [
        "cluster",
        "--no-monitor",
        "--nodes",
        "3",
        "--base-port",
        str(cluster.base_port),
        "--data-dir",
        str(cluster.data_dir),
    ]
    cluster.process = subprocess.Popen([sys.executable, str(PROGRAM), *flags], stdout=subprocess.PIPE)
    assert cluster.process.stdout is not None
    cluster.process.stdout.readline()
    cluster.process.stdout.close()
    assert cluster.wait() == 74
    eventually(lambda: cluster.file["state"] == "stopped", "the end")


def test_a_second_supervisor_of_the_same_folder_is_refused_by_name(cluster: Cluster) -> None:
    held = layout.open_folder(cluster.data_dir, 3, cluster.base_port, False)[0]
    code, _, err = cluster.raft_node("cluster", "--nodes", "3", "--base-port", str(cluster.base_port))
    held.release()
    assert (code, err.count("\n")) == (1, 1)
    assert f"Process {os.getpid()} already runs a cluster in" in err


def test_a_port_in_use_is_named_with_its_cure_and_nothing_is_started(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", cluster.base_port + layout.PEER_PORT_OFFSET + 1)):
        code, out, err = cluster.raft_node("cluster", "--nodes", "3", "--base-port", str(cluster.base_port))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"Port {cluster.base_port + 1001} of 127.0.0.1, where n2 would listen for peers, is in use" in err
    assert "--base-port" in err
    assert not (cluster.data_dir / "n1").exists()


def test_impossible_settings_are_told_once_before_anything_starts(cluster: Cluster) -> None:
    port = str(cluster.base_port)
    code, out, err = cluster.raft_node("cluster", "--nodes", "3", "--base-port", port, "--heartbeat-ms", "500")
    assert (code, out, err.count("\n")) == (64, "", 1)
    assert "begins below 1.5 heartbeats" in err


def test_ctrl_c_waits_for_nobody_who_watches_the_page_of_all_nodes(cluster: Cluster) -> None:
    cluster.start("--monitor-port", "0").until_table()
    first = cluster.output.splitlines()[0]
    assert first == f"Watch it: {cluster.file['monitor']}"
    port = int(first.rstrip("/").rpartition(":")[2])
    with contextlib.ExitStack() as held:
        readers = []
        for path in ("/events", "/nodes/n1/events"):
            reader = held.enter_context(socket.create_connection(("127.0.0.1", port)))
            reader.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            assert reader.recv(15) == b"HTTP/1.1 200 OK"
            readers.append(reader)
        begin = time.monotonic()
        cluster.signal(signal.SIGINT)
        assert cluster.wait() == 0
        assert time.monotonic() - begin < SHUTDOWN_SECONDS_MAX, "a server would wait so long for readers"
        for reader in readers:
            while reader.recv(65536):
                pass
    assert cluster.file["monitor"] is None
    assert alive(cluster.pids) == []


def test_a_named_port_of_the_page_that_is_taken_is_told_and_nothing_is_started(cluster: Cluster) -> None:
    ports = ["--base-port", str(cluster.base_port), "--monitor-port"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, out, err = cluster.raft_node("cluster", "--nodes", "3", *ports, str(taken.getsockname()[1]))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "where the monitor would be served, is in use: choose another --monitor-port" in err
    assert not (cluster.data_dir / "n1").exists()
    assert cluster.raft_node("cluster", "--nodes", "3", *ports, "65536")[0] == 64


class Said:
    """Who tells nobody, and remembers."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def say(self, line: Line) -> None:
        self.kinds.append(line.kind)

    def table(self, rows: Sequence[NodeRow]) -> None: ...


async def test_a_node_that_was_killed_a_moment_ago_is_told_dead_and_started(tmp_path: Path) -> None:
    """Its death may be heard of after the request: whoever writes `kill -9` and `raft-node start` is that fast."""
    lock, entries = layout.open_folder(tmp_path, 1, free_base_port(1), False)
    said, command = Said(), (sys.executable, "-c", "import time; time.sleep(60)")
    supervisor = Supervisor(tmp_path, entries, lock, command, (), said, os.environ, lambda: 1, leave_seconds_max=1.0)
    child = supervisor._children["n1"]
    try:
        first = child.start()
        assert "already running" in supervisor.start_again("n1").text
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - nobody shall hear the signal
        answer = supervisor.start_again("n1")
        supervisor._chronicle.flush()
        assert (answer.ok, answer.pid != first, said.kinds) == (True, True, ["died", "started"])
        supervisor._retiring.add("n1")
        assert "is being ended" in supervisor.start_again("n1").text
    finally:
        for one in (child, supervisor._children["n1"]):
            one.kill()
            while one.pid is not None:
                one.poll()
        lock.release()
