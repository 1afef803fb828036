"""Commands that hold something, as processes, and the node that they hold it in.

Why it exists: what is held by a process is given back by its end, however that comes, which no call in this process
shows.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.etcd.processes import running_node

SECONDS_MAX = 30.0


class Node:
    """One real node, and who asks it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **message: object) -> dict[str, Any]:
        with urlopen(f"{self.url}{path}", json.dumps(message).encode(), SECONDS_MAX) as answer:
            return dict(json.loads(answer.read()))

    def keys(self, name: str) -> list[str]:
        """Of a queue, in the order of their creation."""
        start, end = (base64.b64encode(f"{name}{last}".encode()).decode() for last in "/0")
        found = self.ask("/v3/kv/range", key=start, range_end=end, sort_target="CREATE")
        return [base64.b64decode(kv["key"]).decode() for kv in found.get("kvs", [])]

    def revoke(self, key: str) -> None:
        """End the lease of that key: whoever holds it has lost it."""
        self.ask("/v3/lease/revoke", ID=str(int(key.rpartition("/")[2], 16)))

    def until(self, holds: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + SECONDS_MAX
        while not holds():
            assert time.monotonic() < end, what
            time.sleep(0.02)

    @contextmanager
    def running(self, *words: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
        """`raft-node ...` of this node; killed if it is still there at the end. `--` and what follows stays last."""
        at = words.index("--") if "--" in words else len(words)
        command = [sys.executable, "-m", "node.cli", *words[:at], "--url", self.url, *words[at:]]
        with _process(command, **options) as process:
            yield process

    def run(self, *words: str, **options: Any) -> tuple[int, str, str]:
        """Exit code, output and errors."""
        with self.running(*words, **options) as process:
            out, err = process.communicate(timeout=SECONDS_MAX)
        return process.returncode, out, err

    @contextmanager
    def etcdctl(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Etcd's own client, unchanged. Skips where it is not there."""
        program = os.environ.get("ETCDCTL") or shutil.which("etcdctl")
        if program is None:
            pytest.skip("no etcdctl: put that of etcd 3.6 on PATH, or name it in ETCDCTL")
        with _process([program, "--endpoints", f"127.0.0.1:{self.port}", *words]) as process:
            yield process


@contextmanager
def _process(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    with subprocess.Popen(command, **pipes) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def line(process: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def ends(process: subprocess.Popen[str], number: signal.Signals | None = None) -> tuple[int, str]:
    """Exit code and errors, after that signal."""
    if number is not None:
        process.send_signal(number)
    _, err = process.communicate(timeout=SECONDS_MAX)
    return process.returncode, err


@contextmanager
def _signals_count() -> Iterator[None]:
    """Also where whoever runs the tests ignores them (nohup): who is started here would inherit that."""
    numbers = (signal.SIGHUP, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    for number, handler in zip(numbers, before, strict=True):
        if handler is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder: Path = tmp_path_factory.mktemp("node")
    with _signals_count(), running_node(folder) as port:
        yield Node(port)
