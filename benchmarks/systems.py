"""What is measured: a cluster of this project's nodes, or of etcd's, as processes on this machine.

Why it exists: both sides must be started, found and killed in the same way, or the comparison says nothing. Default
settings on both. It must not measure.
"""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from node.scenarios.ports import free_row

READY_SECONDS_MAX = 180.0
STOP_SECONDS_MAX = 15.0
POLL_S = 0.02
LOCAL_TIMING = ("--heartbeat-ms", "50", "--election-timeout-ms", "175-350")
"""What `raft-node cluster` gives its nodes, where nobody says otherwise."""
HERE = Path(__file__).resolve().parent.parent


class BenchmarkError(Exception):
    """It cannot be measured; the message is one sentence."""


class System(Protocol):
    """A running cluster. Nodes are counted from 0."""

    label: str
    version: str
    api: str
    """"v3" where `POST /v3/kv/put` answers, else "kv"."""
    ports: list[int]
    folder: Path

    def pid(self, node: int) -> int: ...
    def leader(self) -> int | None: ...
    def term(self) -> int: ...
    def ready(self) -> bool: ...
    def kill(self, node: int) -> None: ...
    def ended(self, node: int) -> None: ...
    def restart(self, node: int) -> None: ...


class Door(NamedTuple):
    """What a node asks of its clients: `token`, and TLS with a certificate signed by whom the file `ca` names. Empty:
    nothing."""

    token: str = ""
    ca: str = ""


OPEN = Door()


def ask(port: int, path: str, body: object | None = None, timeout_s: float = 2.0, door: Door = OPEN) -> Any:
    """The JSON answer, or None where there is none."""
    data = None if body is None else json.dumps(body).encode()
    url = f"{'https' if door.ca else 'http'}://127.0.0.1:{port}{path}"
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {door.token}"}
    request = urllib.request.Request(url, data, headers)
    tls = ssl.create_default_context(cafile=door.ca) if door.ca else None
    try:
        with urllib.request.urlopen(request, timeout=timeout_s, context=tls) as answer:
            return json.loads(answer.read())
    except (urllib.error.URLError, OSError, ValueError):
        return None


def run_command(source: Path, *arguments: str) -> None:
    """`raft-node` with these arguments, of the tree `source`."""
    command = [sys.executable, "-m", "node.cli", *arguments]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"raft-node {arguments[0]} failed: {done.stdout}{done.stderr}")


class _Processes:
    """One process a node, each with its command and the end of its output in `folder`."""

    def __init__(self, folder: Path, commands: list[list[str]], cwd: Path | None = None) -> None:
        self.folder = folder
        self._commands = commands
        self._cwd = cwd
        self._running: list[subprocess.Popen[bytes] | None] = [None] * len(commands)
        for node in range(len(commands)):
            self.restart(node)

    def pid(self, node: int) -> int:
        process = self._running[node]
        if process is None:
            raise BenchmarkError(f"node {node} does not run")
        return process.pid

    def kill(self, node: int) -> None:
        """SIGKILL, and do not wait: the clock runs."""
        process = self._running[node]
        if process is not None:
            process.send_signal(signal.SIGKILL)

    def ended(self, node: int) -> None:
        """Wait until it is gone."""
        process = self._running[node]
        if process is not None:
            process.wait(STOP_SECONDS_MAX)

    def restart(self, node: int) -> None:
        self.ended(node)
        with (self.folder / f"node-{node}.log").open("ab") as log:
            self._running[node] = subprocess.Popen(
                self._commands[node], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._cwd
            )

    def stop(self) -> None:
        for process in self._running:
            if process is not None:
                process.terminate()
        for process in self._running:
            if process is not None:
                try:
                    process.wait(STOP_SECONDS_MAX)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


