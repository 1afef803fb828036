"""`raft-node command`: what is sent, what is printed, and how each answer ends."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from node.supervisor import layout
from tests.cli.conftest import Answer, FakeNode, raft_node

Make = Callable[[], FakeNode]

OK = Answer(200, b'{"ok":true,"command":"recover","node":"n2","message":"1 fault ended","data":{}}')


def cluster_of(folder: Path, node: FakeNode) -> None:
    entries = (
        layout.NodeEntry("n1", "http://127.0.0.1:1", "p", "d", "l"),
        layout.NodeEntry("n2", node.url, "p", "d", "l"),
    )
    layout.write(folder, layout.ClusterFile(state="running", supervisor_pid=1, control=None, nodes=entries))


def test_a_command_is_posted_to_the_node_of_that_name_with_its_arguments(fake_node: Make, tmp_path: Path) -> None:
    node = fake_node()
    node.answer = OK
    cluster_of(tmp_path, node)
    ran = raft_node("command", "n2", "cut_link", "peer=n1", "seconds=2", "--data-dir", str(tmp_path))
    assert (ran.code, ran.out, ran.err) == (0, b"n2: 1 fault ended\n", "")
    (asked,) = node.asked
    assert (asked.method, asked.path) == ("POST", "/commands/cut_link")
    assert json.loads(asked.body) == {"peer": "n1", "seconds": "2"}


def test_a_node_can_be_named_by_its_url_and_shows_what_it_says(fake_node: Make) -> None:
    node = fake_node()
    node.answer = Answer(200, b'{"ok":true,"command":"c","node":"n2","message":"here","data":{"timers_ms":{"a":1}}}')
    ran = raft_node("command", node.url, "check_timers")
    assert ran.code == 0
    said, _, data = ran.out.decode().partition("\n")
    assert said == "n2: here"
    assert json.loads(data) == {"timers_ms": {"a": 1}}
    ran = raft_node("command", node.url, "check_timers", "--json")
    assert json.loads(ran.out)["message"] == "here"


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (409, 1, "Refused: n1 leads already."),
        (403, 1, "Refused: n1 leads already."),
        (400, 64, "Not taken: n1 leads already."),
        (404, 64, "Not taken: n1 leads already."),
        (503, 4, "Unavailable, nothing happened: n1 leads already."),
        (504, 5, "Unknown outcome: n1 leads already."),
    ],
)
def test_every_answer_has_its_exit_code(fake_node: Make, status: int, code: int, said: str) -> None:
    node = fake_node()
    node.answer = Answer(status, b'{"ok":false,"error":"x","message":"n1 leads already"}')
    ran = raft_node("command", node.url, "trigger_election")
    assert (ran.code, ran.out, ran.err) == (code, b"", f"raft-node: {said}\n")
    ran = raft_node("command", node.url, "trigger_election", "--json")
    assert (ran.code, json.loads(ran.out)["ok"]) == (code, False)


def test_no_answer_is_unknown_and_no_connection_is_nothing(fake_node: Make) -> None:
    node = fake_node()
    node.answer = Answer(0)
    assert raft_node("command", node.url, "recover").code == 5
    node.answer = Answer(200, b"<html>")
    assert raft_node("command", node.url, "recover").code == 5
    node.stop()
    ran = raft_node("command", node.url, "recover")
    assert ran.code == 4
    assert "refuses connections, so nothing happened" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("n7", "recover"), "There is no node 'n7' in"),
        (("n2", "recover", "peer"), "'peer' is not of the form KEY=VALUE"),
        (("n2", "recover", "a=1", "a=2"), "a is given twice"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_sent(
    fake_node: Make, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    node = fake_node()
    cluster_of(tmp_path, node)
    ran = raft_node("command", *arguments, "--data-dir", str(tmp_path))
    assert (ran.code, ran.out) == (64, b"")
    assert said in ran.err
    assert node.asked == []


def test_without_a_name_the_nodes_own_list_is_shown(fake_node: Make) -> None:
    node = fake_node()
    argument = {"name": "peer", "type": "text", "required": True, "default": None, "help": "h"}
    seconds = {"name": "seconds", "type": "number", "required": False, "default": 30.0, "help": "h"}
    row = {
        "name": "cut_link",
        "summary": "s [x]",
        "arguments": [argument, seconds],
        "changes": True,
        "needs_faults": True,
    }
    node.answer = Answer(200, json.dumps({"enabled_faults": False, "commands": [row]}).encode())
    ran = raft_node("command", node.url)
    assert (ran.code, node.asked[0].method, node.asked[0].path) == (0, "GET", "/commands")
    text = " ".join(ran.out.decode().split())
    assert "cut_link peer [seconds=30.0] s [x] (needs --enable-faults)" in text
    assert json.loads(raft_node("command", node.url, "--json").out)["commands"] == [row]
