"""A release with TLS: certificates of an authority of the test's own as Secrets, and a way in that speaks TLS.

Why it exists: the API server's proxy has no certificate to show, so nodes that demand one are asked through
port-forward, each by the name that its certificate holds. It judges nothing.
"""

import base64
import fcntl
import http.client
import json
import os
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trustme

from tests.kubernetes.doors import ANSWER_SECONDS_MAX, Answer, PortForward, Proxy, port_forward
from tests.kubernetes.figures import FOLDER
from tests.kubernetes.kube import Namespace, background, run
from tests.tls import cert_manager
from tests.tls.certificates import Mounted, trusting

NODES, CLIENT = "raft-tls", "client-tls"
"""Names of the Secrets."""
TOKENS, TOKENS_OF_CHART = "raft-tokens", "raft-chart"
"""Those of the lines that nodes are given, and of the tokens that the chart's own pods show."""
MUTUAL = ("--set", f"tls.mode=secret,tls.existingSecret={NODES},tls.clients.mutual=true")

ACTED_IN = "raft-test-cert-manager=acts"

ASKED_FOR_TOKENS = ("--set", f"auth.existingSecret={TOKENS},auth.clientsSecret={TOKENS_OF_CHART}")


def put_secret(namespace: Namespace, name: str, files: Mounted) -> None:
    """Of kind TLS, with the authority."""
    paths = [Path(path) for path in (files.cert, files.key, files.ca)]
    data = {path.name: base64.b64encode(path.read_bytes()).decode() for path in paths}
    namespace.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data})


def put_tokens(namespace: Namespace) -> str:
    """Both Secrets of tokens; one that may do all. The chart's is called chart, and may do what its pods have to."""
    token, line = token_new("deploy", "write", "operate")
    ours, its_line = token_new("chart", "write", "operate")
    secrets = {TOKENS: {"tokens": f"{line}\n{its_line}\n"}, TOKENS_OF_CHART: {"write": ours, "operate": ours}}
    for name, data in secrets.items():
        namespace.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
    return token


def token_new(name: str, *roles: str) -> tuple[str, str]:
    """A token and its line, as a person makes them."""
    words = ["token", "new", name, *(word for role in roles for word in ("--role", role)), "--json"]
    said = json.loads(run(sys.executable, "-m", "node.cli", *words))
    return said["token"], said["line"]


def serial_of(files: Mounted) -> int:
    """Of the certificate in there."""
    shown = ssl._ssl._test_decode_cert(files.cert)  # type: ignore[attr-defined]
    return int(shown["serialNumber"], 16)


class Client:
    """Of one release named `fullname`: whom it trusts and what it shows, the files `client`."""

    def __init__(self, namespace: Namespace, fullname: str, folder: Path) -> None:
        self._namespace, self._fullname = namespace, fullname
        self.client = Mounted(folder / "client")
        self.token = ""

    def name_of(self, node: str) -> str:
        return f"{node}.{self._fullname}-headless.{self._namespace.name}.svc"

    def context(self, *, shows: bool = True) -> ssl.SSLContext:
        """A client's, which trusts the nodes."""
        return trusting(self.client, shows=shows)

    @property
    def environment(self) -> dict[str, str]:
        """For raft-node and raft-chaos."""
        return {"RAFT_CACERT": self.client.ca, "RAFT_CERT": self.client.cert, "RAFT_KEY": self.client.key}


class Certificates(Client):
    """And what nodes show, of an authority of the test's own; the client's is in the Secret CLIENT, too."""

    def __init__(self, namespace: Namespace, fullname: str, folder: Path) -> None:
        super().__init__(namespace, fullname, folder)
        self.ca = trustme.CA()
        self.nodes = Mounted(folder / "nodes")
        self.renew_client()
        self.renew()

    def renew_client(self, *trusted: trustme.CA) -> None:
        """Likewise, for the client."""
        self.client.put("somebody", by=self.ca, trusted=trusted)
        put_secret(self._namespace, CLIENT, self.client)

    def renew(self, *trusted: trustme.CA) -> int:
        """Another certificate for the nodes, which trust these (else its authority alone); its serial number."""
        headless = f"{self._fullname}-headless.{self._namespace.name}.svc"
        self.nodes.put(
            f"*.{headless}", headless, f"{self._fullname}.{self._namespace.name}.svc", by=self.ca, trusted=trusted
        )
        put_secret(self._namespace, NODES, self.nodes)
        return serial_of(self.nodes)


