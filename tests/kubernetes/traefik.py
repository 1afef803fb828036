"""Traefik in a pod of the cluster: a real controller of Ingresses and a real Gateway, and ways through it from here.

Why it exists: what an Ingress or a route means is decided by whoever reads it, so the chart's are shown behind one that
many people have. It runs with its own defaults, its own rights and its own kinds, as `make traefik` has them. It must
know nothing of Raft.
"""

import http.client
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.beside import carried, pod, running
from tests.kubernetes.doors import Answer, announced
from tests.kubernetes.kube import CommandFailed, Namespace, run
from tests.ports import free_port

CACHED = Path(__file__).parents[2] / ".cache" / "traefik"
NAME = "traefik"
PLAIN_PORT, TLS_PORT, PATIENT_PORT, READY_PORT = 8000, 8443, 8001, 8080
FLAGS = (
    f"--entryPoints.web.address=:{PLAIN_PORT}",
    *(f"--entryPoints.websecure.address=:{TLS_PORT}", "--entryPoints.websecure.http.tls=true"),
    f"--entryPoints.patient.address=:{PATIENT_PORT}",
    "--entryPoints.patient.transport.respondingTimeouts.readTimeout=0",
    *(f"--entryPoints.traefik.address=:{READY_PORT}", "--ping=true", "--accesslog=true"),
    *("--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"),
    "--experimental.kubernetesIngressNGINX=true",
)
"""Nothing of how long it waits for whom, those are its defaults, but for one port that waits for ever."""

CORE_KINDS = "gateway.networking.k8s.io"
RBAC = "rbac.authorization.k8s.io"
ANSWER_SECONDS_MAX = 20.0


def folder() -> Path:
    """Where `traefik`, its kinds and its rights are; without them a test is skipped."""
    found = Path(os.environ.get("TRAEFIK") or CACHED)
    if not (found / "traefik").exists():
        pytest.skip("no Traefik: `make traefik` builds it where Go is")
    return found


@contextmanager
def kinds(found: Path) -> Iterator[None]:
    """Those of the Gateway API and its own: known to the API server meanwhile. Those that are known already stay."""
    known = run("kubectl", "get", "customresourcedefinitions", "--output=name").split()
    made: dict[str, dict[str, Any]] = {}
    for file in sorted((found / "kinds").glob("*.y*ml")):
        for item in yaml.safe_load_all(file.read_text()):
            if item and item["kind"] == "CustomResourceDefinition":
                made[f"customresourcedefinition.apiextensions.k8s.io/{item['metadata']['name']}"] = item
    absent = {name: item for name, item in made.items() if name not in known}
    if not absent:
        yield
        return
    try:
        text = yaml.safe_dump_all(absent.values())
        run("kubectl", "apply", "--server-side", "--filename=-", stdin=text)
        run("kubectl", "wait", "--for=condition=Established", *absent, "--timeout=60s")
        yield
    finally:
        run("kubectl", "delete", "--ignore-not-found", *absent)


def classes(space: Namespace) -> dict[str, str]:
    """Names for the whole cluster, which no other run has: of its Ingresses, of those that speak ingress-nginx's
    annotations, and of its Gateways."""
    return {"ingress": space.name, "nginx": f"{space.name}-nginx", "gateway": space.name}


@contextmanager
def account(space: Namespace, found: Path) -> Iterator[None]:
    """Who it is, by the rights that its own documentation gives it, and the classes that name it."""
    rules = [
        rule
        for file in sorted((found / "rights").glob("*.yml"))
        for item in yaml.safe_load_all(file.read_text())
        if item and item["kind"] == "ClusterRole"
        for rule in item["rules"]
    ]
    named = classes(space)
    cluster_wide = [
        {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": space.name}, "rules": rules},
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": space.name},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": space.name},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": space.name}],
        },
        ingress_class(named["ingress"], "traefik.io/ingress-controller"),
        ingress_class(named["nginx"], f"{space.name}/nginx"),
        {
            "apiVersion": f"{CORE_KINDS}/v1",
            "kind": "GatewayClass",
            "metadata": {"name": named["gateway"]},
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        },
    ]
    try:
        space.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME}})
        run("kubectl", "apply", "--filename=-", stdin=yaml.safe_dump_all(cluster_wide))
        yield
    finally:
        for item in cluster_wide:
            run("kubectl", "delete", "--ignore-not-found", item["kind"], str(item["metadata"]["name"]))  # type: ignore[index]


def ingress_class(name: str, controller: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": name},
        "spec": {"controller": controller},
    }


def gateway(space: Namespace, name: str, secret: str) -> dict[str, Any]:
    """Listeners for plain text and TLS, which it ends with the certificate in `secret`."""
    certificate = {"mode": "Terminate", "certificateRefs": [{"name": secret}]}
    listeners = [
        {"name": "plain", "port": PLAIN_PORT, "protocol": "HTTP"},
        {"name": "patient", "port": PATIENT_PORT, "protocol": "HTTP"},
        {"name": "sealed", "port": TLS_PORT, "protocol": "HTTPS", "tls": certificate},
    ]
    spec = {"gatewayClassName": classes(space)["gateway"], "listeners": listeners}
    return {"apiVersion": f"{CORE_KINDS}/v1", "kind": "Gateway", "metadata": {"name": name}, "spec": spec}


