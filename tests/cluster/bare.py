"""Nodes as processes without a supervisor, each in circumstances that a test chooses: limits, a full standard error.

Why it exists: a supervisor gives its nodes a log file and its own limits; here a node gets what a hard life gives it.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from tests.cluster.harness import WAIT_SECONDS
from tests.ports import PEER_PORT_OFFSET, free_base_port

POLL_S = 0.02
PATIENT = ("--heartbeat-ms", "100", "--election-timeout-ms", "1500-3000")
"""Where nothing may cause an election, nor a machine that has no time for a leader for a moment."""


class Bare:
    """Running nodes, by name."""

    def __init__(self, base_port: int, names: list[str]) -> None:
        self.ports = {name: base_port + offset for offset, name in enumerate(names)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def ask(self, name: str, path: str, body: bytes | None = None, timeout_s: float = 2.0) -> tuple[int, bytes]:
        """Status and body; 0 where nobody answers in time."""
        method = "GET" if body is None else "PUT"
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[name]}{path}", body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def status(self, name: str) -> dict[str, Any]:
        """`/status`; empty where the node does not answer."""
        code, body = self.ask(name, "/status")
        return dict(json.loads(body)) if code == 200 else {}

    def metric(self, name: str, sample: str) -> float:
        """One sample of `/metrics`, by the text in front of its value; StopIteration where the node has none."""
        lines = self.until(lambda: self.ask(name, "/metrics")[1], f"{name} answers").decode().splitlines()
        return next(float(line.removeprefix(sample)) for line in lines if line.startswith(sample + " "))

    def leader(self) -> str:
        """The name on which all agree; empty: they do not."""
        found = {self.status(name).get("leader", "") for name in self.ports}
        return found.pop() if len(found) == 1 else ""

    def until(self, holds: Callable[[], Any], what: str) -> Any:
        """The first true value."""
        end = time.monotonic() + WAIT_SECONDS
        while not (value := holds()):
            assert time.monotonic() < end, f"not within {WAIT_SECONDS} s: {what}"
            time.sleep(POLL_S)
        return value

    def end(self, name: str) -> None:
        """SIGTERM, and SIGKILL to one that does not heed it."""
        process = self.processes[name]
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(WAIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def restart(self, name: str) -> None:
        """End it, start it as it was, and wait until it knows a leader."""
        self.end(name)
        self.processes[name] = subprocess.Popen(self.processes[name].args, stderr=subprocess.DEVNULL)
        self.until(lambda: self.status(name).get("leader"), f"{name} knows a leader again")

    def put(self, name: str, key: str, value: bytes) -> None:
        """Write through a node, trying again while it says that it did nothing."""

        def done() -> bool:
            status, body = self.ask(name, f"/kv/{key}", value)
            assert status in (0, 200, 503), (status, body)
            return status == 200

        self.until(done, f"{name} takes a write")


@contextmanager
def bare_nodes(
    folder: Path,
    count: int,
    *flags: str,
    files: int | None = None,
    stderr: IO[bytes] | int | None = None,
    base_port: int = 0,
    through: Mapping[tuple[str, str], int] | None = None,
) -> Iterator[Bare]:
    """Nodes that know a leader. `files`: how many descriptors each may have. `stderr` None: a log file each. `through`:
    at which port one node dials another, by their names, where that is not the other's own."""
    names = [f"n{number}" for number in range(1, count + 1)]
    made = Bare(base_port or free_base_port(count), names)

    def seeds(source: str) -> str:
        """Every node, as `source` reaches it."""
        ports = {
            name: (through or {}).get((source, name), port + PEER_PORT_OFFSET) for name, port in made.ports.items()
        }
        return ",".join(f"{name}=127.0.0.1:{port}" for name, port in ports.items())

    def limit() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    with ExitStack() as stack:
        for name, port in made.ports.items():
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            made.processes[name] = subprocess.Popen(
                [
                    *(sys.executable, "-m", "node.cli", "serve", "--name", name, "--seeds", seeds(name)),
                    *("--port", str(port), "--data-dir", str(folder / name), *flags),
                ],
                stderr=log if stderr is None else stderr,
                preexec_fn=limit,
            )
            stack.callback(made.end, name)
        made.until(made.leader, "all nodes know a leader")
        yield made


@contextmanager
def full_pipe() -> Iterator[int]:
    """The end to write to, of a pipe that is full already and that nobody reads."""
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writer, True)  # a flag of the pipe, not of the descriptor: as a program finds it
        yield writer
    finally:
        os.close(reader)
        os.close(writer)
