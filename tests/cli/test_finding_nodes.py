"""Whom commands ask that were given no URL, or one alone: RAFT_URLS, and the node's own word for where others are."""

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.settings import load
from node.supervisor import layout
from tests.cli.conftest import Answer, FakeNode, raft_node

Make = Callable[[], FakeNode]


def says(name: str, role: str, client_url: str = "") -> dict[str, Any]:
    return {
        "name": name, "role": role, "term": 3, "leader": "n1", "commit": 9, "applied": 9, "client_url": client_url,
        "voters": [{"name": f"n{i}", "incarnation": "i"} for i in (1, 2, 3)],
        "peers": [{"name": other, "last_contact_ms": 12.3} for other in ("n2", "n3")], "cluster_id": "c",
    }  # fmt: skip


def answer(body: object) -> Answer:
    return Answer(200, json.dumps(body).encode())


def cluster(*nodes: tuple[str, str, dict[str, Any] | None]) -> Answer:
    """What n1 says on `/cluster`: name, state and what it heard of each."""
    return answer(
        {"node": "n1", "nodes": [{"name": name, "state": state, "status": heard} for name, state, heard in nodes]}
    )


def test_a_command_without_a_url_asks_those_of_the_environment(fake_node: Make) -> None:
    down, up = fake_node(), fake_node()
    down.stop()
    up.answer = Answer(200, b"hello", (("ETag", '"7"'),))
    ran = raft_node("get", "k", environ={"RAFT_URLS": f"{down.url}, {up.url},{up.url}"})
    assert (ran.code, ran.out) == (0, b"hello")
    up.answer = Answer(200, b"", (("ETag", '"8"'),))
    assert raft_node("put", "k", "v", environ={"RAFT_URLS": up.url}).code == 0


def test_what_is_given_wins_over_the_environment(fake_node: Make, tmp_path: Path) -> None:
    given, other = fake_node(), fake_node()
    given.answer = Answer(200, b"hello", (("ETag", '"7"'),))
    entry = layout.NodeEntry("n1", given.url, "p", "d", "l")
    layout.write(tmp_path, layout.ClusterFile(state="running", supervisor_pid=1, control=None, nodes=(entry,)))
    for named in (("--url", given.url), ("--data-dir", str(tmp_path))):
        assert raft_node("get", "k", *named, environ={"RAFT_URLS": other.url}).out == b"hello"
    assert other.asked == []


def test_a_url_that_is_none_is_said_to_be_of_the_environment() -> None:
    ran = raft_node("get", "k", environ={"RAFT_URLS": "http://n1:8001,ftp://n2"})
    assert ran.code == 64
    assert "The environment variable RAFT_URLS is wrong: " in ran.err
    assert "'ftp://n2' is not a node's URL" in ran.err


def test_an_empty_one_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = raft_node("get", "k", environ={"RAFT_URLS": " ,"})
    assert (ran.code, "or set RAFT_URLS" in ran.err) == (64, True)


def test_a_node_passes_over_it() -> None:
    assert load({"name": "n", "seeds": "n=n:1", "data_dir": "n"}, {"RAFT_URLS": "http://n:1"}).settings.name == "n"


def test_the_status_of_one_node_finds_the_others(fake_node: Make) -> None:
    one, two, three = fake_node(), fake_node(), fake_node()
    one.first = [
        answer(says("n1", "leader")),
        cluster(
            ("n1", "reachable", says("n1", "leader")),
            ("n2", "reachable", says("n2", "follower", two.url)),
            ("n3", "unknown", says("n3", "follower", three.url)),
        ),
    ]
    two.answer = answer(says("n2", "follower") | {"applied": 8})
    three.answer = answer(says("n3", "follower"))
    found = json.loads(raft_node("status", one.url, "--json").out)
    assert [(row["id"], row["url"], row["hearsay"]) for row in found["nodes"]] == [
        ("n1", one.url, False),
        ("n2", two.url, False),
        ("n3", three.url, False),
    ]
    assert found["nodes"][1]["applied"] == 8, "it was asked itself"
    assert found["headline"].startswith("Serves reads and writes")


@pytest.mark.parametrize("there", [{"name": "m9"}, {"name": "n2", "cluster_id": "another"}])
def test_those_that_cannot_be_asked_are_shown_as_they_were_heard_and_called_so(
    fake_node: Make, there: dict[str, str]
) -> None:
    """As through a port-forward: their names mean nothing here. Who was not heard of lately stays unknown."""
    one, stranger = fake_node(), fake_node()
    stranger.answer = answer(says("n2", "leader") | there)
    one.first = [
        answer(says("n1", "leader")),
        cluster(
            ("n1", "reachable", says("n1", "leader")),
            ("n2", "reachable", says("n2", "follower", stranger.url)),
            ("n3", "unknown", says("n3", "follower", "http://raft-2.raft-headless.invalid:8001")),
        ),
    ]
    ran = raft_node("status", one.url)
    assert ran.code == 0
    assert b"Not asked themselves, shown as n1 heard them: n2.\n" in ran.out
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in ran.out.decode().splitlines() if "│" in line
    ]
    assert [row[:2] for row in rows] == [["n1", "leader"], ["n2", "follower"], ["n3", "unknown"]]


def test_a_node_that_tells_of_no_others_is_shown_alone(fake_node: Make) -> None:
    one = fake_node()
    one.answer = answer(says("n1", "leader"))
    found = json.loads(raft_node("status", one.url, "--json").out)
    assert [row["id"] for row in found["nodes"]] == ["n1"]


@pytest.mark.slowest
def test_no_command_waits_for_a_name_server_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    speaks = threading.Event()

    def silent(*_: object, **__: object) -> list[object]:
        assert speaks.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    release = threading.Timer(30, speaks.set)  # a command that waits for its look-up would end then, and too late
    release.start()
    try:
        ran = raft_node("status", "http://node.example.com:7000")
        assert not speaks.is_set()
    finally:
        speaks.set()
        release.cancel()
    assert (ran.code, b"nobody answers" in ran.out) == (1, True)
