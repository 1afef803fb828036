"""etcdctl on three nodes: who leads is changed, a member comes, is promoted and goes, and who is dead is told."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.etcd.ctl import ctl_program
from tests.etcd.processes import running
from tests.judges.systems import POLL_SECONDS, Three, three_nodes
from tests.ports import PEER_PORT_OFFSET

WAIT_SECONDS = 40.0


class Ctl:
    """It, with endpoints."""

    def __init__(self, program: str, endpoints: str) -> None:
        self._begin = [program, f"--endpoints={endpoints}", "--command-timeout=20s"]

    def tried(self, *words: str) -> tuple[int, str]:
        """Exit code, and all that it printed."""
        done = subprocess.run([*self._begin, *words], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def __call__(self, *words: str) -> str:
        code, printed = self.tried(*words)
        assert code == 0, printed
        return printed

    def until_done(self, *words: str) -> str:
        """Once it is possible."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            code, printed = self.tried(*words)
            if code == 0:
                return printed
            assert time.monotonic() < end, printed
            time.sleep(POLL_SECONDS)

    def members(self) -> dict[str, tuple[str, bool]]:
        """By name: its id, and whether it is a learner."""
        rows = [line.split(", ") for line in self("member", "list").splitlines()]
        return {name: (number, learner == "true") for number, _, name, _, _, learner in rows}


@pytest.fixture
def program() -> str:
    found = ctl_program()
    if found is None:
        pytest.skip("no etcdctl: put that of etcd 3.6 on PATH, or name it in ETCDCTL")
    return found


def test_somebody_else_leads_when_told_so(program: str, tmp_path: Path) -> None:
    with three_nodes(tmp_path) as three:
        ctl = Ctl(program, three.endpoints)
        assert sorted(ctl.members()) == ["n0", "n1", "n2"]
        rows = json.loads(ctl("endpoint", "status", "--cluster", "-w", "json"))
        number = {row["Endpoint"].removeprefix("http://"): row["Status"]["header"]["member_id"] for row in rows}
        (leader,) = {row["Status"]["leader"] for row in rows}
        (other, *_) = [endpoint for endpoint in number if number[endpoint] != leader]
        said = ctl("move-leader", f"{number[other]:x}")
        assert said == f"Leadership transferred from {leader:x} to {number[other]:x}\n"
        code, said = ctl.tried("move-leader", "404")
        assert (code, "etcdserver: bad leader transferee" in said) == (1, True)
        (follower, *_) = [endpoint for endpoint in number if endpoint != other]
        code, said = Ctl(program, follower).tried("move-leader", f"{leader:x}")
        assert (code, said) == (128, f"Error: no leader endpoint given at [{follower}]\n")


def test_who_is_dead_is_told_and_the_others_are_healthy(program: str, tmp_path: Path) -> None:
    with three_nodes(tmp_path) as three:
        ctl = Ctl(program, three.endpoints)
        ctl("put", "a", "1")
        three.kill_leader()
        dead = _dead(three)
        code, said = ctl.tried("endpoint", "health")
        assert (code, said.count("is healthy"), f"{dead} is unhealthy" in said) == (1, 2, True)
        alive = Ctl(program, ",".join(each for each in three.endpoints.split(",") if each != dead))
        assert alive("get", "a") == "a\n1\n"


def _dead(three: Three) -> str:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        for port, process in three.processes.items():
            if process.poll() is not None:
                return f"127.0.0.1:{port}"
        time.sleep(POLL_SECONDS)
    raise AssertionError("nobody is dead")


def test_a_member_comes_is_promoted_and_goes(program: str, tmp_path: Path) -> None:
    with three_nodes(tmp_path) as three:
        ctl = Ctl(program, three.endpoints)
        port = max(three.processes) + 1
        address = f"127.0.0.1:{port + PEER_PORT_OFFSET}"
        seeds = ",".join(f"n{at}=127.0.0.1:{of + PEER_PORT_OFFSET}" for at, of in enumerate(three.processes))
        command = [sys.executable, "-m", "node.cli", "serve", "--name=n3", f"--port={port}", f"--seeds={seeds}"]
        command += [f"--peer-port={port + PEER_PORT_OFFSET}", f"--peer-address={address}"]
        with running([*command, f"--data-dir={tmp_path / 'n3'}"], tmp_path / "n3.log"):
            said = ctl.until_done("member", "add", "n3", "--learner", f"--peer-urls=http://{address}")
            number, learner = ctl.members()["n3"]
            assert learner
            assert said.startswith(f"Member {number} added as learner to cluster ")
            assert f"n3=http://{address}" in said.split("ETCD_INITIAL_CLUSTER=")[1]
            assert ctl.until_done("member", "promote", number).startswith(f"Member {number} promoted in cluster ")
            assert ctl.members()["n3"] == (number, False)
            assert Ctl(program, f"127.0.0.1:{port}").until_done("put", "a", "1") == "OK\n"
            assert ctl("member", "remove", number).startswith(f"Member {number} removed from cluster ")
            assert sorted(ctl.members()) == ["n0", "n1", "n2"]