class Nodes(_Processes):
    """This project, from the tree `source`."""

    def __init__(
        self,
        label: str,
        folder: Path,
        count: int,
        source: Path,
        flags: Sequence[str] = (),
        backup: Path | None = None,
        door: Door = OPEN,
    ) -> None:
        """`backup`: what they begin with, a file that such a node has made."""
        self._door = door
        self.label = label
        self.api = "kv"
        self.version = ""
        first = free_row(2 * count)
        self.ports, peer_ports = list(range(first, first + count)), range(first + count, first + 2 * count)
        self._names = [f"n{number}" for number in range(1, count + 1)]
        seeds = ",".join(f"{name}=127.0.0.1:{port}" for name, port in zip(self._names, peer_ports, strict=True))
        if backup is not None:
            for name in self._names:
                members = ("--members", seeds, "--token", "benchmark")
                restore = ("restore", str(backup), "--data-dir", str(folder / name), "--name", name, *members)
                run_command(source, *restore)
        commands = [
            [
                *(sys.executable, "-m", "node.cli", "serve", "--name", name, "--seeds", seeds, "--port", str(port)),
                *("--data-dir", str(folder / name), "--exit-with-parent", *flags),
            ]
            for name, port in zip(self._names, self.ports, strict=True)
        ]
        super().__init__(folder, commands, source)

    def leader(self) -> int | None:
        views = self._views()
        leading = [(view["term"], node) for node, view in enumerate(views) if view and view["role"] == "leader"]
        return max(leading)[1] if leading else None

    def term(self) -> int:
        return max((view["term"] for view in self._views() if view), default=0)

    def ready(self) -> bool:
        views = self._views()
        leaders = {view["leader"] for view in views if view}
        equal = len({view["applied"] for view in views if view}) == 1
        if not (all(views) and len(leaders) == 1 and leaders != {""} and equal):
            return False
        self.version = views[0]["version"]
        put = ask(self.ports[0], "/v3/kv/put", {"key": "YQ==", "value": "YQ=="}, door=self._door)
        self.api = "v3" if put else "kv"
        return True

    def _views(self) -> list[Any]:
        return [ask(port, "/status", door=self._door) for port in self.ports]


class Etcd(_Processes):
    """etcd, `program` being its path."""

    label = "etcd"
    api = "v3"

    def __init__(self, program: str, folder: Path, count: int) -> None:
        self.version = ""
        first = free_row(2 * count)
        self.ports, peers = list(range(first, first + count)), range(first + count, first + 2 * count)
        names = [f"e{number}" for number in range(1, count + 1)]
        cluster = ",".join(f"{name}=http://127.0.0.1:{port}" for name, port in zip(names, peers, strict=True))
        commands = []
        for name, port, peer in zip(names, self.ports, peers, strict=True):
            client_url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
            commands.append(
                [
                    *(program, "--name", name, "--data-dir", str(folder / name), "--log-level", "error"),
                    *("--listen-client-urls", client_url, "--advertise-client-urls", client_url),
                    *("--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url),
                    *("--initial-cluster", cluster, "--initial-cluster-state", "new"),
                ]
            )
        super().__init__(folder, commands)

    def _statuses(self) -> list[Any]:
        return [ask(port, "/v3/maintenance/status", {}) for port in self.ports]

    def leader(self) -> int | None:
        for node, view in enumerate(self._statuses()):
            if view and view.get("leader") == view["header"]["member_id"]:
                return node
        return None

    def term(self) -> int:
        return max((int(view["raftTerm"]) for view in self._statuses() if view), default=0)

    def ready(self) -> bool:
        views = self._statuses()
        if not all(view and view.get("leader", "0") != "0" for view in views):
            return False
        if len({view["leader"] for view in views}) != 1 or len({view["raftAppliedIndex"] for view in views}) != 1:
            return False
        self.version = views[0]["version"]
        return ask(self.ports[0], "/v3/kv/put", {"key": "YQ==", "value": "YQ=="}) is not None


def find_etcd() -> str | None:
    """The program named by the variable ETCD, else `etcd` on PATH."""
    return shutil.which(os.environ.get("ETCD") or "etcd")


def wait_until_ready(system: System) -> None:
    """Every node answers, they agree on a leader and hold the same log, and a write was taken."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not system.ready():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{system.label} was not ready within {READY_SECONDS_MAX:.0f} s: see {system.folder}")
        time.sleep(POLL_S)


@contextmanager
def running(
    kind: str,
    folder: Path,
    count: int,
    *flags: str,
    source: Path = HERE,
    backup: Path | None = None,
    door: Door = OPEN,
) -> Iterator[System]:
    """A fresh cluster of `kind` ("ours", "etcd" or "other") that is ready, and is gone afterwards. `flags`: of this
    project's nodes, `backup`: what these begin with, `door`: what they ask of clients by these flags."""
    folder.mkdir(parents=True)
    system: Nodes | Etcd
    if kind == "etcd":
        program = find_etcd()
        if program is None:
            raise BenchmarkError("there is no etcd on PATH")
        system = Etcd(program, folder, count)
    else:
        system = Nodes(kind, folder, count, source, flags, backup, door)
    try:
        wait_until_ready(system)
        yield system
    finally:
        system.stop()
