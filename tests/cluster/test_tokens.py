"""Tokens with real processes: who is let in through which door, renewal under load, and our own tools with a token."""

import asyncio
import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from node.healthcheck import check
from raftclient import NotDone, RaftClient
from raftclient.blocking import RaftClient as BlockingClient
from tests.cluster.guarded import TOKENS, Guarded, guarded_nodes, line
from tests.cluster.harness import raft_node
from tests.cluster.test_tls import ASKED_BY_CHAOS
from tests.ports import free_base_port

INCLUDED = {"read": {"read", "write", "operate"}, "write": {"write"}, "operate": {"operate"}, None: set(TOKENS)}
"""Who may, by what is needed."""

OPERATOR = line("o", "operate", TOKENS["operate"])


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """For tests that do the nodes no harm."""
    with guarded_nodes(tmp_path_factory.mktemp("tokens")) as nodes:
        nodes.up()
        yield nodes


@pytest.mark.parametrize(
    ("method", "path", "need"),
    [
        ("GET", "/livez", None),
        ("GET", "/readyz", None),
        ("GET", "/version", None),
        ("GET", "/status", "read"),
        ("GET", "/metrics", "read"),
        ("GET", "/events", "read"),
        ("GET", "/kv/", "read"),
        ("PUT", "/kv/a", "write"),
        ("POST", "/v3/kv/put", "write"),
        ("POST", "/v3/kv/txn", "write"),
        ("GET", "/backup", "operate"),
        ("POST", "/commands/state_details", "operate"),
        ("POST", "/v3/cluster/member/remove", "operate"),
    ],
)
def test_whoever_shows_too_little_is_told_what_is_missing(
    standing: Guarded, method: str, path: str, need: str | None
) -> None:
    included = INCLUDED[need]
    body = b"{}" if method != "GET" else None
    for role, token in {"": "", "wrong": "x" * 40, **TOKENS}.items():
        if path == "/events" and role in included:
            continue  # an answer without an end
        status, said, _ = standing.request("n1", method, path, body, token)
        if need is None or role in included:
            assert (role, status in (0, 401, 403)) == (role, False)
        else:
            assert (role, status) == (role, 403 if role in TOKENS else 401)
            assert (f"this needs {need}" if role in TOKENS else "token") in said.decode()


def test_refusals_are_counted_and_told_without_the_token(standing: Guarded) -> None:
    sample = 'raft_access_refused_total{why="unauthenticated"}'
    secret = "do-not-write-this-anywhere-" + "z" * 20
    assert standing.request("n2", "GET", "/status", None, secret)[0] == 401
    before = standing.metric("n2", sample)
    assert standing.request("n2", "GET", "/status", None, secret)[0] == 401
    assert standing.metric("n2", sample) == before + 1
    standing.until(lambda: standing.told("n2", "access-refused", why="unauthenticated"), "it is told")
    assert secret not in (standing.folder / "n2.log").read_text()
    assert standing.metric("n2", "raft_tokens") == len(TOKENS) + 1


def test_the_health_check_of_a_container_needs_no_token(standing: Guarded) -> None:
    assert check("readyz", {"RAFT_PORT": str(standing.ports["n1"])}) == ""


def ran(*words: str) -> tuple[int, str]:
    return asyncio.run(raft_node(*words))


