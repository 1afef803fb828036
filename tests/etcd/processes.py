"""A real etcd and a real node of one, each on free ports of loopback, for the length of a `with`.

Why it exists: both sides of the differential test are programs as users run them.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.ports import PEER_PORT_OFFSET, free_base_port

START_SECONDS_MAX = 40.0


def etcd_program() -> str | None:
    """The etcd to compare with: what ETCD names, else the one on PATH."""
    return os.environ.get("ETCD") or shutil.which("etcd")


@contextmanager
def running_etcd(program: str, folder: Path) -> Iterator[int]:
    """The client port of an empty etcd."""
    port = free_base_port(1)
    peer_port = port + PEER_PORT_OFFSET
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    command = [program, "--name=e1", f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync", "--log-level=error"]
    command += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}"]
    command += [f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=e1={peer}"]
    log = folder / "etcd.log"
    with running(command, log) as process:
        await_ready(process, f"{client}/health", log)
        yield port


@contextmanager
def running_node(folder: Path) -> Iterator[int]:
    """The client port of a node that is a cluster by itself."""
    port = free_base_port(1)
    peer_port = port + PEER_PORT_OFFSET
    command = [sys.executable, "-m", "node.cli", "serve", "--name=n1", f"--seeds=n1=127.0.0.1:{peer_port}"]
    command += [f"--port={port}", f"--data-dir={folder / 'n1'}"]
    log = folder / "node.log"
    with running(command, log) as process:
        await_ready(process, f"http://127.0.0.1:{port}/readyz", log)
        yield port


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """That program, which is ended afterwards."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(START_SECONDS_MAX)


def await_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until it answers 200 there; the failure says what it logged."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.02)
    raise AssertionError(f"{url} did not become ready\n{log.read_text()[-2000:]}")
