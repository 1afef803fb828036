"""Nodes with certificates: each is started with flags of its own, and asked with TLS or without.

Why it exists: on the way from plain text to TLS nodes differ, and one may show what it should not. It must not know
more of the product than flags, signals and HTTP.
"""

import http.client
import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import trustme

from tests.cluster.bare import Bare
from tests.cluster.harness import WAIT_SECONDS
from tests.ports import PEER_PORT_OFFSET, free_base_port
from tests.tls.certificates import Mounted, trusting

LOCAL = ("localhost", "127.0.0.1")


class Secure(Bare):
    """Three nodes that may be started anew. `mounted`: what each shows to clients and peers; `client`: what a client
    shows. `tls` None: they are asked in plain text."""

    def __init__(self, folder: Path) -> None:
        super().__init__(free_base_port(3), ["n1", "n2", "n3"])
        self.folder = folder
        self.ca = trustme.CA()
        self.mounted = {name: Mounted(folder / f"certs-{name}") for name in self.ports}
        self.client = Mounted(folder / "certs-client")
        for name, mounted in (*self.mounted.items(), ("somebody", self.client)):
            mounted.put(name, *LOCAL, by=self.ca)
        self.tls: ssl.SSLContext | None = None
        self.seeds = ",".join(f"{name}=127.0.0.1:{port + PEER_PORT_OFFSET}" for name, port in self.ports.items())

    def trust(self) -> None:
        """Ask with TLS from now on."""
        self.tls = trusting(self.client)

    def url(self, name: str) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.ports[name]}"

    def flags(self, name: str, clients: str, peers: str, dial: str, *, client_ca: bool = False) -> list[str]:
        """`clients`, `peers`: what is accepted; `dial`: how peers are dialled."""
        files = self.mounted[name]
        found = ["--tls-accept", clients, "--tls-cert", files.cert, "--tls-key", files.key]
        found += ["--peer-tls-accept", peers, "--peer-tls-dial", dial]
        found += ["--peer-tls-cert", files.cert, "--peer-tls-key", files.key, "--peer-tls-ca", files.ca]
        return [*found, "--tls-client-ca", files.ca] if client_ca else found

    def start(self, name: str, flags: Sequence[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [
                    *(sys.executable, "-m", "node.cli", "serve", "--name", name, "--seeds", self.seeds),
                    *("--port", str(self.ports[name]), "--data-dir", str(self.folder / name), *flags),
                ],
                stderr=log,
            )

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        self.processes[name].send_signal(number)
        self.processes[name].wait(WAIT_SECONDS)

    def ask(self, name: str, path: str, body: bytes | None = None, timeout_s: float = 2.0) -> tuple[int, bytes]:
        """As `Bare.ask`, with TLS where that is so."""
        if self.tls is None:
            return super().ask(name, path, body, timeout_s)
        return self.ask_with(self.tls, name, path, body, timeout_s)

    def ask_with(
        self, tls: ssl.SSLContext, name: str, path: str, body: bytes | None = None, timeout_s: float = 2.0
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection("127.0.0.1", self.ports[name], timeout=timeout_s, context=tls)
        try:
            connection.request("GET" if body is None else "PUT", path, body)
            with connection.getresponse() as answer:
                return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def refused(self, name: str, port: str, why: str) -> float:
        """The count of those that this node did not let in."""
        sample = f'raft_tls_handshakes_refused_total{{port="{port}",why="{why}"}}'
        with suppress(StopIteration):
            return self.metric(name, sample)
        return 0

    def told(self, name: str, kind: str, **detail: object) -> list[Mapping[str, Any]]:
        """Details of all events of that kind and detail, oldest first, of all its processes: each is a line of the log,
        which comes a moment after what it tells of."""
        found = []
        for line in (self.folder / f"{name}.log").read_text().splitlines():
            with suppress(ValueError):
                event = json.loads(line)
                if event.get("kind") == kind and detail.items() <= event["detail"].items():
                    found.append(event["detail"])
        return found

    def serves(self, name: str) -> bool:
        """Whether it is ready for traffic."""
        return self.ask(name, "/readyz")[0] == 200


@contextmanager
def secure_nodes(folder: Path) -> Iterator[Secure]:
    """None of them runs yet; all are gone afterwards."""
    made = Secure(folder)
    try:
        yield made
    finally:
        for process in made.processes.values():
            process.kill()
            process.wait()
