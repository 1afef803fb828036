"""TLS with clients and among nodes: who is let in, who is not and learns why, renewal, and the way there."""

import http.client
import os
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme

from node.healthcheck import check
from raftclient.blocking import RaftClient
from tests.cluster.harness import raft_node
from tests.cluster.secure import LOCAL, Secure, secure_nodes
from tests.docs.blocks import blocks
from tests.tls.certificates import EXPIRED, NOT_YET, Mounted, trusting

NAMES = ("n1", "n2", "n3")
SLOW_TIMEOUTS = ("--election-timeout-ms", "3000-6000", "--heartbeat-ms", "200")


ASKED_BY_CHAOS = """
import asyncio, sys
from chaos.clock import Clock
from chaos.observe.nodeapi import fetch_view, new_session

async def ask():
    async with new_session() as session:
        print((await fetch_view(session, sys.argv[1], Clock())).name)

asyncio.run(ask())
"""


def _up(nodes: Secure, *more: str, client_ca: bool = True) -> None:
    """All of them, mutual TLS everywhere."""
    for name in NAMES:
        nodes.start(name, [*nodes.flags(name, "tls", "tls", "tls", client_ca=client_ca), *more])
    nodes.trust()
    nodes.until(nodes.leader, "all nodes know a leader")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """For tests that do the nodes no harm."""
    with secure_nodes(tmp_path_factory.mktemp("tls")) as nodes:
        _up(nodes)
        yield nodes


# --- clients --------------------------------------------------------------------------------------------------------


def _stranger(folder: Path, ca: trustme.CA, trusts: trustme.CA, **validity: Any) -> ssl.SSLContext:
    """A client whose certificate `ca` signed."""
    shown = Mounted(folder)
    shown.put("somebody", by=ca, trusted=(trusts,), **validity)
    return trusting(shown)


def _asked(connection: http.client.HTTPSConnection) -> int:
    connection.request("GET", "/status")
    return connection.getresponse().status


@pytest.mark.parametrize(
    ("why", "validity", "own_ca"),
    [("expired", EXPIRED, True), ("not-yet-valid", NOT_YET, True), ("unknown-ca", {}, False)],
)
def test_a_client_with_a_wrong_certificate_is_refused_counted_and_told(
    standing: Secure, tmp_path: Path, why: str, validity: dict[str, Any], own_ca: bool
) -> None:
    before = standing.refused("n1", "client", why)
    ca = standing.ca if own_ca else trustme.CA()
    stranger = _stranger(tmp_path, ca, standing.ca, **validity)
    connection = http.client.HTTPSConnection("127.0.0.1", standing.ports["n1"], timeout=10, context=stranger)
    with pytest.raises(ssl.SSLError, match=r"ALERT|alert"):  # it hears why, and not that a connection broke
        _asked(connection)
    connection.close()
    standing.until(lambda: standing.refused("n1", "client", why) == before + 1, "it is counted")
    standing.until(lambda: standing.told("n1", "tls-refused", port="client", why=why), "it is told")


def test_a_client_without_a_certificate_is_refused_where_one_is_demanded(standing: Secure) -> None:
    before = standing.refused("n2", "client", "no-certificate")
    assert standing.ask_with(trusting(standing.client, shows=False), "n2", "/status") == (0, b"")
    standing.until(lambda: standing.refused("n2", "client", "no-certificate") == before + 1, "it is counted")


