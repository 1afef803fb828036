"""The way in to nodes that speak TLS alone: whom it believes, as whom it comes, what it says where that is wrong."""

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web

from chaos.errors import Refused
from chaos.targets.kubernetes.account import open_account
from chaos.targets.kubernetes.api import Api
from chaos.targets.kubernetes.carry import NOT_FORWARDED
from chaos.targets.kubernetes.dial import DIAL_SCRIPT
from chaos.targets.kubernetes.forward import Forwards
from chaos.targets.kubernetes.release import release_of
from chaos.targets.kubernetes.target import open_kubernetes
from tests.chaos.fake_apiserver import FakeApiServer, fake_apiserver
from tests.chaos.test_kubernetes_way_in import SETS, stateful_set
from tests.tls.certificates import Mounted

NAMES = ("*.raft-headless.home.svc",)
ANSWER_BYTES = 300_000
Opened = Callable[[], Awaitable[Forwards]]


def secure_set() -> dict[str, object]:
    made = stateful_set()
    made["spec"]["serviceName"] = "raft-headless"
    made["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "RAFT_TLS_ACCEPT", "value": "tls"}]
    return made


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApiServer]:
    async with fake_apiserver() as fake:
        fake.put(f"{SETS}/raft", secure_set())
        fake.put("/api/v1/namespaces/home", {"metadata": {"name": "home", "labels": {}}})
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path)))
        yield fake


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def mine(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mounted:
    """What the tool trusts and shows."""
    mounted = Mounted(tmp_path / "mine")
    mounted.put("somebody", by=ca)
    for name, path in (("RAFT_CACERT", mounted.ca), ("RAFT_CERT", mounted.cert), ("RAFT_KEY", mounted.key)):
        monkeypatch.setenv(name, path)
    return mounted


@asynccontextmanager
async def node(
    server: FakeApiServer, folder: Path, by: trustme.CA, *names: str, mutual: bool = True
) -> AsyncIterator[list[str]]:
    """A node behind every port-forward; what it was asked."""
    mounted = Mounted(folder / "node")
    mounted.put(*names, by=by)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=mounted.ca)
    context.load_cert_chain(mounted.cert, mounted.key)
    context.verify_mode = ssl.CERT_REQUIRED if mutual else ssl.CERT_NONE
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked.append(f"{request.method} {request.path} {len(body)}")
        return web.Response(body=b"x" * ANSWER_BYTES)

    app = web.Application(client_max_size=10 * ANSWER_BYTES)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    server.pod_port = int(runner.addresses[0][1])
    try:
        yield asked
    finally:
        await runner.cleanup()


@asynccontextmanager
async def demanding(server: FakeApiServer, folder: Path, by: trustme.CA) -> AsyncIterator[None]:
    """Nodes that demand a certificate, and say so: event loops end a connection before that has left."""
    mounted = Mounted(folder / "node")
    mounted.put(*NAMES, by=by)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=mounted.ca)
    context.load_cert_chain(mounted.cert, mounted.key)
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server.pod_port = int(listening.getsockname()[1])

        def refuse() -> None:
            for _ in range(len(release_of("fake", secure_set()).nodes)):
                came, _ = listening.accept()
                came.settimeout(5.0)
                with context.wrap_socket(came, server_side=True, do_handshake_on_connect=False) as secure:
                    with pytest.raises(ssl.SSLError):
                        secure.do_handshake()
                    with suppress(OSError):  # what is unread when it ends would take the alert with it
                        socket.socket.shutdown(secure, socket.SHUT_WR)
                        while socket.socket.recv(secure, ANSWER_BYTES):
                            pass

        refusing = threading.Thread(target=refuse)
        refusing.start()
        try:
            yield
        finally:
            refusing.join(10.0)


@pytest.fixture
async def opened(server: FakeApiServer) -> AsyncIterator[Opened]:
    api = Api(await open_account(None))
    made: list[Forwards] = []

    async def start() -> Forwards:
        forwards = Forwards(api, release_of("fake", secure_set()))
        made.append(forwards)
        await forwards.start()
        return forwards

    yield start
    for forwards in made:
        await forwards.close()
    await api.close()


