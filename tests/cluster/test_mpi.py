"""Nodes as ranks of a real MPI world: elections, load, a cut link, a paused rank, ranks that die, and an end."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cluster.bare import Bare
from tests.cluster.harness import WAIT_SECONDS
from tests.mpi import mpiexec
from tests.ports import free_base_port

RANKS = 5
STOP_SECONDS = 120
VALUE = bytes(100_000)


class World(Bare):
    """Ranks by name; `program` is what the test started."""

    def __init__(self, folder: Path, ranks: int) -> None:
        super().__init__(free_base_port(ranks + 3), [f"rank-{rank}" for rank in range(ranks)])
        self.folder = folder
        self.data = folder / "data"
        self.first = self.ports["rank-0"]
        self.registry_port, self.monitor_port = self.first + ranks, self.first + ranks + 1
        self.program: subprocess.Popen[bytes] | None = None

    def run(self, *words: str) -> None:
        with (self.folder / "out.log").open("ab") as log:
            self.program = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.folder)

    def end(self, name: str = "") -> None:
        assert self.program is not None
        if self.program.poll() is None:
            self.program.terminate()
            self.program.wait(WAIT_SECONDS)

    @property
    def said(self) -> str:
        return (self.folder / "out.log").read_text()

    def pid(self, name: str) -> int:
        """Of the node, not of its keeper."""
        return int(json.loads((self.data / name / "process.json").read_bytes())["pid"])

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def page(self, port: int, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return json.load(answer)

    def registered(self) -> list[str]:
        return [each["registration"]["name"] for each in self.page(self.registry_port, "/nodes")["nodes"]]

    def command(self, name: str, command: str, **arguments: object) -> None:
        url = f"http://127.0.0.1:{self.ports[name]}/commands/{command}"
        request = urllib.request.Request(url, json.dumps(arguments).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 200

    def leader_of(self, names: list[str]) -> str:
        """On which these agree."""
        found = {self.status(name).get("leader", "") for name in names}
        return found.pop() if len(found) == 1 else ""


@contextmanager
def world(folder: Path, ranks: int = RANKS) -> Iterator[World]:
    mpiexec()
    made = World(folder, ranks)
    try:
        yield made
    finally:
        if made.program is not None:
            family = psutil.Process(made.program.pid).children(recursive=True) if made.program.poll() is None else []
            made.program.kill()
            made.program.wait()
            for process in family:
                process.kill()


def cluster(made: World) -> None:
    words = [sys.executable, "-m", "node.cli", "mpi-cluster", "--nodes", str(RANKS), "--base-port", str(made.first)]
    words += ["--discovery-port", str(made.registry_port), "--monitor-port", str(made.monitor_port)]
    words += ["--min-election-timeout", "500", "--max-election-timeout", "1000", "--heartbeat-interval", "100"]
    made.run(*words, "--data-dir", str(made.data))
    made.until(lambda: made.leader_of(list(made.ports)), "all ranks know a leader")


class Load:
    """Writes through whoever takes them."""

    def __init__(self, made: World) -> None:
        self._made = made
        self.acknowledged = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        names, turn = list(self._made.ports), 0
        while not self._ended.is_set():
            body = b"%d " % (self.acknowledged + 1) + VALUE
            if self._made.ask(names[turn % len(names)], "/kv/load", body)[0] == 200:
                self.acknowledged += 1
            else:
                turn += 1

    def more(self, count: int) -> None:
        goal = self.acknowledged + count
        self._made.until(lambda: self.acknowledged >= goal, f"{count} more writes are acknowledged")

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def has(made: World, name: str, number: int) -> bool:
    return made.ask(name, "/kv/load")[1].startswith(b"%d " % number)


@pytest.mark.slowest
@pytest.mark.timeout(400)
def test_a_cluster_of_ranks_outlives_a_cut_a_pause_and_two_deaths_under_load_and_comes_back_whole(
    tmp_path: Path,
) -> None:
    with world(tmp_path) as made:
        cluster(made)
        names = list(made.ports)
        leader = made.until(lambda: made.leader_of(names), "all ranks know a leader")
        made.until(
            lambda: (
                [each["registration"]["name"] for each in made.page(made.registry_port, "/nodes")["nodes"]] == names
            ),
            "the registry lists all ranks",
        )
        assert {each["process"]["state"] for each in made.page(made.monitor_port, "/cluster")["nodes"]} == {"running"}

        with Load(made) as load:
            load.more(20)
            for peer in names:  # the leader alone on its side: the others elect another
                if peer != leader:
                    made.command(leader, "cut_link", peer=peer, direction="both", seconds=STOP_SECONDS)
            others = [name for name in names if name != leader]
            new = made.until(lambda: (found := made.leader_of(others)) != leader and found, "another leads")
            load.more(20)
            made.command(leader, "recover")
            made.until(lambda: made.leader_of(names), "the one that was cut off follows again")

            paused = next(name for name in others if name != new)
            made.signal(paused, signal.SIGSTOP)
            load.more(100)  # ten megabytes that the paused rank does not take
            made.signal(paused, signal.SIGCONT)
            dead = made.until(lambda: made.leader_of(names), "the paused rank follows again")
            made.signal(dead, signal.SIGKILL)
            left = [name for name in names if name != dead]
            second = made.until(lambda: (found := made.leader_of(left)) != dead and found, "another leads again")
            load.more(20)
            made.until(lambda: f"{dead} was killed" in made.said, "it is said that a rank died")
            also = next(name for name in left if name != second)
            made.signal(also, signal.SIGKILL)
            load.more(20)
        number = load.acknowledged
        left.remove(also)
        made.until(lambda: all(has(made, name, number) for name in left), "nothing is lost")
        states = {each["name"]: each["process"]["state"] for each in made.page(made.monitor_port, "/cluster")["nodes"]}
        assert sorted(name for name, state in states.items() if state == "ended") == sorted((dead, also))
        start = urllib.request.Request(f"http://127.0.0.1:{made.monitor_port}/nodes/{dead}/start", method="POST")
        with pytest.raises(urllib.error.HTTPError, match="409") as refused:
            urllib.request.urlopen(start, timeout=5)
        assert b"cannot rejoin an MPI world" in refused.value.read()
        made.end()
        assert made.program is not None
        assert made.program.returncode == 0

        cluster(made)
        made.until(lambda: all(has(made, name, number) for name in names), "the whole world is back, with its data")
        everybody = psutil.Process(made.program.pid).children(recursive=True)
        assert len(everybody) > 2 * RANKS, "registry, mpiexec, keepers and nodes"
        made.program.kill()
        made.until(lambda: not any(process.is_running() for process in everybody), "nobody outlives what started it")


@pytest.mark.longest
@pytest.mark.slowest
def test_what_mpiexec_itself_started_must_live_and_a_rank_that_cannot_start_ends_the_world(tmp_path: Path) -> None:
    with world(tmp_path, 3) as made:
        words = [mpiexec(), "-n", "3", sys.executable, "-m", "node.cli", "mpi", "--data-dir", str(made.data)]
        words += ["--base-port", str(made.first)]
        made.run(*words)
        made.until(lambda: made.leader_of(list(made.ports)), "all ranks know a leader")
        nodes = [psutil.Process(made.pid(name)) for name in made.ports]
        keeper = nodes[1].parent()
        assert keeper is not None
        keeper.kill()  # the keeper, which the process manager watches
        assert made.program is not None
        assert made.program.wait(WAIT_SECONDS) != 0
        made.until(lambda: not any(node.is_running() for node in nodes), "all ranks end with it")

        made.run(*words, "--election-timeout-ms", "100-90")
        assert made.program.wait(WAIT_SECONDS) != 0
        assert "election_timeout_ms" in made.said


@pytest.mark.slowest
def test_no_second_world_runs_in_the_same_folders_and_who_is_asked_to_end_does_so_in_order(tmp_path: Path) -> None:
    """Also where a rank had died. Whoever just went would have the process manager kill the others as they leave."""
    with world(tmp_path, 3) as made:
        where = ["--data-dir", str(made.data)]
        words = [mpiexec(), "-n", "3", sys.executable, "-m", "node.cli", "mpi", *where]
        made.run(*words, "--base-port", str(made.first))
        made.until(lambda: made.leader_of(list(made.ports)), "all ranks know a leader")
        before = {name: (made.data / name / "process.json").read_bytes() for name in made.ports}
        beside = [sys.executable, "-m", "node.cli", "mpi-cluster", "--nodes", "3", "--monitor-port", "0", *where]
        beside += ["--discovery-port", str(made.registry_port)]
        for second in (words, beside):
            ran = subprocess.run(
                [*second, "--base-port", str(free_base_port(3))],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert ran.returncode != 0
            assert f"already runs a cluster in {made.data}/rank-" in ran.stderr
        assert {name: (made.data / name / "process.json").read_bytes() for name in made.ports} == before
        assert made.leader_of(list(made.ports))

        assert made.program is not None
        made.signal("rank-2", signal.SIGKILL)
        made.until(lambda: "rank-2: it was killed" in made.said, "it is said that a rank died")
        made.program.send_signal(signal.SIGINT)
        assert made.program.wait(WAIT_SECONDS) == 0, made.said
        for name in ("rank-0", "rank-1"):
            assert json.loads((made.data / name / "process.json").read_bytes())["exit"] == 0
            assert '"kind":"stopping"' in (made.data / name / "node.log").read_text()


def test_outside_of_an_mpi_world_there_is_a_sentence() -> None:
    ran = subprocess.run([sys.executable, "-m", "node.cli", "mpi"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (64, "")
    assert "This is no rank of an MPI world: start it with mpiexec" in ran.stderr
