"""The command that runs a cluster, with real nodes: it leaves nothing behind, however it ends."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.cluster.harness import WAIT_SECONDS, running_cluster
from tests.ports import free_base_port

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "how", [*(pytest.param(how, marks=pytest.mark.slowest) for how in (signal.SIGINT, signal.SIGTERM)), signal.SIGKILL]
)
def test_however_the_supervisor_ends_no_process_stays(tmp_path: Path, how: signal.Signals) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "node.cli", "cluster", "--no-monitor", "--nodes", "3", "--data-dir", str(data)]
    supervisor = subprocess.Popen(
        [*command, "--base-port", str(free_base_port(3))], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert supervisor.stdout is not None
    try:
        for line in supervisor.stdout:
            if "Ctrl-C ends all nodes" in line:
                break
        pids = [node["pid"] for node in json.loads((data / "cluster.json").read_bytes())["nodes"]]
        processes = [psutil.Process(pid) for pid in pids]
        os.kill(pids[0], signal.SIGSTOP)  # one that cannot act on a request to end
        supervisor.send_signal(how)
        supervisor.wait(WAIT_SECONDS)
        _, alive = psutil.wait_procs(processes, WAIT_SECONDS)
        assert not alive
    finally:
        supervisor.kill()
        supervisor.stdout.close()
        supervisor.wait()


@pytest.mark.slowest
async def test_a_dead_node_is_reported_and_comes_back_only_on_demand(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3) as cluster:
        leader = await cluster.leader()
        pid = cluster.nodes[leader]["pid"]
        cluster.signal(leader, signal.SIGKILL)

        async def reported() -> bool:
            return f"{leader} (process {pid}) was killed" in (tmp_path / "supervisor.log").read_text()

        await cluster.until(reported, "the death is reported")
        assert not cluster.nodes[leader]["pid"]
        assert await cluster.status(leader) is None
        await cluster.start_node(leader)
        await cluster.all_applied()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full_at_the_start_is_refused_with_one_sentence(small_disk: Path) -> None:
    refused = subprocess.run(_lonely(small_disk, "16MiB"), capture_output=True, timeout=WAIT_SECONDS, check=False)
    assert refused.returncode == 3, refused.stderr
    _says_what_to_do(refused.stderr)
    assert [path.name for path in (small_disk / "n1").iterdir() if path.name != "lock"] == []


@pytest.mark.slowest
def test_a_disk_that_fills_up_stops_the_node_and_loses_nothing(small_disk: Path) -> None:
    acknowledged, said, code = _write_until_it_stops(small_disk)
    assert code == 3, said
    _says_what_to_do(said)
    assert acknowledged
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    with _running(small_disk) as (_, url):
        for key, value in acknowledged.items():
            assert _http("GET", f"{url}/kv/{key}") == (200, value)


def _lonely(folder: Path, segment_bytes: str, port: int = 0) -> list[str]:
    base = port or free_base_port(1)
    return [
        *(sys.executable, "-m", "node.cli", "serve", "--name", "n1", "--data-dir", str(folder / "n1")),
        *("--seeds", f"n1=127.0.0.1:{base + 1000}", "--port", str(base), "--segment-bytes", segment_bytes),
    ]


@contextmanager
def _running(folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """A cluster of one, whose leader is ready."""
    port = free_base_port(1)
    process = subprocess.Popen(_lonely(folder, "512KiB", port), stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(int(WAIT_SECONDS / 0.05)):
            if _http("GET", f"{url}/readyz")[0] == 200:
                break
            time.sleep(0.05)
        yield process, url
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)
        if process.stderr is not None:
            process.stderr.close()


def _write_until_it_stops(folder: Path) -> tuple[dict[str, bytes], bytes, int | None]:
    acknowledged = {}
    with _running(folder) as (process, url):
        for number in range(40):
            key, value = f"key-{number}", bytes([number]) * 100_000
            if _http("PUT", f"{url}/kv/{key}", value)[0] != 200:
                break
            acknowledged[key] = value
        _, said = process.communicate(timeout=WAIT_SECONDS)
        return acknowledged, said, process.returncode


def _http(method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
    """(status, body); status 0 where nobody answered."""
    try:
        request = urllib.request.Request(url, body, method=method)
        with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (OSError, http.client.HTTPException):
        return 0, b""


def _says_what_to_do(said: bytes) -> None:
    sentence = said.decode().strip().splitlines()[-1]
    assert "No space left on device" in sentence
    assert "free space" in sentence
    assert b"Traceback" not in said