def test_plain_text_is_told_what_to_do_where_only_tls_is(standing: Secure) -> None:
    with socket.create_connection(("127.0.0.1", standing.ports["n1"]), timeout=10) as plain:
        plain.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = plain.makefile("rb").read()
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"use https://" in said


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2"], "h2"), (["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), ([], None)]
)
def test_by_alpn_grpc_gets_http_2_and_browsers_get_http_1(
    standing: Secure, offered: list[str], chosen: str | None
) -> None:
    client = trusting(standing.client)
    if offered:
        client.set_alpn_protocols(offered)
    with (
        socket.create_connection(("127.0.0.1", standing.ports["n1"]), timeout=10) as raw,
        client.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        assert secure.selected_alpn_protocol() == chosen
        assert (secure.version() or "") >= "TLSv1.2"
        if chosen == "h2":  # the same port, and our own HTTP/2: it answers a preface with its settings
            secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
            assert secure.recv(9)[3] == 4


def test_versions_and_ciphers_of_the_past_are_refused(standing: Secure) -> None:
    old = trusting(standing.client)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("AES128-SHA:AES256-SHA:ECDHE-ECDSA-AES128-SHA")
    assert standing.ask_with(old, "n1", "/status") == (0, b"")
    standing.until(lambda: standing.refused("n1", "client", "protocol"), "it is counted")
    old.set_ciphers("ECDHE+AESGCM")
    assert standing.ask_with(old, "n1", "/status")[0] == 200


@pytest.mark.slowest
def test_whoever_says_nothing_keeps_nobody_out(standing: Secure) -> None:
    silent = [socket.create_connection(("127.0.0.1", standing.ports["n3"]), timeout=10) for _ in range(300)]
    try:
        assert standing.ask("n3", "/status", timeout_s=10.0)[0] == 200
        standing.until(lambda: standing.refused("n3", "client", "gave-way"), "the oldest gave way")
        standing.until(lambda: standing.refused("n3", "client", "silent"), "the others ran out of time")
    finally:
        for each in silent:
            each.close()


def test_the_page_comes_over_tls(standing: Secure) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", standing.ports["n1"], timeout=10, context=standing.tls)
    authority = f"127.0.0.1:{standing.ports['n1']}"
    for path in ("/", "/static/app.js", "/source.json", "/cluster"):
        connection.request("GET", path, headers={"Accept": "text/html", "Origin": f"https://{authority}"})
        with connection.getresponse() as answer:
            body = answer.read()
            assert answer.status == 200, path
            assert b'src="http:' not in body
    connection.close()
    assert standing.ask("n1", "/status")[1].count(b'"client_url":"https://') == 1


async def test_commands_speak_tls_by_flags_and_say_what_is_wrong(standing: Secure) -> None:
    urls = [standing.url(name) for name in NAMES]
    client = standing.client
    shows = ("--cert", client.cert, "--key", client.key)
    code, said = await raft_node("status", *urls, "--cacert", client.ca, *shows, "--json")
    assert (code, said.count('"role":"follower"')) == (0, 2), said
    assert (await raft_node("put", "k", "v", "--url", urls[0], "--cacert", client.ca, *shows))[0] == 0
    code, said = await raft_node("get", "k", "--url", urls[1], "--cacert", client.ca, *shows, "--json")
    assert (code, '"v"' in said) == (0, True), said
    assert (await raft_node("command", urls[1], "check_timers", "--cacert", client.ca, *shows))[0] == 0
    assert (await raft_node("members", "list", *urls, "--cacert", client.ca, *shows))[0] == 0
    code, said = await raft_node("put", "k", "w", "--url", urls[0], "--cacert", client.ca)
    assert (code, "give --cert and --key" in said) == (4, True), said
    code, said = await raft_node("get", "k", "--url", urls[0])
    assert (code, "not trusted" in said, "give --cacert" in said) == (4, True, True), said
    code, said = await raft_node("get", "k", "--url", urls[0], "--cert", client.cert)
    assert (code, "belong together" in said) == (64, True), said
    code, said = await raft_node("get", "k", "--url", urls[0].replace("https", "http"))
    assert "use https://" in said


def test_commands_and_raft_chaos_speak_tls_by_the_environment(standing: Secure, tmp_path: Path) -> None:
    client = standing.client
    environment = {**os.environ, "RAFT_CACERT": client.ca, "RAFT_CERT": client.cert, "RAFT_KEY": client.key}

    def ran(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *words]
        return subprocess.run(command, env={**environment, **more}, capture_output=True, text=True, timeout=60)

    backup = ran("node.cli", "backup", standing.url("n1"), str(tmp_path / "b.snap"))
    assert backup.returncode == 0, backup.stderr
    lock = ran("node.cli", "lock", "deploy", "--url", standing.url("n2"), "--", "echo", "held")
    assert (lock.returncode, lock.stdout) == (0, "held\n"), lock.stderr
    chaos = subprocess.run(
        [sys.executable, "-c", ASKED_BY_CHAOS, standing.url("n3")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert chaos.stdout == "n3\n", chaos.stderr


@pytest.mark.slowest
def test_commands_name_the_file_that_is_not_of_the_authority_that_it_must_be(standing: Secure, tmp_path: Path) -> None:
    ours, other = standing.client, Mounted(tmp_path / "other")
    other.put("somebody", by=trustme.CA())
    trusting_another = {"RAFT_CACERT": other.ca, "RAFT_CERT": ours.cert, "RAFT_KEY": ours.key}
    of_another = {"RAFT_CACERT": ours.ca, "RAFT_CERT": other.cert, "RAFT_KEY": other.key}
    for words in (("backup", standing.url("n1"), str(tmp_path / "c.snap")), ("members", "list", standing.url("n1"))):
        for shown, said in (
            (
                trusting_another,
                f"is not trusted (self-signed certificate in certificate chain): {other.ca} must hold the",
            ),
            (of_another, f"(tlsv1 alert unknown ca): {other.cert} must be of an authority that it trusts"),
        ):
            command = [sys.executable, "-m", "node.cli", *words]
            done = subprocess.run(command, env=os.environ | shown, capture_output=True, text=True, timeout=60)
            assert (done.returncode, said in done.stderr) == (4, True), done.stderr
            assert len(done.stderr.splitlines()) == 1, done.stderr


def test_the_health_check_of_a_container_speaks_tls(standing: Secure) -> None:
    files = standing.mounted["n1"]
    environment = {"RAFT_PORT": str(standing.ports["n1"]), "RAFT_TLS_ACCEPT": "tls", "RAFT_TLS_CLIENT_CA": files.ca}
    assert check("livez", {**environment, "RAFT_TLS_CERT": files.cert, "RAFT_TLS_KEY": files.key}) == ""
    assert "certificate required" in check("livez", {**environment, "RAFT_TLS_CLIENT_CA": ""}).replace("_", " ").lower()
    assert "use https://" in check("livez", {**environment, "RAFT_TLS_ACCEPT": "plain"})


def test_the_client_for_applications_speaks_tls(standing: Secure) -> None:
    urls = [standing.url(name) for name in NAMES]
    with RaftClient(urls, tls=standing.tls) as client:
        revision = client.put("app", "1")
        assert client.get("app") == (b"1", revision)
        with client.lock("app") as lock:
            assert lock.alive


# --- peers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("why", "names", "validity", "own_ca"),
    [
        ("name", ("n2", *LOCAL), {}, True),
        pytest.param(*("expired", ("n3",), EXPIRED, True), marks=pytest.mark.slowest),
        pytest.param(*("not-yet-valid", ("n3",), NOT_YET, True), marks=pytest.mark.slowest),
        pytest.param(*("unknown-ca", ("n3",), {}, False), marks=pytest.mark.slowest),
    ],
)
def test_a_peer_that_does_not_prove_its_name_is_not_let_in(
    tmp_path: Path, why: str, names: tuple[str, ...], validity: dict[str, Any], own_ca: bool
) -> None:
    with secure_nodes(tmp_path) as nodes:
        wrong = Mounted(tmp_path / "wrong")
        wrong.put(*names, by=nodes.ca if own_ca else trustme.CA(), trusted=(nodes.ca,), **validity)
        _up(nodes)
        nodes.stop("n3")
        flags = nodes.flags("n3", "tls", "tls", "tls", client_ca=True)
        at = flags.index("--peer-tls-cert")
        nodes.start("n3", [*flags[:at], "--peer-tls-cert", wrong.cert, "--peer-tls-key", wrong.key,
                           "--peer-tls-ca", wrong.ca])  # fmt: skip
        nodes.until(lambda: nodes.status("n3"), "n3 runs")
        for name in ("n1", "n2"):
            nodes.until(partial(nodes.refused, name, "peer", why), f"{name} refuses n3 and counts it")
        nodes.until(lambda: nodes.told("n1", "tls-refused", port="peer", why=why), "it is told")
        nodes.put("n1", "k", b"v")
        assert nodes.status("n3")["leader"] == ""
        nodes.until(partial(_says, nodes, "n1", "n3", "certificate"), "whoever dials it says so, too")
        wrong.put("n3", by=nodes.ca)  # a renewal mends it, without a restart
        nodes.until(lambda: nodes.status("n3").get("leader"), "n3 belongs to it again")
        nodes.until(lambda: _sample(nodes, 'raft_link_up{peer="n1"}', "n3"), "whom it dials takes it")


def _says(nodes: Secure, name: str, of: str, word: str) -> bool:
    """Whether that node gave such a reason for a link with another."""
    return any(event["peer"] == of and word in str(event["reason"]) for event in nodes.told(name, "link"))


@pytest.mark.slowest
def test_a_leader_that_dies_is_replaced_as_fast_with_tls(tmp_path: Path) -> None:
    with secure_nodes(tmp_path) as nodes:
        _up(nodes, *SLOW_TIMEOUTS)
        leader = nodes.until(nodes.leader, "one leader")
        others = [name for name in NAMES if name != leader]
        nodes.stop(leader, signal.SIGKILL)
        del nodes.ports[leader]
        nodes.until(lambda: nodes.leader() in others, "another leads")
        nodes.until(lambda: any(nodes.told(name, "leader-gone") for name in others), "evidence, and not silence")


# --- renewal --------------------------------------------------------------------------------------------------------


class Writer:
    """Writes without a pause in a thread of its own; what failed is kept."""

    def __init__(self, urls: list[str], tls: ssl.SSLContext | None) -> None:
        self._urls, self._tls = urls, tls
        self._ended = threading.Event()
        self.done = 0
        self.failed: list[Exception] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            with RaftClient(self._urls, tls=self._tls) as client:
                while not self._ended.is_set():
                    client.put(f"w{self.done % 50}", str(self.done))
                    self.done += 1
        except Exception as error:
            self.failed.append(error)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()


@contextmanager
def _writing(nodes: Secure, tls: ssl.SSLContext | None) -> Iterator[Writer]:
    """No write may fail, and writes must go on to the end."""
    scheme = "https" if tls else "http"
    with Writer([f"{scheme}://127.0.0.1:{port}" for port in nodes.ports.values()], tls) as writer:
        nodes.until(lambda: writer.done, "it writes")
        yield writer
        so_far = writer.done
        nodes.until(lambda: writer.failed or writer.done > so_far, "it still writes")
    assert not writer.failed


def _shown(nodes: Secure, name: str) -> int:
    """The serial number of the certificate that clients see."""
    with (
        socket.create_connection(("127.0.0.1", nodes.ports[name]), timeout=10) as raw,
        trusting(nodes.client).wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        return int(str((secure.getpeercert() or {})["serialNumber"]), 16)


@pytest.mark.slowest
def test_certificates_and_authorities_are_renewed_under_load(tmp_path: Path) -> None:
    with secure_nodes(tmp_path) as nodes:
        _up(nodes)
        pids = {name: nodes.processes[name].pid for name in NAMES}
        with _writing(nodes, trusting(nodes.client)) as writer:
            before = {name: _shown(nodes, name) for name in NAMES}
            _renew(nodes, by=nodes.ca)
            for name in NAMES:
                nodes.until(partial(_shows_another, nodes, name, before[name]), f"{name} shows the new one")
                nodes.until(partial(_renewed_once, nodes, name), "it tells so, once for each port")
            # Another authority: trusted beside the old one, then used, then alone.
            other = trustme.CA()
            _renew(nodes, by=nodes.ca, trusted=(nodes.ca, other))
            nodes.client.put("somebody", by=nodes.ca, trusted=(nodes.ca, other))
            nodes.trust()
            _wait_for_reloads(nodes, 2)
            _renew(nodes, by=other, trusted=(nodes.ca, other))
            _wait_for_reloads(nodes, 3)
            writer_of_the_new = trusting(nodes.client)
        with _writing(nodes, writer_of_the_new):
            nodes.client.put("somebody", by=other)
            nodes.trust()
        with _writing(nodes, trusting(nodes.client)):
            _renew(nodes, by=other)
            _wait_for_reloads(nodes, 4)
        assert {name: nodes.processes[name].pid for name in NAMES} == pids
        assert all(nodes.processes[name].poll() is None for name in NAMES)
        assert writer.done


@pytest.mark.slowest
def test_a_broken_renewal_leaves_the_old_certificate_in_force_and_is_told(tmp_path: Path) -> None:
    with secure_nodes(tmp_path) as nodes:
        _up(nodes)
        before = _shown(nodes, "n1")
        sample = 'raft_tls_reloads_total{for="client",result="refused"}'
        expiry = 'raft_tls_certificate_expiry_timestamp_seconds{for="client"}'
        ends = nodes.metric("n1", expiry)
        mounted = nodes.mounted["n1"]
        one, two = nodes.ca.issue_cert("n1", *LOCAL), nodes.ca.issue_cert("n1", *LOCAL)
        for count, (cert, key) in enumerate(
            (
                (one.cert_chain_pems[0].bytes(), two.private_key_pem.bytes()),
                (b"no certificate", one.private_key_pem.bytes()),
                (b"", b""),
            ),
            1,
        ):
            mounted.write(cert, key, (nodes.ca,))
            nodes.until(partial(_has_counted, nodes, sample, count), "it is counted")
            assert _shown(nodes, "n1") == before
        mounted.put("n1", *LOCAL, by=nodes.ca, **EXPIRED)
        nodes.until(lambda: _sample(nodes, sample) == 4, "one that has expired is refused as well")
        assert nodes.metric("n1", expiry) == ends
        nodes.until(lambda: len(nodes.told("n1", "tls-not-renewed", **{"for": "client"})) == 4, "each is told")
        reasons = [str(event["reason"]) for event in nodes.told("n1", "tls-not-renewed", **{"for": "client"})]
        assert ["is not the key" in reasons[0], "no certificate" in reasons[1], "expired" in reasons[3]] == [True] * 3
        mounted.put("n1", *LOCAL, by=nodes.ca)
        nodes.until(lambda: _shown(nodes, "n1") != before, "a good one is taken")


def test_a_node_with_useless_files_does_not_start_and_says_why(tmp_path: Path) -> None:
    with secure_nodes(tmp_path) as nodes:
        nodes.mounted["n1"].write(b"", b"", (nodes.ca,))
        nodes.start("n1", nodes.flags("n1", "tls", "tls", "tls"))
        assert nodes.processes["n1"].wait(30) == 64
        assert "no certificate in PEM form" in (tmp_path / "n1.log").read_text()


def _renew(nodes: Secure, by: trustme.CA, trusted: tuple[trustme.CA, ...] = ()) -> None:
    for name in NAMES:
        nodes.mounted[name].put(name, *LOCAL, by=by, trusted=trusted)


def _sample(nodes: Secure, sample: str, name: str = "n1") -> float:
    try:
        return nodes.metric(name, sample)
    except StopIteration:
        return 0.0


def _has_counted(nodes: Secure, sample: str, count: int, name: str = "n1") -> bool:
    return _sample(nodes, sample, name) >= count


def _renewed_once(nodes: Secure, name: str) -> bool:
    purposes = sorted(str(event["for"]) for event in nodes.told(name, "tls-renewed"))
    assert purposes.count("client") <= 1
    return purposes == ["client", "peer"]


def _shows_another(nodes: Secure, name: str, before: int) -> bool:
    return _shown(nodes, name) != before


def _wait_for_reloads(nodes: Secure, count: int) -> None:
    for name in NAMES:
        for purpose in ("client", "peer"):
            sample = f'raft_tls_reloads_total{{for="{purpose}",result="taken"}}'
            nodes.until(partial(_has_counted, nodes, sample, count, name), "all took them")


# --- the way there --------------------------------------------------------------------------------------------------


def _roll(nodes: Secure, clients: str, peers: str, dial: str, *, client_ca: bool = False) -> None:
    """Restart one after the other, as an operator does: the next one once this one is ready."""
    for name in NAMES:
        nodes.stop(name)
        nodes.start(name, nodes.flags(name, clients, peers, dial, client_ca=client_ca))
        nodes.until(partial(nodes.serves, name), f"{name} is ready")


@pytest.mark.slowest
def test_a_running_cluster_goes_from_plain_text_to_mutual_tls_without_a_failed_write(tmp_path: Path) -> None:
    """The sequence of docs/operations.md, *TLS*."""
    with secure_nodes(tmp_path) as nodes:
        for name in NAMES:
            nodes.start(name, [])
        nodes.until(nodes.leader, "all nodes know a leader")
        with _writing(nodes, None) as plain:
            _roll(nodes, "both", "both", "plain", client_ca=True)
        nodes.trust()  # clients move while both are accepted
        with _writing(nodes, trusting(nodes.client)) as secure:
            _roll(nodes, "both", "both", "tls", client_ca=True)
            _roll(nodes, "tls", "tls", "tls", client_ca=True)
        assert (plain.done, secure.done) > (0, 0)
        nodes.tls = None
        assert nodes.ask("n1", "/status")[0] == 400
        nodes.trust()
        for name in NAMES:
            assert _sample(nodes, 'raft_tls_handshakes_total{port="peer"}', name) >= 4, name


@pytest.mark.slowest
def test_the_commands_of_the_page_make_a_cluster_with_tls(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on PATH, by which the page makes its certificates")
    page = [block.text for block in blocks("docs/operations.md") if block.language == "sh"]
    (made,) = (text for text in page if "openssl req -x509" in text)
    (serve,) = (text for text in page if "--peer-tls-dial tls" in text)
    done = subprocess.run(["bash", "-euc", made], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    with secure_nodes(tmp_path) as nodes:
        for number, (name, port) in enumerate(nodes.ports.items(), 1):
            certs = tmp_path / "certs"
            nodes.client.cert, nodes.client.key, nodes.client.ca = (
                str(certs / file) for file in ("client.crt", "client.key", "ca.crt")
            )
            assert f"900{number}" in serve
            mine = serve.replace("\\\n", " ").replace("certs/n1.", f"certs/{name}.")
            words = shlex.split(mine.replace("certs/", f"{certs}/"))
            given = dict(zip(words[2::2], words[3::2], strict=True))
            given |= {"--name": name, "--seeds": nodes.seeds, "--port": str(port), "--data-dir": str(tmp_path / name)}
            nodes.start(name, [word for pair in given.items() for word in pair])
        nodes.trust()
        nodes.until(nodes.leader, "all nodes know a leader")
        nodes.put("n1", "k", b"v")
        assert nodes.ask("n2", "/kv/k") == (200, b"v")
        assert nodes.ask_with(trusting(nodes.client, shows=False), "n1", "/status") == (0, b"")