class SecureDoors(Proxy):
    """As `Proxy`, through a port-forward to each pod, begun when it is asked first: with TLS, or in plain text while
    `tls` is False. `close` ends them; what is asked afterwards begins another."""

    def __init__(self, namespace: Namespace, certificates: Client, folder: Path) -> None:
        self._namespace, self.certificates, self._folder = namespace, certificates, folder
        self._stack = ExitStack()
        self._forwards: dict[str, PortForward] = {}
        self.tls = True
        self.token = certificates.token

    def close(self) -> None:
        self._forwards.clear()
        self._stack.close()

    def ask(self, namespace: str, pod: str, path: str, method: str = "GET", body: bytes | None = None) -> Answer | None:
        assert namespace == self._namespace.name
        try:
            connection = self.connection(pod, self.certificates.context() if self.tls else None)
        except OSError:
            self._again(pod)
            return None
        try:
            headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            connection.request(method, path, body, headers)
            got = connection.getresponse()
            return Answer(got.status, got.read(), {name.lower(): value for name, value in got.getheaders()})
        except (OSError, http.client.HTTPException):
            self._again(pod)
            return None
        finally:
            connection.close()

    def connection(self, pod: str, context: ssl.SSLContext | None) -> http.client.HTTPConnection:
        """To that pod, as whoever has this context. Raises OSError."""
        if pod not in self._forwards:
            self._forwards[pod] = self._stack.enter_context(port_forward(self._namespace, f"pod/{pod}", self._folder))
        raw = socket.create_connection(("127.0.0.1", self._forwards[pod].port), ANSWER_SECONDS_MAX)
        made = http.client.HTTPConnection("127.0.0.1", self._forwards[pod].port, timeout=ANSWER_SECONDS_MAX)
        try:
            name = self.certificates.name_of(pod)
            made.sock = raw if context is None else context.wrap_socket(raw, server_hostname=name)
        except BaseException:
            raw.close()
            raise
        return made

    def serial(self, pod: str) -> int:
        """Of the certificate that the node shows now."""
        connection = self.connection(pod, self.certificates.context())
        try:
            assert isinstance(connection.sock, ssl.SSLSocket)
            shown = connection.sock.getpeercert() or {}
            return int(str(shown["serialNumber"]), 16)
        finally:
            connection.close()

    def _again(self, pod: str) -> None:
        """The program ends with the pod's connection; what is asked next dials anew."""
        forward = self._forwards.get(pod)
        if forward is not None:
            try:
                forward.dial()
            except AssertionError:
                forward.stop()


@contextmanager
def secure_doors(namespace: Namespace, certificates: Client, folder: Path) -> Iterator[SecureDoors]:
    doors = SecureDoors(namespace, certificates, folder)
    try:
        yield doors
    finally:
        doors.close()


@contextmanager
def cert_manager_acts(namespace: Namespace) -> Iterator[None]:
    """Its kinds are known, and its controller acts there. The last of the namespaces in which one does takes away kinds
    that were not there before."""
    words = cert_manager.controller(os.environ.get("KUBECONFIG", str(Path.home() / ".kube" / "config")), namespace.name)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time():
        run("kubectl", "label", "namespace", namespace.name, ACTED_IN)
        there = run("kubectl", "get", "crd", "certificates.cert-manager.io", "--ignore-not-found", "--output=name")
        run("kubectl", "apply", "--server-side", f"--filename={cert_manager.KINDS}")
        if not there:
            run("kubectl", "label", f"--filename={cert_manager.KINDS}", ACTED_IN)
    try:
        run("kubectl", "wait", "--for=condition=Established", f"--filename={cert_manager.KINDS}", "--timeout=60s")
        with background(*words, output=FOLDER / f"cert-manager-{namespace.name}.log"):
            yield
    finally:
        with _one_at_a_time():
            run("kubectl", "label", "namespace", namespace.name, f"{ACTED_IN.partition('=')[0]}-")
            if not run("kubectl", "get", "namespaces", f"--selector={ACTED_IN}", "--output=name"):
                run("kubectl", "delete", "crd", f"--selector={ACTED_IN}", "--wait=false", "--ignore-not-found")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Of the runs of tests on this machine."""
    with (Path(tempfile.gettempdir()) / "raft-test-cert-manager.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