@pytest.mark.parametrize("mutual", [False, True])
async def test_requests_and_answers_of_any_size_pass_and_connections_are_kept(
    server: FakeApiServer, ca: trustme.CA, mine: Mounted, tmp_path: Path, opened: Opened, mutual: bool
) -> None:
    async with node(server, tmp_path, ca, *NAMES, mutual=mutual) as asked:
        forwards = await opened()
        assert forwards.trouble == ""
        asked.clear()  # of the trial
        async with aiohttp.ClientSession() as session:
            for number in range(3):
                url = f"{forwards.urls['raft-0']}/{number}"
                async with session.put(url, data=b"y" * ANSWER_BYTES) as answer:
                    assert len(await answer.read()) == ANSWER_BYTES
        assert asked == [f"PUT /{number} {ANSWER_BYTES}" for number in range(3)]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("authority", "raft-0 shows a certificate that is not trusted here"),
        ("name", "raft-0 shows a certificate that is not trusted here (Hostname mismatch"),
    ],
)
async def test_a_node_that_is_not_believed_is_told_nothing_and_that_is_certain(
    server: FakeApiServer, ca: trustme.CA, mine: Mounted, tmp_path: Path, opened: Opened, wrong: str, sentence: str
) -> None:
    by, names = (trustme.CA(), NAMES) if wrong == "authority" else (ca, ("*.other-headless.home.svc",))
    async with node(server, tmp_path, by, *names, mutual=False) as asked:
        forwards = await opened()
        async with aiohttp.ClientSession() as session, session.put(f"{forwards.urls['raft-0']}/k", data=b"1") as answer:
            assert answer.status == 503
            said = await answer.json()
        assert said["error"] == NOT_FORWARDED
        assert sentence in said["message"]
        assert sentence in forwards.trouble
        assert "set RAFT_CACERT to a file with the ca.crt of the release's Secret" in forwards.trouble
        assert asked == []


async def test_a_node_that_demands_a_certificate_is_asked_by_nobody_who_shows_none(
    server: FakeApiServer, ca: trustme.CA, mine: Mounted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAFT_CERT", "RAFT_KEY"):
        monkeypatch.delenv(name)
    async with demanding(server, tmp_path, ca):
        target = await open_kubernetes(None, None, None)
        try:
            with pytest.raises(Refused, match=r"does not take what this tool shows .*: set RAFT_CERT and RAFT_KEY"):
                target.url("raft-1")
            assert await target.leftovers() == []  # what is to be taken back is, all the same
        finally:
            await target.close()


async def test_what_is_wrong_with_one_node_alone_hides_no_other(
    server: FakeApiServer, ca: trustme.CA, mine: Mounted, tmp_path: Path, opened: Opened
) -> None:
    async with node(server, tmp_path, ca, "raft-1.raft-headless.home.svc", mutual=False):
        forwards = await opened()
        assert forwards.trouble == ""
        async with aiohttp.ClientSession() as session:
            for name, status in (("raft-0", 503), ("raft-1", 200)):
                async with session.get(f"{forwards.urls[name]}/x") as answer:
                    assert answer.status == status


async def test_a_pod_that_does_not_run_is_no_trouble_of_tls(
    server: FakeApiServer, mine: Mounted, opened: Opened
) -> None:
    forwards = await opened()
    assert forwards.trouble == ""
    async with aiohttp.ClientSession() as session, session.get(f"{forwards.urls['raft-0']}/x") as answer:
        assert (answer.status, (await answer.json())["error"]) == (503, NOT_FORWARDED)


@pytest.mark.parametrize(
    ("way", "answers", "reached"), [("tls", True, True), ("tls", False, False), ("plain", True, True)]
)
def test_a_dial_among_nodes_greets_as_their_peers_do_and_takes_no_silence_for_an_answer(
    ca: trustme.CA, tmp_path: Path, way: str, answers: bool, reached: bool
) -> None:
    mounted = Mounted(tmp_path / "peer")
    mounted.put(*NAMES, by=ca)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=mounted.ca)
    context.load_cert_chain(mounted.cert, mounted.key)
    context.verify_mode = ssl.CERT_REQUIRED
    heard = []

    def peer(listening: socket.socket) -> None:
        came, _ = listening.accept()
        with came:
            heard.append(came.recv(3, socket.MSG_PEEK))
            if answers and way == "tls":
                with suppress(OSError), context.wrap_socket(came, server_side=True):
                    pass
            elif answers:
                came.sendall(b"HTTP/1.1 426 Upgrade Required")
            else:
                came.recv(65536)
                came.settimeout(10.0)
                came.recv(1)  # it leaves

    with socket.create_server(("127.0.0.1", 0)) as listening:
        waiting = threading.Thread(target=peer, args=(listening,))
        waiting.start()
        ends = json.dumps([("raft-1", "127.0.0.1", listening.getsockname()[1], 2.0)])
        command = [sys.executable, "-I", "-S", "-c", DIAL_SCRIPT, ends, way]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        waiting.join(10.0)
    assert json.loads(done.stdout) == {"raft-1": reached}
    assert heard == [b"\x16\x03\x01" if way == "tls" else b"GET"]
