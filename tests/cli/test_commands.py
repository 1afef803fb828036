"""Help, completion, settings, status, logs: what is printed, how it ends, and that no traceback reaches anyone."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from node.raft.types import Entry, EntryKind, HardState
from node.statemachine.writes import Put
from node.storage.files import OsFiles
from node.supervisor import layout
from tests.cli.conftest import Answer, FakeNode, raft_node
from tests.storage.logs import FIRST, NAME, Log, append, birth, command, snapshot_at
from tests.storage.snapshotting import base_at

Make = Callable[[], FakeNode]
SEEDS = "n1=127.0.0.1:9001,n2=127.0.0.1:9002,n3=127.0.0.1:9003"
SERVE = ("serve", "--name", "n1", "--seeds", SEEDS, "--data-dir", "d")
COMMANDS = [
    "serve",
    "cluster",
    "start",
    "status",
    "get",
    "put",
    "delete",
    "lock",
    "elect",
    "command",
    "log",
    "log dump",
    "log verify",
]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help_with_an_example(command: str) -> None:
    ran = raft_node(*command.split(), "--help")
    assert ran.code == 0
    text = ran.out.decode()
    assert f"Usage: raft-node{f' {command}' if command else ''}" in text
    if command != "log":
        assert f"raft-node {command or 'cluster'}" in text.partition("Usage")[2].partition("\n")[2]


def test_the_program_itself_starts_quickly_and_completes() -> None:
    """Both as a real process; nothing heavy may be imported on the way."""
    script = (
        "import sys; from node.cli import main; main(['--help']);"
        "heavy = {'aiohttp', 'asyncio', 'prometheus_client'} & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    environ = {**os.environ, "_RAFT_NODE_COMPLETE": "complete_bash", "COMP_WORDS": "raft-node st", "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "node.cli"]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert set(ran.stdout.split()) >= {"start", "status"}, ran.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("stats",), "There is no command 'stats'; there are serve, cluster, "),
        (("serve", "--nmae", "n1"), "No such option"),
        (("get",), "Missing argument 'KEY'"),
        (("cluster", "--nodes", "two"), "Invalid value for '--nodes': Input should be a valid integer"),
        (("cluster", "--nodes", "2"), "--nodes 2 is out of bounds: at least 3, because"),
        (("cluster", "--nodes", "16"), "at most 15"),
        (("cluster", "--base-port", "80"), "--base-port 80 is out of bounds"),
        ((*SERVE, "--port", "x"), "port 'x' is not a whole number (from flag --port)."),
        (("serve", "--config", "/no/such"), "/no/such cannot be read"),
        (("log", "purge"), "There is no command 'log purge'; there are log dump, log verify."),
        (("log", "verify", "/no/such"), "There is no folder /no/such"),
        (("status", "ftp://x"), "is not a node's URL"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_64(arguments: tuple[str, ...], said: str) -> None:
    ran = raft_node(*arguments)
    assert (ran.code, ran.out) == (64, b"")
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_no_traceback_reaches_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.cli.status.targets", lambda *_: 1 / 0)
    ran = raft_node("status")
    assert ran.code == 1
    assert ran.err.startswith("raft-node: internal error, please report it: ZeroDivisionError")
    assert "Traceback" not in ran.err


def test_print_config_shows_values_and_where_they_came_from() -> None:
    table = raft_node(*SERVE, "--heartbeat-ms", "90", "--exit-with-parent", "--print-config")
    assert table.code == 0, table.err
    lines = [line.strip().split(maxsplit=2) for line in table.out.decode().splitlines()]
    assert ["heartbeat_ms", "90", "flag --heartbeat-ms"] in lines
    assert ["exit_with_parent", "true", "flag --exit-with-parent"] in lines
    assert ["log_level", "info", "default"] in lines
    rows = json.loads(raft_node(*SERVE, "--print-config", "--json").out)
    assert {"key": "port", "value": "8001", "from": "default", "flag": "--port", "environment": "RAFT_PORT"} in rows


def node_status(name: str, role: str, term: int = 3, commit: int = 9, applied: int = 9) -> Answer:
    body = {
        "name": name, "role": role, "term": term, "leader": "n1", "commit": commit, "applied": applied,
        "voters": [{"name": f"n{i}", "incarnation": "i"} for i in (1, 2, 3)],
        "peers": [{"name": "n2", "last_contact_ms": 12.3}], "waiting_for": "", "something_newer": [1],
    }  # fmt: skip
    return Answer(200, json.dumps(body).encode())


def test_status_shows_a_leader_a_laggard_and_an_unknown(fake_node: Make, tmp_path: Path) -> None:
    nodes = [fake_node() for _ in range(3)]
    nodes[0].answer, nodes[1].answer = node_status("n1", "leader"), node_status("n2", "follower", applied=5)
    nodes[2].stop()
    entries = tuple(layout.NodeEntry(f"n{i + 1}", node.url, "p", "d", "l") for i, node in enumerate(nodes))
    layout.write(tmp_path, layout.ClusterFile(state="running", supervisor_pid=1, control=None, nodes=entries))
    ran = raft_node("status", "--data-dir", str(tmp_path))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(b"Serves reads and writes; 1 of 3 down; can lose no more.\n")
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in ran.out.decode().splitlines() if "│" in line
    ]
    assert rows == [
        ["n1", "leader", "3", "n1", "9", "9", "-", "0"],
        ["n2", "follower", "3", "n1", "9", "5", "12 ms", "4"],
        ["n3", "unknown", "-", "-", "-", "-", "-", "-"],
    ]
    found = json.loads(raft_node("status", *(node.url for node in nodes), "--json").out)
    assert found["leader"] == "n1"
    assert found["headline"] == "Serves reads and writes; 1 of 3 not heard; can lose no more."
    assert found["nodes"][1]["lag"] == 4
    assert found["nodes"][2]["role"] == "unknown"


def test_status_calls_a_learner_a_learner(fake_node: Make) -> None:
    leader, follower, learner = fake_node(), fake_node(), fake_node()
    says = json.loads(node_status("n1", "leader").body)
    leader.answer = Answer(200, json.dumps({**says, "learners": [{"name": "n4"}]}).encode())
    follower.answer, learner.answer = node_status("n2", "follower"), node_status("n4", "follower")
    found = json.loads(raft_node("status", leader.url, follower.url, learner.url, "--json").out)
    assert [node["role"] for node in found["nodes"]] == ["leader", "follower", "learner"]


def test_status_without_a_majority_behind_the_leader_is_exit_code_1(fake_node: Make) -> None:
    leader, stranger = fake_node(), fake_node()
    leader.answer, stranger.answer = node_status("n1", "leader"), Answer(200, b"not a node")
    ran = raft_node("status", leader.url, stranger.url)
    assert ran.code == 1
    assert ran.out.startswith(b"Unknown: too few are heard to tell; 2 of 3 not heard.\n")


@pytest.fixture
def log_folder(tmp_path: Path) -> Path:
    """A real log, as `raft-node cluster` lays it out."""
    data = tmp_path / "n1" / "data"
    data.mkdir(parents=True)
    (tmp_path / "n1" / "node.log").touch()
    log = Log(OsFiles(data))
    log.write(birth(), append(2, command(2), command(3, data=b"hello"), state=HardState(1, NAME, 2)))
    log.wal.close()
    return tmp_path / "n1"


def test_log_dump_and_verify_show_a_whole_log(log_folder: Path) -> None:
    dump = raft_node("log", "dump", str(log_folder))
    assert (dump.code, dump.err) == (0, "")
    assert "entry 3, term 1, write, 5 bytes: 5 bytes that this version cannot read" in dump.out.decode()
    assert f"entry 1, term 0, configuration, {len(FIRST.data)} bytes: members {NAME}" in dump.out.decode()
    assert f"term 1, vote {NAME}, commit 2" in dump.out.decode()
    verify = raft_node("log", "verify", str(log_folder / "data"))
    assert (verify.code, verify.err) == (0, "")
    assert verify.out.decode().startswith("whole: 1 segments")
    lines = [json.loads(line) for line in raft_node("log", "dump", str(log_folder), "--json").out.splitlines()]
    assert lines[0]["type"] == "segment"
    assert json.loads(raft_node("log", "verify", str(log_folder), "--json").out)["last_index"] == 3


def test_log_dump_and_verify_show_what_entries_do_and_the_snapshot_that_the_log_follows(log_folder: Path) -> None:
    files = OsFiles(log_folder / "data")
    log = Log(files)
    put = msgspec.msgpack.encode(Put(b"colour", b"red"))
    log.write(append(1, Entry(4, 1, EntryKind.WRITE, put), state=HardState(1, NAME, 4)))
    log.close()
    snapshot_at(files, base_at(3), b"one", b"two", made_by="raft-node 7")
    dump = raft_node("log", "dump", str(log_folder))
    assert (dump.code, dump.err) == (0, "")
    assert ": put colour (3 bytes)" in dump.out.decode()
    told = "snapshot of entry 3, term 1: 2 chunks, "
    assert told in dump.out.decode().splitlines()[-1]
    verify = raft_node("log", "verify", str(log_folder))
    assert verify.out.decode().splitlines()[1].startswith(told)
    assert "made by raft-node 7; members a, b" in verify.out.decode()
    lines = [json.loads(line) for line in raft_node("log", "dump", str(log_folder), "--json").out.splitlines()]
    assert lines[-1]["type"] == "snapshot"
    assert lines[-2]["does"] == ["put colour (3 bytes)"]
    assert json.loads(raft_node("log", "verify", str(log_folder), "--json").out)["snapshot"]["base"]["index"] == 3


def test_a_damaged_snapshot_is_exit_code_3_with_file_byte_and_cure(log_folder: Path) -> None:
    data = log_folder / "data"
    snapshot_at(OsFiles(data), base_at(3), b"one", b"two")
    snapshot = next(data.glob("*.snap"))
    content = bytearray(snapshot.read_bytes())
    content[-5] ^= 1
    snapshot.write_bytes(content)
    for action in ("dump", "verify"):
        ran = raft_node("log", action, str(log_folder))
        assert ran.code == 3
        assert f"{snapshot}, byte " in ran.err
        assert "move this file to another folder" in ran.err
        assert ran.err.count("\n") == 1
    snapshot.rename(log_folder / "aside")
    assert raft_node("log", "verify", str(log_folder)).code == 0


def test_log_dump_and_verify_of_a_damaged_log_are_exit_code_3_and_name_file_and_byte(log_folder: Path) -> None:
    segment = next((log_folder / "data").glob("*.wal"))
    content = bytearray(segment.read_bytes())
    content[20] ^= 1
    segment.write_bytes(content)
    for action in ("dump", "verify"):
        for json_flag in ([], ["--json"]):
            ran = raft_node("log", action, str(log_folder), *json_flag)
            assert ran.code == 3
            assert segment.name in ran.err
            assert "byte" in ran.err
            assert ran.err.count("\n") == 1


def test_a_folder_without_a_log_is_not_called_whole(tmp_path: Path) -> None:
    ran = raft_node("log", "verify", str(tmp_path))
    assert ran.code == 64
    assert "holds no log" in ran.err