def flags(space: Namespace) -> tuple[str, ...]:
    """How it is started: for this namespace alone."""
    named = classes(space)
    return (
        *FLAGS,
        *(f"--providers.{one}.namespaces={space.name}" for one in ("kubernetesIngress", "kubernetesGateway")),
        f"--providers.kubernetesCRD.namespaces={space.name}",
        f"--providers.kubernetesIngress.ingressClass={named['ingress']}",
        f"--providers.kubernetesIngressNGINX.watchNamespace={space.name}",
        f"--providers.kubernetesIngressNGINX.controllerClass={space.name}/nginx",
        f"--providers.kubernetesIngressNGINX.ingressClass={named['nginx']}",
    )


class Traefik:
    """One that runs. `name`: as programs in the cluster call it."""

    def __init__(self, space: Namespace, plain: int, tls: int, patient: int) -> None:
        self.space, self.plain, self.tls, self.patient = space, plain, tls, patient
        self.name = f"{NAME}.{space.name}.svc"

    def said(self) -> str:
        return self.space.kubectl("logs", NAME, "--tail=-1")


@contextmanager
def traefik(space: Namespace, output: Path, *more: str) -> Iterator[Traefik]:
    """It runs in a pod with a Service in front; its ports are at loopback, too. `more`: flags."""
    found = folder()
    ports = [{"name": f"p{port}", "port": port} for port in (PLAIN_PORT, TLS_PORT)]
    with kinds(found), account(space, found):
        service = {"selector": {"app": NAME}, "ports": ports}
        space.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": service})
        command = carried(NAME, *flags(space), *more)
        with running(space, pod(NAME, {NAME: command}, READY_PORT, account=NAME), {NAME: found / "traefik"}):
            try:
                with forwarded(space, output, PLAIN_PORT, TLS_PORT, PATIENT_PORT) as found_ports:
                    yield Traefik(space, *found_ports)
            except BaseException:
                try:
                    print(space.kubectl("logs", NAME, "--tail=120"), file=sys.stderr)
                except CommandFailed as failed:
                    print(failed, file=sys.stderr)
                raise


@contextmanager
def forwarded(space: Namespace, output: Path, *ports: int) -> Iterator[list[int]]:
    """Those of its pod, at loopback."""
    with ExitStack() as stack:
        found = []
        for port in ports:
            said = output / f"traefik-{port}.log"
            said.write_bytes(b"")
            file = stack.enter_context(said.open("ab"))
            words = space.command("port-forward", f"pod/{NAME}", f"{free_port()}:{port}")
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
            stack.callback(process.wait)
            stack.callback(process.kill)
            found.append(announced(process, said, r"Forwarding from 127\.0\.0\.1:(\d+)"))
        yield found


class Way:
    """Through Traefik to a host by its name. `context` None: plain text."""

    def __init__(self, name: str, port: int, context: ssl.SSLContext | None = None) -> None:
        self.name, self.port, self._context = name, port, context

    @property
    def origin(self) -> str:
        """As a browser says it."""
        return f"{'http' if self._context is None else 'https'}://{self.name}"

    def connection(self) -> http.client.HTTPConnection:
        """A new one. Raises OSError."""
        raw = socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS_MAX)
        made = http.client.HTTPConnection(self.name, timeout=ANSWER_SECONDS_MAX)
        try:
            made.sock = raw if self._context is None else self._context.wrap_socket(raw, server_hostname=self.name)
        except BaseException:
            raw.close()
            raise
        return made

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = self.connection()
        try:
            connection.request(method, path, body, dict(headers or {}))
            got = connection.getresponse()
            return Answer(got.status, got.read(), {name.lower(): value for name, value in got.getheaders()})
        finally:
            connection.close()

    @contextmanager
    def stream(self, path: str, body: bytes | None = None) -> Iterator["Stream"]:
        """An answer that lasts."""
        connection = self.connection()
        try:
            connection.request("GET" if body is None else "POST", path, body)
            yield Stream(connection.getresponse())
        finally:
            connection.close()


class Stream:
    """What comes of it, line by line."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self._answer = answer

    def line(self, pattern: str) -> str:
        """The next that has this; a failure where the stream ends, or says nothing for too long."""
        while line := self._answer.readline():
            text = line.decode()
            if re.search(pattern, text):
                return text
        raise AssertionError(f"the stream ended before a line like {pattern}")

    def lines_for(self, seconds: float) -> list[str]:
        """All that come meanwhile. One that is silent for too long, or ends, is a failure."""
        end = time.monotonic() + seconds
        found: list[str] = []
        while time.monotonic() < end:
            line = self._answer.readline()
            assert line, f"the stream ended after {seconds - (end - time.monotonic()):.1f} s, said was {found[-3:]}"
            found.append(line.decode().strip())
        return found


def to_loopback(*names: str) -> str:
    """A browser's flag: it finds these names here."""
    return f"--host-resolver-rules={','.join(f'MAP {name} 127.0.0.1' for name in names)}"
