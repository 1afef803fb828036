"""A node that listens on every address, as a pod does: Host and Origin hold whatever way a request came."""

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.harness import WAIT_SECONDS
from tests.ports import PEER_PORT_OFFSET, free_base_port

pytestmark = pytest.mark.slow


@contextmanager
def serving(folder: Path, every: str) -> Iterator[int]:
    """A cluster of one that listens on `every` address, for clients and for peers; its port."""
    port = free_base_port(1)
    command = [sys.executable, "-m", "node.cli", "serve", "--name", "raft-0", "--data-dir", str(folder / "raft-0")]
    process = subprocess.Popen(
        [
            *command,
            *("--seeds", f"raft-0=127.0.0.1:{port + PEER_PORT_OFFSET}", "--port", str(port), "--host", every),
            *("--peer-host", every, "--allowed-hosts", "raft,raft.ns.svc"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(int(WAIT_SECONDS / 0.05)):
            if ask("127.0.0.1", port, "localhost", path="/readyz") == 200:
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        assert process.wait(WAIT_SECONDS) == 0


def ask(address: str, port: int, host: str, origin: str = "", path: str = "/kv/k", body: bytes | None = None) -> int:
    """The status; 0 where nobody answers."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    headers = {"Host": host, **({"Origin": origin} if origin else {})}
    try:
        connection.request("GET" if body is None else "PUT", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except OSError:
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize("every", ["0.0.0.0", "::"])
def test_every_address_serves_and_only_own_names_may_ask(tmp_path: Path, every: str) -> None:
    if every == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    addresses = ["127.0.0.1"] if every == "0.0.0.0" else ["127.0.0.1", "::1"]
    with serving(tmp_path, every) as port:
        for address in addresses:
            for host in ("localhost:18001", "127.0.0.1:49152", f"[::1]:{port}", "raft:8001", "raft.ns.svc:8001"):
                assert ask(address, port, host, f"http://{host}", body=b"v") == 200, (address, host)
            assert ask(address, port, "localhost:18001", "http://localhost:18002", body=b"v") == 403
            assert ask(address, port, "evil.example", body=b"v") == 403
            assert ask(address, port, "localhost", path="/startupz") == 200
            with socket.create_connection((address, port + PEER_PORT_OFFSET), timeout=5) as peer:
                peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert peer.recv(100).startswith(b"HTTP/1.1 403")
