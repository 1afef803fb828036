"""etcdctl's own checks and its mirror run on a node. Their figures are those of the machine, and nobody judges them."""

import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.etcd.ctl import ctl_program
from tests.etcd.processes import running_node

SECONDS_MAX = 150.0


@pytest.fixture
def program() -> str:
    found = ctl_program()
    if found is None:
        pytest.skip("no etcdctl: put that of etcd 3.6 on PATH, or name it in ETCDCTL")
    return found


def test_its_checks_run_to_their_end(program: str, tmp_path: Path) -> None:
    with running_node(tmp_path) as port:
        command = [program, f"--endpoints=127.0.0.1:{port}", "check"]
        scale = subprocess.run([*command, "datascale", "--load=s"], capture_output=True, text=True, timeout=SECONDS_MAX)
        assert (scale.returncode, "PASS: Approximate system memory used" in scale.stdout) == (0, True), scale
        perf = subprocess.run(
            [*command, "perf", "--load=s", "--auto-compact", "--auto-defrag"],
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
        )
        print(perf.stdout)
        assert re.search(r"Compacted with revision \d{4,}\nDefragmenting .*\nDefragmented", perf.stdout), perf
        assert re.search(r"Throughput (is|too low: )\D*\d+ writes/s", perf.stdout), perf
        assert "too many errors" not in perf.stdout.lower()
        left = subprocess.run([*command[:-1], "get", "", "--from-key", "--keys-only"], capture_output=True, text=True)
        assert (left.returncode, left.stdout) == (0, "")


def test_a_mirror_has_what_was_and_what_comes(program: str, tmp_path: Path) -> None:
    with running_node(tmp_path) as port:
        begin = [program, f"--endpoints=127.0.0.1:{port}"]
        subprocess.run([*begin, "put", "a/old", "1"], check=True, timeout=20)
        mirror = [*begin, "make-mirror", "--prefix=a/", "--dest-prefix=b/", f"127.0.0.1:{port}"]
        watch = [*begin, "watch", "b/", "--prefix", "--rev=1"]
        with (
            subprocess.Popen(watch, stdout=subprocess.PIPE, text=True) as seen,
            subprocess.Popen(mirror, stdout=subprocess.DEVNULL) as mirroring,
        ):
            try:
                assert seen.stdout is not None
                assert [seen.stdout.readline() for _ in range(3)] == ["PUT\n", "b/old\n", "1\n"]
                subprocess.run([*begin, "put", "a/new", "2"], check=True, timeout=20)
                subprocess.run([*begin, "del", "a/old"], check=True, timeout=20)
                assert [seen.stdout.readline() for _ in range(3)] == ["PUT\n", "b/new\n", "2\n"]
                assert [seen.stdout.readline() for _ in range(3)] == ["DELETE\n", "b/old\n", "\n"]
            finally:
                seen.terminate()
                mirroring.send_signal(signal.SIGINT)
