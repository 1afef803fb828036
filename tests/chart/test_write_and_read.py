"""The program that `helm test` runs: it passes on a real node, and fails with a sentence where something is amiss."""

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from tests.chart.cluster_stub import STOP_POLL_SECONDS
from tests.chart.rendering import CHART, render
from tests.ports import free_port
from tests.tls.certificates import Mounted

SCRIPT = CHART / "files" / "write_and_read.py"
RUN_SECONDS = 60


async def run(
    endpoints: list[str], service: str, timeout_s: float = 30, tls: dict[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and all output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        env={
            **os.environ,
            "ENDPOINTS": ",".join(endpoints),
            "SERVICE": service,
            "RUN": "run-1",
            "TIMEOUT_SECONDS": str(timeout_s),
            **(tls or {}),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(RUN_SECONDS):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


class Told:
    """What a node that is made up answers: to /status who leads, to a GET a value that is always the same."""

    def __init__(self, leader: str, value: bytes) -> None:
        self.leader = leader
        self.value = value


@contextmanager
def made_up(told: Told) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b'{"leader": "%s"}' % told.leader.encode() if self.path == "/status" else told.value
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(STOP_POLL_SECONDS,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def test_it_passes_on_a_real_node(tmp_path: Path) -> None:
    port, peer = free_port(), free_port()
    node = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "node.cli", "serve", "--name", "n1", "--seeds", f"n1=127.0.0.1:{peer}"),
        *("--port", str(port), "--data-dir", str(tmp_path / "n1")),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        code, out = await run([url, url.replace("127.0.0.1", "localhost")], url)
    finally:
        node.terminate()
        await node.wait()
    assert code == 0, out
    assert out.splitlines() == [
        "leader: n1",
        f"written through {url}, read through all 3",
        f"written through http://localhost:{port}, read through all 3",
        f"written through {url}, read through all 3",
        "PASSED",
    ]


@pytest.mark.slowest
async def test_it_passes_on_a_node_that_demands_a_certificate_and_fails_without(tmp_path: Path) -> None:
    certificates = Mounted(tmp_path / "certs")
    certificates.put("localhost", by=trustme.CA())
    port, peer = free_port(), free_port()
    node = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "node.cli", "serve", "--name", "n1", "--seeds", f"n1=127.0.0.1:{peer}"),
        *("--port", str(port), "--data-dir", str(tmp_path / "n1"), "--tls-accept", "tls"),
        *("--tls-cert", certificates.cert, "--tls-key", certificates.key, "--tls-client-ca", certificates.ca),
        stderr=asyncio.subprocess.DEVNULL,
    )
    trusts = {"RAFT_CACERT": certificates.ca}
    shows = {**trusts, "RAFT_CERT": certificates.cert, "RAFT_KEY": certificates.key}
    try:
        url = f"https://localhost:{port}"
        code, out = await run([url], url, tls=shows)
        refused, why = await run([url], url, timeout_s=0.1, tls=trusts)
    finally:
        node.terminate()
        await node.wait()
    assert (code, out.splitlines()[-1]) == (0, "PASSED")
    assert refused == 1
    assert why.startswith(f"FAILED: GET {url}/status: ")
    assert "alert certificate required" in why, why


async def test_it_says_which_token_is_missing() -> None:
    code, out = await run(["http://127.0.0.1:1"], "http://127.0.0.1:1", tls={"RAFT_TOKEN_FILE": "/nowhere/token"})
    assert code == 1
    assert out == (
        "FAILED: /nowhere/token cannot be read (No such file or directory): put a token of role write into "
        "auth.clientsSecret\n"
    )


@pytest.mark.parametrize("held", ["", "two words", "caf\u00e9"])
async def test_what_is_no_token_is_called_so(tmp_path: Path, held: str) -> None:
    file = tmp_path / "token"
    file.write_text(held)
    code, out = await run(["http://127.0.0.1:1"], "http://127.0.0.1:1", tls={"RAFT_TOKEN_FILE": str(file)})
    assert (code, out) == (
        1,
        f"FAILED: {file} holds no token: put one of role write into auth.clientsSecret\n",
    )


async def test_certificates_of_no_use_are_named(tmp_path: Path) -> None:
    certificates = Mounted(tmp_path / "certs")
    certificates.put("localhost", by=trustme.CA())
    good = {"RAFT_CACERT": certificates.ca, "RAFT_CERT": certificates.cert, "RAFT_KEY": certificates.key}
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("rubbish")
    for name, path in (
        *((name, "/nowhere/file") for name in good),
        *((name, str(rubbish)) for name in good),
    ):
        code, out = await run(["https://localhost:1"], "https://localhost:1", tls={**good, name: path})
        assert code == 1
        assert out.startswith(f"FAILED: {certificates.cert if name == 'RAFT_KEY' else path} is of no use ("), out
        assert len(out.splitlines()) == 1, "one sentence, no traceback"


async def test_it_fails_where_a_read_does_not_give_what_was_written() -> None:
    with made_up(Told("n1", b"something else")) as url:
        code, out = await run([url], url)
    assert code == 1
    assert "a stale read" in out
    assert "PASSED" not in out


async def test_it_fails_where_nodes_name_unlike_leaders() -> None:
    with made_up(Told("n1", b"")) as one, made_up(Told("n2", b"")) as other:
        code, out = await run([one, other], one, timeout_s=0.1)
    assert code == 1
    assert out == "FAILED: the nodes do not agree on a leader: ['n1', 'n2']\n"


async def test_it_fails_with_the_last_trouble_where_a_node_cannot_be_reached() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    code, out = await run([url], url, timeout_s=0.1)
    assert code == 1
    assert out.startswith(f"FAILED: GET {url}/status: ")
    assert "Traceback" not in out


@pytest.mark.parametrize("replicas", [1, 5])
def test_the_pod_runs_this_program_against_every_pod_and_the_service(replicas: int) -> None:
    container = render({"replicaCount": replicas, "service": {"port": 80}}).named("Pod", "raft-test")["spec"][
        "containers"
    ][0]
    shown = {item["name"]: item.get("value") for item in container["env"]}
    assert container["command"] == ["python", "-c"]
    assert container["args"][0].strip() == SCRIPT.read_text().strip()
    assert "$(" not in container["args"][0], "the kubelet would take it for a variable"
    assert shown["ENDPOINTS"] == ",".join(f"http://raft-{i}.raft-headless.ns.svc:8001" for i in range(replicas))
    assert shown["SERVICE"] == "http://raft.ns.svc:80"
