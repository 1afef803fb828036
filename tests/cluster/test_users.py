"""The cluster's own users with real processes: a token at every node, the node's other routes, a leader that dies, a
follower that takes a snapshot over, a backup that is restored. Also what no file and no line of a log may hold."""

import json
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.guarded import BOTH, Guarded, guarded_nodes

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(240)]

PASSWORDS = {"root": "root's secret", "ann": "ann's secret"}
ENTRIES, TAIL = 100, 20


def text_of(key: str) -> str:
    return b64encode(key.encode()).decode()


def basic(name: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{name}:{PASSWORDS[name]}'.encode()).decode()}"}


def as_etcd(nodes: Guarded, at: str, path: str, body: object, shown: str) -> tuple[int, Any]:
    """A call of etcd's API; `shown`: its Authorization, empty: none."""
    headers = {"Authorization": shown} if shown else {}
    status, data, _ = nodes.request(at, "POST", f"/v3/{path}", json.dumps(body).encode(), "", headers=headers)
    return status, json.loads(data or b"{}")


def put(nodes: Guarded, at: str, key: str, value: str, shown: str) -> int:
    return as_etcd(nodes, at, "kv/put", {"key": text_of(key), "value": text_of(value)}, shown)[0]


def token_of(nodes: Guarded, at: str, name: str) -> str:
    status, body = as_etcd(nodes, at, "auth/authenticate", {"name": name, "password": PASSWORDS[name]}, "")
    assert status == 200, body
    return str(body["token"])


def put_users_in_force(nodes: Guarded) -> None:
    """As who may write and operate by the file, for as yet there is no user: root, and ann who has a/."""
    for path, body in (
        *(("user/add", {"name": name, "password": password}) for name, password in PASSWORDS.items()),
        ("role/add", {"name": "app"}),
        ("role/grant", {"name": "app", "perm": {"permType": 2, "key": text_of("a/"), "range_end": text_of("a0")}}),
        ("user/grant", {"user": "ann", "role": "app"}),
        ("user/grant", {"user": "root", "role": "root"}),
        ("enable", {}),
    ):
        status, answer = as_etcd(nodes, "n2", f"auth/{path}", body, f"Bearer {BOTH}")
        assert status == 200, (path, answer)


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    for name, value in (("ENTRIES", ENTRIES), ("TAIL", TAIL)):
        monkeypatch.setenv(f"RAFT_SNAPSHOT_{name}", str(value))
    with guarded_nodes(tmp_path) as made:
        made.up()
        put_users_in_force(made)
        yield made


def test_a_token_of_one_node_is_good_at_every_other_at_once(nodes: Guarded) -> None:
    for at in nodes.ports:
        token = token_of(nodes, at, "ann")
        for other in nodes.ports:
            assert put(nodes, other, f"a/{at}{other}", "1", token) == 200
            assert put(nodes, other, f"b/{at}{other}", "1", token) == 403
    assert put(nodes, "n1", "a/", "1", "") == 400
    assert put(nodes, "n1", "a/", "1", "wrong.7") == 401
    assert put(nodes, "n1", "a/", "1", "wrong.99999999") == 401


def test_the_nodes_other_routes_know_users_by_password_and_by_token(nodes: Guarded) -> None:
    def status(method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> int:
        return nodes.request("n3", method, path, body, "", headers=headers)[0]

    by_token = {"Authorization": token_of(nodes, "n1", "ann")}
    for ann in (basic("ann"), by_token):
        assert status("PUT", "/kv/a/1", ann, b"1") == 200
        assert status("GET", "/kv/a/1", ann) == 200
        assert status("GET", "/kv/?prefix=a/", ann) == 200
        assert status("DELETE", "/kv/a/1", ann) == 200
        assert status("POST", "/sessions", ann, b"") == 200
        for method, path in (("PUT", "/kv/b"), ("DELETE", "/kv/b"), ("GET", "/kv/b"), ("GET", "/kv/?prefix=b")):
            assert (path, status(method, path, ann, b"1" if method == "PUT" else None)) == (path, 403)
        assert status("GET", "/kv/", ann) == 403
        assert status("GET", "/kv/?prefix=b&watch=1", ann) == 403
        for path in ("/status", "/metrics", "/log", "/backup", "/events", "/members"):
            assert (path, status("GET", path, ann)) == (path, 403)
        assert status("POST", "/commands/state_details", ann, b"{}") == 403
    for name, logged_in in (("ann", False), ("root", True)):
        form = f"secret={token_of(nodes, 'n2', name)}".encode()
        own = {"Origin": f"http://127.0.0.1:{nodes.ports['n3']}"}
        answer = nodes.request("n3", "POST", "/login", form, "", headers=own)
        assert (name, answer[0], "Set-Cookie" in answer[2]) == (name, 303, logged_in)
    cookie = {"Cookie": answer[2]["Set-Cookie"].partition(";")[0]}
    assert status("GET", "/status", cookie) == 200
    assert [nodes.request(at, "GET", "/status", None, "", headers=cookie)[0] for at in nodes.ports] == [200] * 3
    assert nodes.request("n3", "POST", "/logout", b"", "", headers={**own, **cookie})[0] == 303
    assert status("GET", "/status", cookie) == 401

    def refused(at: str) -> bool:
        return nodes.request(at, "GET", "/status", None, "", headers=cookie)[0] == 401

    for at in nodes.ports:
        nodes.until(partial(refused, at), "every node hears of it")
    assert status("GET", "/kv/a/1", {}) == 401
    assert status("GET", "/kv/a/1", {"Authorization": f"Basic {b64encode(b'ann:wrong').decode()}"}) == 401
    assert status("GET", "/status", basic("root")) == 200
    assert status("POST", "/commands/state_details", basic("root"), b"{}") == 200
    assert status("PUT", "/kv/b", basic("root"), b"1") == 200
    assert [status("GET", path, {}) for path in ("/livez", "/readyz", "/startupz", "/version")] == [200] * 4


def test_a_leader_dies_and_a_follower_takes_a_snapshot_over_while_users_are_in_force(
    nodes: Guarded, tmp_path: Path
) -> None:
    token = token_of(nodes, "n1", "ann")
    leader = nodes.until(nodes.leader, "one leader")
    down = next(name for name in nodes.ports if name != leader)
    had = nodes.status(down)["last_index"]
    up = [name for name in nodes.ports if name != down]
    nodes.processes[down].send_signal(signal.SIGKILL)
    nodes.processes[down].wait()
    for at in range(2 * (ENTRIES + TAIL)):
        nodes.until(lambda at=at: put(nodes, up[at % 2], f"a/{at}", "1", token) == 200, "it is written")  # type: ignore[misc]
    nodes.until(lambda: all(nodes.status(name)["first_index"] > had + 1 for name in up), "the log begins after it")
    nodes.start(down, ["--tokens-file", str(nodes.files[down])])
    nodes.until(lambda: put(nodes, down, "a/back", "1", token) == 200, "who was down takes what its user may write")
    assert put(nodes, down, "b", "1", token) == 403
    nodes.until(lambda: "snapshot-installed" in (tmp_path / f"{down}.log").read_text(), "it says that it took one over")

    killed = nodes.until(nodes.leader, "one leader")
    acknowledged = []
    nodes.processes[killed].send_signal(signal.SIGKILL)
    nodes.processes[killed].wait()
    left = [name for name in nodes.ports if name != killed]
    for at in range(20):
        status = put(nodes, left[at % 2], f"a/after-{at}", "1", token)
        assert status in (200, 503, 504)
        acknowledged += [at] if status == 200 else []
    nodes.until(lambda: put(nodes, left[0], "a/after", "1", token) == 200, "another leads")
    assert acknowledged
    for at in acknowledged:
        found = as_etcd(nodes, left[1], "kv/range", {"key": text_of(f"a/after-{at}")}, token)[1]
        assert found.get("count") == "1", at
    assert put(nodes, left[1], "b", "1", token) == 403
    assert_no_secret_is_kept(tmp_path, token)


def test_a_backup_has_the_users_and_its_cluster_lets_in_nobody_else(nodes: Guarded, tmp_path: Path) -> None:
    token = token_of(nodes, "n1", "ann")
    assert put(nodes, "n1", "a/kept", "1", token) == 200
    status, data, _ = nodes.request("n2", "GET", "/backup", None, "", headers=basic("root"))
    assert status == 200
    (tmp_path / "backup").write_bytes(data)
    for secret in (*PASSWORDS.values(), token.partition(".")[0]):
        assert secret.encode() not in data
    for name, process in nodes.processes.items():
        process.send_signal(signal.SIGKILL)
        process.wait()
        members = ",".join(f"{each}=127.0.0.1:{port + 1000}" for each, port in nodes.ports.items())
        command = [sys.executable, "-m", "node.cli", "restore", str(tmp_path / "backup"), f"--name={name}"]
        command += [f"--members={members}", "--token=t", f"--data-dir={tmp_path / 'new' / name}"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    for name in nodes.ports:
        nodes.start(name, ["--tokens-file", str(nodes.files[name]), f"--data-dir={tmp_path / 'new' / name}"])
    nodes.until(nodes.leader, "all nodes of the new cluster know a leader")
    assert put(nodes, "n1", "a/kept", "2", "") == 400
    again = token_of(nodes, "n3", "ann")
    assert put(nodes, "n1", "a/kept", "2", again) == 200
    assert put(nodes, "n1", "b", "2", again) == 403


def assert_no_secret_is_kept(folder: Path, token: str) -> None:
    """In no log, file of the store or line of what nodes tell."""
    secrets = [secret.encode() for secret in (*PASSWORDS.values(), token.partition(".")[0])]
    files = [file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("tokens-")]
    assert len(files) > 3
    for file in files:
        data = file.read_bytes()
        assert not any(secret in data for secret in secrets), file
