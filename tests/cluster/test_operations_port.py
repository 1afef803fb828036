"""The port for operations with real processes: probes and metrics, and nothing that could read or write a key."""

import http.client
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from node.access.table import ROUTES
from node.api.operations_port import OPERATIONS_OF_ONE_MAX
from tests.cluster.guarded import Guarded, guarded_nodes
from tests.ports import free_port

SERVED = {"/livez", "/readyz", "/startupz", "/metrics"}


def asked(port: int, method: str, path: str, tls: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """Status and body, without a token."""
    scheme = "http" if tls is None else "https"
    body = b"{}" if method in ("PUT", "POST") else None
    request = urllib.request.Request(f"{scheme}://127.0.0.1:{port}{path}", body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10, context=tls) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Guarded, int]]:
    """Nodes with tokens; n1 has the port."""
    with guarded_nodes(tmp_path_factory.mktemp("operations")) as nodes:
        port = free_port()
        for name in nodes.ports:
            more = ["--operations-port", str(port)] if name == "n1" else []
            nodes.start(name, ["--tokens-file", str(nodes.files[name]), *more])
        nodes.until(nodes.leader, "all nodes know a leader")
        nodes.until(lambda: nodes.serves("n1"), "n1 is ready")
        yield nodes, port


def test_it_serves_probes_and_metrics_to_anybody_and_nothing_else(standing: tuple[Guarded, int]) -> None:
    nodes, port = standing
    for route in [*ROUTES, "GET /kv/", "POST /v3/auth/enable", "POST /v3/nothing"]:
        method, _, path = route.partition(" ")
        concrete = path.replace("{key}", "a").replace("{name}", "recover").replace("{path}", "app.js")
        status, body = asked(port, method, concrete)
        assert (route, status) == (route, 200 if path in SERVED and method == "GET" else 404), body
    assert b"this port serves /livez, /readyz, /startupz, /metrics, and nothing else" in asked(port, "GET", "/")[1]
    for method in ("PUT", "POST", "DELETE"):
        assert {asked(port, method, path)[0] for path in SERVED} == {405}
    assert b"raft_tokens 4.0" in asked(port, "GET", "/metrics")[1]
    assert nodes.request("n1", "GET", "/metrics", None, "")[0] == 401
    assert nodes.request("n1", "GET", "/readyz", None, "")[0] == 200


def test_it_speaks_no_grpc(standing: tuple[Guarded, int]) -> None:
    _, port = standing
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        assert plain.makefile("rb").read().startswith(b"HTTP/1.1 ")


def test_pages_of_other_sites_cannot_use_it(standing: tuple[Guarded, int]) -> None:
    _, port = standing
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(request, timeout=10)
    refused.value.close()


def test_idle_connections_keep_no_probe_out(standing: tuple[Guarded, int]) -> None:
    nodes, port = standing
    held = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(40)]
    try:
        nodes.until(lambda: asked(port, "GET", "/livez")[0] == 200, "somebody idle makes room")
        assert nodes.request("n1", "GET", "/livez", None, "")[0] == 200
    finally:
        for each in held:
            each.close()


def test_with_tls_it_asks_for_no_certificate_where_clients_have_to_show_one(tmp_path: Path) -> None:
    with guarded_nodes(tmp_path) as nodes:
        port, files = free_port(), nodes.mounted["n1"]
        flags = ["--tls-accept", "tls", "--tls-cert", files.cert, "--tls-key", files.key, "--tls-client-ca", files.ca]
        nodes.start("n1", [*flags, "--operations-port", str(port), "--operations-tls", "tls"])
        trusting = ssl.create_default_context(cafile=files.ca)

        def alive() -> bool:
            try:
                return asked(port, "GET", "/livez", trusting)[0] == 200
            except OSError:
                return False

        nodes.until(alive, "it is asked without a certificate")
        metrics = asked(port, "GET", "/metrics", trusting)[1].decode()
        assert 'raft_tls_certificate_expiry_timestamp_seconds{for="operations"}' in metrics
        with pytest.raises(OSError, match=r"reset|closed|disconnected|EOF|without response|BadStatus|certificate"):
            asked(nodes.ports["n1"], "GET", "/livez", trusting)


def test_a_few_who_hold_all_they_can_get_keep_nobody_from_the_probes(standing: tuple[Guarded, int]) -> None:
    """A kubelet that gets no answer restarts the pod. They come from addresses of their own, and say nothing."""
    _, port = standing
    with ExitStack() as held:
        for last in range(2, 7):
            for _ in range(2 * OPERATIONS_OF_ONE_MAX):
                held.enter_context(socket.create_connection(("127.0.0.1", port), 10, (f"127.0.0.{last}", 0)))
        for _ in range(3):
            kubelet = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=("127.0.0.9", 0))
            with closing(kubelet):
                kubelet.request("GET", "/livez")
                assert kubelet.getresponse().status == 200


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with guarded_nodes(tmp_path) as nodes, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        nodes.start("n1", ["--operations-port", str(port)])
        assert nodes.processes["n1"].wait(30) == 2
        said = (tmp_path / "n1.log").read_text().splitlines()[-1]
        assert f"cannot listen on {nodes.url('n1').removeprefix('http://')}, 127.0.0.1:{port} and " in said
