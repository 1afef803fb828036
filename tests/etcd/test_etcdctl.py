"""etcd's own command-line client, unchanged, against a real node. Where it is not there, that is said."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.secure import secure_nodes
from tests.etcd.processes import running_node

SECONDS_MAX = 20.0


class Ctl:
    """Runs it."""

    def __init__(self, program: str, port: int) -> None:
        self.command = [program, "--endpoints", f"127.0.0.1:{port}", f"--command-timeout={SECONDS_MAX:.0f}s"]

    def fails(self, *arguments: str, given: str = "") -> tuple[int, str, str]:
        done = subprocess.run(
            [*self.command, *arguments], input=given, capture_output=True, text=True, timeout=2 * SECONDS_MAX
        )
        return done.returncode, done.stdout, done.stderr

    def __call__(self, *arguments: str, given: str = "") -> str:
        code, output, errors = self.fails(*arguments, given=given)
        assert code == 0, (arguments, output, errors)
        return output


@pytest.fixture(scope="module")
def ctl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ctl]:
    program = os.environ.get("ETCDCTL") or shutil.which("etcdctl")
    if program is None:
        pytest.skip("no etcdctl: put that of etcd 3.6 on PATH, or name it in ETCDCTL")
    with running_node(tmp_path_factory.mktemp("node")) as port:
        yield Ctl(program, port)


def test_it_speaks_tls_and_shows_its_certificate(tmp_path: Path) -> None:
    program = os.environ.get("ETCDCTL") or shutil.which("etcdctl")
    if program is None:
        pytest.skip("no etcdctl: put that of etcd 3.6 on PATH, or name it in ETCDCTL")
    with secure_nodes(tmp_path) as nodes:
        for name in nodes.ports:
            nodes.start(name, nodes.flags(name, "tls", "tls", "tls", client_ca=True))
        nodes.trust()
        nodes.until(nodes.leader, "all nodes know a leader")
        secure = Ctl(program, 0)
        files = nodes.client
        urls = ",".join(nodes.url(name) for name in nodes.ports)
        secure.command = [program, "--endpoints", urls, "--cacert", files.ca, f"--command-timeout={SECONDS_MAX:.0f}s"]
        shows = ("--cert", files.cert, "--key", files.key)
        assert secure("put", "greeting", "hello", *shows) == "OK\n"
        assert secure("get", "greeting", *shows) == "greeting\nhello\n"
        assert secure("endpoint", "health", *shows).count("is healthy") == 3
        members = secure("member", "list", *shows)
        assert (members.count("https://127.0.0.1"), members.count("http://")) == (6, 0)  # of peers and of clients
        secure.command[-1] = "--command-timeout=2s"
        assert secure.fails("get", "greeting")[0] != 0


def test_an_empty_member_has_a_status(ctl: Ctl) -> None:
    (status,) = json.loads(ctl("endpoint", "status", "-w", "json"))
    assert status["Status"]["version"].startswith("3.6.")
    assert "127.0.0.1" in ctl("endpoint", "status", "-w", "table")  # it divides by the size of the store


def test_keys_are_put_read_changed_and_deleted(ctl: Ctl) -> None:
    assert ctl("put", "greeting", "hello") == "OK\n"
    assert ctl("get", "greeting") == "greeting\nhello\n"
    assert ctl("put", "greeting", "bye", "--prev-kv") == "OK\ngreeting\nhello\n"
    ctl("put", "green", "1")
    assert ctl("get", "gre", "--prefix", "--keys-only") == "green\n\ngreeting\n\n"
    assert ctl("get", "gre", "--prefix", "--count-only", "-w", "fields").count('"Count" : 2') == 1
    assert (
        ctl("get", "gre", "--prefix", "--limit", "1", "--sort-by", "VALUE", "--order", "DESCEND") == "greeting\nbye\n"
    )
    assert ctl("get", "", "--from-key", "--keys-only").count("\n\n") >= 2
    assert ctl("del", "gre", "--prefix") == "2\n"


def test_a_transaction_compares_and_sets(ctl: Ctl) -> None:
    given = 'mod("t") = "0"\n\nput t 1\n\nget t\n\n'
    assert ctl("txn", given=given) == "SUCCESS\n\nOK\n"
    assert ctl("txn", given=given) == "FAILURE\n\nt\n1\n"


def test_what_was_compacted_is_refused_as_etcd_refuses_it(ctl: Ctl) -> None:
    for value in "123":
        ctl("put", "c", value)
    revision = json.loads(ctl("get", "c", "-w", "json"))["header"]["revision"]
    assert ctl("compaction", str(revision)) == f"compacted revision {revision}\n"
    code, _, errors = ctl.fails("get", "c", "--rev", str(revision - 1))
    assert (code, "etcdserver: mvcc: required revision has been compacted" in errors) == (1, True)


def test_members_health_alarms_and_hashes_are_told(ctl: Ctl) -> None:
    assert ", started, n1, http://127.0.0.1:" in ctl("member", "list")
    code, output, errors = ctl.fails("endpoint", "health")
    assert (code, "is healthy" in output + errors) == (0, True)
    assert ctl("alarm", "list") == ""
    assert "HASH" in ctl("endpoint", "hashkv", "-w", "table")
    assert "Finished defragmenting" in ctl("defrag")
    assert ctl.fails("auth", "status")[1].startswith("Authentication Status: false")


def test_a_snapshot_that_it_saves_is_restored(ctl: Ctl, tmp_path: Path) -> None:
    ctl("put", "kept", "yes")
    saved = tmp_path / "saved.snap"
    ctl("snapshot", "save", str(saved))
    command = [sys.executable, "-m", "node.cli", "restore", str(saved), "--data-dir", str(tmp_path / "n1")]
    restored = subprocess.run(
        [*command, "--name=n1", "--members=n1=127.0.0.1:9001", "--json"], capture_output=True, text=True, timeout=60
    )
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["backup"]["keys"] >= 1
    bent = bytearray(saved.read_bytes())
    bent[-1] ^= 1
    saved.write_bytes(bent)
    command[-1] = str(tmp_path / "n2")
    refused = subprocess.run(
        [*command, "--name=n1", "--members=n1=127.0.0.1:9001"], capture_output=True, text=True, timeout=60
    )
    assert (refused.returncode, "data behind the closing record" in refused.stderr) == (3, True)


def test_a_watch_tells_what_was_and_what_comes(ctl: Ctl) -> None:
    revision = json.loads(ctl("put", "watched", "1", "-w", "json"))["header"]["revision"]
    with subprocess.Popen(
        [*ctl.command, "watch", "watched", "--rev", str(revision)], stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        try:
            assert [watching.stdout.readline() for _ in range(3)] == ["PUT\n", "watched\n", "1\n"]
            ctl("del", "watched")
            assert [watching.stdout.readline() for _ in range(2)] == ["DELETE\n", "watched\n"]
        finally:
            watching.terminate()


def test_who_watches_goes_on_with_a_name_and_not_without_once_users_are_in_force(tmp_path: Path) -> None:
    """The client opens its watch anew by itself, logs in for it, and misses nothing."""
    program = os.environ.get("ETCDCTL") or shutil.which("etcdctl")
    if program is None:
        pytest.skip("no etcdctl: put that of etcd 3.6 on PATH, or name it in ETCDCTL")
    with running_node(tmp_path) as port:
        ctl = Ctl(program, port)
        root = "--user=root:rootpw"
        watch, pipe = [*ctl.command, "watch", "watched", "--rev=1"], subprocess.PIPE
        ctl("put", "watched", "1")
        with (
            subprocess.Popen([*watch, root], text=True, stdout=pipe, stderr=pipe) as named,
            subprocess.Popen(watch, text=True, stdout=pipe, stderr=pipe) as nameless,
        ):
            assert named.stdout is not None
            assert nameless.stdout is not None
            assert nameless.stderr is not None
            try:
                for told in (named.stdout, nameless.stdout):
                    assert [told.readline() for _ in range(3)] == ["PUT\n", "watched\n", "1\n"]
                for command in ("user add root:rootpw", "user grant-role root root", "auth enable"):
                    ctl(*command.split())
                ctl("put", "watched", "2", root)
                assert [named.stdout.readline() for _ in range(3)] == ["PUT\n", "watched\n", "2\n"]
                assert nameless.stdout.read() == ""
                assert "user name is empty" in nameless.stderr.read()
            finally:
                named.terminate()
                nameless.terminate()


def test_a_lease_is_granted_kept_alive_and_revoked_with_its_keys(ctl: Ctl) -> None:
    lease = ctl("lease", "grant", "300").split()[1]
    ctl("put", "leased", "x", f"--lease={lease}")
    assert f"lease {lease} granted with TTL(300s)" in ctl("lease", "timetolive", lease, "--keys")
    assert ctl("lease", "keep-alive", "--once", lease) == f"lease {lease} keepalived with TTL(300)\n"
    assert lease in ctl("lease", "list")
    assert ctl("lease", "revoke", lease) == f"lease {lease} revoked\n"
    assert ctl("get", "leased") == ""


def test_a_command_runs_while_a_lock_is_held_and_an_election_is_won(ctl: Ctl) -> None:
    assert ctl("lock", "deploy", "echo", "alone") == "alone\n"
    with subprocess.Popen([*ctl.command, "elect", "chief", "me"], stdout=subprocess.PIPE, text=True) as leading:
        assert leading.stdout is not None
        try:
            key = leading.stdout.readline()
            assert leading.stdout.readline() == "me\n"
            with subprocess.Popen(
                [*ctl.command, "elect", "-l", "chief"], stdout=subprocess.PIPE, text=True
            ) as listening:
                assert listening.stdout is not None
                assert [listening.stdout.readline() for _ in range(2)] == [key, "me\n"]
                listening.terminate()
        finally:
            leading.send_signal(signal.SIGINT)
    assert ctl("get", "chief", "--prefix") == ""
