"""Three nodes, or three of etcd, each a process, whose leader can be killed.

Why it exists: a client's program must pass against both: where it fails against etcd, the program is wrong. It must not
know more of either than etcd's API says: who leads is asked of `/v3/maintenance/status`, which both have.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

from tests.etcd.processes import START_SECONDS_MAX, await_ready, running
from tests.ports import PEER_PORT_OFFSET, free_base_port

NODES = 3
POLL_SECONDS = 0.05


class Three(NamedTuple):
    """Its processes, by client port."""

    processes: dict[int, subprocess.Popen[bytes]]

    @property
    def endpoints(self) -> str:
        """As clients are told them."""
        return ",".join(f"127.0.0.1:{port}" for port in self.processes)

    def kill_leader(self) -> None:
        """With SIGKILL."""
        self.processes[self._leader()].kill()

    def _leader(self) -> int:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            for port in self.processes:
                asked = Request(f"http://127.0.0.1:{port}/v3/maintenance/status", b"{}")
                with urlopen(asked, timeout=5) as answer:
                    status = json.load(answer)
                if status.get("leader") == status["header"]["member_id"]:
                    return port
            time.sleep(POLL_SECONDS)
        raise AssertionError("nobody leads")


@contextmanager
def three_nodes(folder: Path) -> Iterator[Three]:
    """A cluster of ours."""
    base = free_base_port(NODES)
    names = {f"n{at}": base + at for at in range(NODES)}
    seeds = ",".join(f"{name}=127.0.0.1:{port + PEER_PORT_OFFSET}" for name, port in names.items())
    begin = [sys.executable, "-m", "node.cli", "serve", f"--seeds={seeds}"]
    commands = {
        port: [*begin, f"--name={name}", f"--port={port}", f"--data-dir={folder / name}"]
        for name, port in names.items()
    }
    with _three(folder, commands, "readyz") as three:
        yield three


@contextmanager
def three_etcds(program: str, folder: Path) -> Iterator[Three]:
    """A cluster of etcd."""
    base = free_base_port(NODES)
    names = {f"e{at}": base + at for at in range(NODES)}
    peers = {name: f"http://127.0.0.1:{port + PEER_PORT_OFFSET}" for name, port in names.items()}
    cluster = "--initial-cluster=" + ",".join(f"{name}={peer}" for name, peer in peers.items())
    commands = {}
    for name, port in names.items():
        client = f"http://127.0.0.1:{port}"
        command = [program, f"--name={name}", f"--data-dir={folder / name}", "--unsafe-no-fsync", "--log-level=error"]
        command += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}", cluster]
        commands[port] = [*command, *(f"--{what}-peer-urls={peers[name]}" for what in ("listen", "initial-advertise"))]
    with _three(folder, commands, "health") as three:
        yield three


@contextmanager
def _three(folder: Path, commands: dict[int, list[str]], ready: str) -> Iterator[Three]:
    with ExitStack() as stack:
        logs = {port: folder / f"{port}.log" for port in commands}
        three = Three({port: stack.enter_context(running(command, logs[port])) for port, command in commands.items()})
        for port, process in three.processes.items():
            await_ready(process, f"http://127.0.0.1:{port}/{ready}", logs[port])
        yield three
