"""Ways into the pods from outside: the API server's proxy, and `kubectl port-forward` as the notes tell people.

Why it exists: the proxy outlives the pods and so serves watching; the port-forward is what must work for people. It
judges nothing.
"""

import http.client
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kubernetes.kube import Namespace, background, until
from tests.ports import free_port

CLIENT_PORT = 8001
ANSWER_SECONDS_MAX = 10.0
START_SECONDS_MAX = 20.0


class Answer:
    """Of one HTTP request."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    def json(self) -> Any:
        return json.loads(self.body)


def request(port: int, method: str, path: str, body: bytes | None = None, host: str = "127.0.0.1") -> Answer | None:
    """One request to this machine's loopback; None where nobody answered (in time, or whole)."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS_MAX)
    try:
        connection.request(method, path, body)
        got = connection.getresponse()
        return Answer(got.status, got.read(), {name.lower(): value for name, value in got.getheaders()})
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Proxy:
    """`kubectl proxy`: any pod of the cluster by name, also one that was made a moment ago."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, namespace: str, pod: str, path: str, method: str = "GET", body: bytes | None = None) -> Answer | None:
        """What the pod answered. A pod that cannot be reached is 502 or 503 of the API server, or None."""
        return self.ask_at(CLIENT_PORT, namespace, pod, path, method, body)

    def ask_at(
        self, port: int, namespace: str, pod: str, path: str, method: str = "GET", body: bytes | None = None
    ) -> Answer | None:
        """The same of another server than a node, at this port of its pod."""
        return request(self._port, method, f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}", body)


@contextmanager
def kubectl_proxy(folder: Path) -> Iterator[Proxy]:
    said = folder / "proxy.log"
    with background("kubectl", "proxy", "--port=0", output=said) as process:
        yield Proxy(announced(process, said, r"serve on 127\.0\.0\.1:(\d+)"))


class PortForward:
    """`kubectl port-forward` to one pod, on the same loopback port for its whole life."""

    def __init__(self, namespace: Namespace, target: str, port: int, folder: Path) -> None:
        self.port = port
        self.dials = 0
        """How often the program was started: it ends with the pod's connection."""
        self._namespace = namespace
        self._target = target
        self._said = folder / f"forward-{port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> Answer | None:
        """As a browser would; dials again where the program ended."""
        if self._process is None or self._process.poll() is not None:
            self.dial()
        return request(self.port, method, path, body)

    def dial(self) -> None:
        """Start the program (again) and wait until it listens."""
        self.stop()
        self.dials += 1
        self._said.write_bytes(b"")
        words = self._namespace.command("port-forward", self._target, f"{self.port}:{CLIENT_PORT}")
        with self._said.open("ab") as file:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        announced(self._process, self._said, rf"Forwarding from 127\.0\.0\.1:({self.port})")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def port_forward(namespace: Namespace, target: str, folder: Path) -> Iterator[PortForward]:
    """To `pod/NAME` or `service/NAME`."""
    forward = PortForward(namespace, target, free_port(), folder)
    try:
        forward.dial()
        yield forward
    finally:
        forward.stop()


def announced(process: "subprocess.Popen[bytes]", said: Path, pattern: str) -> int:
    def port() -> int | None:
        found = re.search(pattern, said.read_text())
        if found is None and process.poll() is not None:
            raise AssertionError(f"it ended: {said.read_text()}")
        return int(found[1]) if found else None

    return until(f"a line like {pattern!r} in {said.name}", port, START_SECONDS_MAX, every_s=0.05)