def test_commands_take_a_token_from_a_file_or_the_environment(
    standing: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKENS["write"] + "\n")
    urls = [standing.url(name) for name in standing.ports]
    put = ("put", "greeting", "hello", "--url", urls[0])
    code, said = ran(*put)
    assert (code, "this needs a token that may write: send it as Authorization: Bearer" in said) == (1, True), said
    assert (ran(*put, "--token-file", str(file)))[0] == 0
    monkeypatch.setenv("RAFT_TOKEN_FILE", str(file))
    assert ran("get", "greeting", "--json", "--url", urls[1])[0] == 0
    code, said = ran("command", urls[1], "state_details")
    assert (code, "a-write may read and write, and this needs operate" in said) == (1, True), said
    lock = [sys.executable, "-m", "node.cli", "lock", "one", "--url", urls[0], "--", "true"]
    assert subprocess.call(lock, env=os.environ) == 0
    monkeypatch.delenv("RAFT_TOKEN_FILE")
    monkeypatch.setenv("RAFT_TOKEN", TOKENS["operate"])
    backup = str(tmp_path / "backup")
    for words in (
        ("command", urls[1], "state_details"),
        ("status", *urls),
        ("members", "list", urls[0]),
        ("backup", urls[0], backup),
    ):
        assert (words, (ran(*words))[0]) == (words, 0)
    monkeypatch.delenv("RAFT_TOKEN")
    for words in (("status", *urls), ("members", "list", urls[0]), ("backup", urls[0], f"{backup}-2")):
        code, said = ran(*words)
        assert (words, code != 0, "this needs a token that may" in said) == (words, True, True), said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("", "is empty"),
        (OPERATOR, "holds a line of the nodes' tokens_file"),
        ("two words", "is no token"),
    ],
)
def test_a_file_without_a_token_is_refused_before_anything_is_asked(
    tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    code, printed = ran("status", "http://127.0.0.1:1", "--token-file", str(file))
    assert (code, said in printed) == (64, True), printed


async def test_the_client_shows_a_token_and_another_one_from_then_on(standing: Guarded) -> None:
    urls = [standing.url(name) for name in standing.ports]
    async with RaftClient(urls, token=TOKENS["write"]) as client:
        revision = await client.put("a", "b")
        assert await client.get("a") == (b"b", revision)
        client.use_token(TOKENS["read"])
        with pytest.raises(NotDone, match="a-read may read, and this needs write") as refused:
            await client.put("a", "c")
        assert refused.value.status == 403
        assert await client.get("a") == (b"b", revision)
    async with RaftClient(urls) as nobody:
        with pytest.raises(NotDone, match="needs a token that may read"):
            await nobody.get("a")


def test_the_client_of_threads_shows_one_too(standing: Guarded) -> None:
    with BlockingClient([standing.url("n1")], token=TOKENS["read"]) as client:
        with pytest.raises(NotDone, match="this needs write"):
            client.put("thread", "b")
        client.use_token(TOKENS["write"])
        client.put("thread", "b")
        with client.lock("a lock of a thread"):
            pass


def test_the_chaos_tool_asks_with_a_token(standing: Guarded, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKENS["operate"])
    asked = [sys.executable, "-c", ASKED_BY_CHAOS, standing.url("n1")]
    for more in ({"RAFT_TOKEN_FILE": str(file)}, {"RAFT_TOKEN": TOKENS["read"]}):
        done = subprocess.run(asked, env=os.environ | more, capture_output=True, text=True, check=False)
        assert done.stdout == "n1\n", done.stderr
    refused = {"RAFT_TOKEN_FILE": str(tmp_path / "none")}
    done = subprocess.run(asked, env=os.environ | refused, capture_output=True, text=True, check=False)
    assert "name a file that holds a token" in done.stderr


@pytest.mark.parametrize("variable", ["RAFT_TOKENS_FILE", "RAFT_OPERATIONS_PORT"])
def test_a_local_cluster_says_that_it_has_no_such_doors(tmp_path: Path, variable: str) -> None:
    where = ["--data-dir", str(tmp_path / "data"), "--base-port", str(free_base_port(5))]
    command = [sys.executable, "-m", "node.cli", "cluster", *where]
    done = subprocess.run(command, env=os.environ | {variable: "7"}, capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert f"(from environment {variable}): unset it, or start each node with raft-node serve" in done.stderr


def test_the_chaos_tool_says_why_it_is_not_let_in(standing: Guarded, tmp_path: Path) -> None:
    nodes = [
        {"name": name, "url": standing.url(name), "peer": "127.0.0.1:1", "data_dir": "", "log_file": "", "pid": None}
        for name in standing.ports
    ]
    about = {"format": "raft-node cluster", "version": 1, "state": "running", "supervisor_pid": os.getpid()}
    (tmp_path / "cluster.json").write_text(json.dumps({**about, "control": "none", "nodes": nodes}))
    status = [sys.executable, "-m", "chaos.cli", "status", "--data-dir", str(tmp_path)]
    refused = subprocess.run(status, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "n1 does not let this tool in: this needs a token that may read" in refused.stderr
    assert "set RAFT_TOKEN_FILE or RAFT_TOKEN" in refused.stderr
    shown = os.environ | {"RAFT_TOKEN": TOKENS["read"]}
    done = subprocess.run(status, env=shown, capture_output=True, text=True, check=False)
    assert "leader" in done.stdout, done.stderr


# --- renewal --------------------------------------------------------------------------------------------------------


def holds(nodes: Guarded, name: str, count: int) -> None:
    """Until that node has so many tokens."""
    nodes.until(lambda: nodes.metric(name, "raft_tokens") == count, f"{name} has {count} tokens")


@pytest.mark.slowest
def test_a_token_is_renewed_under_load_without_a_failed_request(tmp_path: Path) -> None:
    old, new = "old-" + "o" * 40, "new-" + "n" * 40
    reader, writer_old, writer_new = (
        line("a-read", "read", TOKENS["read"]),
        line("w", "write", old),
        line("w", "write", new),
    )
    with guarded_nodes(tmp_path) as nodes:
        nodes.give(reader, writer_old)
        nodes.up()
        urls = [nodes.url(name) for name in nodes.ports]
        ended, written = threading.Event(), [0]
        failed: list[Exception] = []
        with BlockingClient(urls, token=old) as client:

            def write() -> None:
                while not ended.is_set():
                    try:
                        client.put("load", str(written[0]))
                        written[0] += 1
                    except Exception as error:
                        failed.append(error)
                        return

            def goes_on(since: int) -> bool:
                return written[0] > since + 20 or bool(failed)

            thread = threading.Thread(target=write)
            thread.start()
            try:
                for name in nodes.ports:  # one node after the other, as Secrets come to pods
                    nodes.give(reader, writer_old, writer_new, to=(name,))
                for name in nodes.ports:
                    holds(nodes, name, 3)
                client.use_token(new)
                since = written[0]
                nodes.until(partial(goes_on, since), "it goes on with the new one")
                nodes.give(reader, writer_new)
                for name in nodes.ports:
                    holds(nodes, name, 2)
                since = written[0]
                nodes.until(partial(goes_on, since), "it goes on without the old one")
            finally:
                ended.set()
                thread.join()
        assert failed == []
        assert nodes.request("n1", "PUT", "/kv/load", b"x", old)[0] == 401
        nodes.give("nonsense\n")
        nodes.until(partial(nodes.told, "n1", "tokens-not-renewed"), "a bad file is told")
        assert "not of the form NAME ROLES" in nodes.told("n1", "tokens-not-renewed")[0]["reason"]
        assert nodes.request("n1", "PUT", "/kv/load", b"x", new)[0] == 200


def test_a_node_with_a_file_of_no_use_does_not_start_and_says_why(tmp_path: Path) -> None:
    with guarded_nodes(tmp_path) as nodes:
        nodes.give("a read md5:abc\n")
        nodes.start("n1", ["--tokens-file", str(nodes.files["n1"])])
        assert nodes.processes["n1"].wait(30) == 64
        said = (tmp_path / "n1.log").read_text()
        assert "line 1: the hash is not sha256: and 64 hexadecimal digits: make lines with raft-node token new" in said
        assert "Traceback" not in said


def test_the_line_that_is_printed_is_taken_and_the_token_with_it_lets_in(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "node.cli", "token", "new", "me", "--role", "operate", "--role", "write", "--json"]
    made = json.loads(subprocess.check_output(command))
    with guarded_nodes(tmp_path) as nodes:
        nodes.give(made["line"] + "\n")
        nodes.token = made["token"]
        nodes.up()
        assert nodes.request("n1", "PUT", "/kv/a", b"x", made["token"])[0] == 200
        assert nodes.request("n1", "POST", "/commands/state_details", b"{}", made["token"])[0] == 200


@pytest.mark.slowest
def test_a_stream_ends_with_the_token_that_opened_it(tmp_path: Path) -> None:
    with guarded_nodes(tmp_path) as nodes:
        nodes.up()
        streams = {}
        for role in ("read", "write"):
            streams[role] = http.client.HTTPConnection("127.0.0.1", nodes.ports["n1"], timeout=30)
            streams[role].request("GET", "/events", headers={"Authorization": f"Bearer {TOKENS[role]}"})
        answers = {role: stream.getresponse() for role, stream in streams.items()}
        assert [answers[role].status for role in streams] == [200, 200]
        nodes.give(line("a-write", "write", TOKENS["write"]), OPERATOR)
        with suppress(OSError, http.client.HTTPException):
            while answers["read"].readline():
                pass
        nodes.token = TOKENS["write"]
        nodes.put("n1", "a", b"b")
        assert answers["write"].readline()
        for stream in streams.values():
            stream.close()


def test_who_did_what_is_a_line_of_json_in_the_log_and_an_event(tmp_path: Path) -> None:
    with guarded_nodes(tmp_path) as nodes:
        nodes.up("--audit", "writes")
        leader = nodes.until(nodes.leader, "one leader")
        follower = next(name for name in nodes.ports if name != leader)
        assert nodes.request(follower, "POST", "/commands/state_details", b"{}", TOKENS["operate"])[0] == 200
        assert nodes.request(follower, "POST", "/commands/state_details", b"{}", TOKENS["write"])[0] == 403
        assert nodes.request(follower, "PUT", "/kv/a", b"do-not-tell", TOKENS["write"])[0] == 200
        for who, what, outcome in (
            ("a-operate", "POST /commands/state_details", "200"),
            ("a-write", "POST /commands/{name}", "denied"),
            ("a-write", "PUT /kv/a", "200"),
        ):
            nodes.until(partial(nodes.told, follower, "audit", who=who, what=what, outcome=outcome), f"{what} is told")
        assert "do-not-tell" not in (tmp_path / f"{follower}.log").read_text()
        sample = 'raft_audited_total{needs="operate",outcome="200"}'
        assert nodes.metric(follower, sample) == 1


def test_a_user_of_the_cluster_logs_in_to_the_page_of_any_node_and_only_root_is_shown_it(tmp_path: Path) -> None:
    with guarded_nodes(tmp_path) as nodes:
        for name in nodes.ports:
            nodes.start(name, [])
        nodes.until(nodes.leader, "all nodes know a leader")
        for call, body in (
            ("user/add", {"name": "root", "password": "of root"}),
            ("user/add", {"name": "ann", "password": "of ann"}),
            ("user/grant", {"user": "root", "role": "root"}),
            ("enable", {}),
        ):
            status, said, _ = nodes.request("n1", "POST", f"/v3/auth/{call}", json.dumps(body).encode(), "")
            assert status == 200, said

        def in_force() -> bool:
            """Everywhere: a node that has not applied the entry yet asks nobody who they are."""
            return all(nodes.request(name, "GET", "/status", b"", "")[0] == 401 for name in nodes.ports)

        nodes.until(in_force, "every node asks who somebody is")

        def login(name: str, form: bytes) -> tuple[str, str]:
            headers = {"Origin": nodes.url(name), "Content-Type": "application/x-www-form-urlencoded"}
            status, said, given = nodes.request(name, "POST", "/login", form, "", headers=headers)
            assert status == 303, said
            return given["Location"], given.get("Set-Cookie", "").partition(";")[0]

        for form in (b"user=root&secret=of+ann", b"user=ann&secret=of+ann", b"user=nobody&secret=x", b"secret=of+root"):
            assert (form, login("n2", form)) == (form, ("/#refused", ""))
        where, cookie = login("n2", b"user=root&secret=of+root")
        assert (where, "of" in cookie.partition("=")[2]) == ("/", False)
        for name in nodes.ports:
            shown = {"Cookie": cookie, "Accept": "text/html"}
            assert b"/static/app.js" in nodes.request(name, "GET", "/", None, "", headers=shown)[1]
            assert nodes.request(name, "GET", "/status", None, "", headers=shown)[0] == 200
        changing = {"Cookie": cookie, "Origin": nodes.url("n3")}
        assert nodes.request("n3", "PUT", "/kv/a", b"x", "", headers=changing)[0] == 200
        assert nodes.request("n3", "PUT", "/kv/a", b"x", "", headers={"Cookie": cookie})[0] == 401
