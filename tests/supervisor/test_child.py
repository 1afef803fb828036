"""One process: its log stays within bounds, its end is described, its parent's end is noticed."""

import os
import threading
from pathlib import Path

import pytest

from node.observe.headline import Named
from node.supervisor import child, lifeline
from node.supervisor.child import Child, describe_end
from node.supervisor.layout import NodeEntry, SupervisorError
from node.supervisor.roll_call import agreed_leader, what_is_missing
from node.supervisor.watch import NodeStatus


def made(folder: Path, *command: str) -> Child:
    home = folder / "n1"
    entry = NodeEntry("n1", "http://127.0.0.1:1", "127.0.0.1:2", str(home / "data"), str(home / "node.log"))
    return Child(entry, command, os.environ)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "ended with exit code 0 (an ordinary end)"),
        (3, "ended with exit code 3 (a storage error)"),
        (-9, "was killed by SIGKILL"),
        (-62, "was killed by signal 62"),
    ],
)
def test_an_end_is_described_for_people(code: int, said: str) -> None:
    assert describe_end(code) == said


def test_a_long_log_is_moved_aside_at_the_start_and_cut_while_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "LOG_BYTES_MAX", 100)
    node = made(tmp_path, "/bin/sh", "-c", "echo new")
    log = Path(node.entry.log_file)
    log.parent.mkdir()
    log.write_text("old\n" * 50)
    node.start()
    assert node._process is not None
    node._process.wait()
    assert log.read_text() == "new\n"
    assert log.with_name("node.log.1").read_text().startswith("old")
    log.write_text("newer\n" * 50)
    node.bound_log()
    assert log.read_text() == ""
    assert log.with_name("node.log.1").read_text().startswith("newer")


def test_the_end_of_the_log_shows_sentences_not_json(tmp_path: Path) -> None:
    node = made(tmp_path)
    Path(node.entry.log_file).parent.mkdir()
    Path(node.entry.log_file).write_text(
        "a\nb\nc\n\n" + '{"time_us":1,"level":"ERROR","node":"n1","message":"the disk is full"}\n'
        '{"time_us":1,"level":"INFO","node":"n1","message":"a link came up"}\nTraceback\n'
    )
    *words, where = node.log_tail()
    assert words == ["b", "c", "ERROR the disk is full", "Traceback"]
    assert where.startswith("log: ")
    assert where.endswith("n1/node.log")


def test_the_last_words_are_whole_lines_in_either_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = made(tmp_path)
    log = Path(node.entry.log_file)
    log.parent.mkdir()
    text = "12:00:00.123 n1 leader/7 INFO ordinary\n12:00:00.124 n1 leader/7 ERROR the disk is full\n"
    text += "raft-node n1: it ends\n"
    log.write_text("half of something\n" * 1000 + text)
    monkeypatch.setattr(child, "TAIL_BYTES", len(text) + 5)
    assert node.log_tail()[:-1] == ["ERROR the disk is full", "raft-node n1: it ends"]


def test_a_program_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SupervisorError, match="n1 cannot be started: No such file"):
        made(tmp_path, "/no/such/program").start()


def test_without_help_of_the_kernel_a_thread_notices_that_the_parent_ended() -> None:
    ended = threading.Event()
    lifeline.watch_parent(os.getppid() + 1, ended.set).join(5)  # a parent that is not ours is one that ended
    assert ended.is_set()


def test_a_living_parent_is_left_in_peace() -> None:
    ended, stop = threading.Event(), threading.Event()
    thread = lifeline.watch_parent(os.getppid(), ended.set, stop)
    assert not ended.wait(3 * lifeline.PARENT_POLL_SECONDS)
    stop.set()
    thread.join(5)


def view(name: str, role: str, leader: str, term: int = 3, waiting_for: str = "") -> NodeStatus:
    voters = tuple(Named(f"n{i}") for i in (1, 2, 3))
    return NodeStatus(
        name=name,
        role=role,
        term=term,
        leader=leader,
        commit=1,
        applied=1,
        voters=voters,
        peers=(),
        waiting_for=waiting_for,
    )


def test_a_leader_counts_only_with_a_majority_behind_it_in_its_term() -> None:
    leads, follows = view("n1", "leader", "n1"), view("n2", "follower", "n1")
    assert agreed_leader({"n1": leads, "n2": follows, "n3": None}) == "n1"
    assert agreed_leader({"n1": leads, "n2": None, "n3": None}) == ""
    assert agreed_leader({"n1": leads, "n2": view("n2", "follower", "n1", term=2), "n3": None}) == ""
    newer = view("n2", "leader", "n2", term=4)
    assert agreed_leader({"n1": leads, "n2": newer, "n3": view("n3", "follower", "n2", term=4)}) == "n2"


def test_what_is_missing_is_told_node_by_node() -> None:
    views = {
        "n1": None,
        "n2": None,
        "n3": view("n3", "initial", "", 0, "no answer from n1"),
        "n4": view("n4", "follower", ""),
    }
    said = what_is_missing(views, {"n1": None, "n2": 5, "n3": 6, "n4": 7})
    assert said == (
        "n1 does not run; n2 does not answer; n3 waits: no answer from n1; n4 is follower in term 3 and knows no leader"
    )
