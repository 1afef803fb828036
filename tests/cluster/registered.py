"""Nodes that know each other's names alone, and a registry: real processes, each started and ended by the test."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.bare import Bare
from tests.cluster.harness import WAIT_SECONDS
from tests.ports import PEER_PORT_OFFSET, free_base_port

NAMES = ("n1", "n2", "n3")


class RegisteredNodes(Bare):
    """`registry_port` is where the registry is, when it is; `ports` where each node serves clients."""

    def __init__(self, folder: Path) -> None:
        super().__init__(free_base_port(8), list(NAMES))
        self.folder = folder
        self.registry_port = self.ports["n1"] + 7
        self.registry: subprocess.Popen[bytes] | None = None
        self.seeds = ",".join(NAMES)
        self.everything: list[subprocess.Popen[bytes]] = []

    def start_registry(self) -> None:
        self.registry = self._run("registry", ["registry", "--port", str(self.registry_port)])
        self.until(lambda: self.registered() is not None, "the registry answers")

    def end_registry(self, number: signal.Signals) -> None:
        assert self.registry is not None
        self.registry.send_signal(number)
        self.registry.wait(WAIT_SECONDS)

    def start(self, name: str, port: int = 0, folder: str = "", log: str = "") -> None:
        """A process of that name; `folder`: on another disk than its own."""
        port = port or self.ports[name]
        words = ["serve", "--name", name, "--seeds", self.seeds, "--data-dir", str(self.folder / (folder or name))]
        words += ["--port", str(port), "--peer-port", str(port + PEER_PORT_OFFSET)]
        words += ["--discover", f"registry:http://127.0.0.1:{self.registry_port}", "--log-format", "text"]
        words += ["--election-timeout-ms", "1500-3000"]  # a busy machine elects nobody
        self.processes[log or name] = self._run(log or name, words)

    def _run(self, log: str, words: list[str]) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{log}.log").open("ab") as file:
            process = subprocess.Popen([sys.executable, "-m", "node.cli", *words], stderr=file, stdout=file)
        self.everything.append(process)
        return process

    def end_by(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)
        self.processes[name].wait(WAIT_SECONDS)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def registered(self) -> list[dict[str, Any]] | None:
        """What the registry lists; None: it does not answer."""
        before = self.ports.get("registry")
        self.ports["registry"] = self.registry_port
        try:
            code, body = self.ask("registry", "/nodes")
        finally:
            if before is None:
                del self.ports["registry"]
        return [each["registration"] for each in json.loads(body)["nodes"]] if code == 200 else None

    def registered_names(self) -> list[str]:
        return [each["name"] for each in self.registered() or []]

    def linked(self, name: str, to: str) -> bool:
        """Whether `name` has both its links to that node up."""
        return any(peer["name"] == to and peer["link_up"] for peer in self.status(name).get("peers", ()))


@contextmanager
def registered_nodes(folder: Path) -> Iterator[RegisteredNodes]:
    """A registry, and three nodes that found each other by it."""
    made = RegisteredNodes(folder)
    try:
        made.start_registry()
        for name in NAMES:
            made.start(name)
        made.until(made.leader, "all nodes know a leader")
        yield made
    finally:
        for process in made.everything:
            process.kill()
            process.wait()
