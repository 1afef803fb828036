"""`raft-node lock`: real processes that hold a lock, and give it back however they end."""

import asyncio
import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path
from types import SimpleNamespace

import pytest

from node.cli.holding import Told
from node.cli.running import run
from tests.cli.conftest import raft_node
from tests.cli.holders import Node, ends, line, node

__all__ = ["node"]  # a fixture

PRESSED = 5
TOLD = "echo $RAFT_LOCK_KEY $RAFT_LOCK_TOKEN $ETCD_LOCK_KEY $ETCD_LOCK_REV"


def test_a_command_runs_with_key_and_token_and_its_exit_code_is_the_commands(node: Node) -> None:
    tokens = []
    for _ in range(2):
        code, out, err = node.run("lock", "env", "--", "sh", "-c", f"{TOLD}; exit 7")
        assert (code, err) == (7, "")
        key, token, etcd_key, revision = out.split()
        assert key == etcd_key
        assert key.startswith("env/")
        assert int(revision) >= int(token)
        tokens.append(int(token))
    assert tokens[0] < tokens[1]
    assert node.run("lock", "env", "--", "sh", "-c", "kill -9 $$")[0] == 137
    assert node.run("lock", "env", "--", "cat", stdin=subprocess.DEVNULL)[0] == 0
    assert node.keys("env") == []


@pytest.mark.slowest
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.slowest),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slowest),
    ],
)
def test_without_a_command_it_is_held_until_a_signal_and_then_the_next_has_it(
    node: Node, number: signal.Signals
) -> None:
    with node.running("lock", "held") as holder:
        key = line(holder)
        assert node.keys("held") == [key]
        with node.running("lock", "held", "--", "sh", "-c", TOLD) as waiter:
            node.until(lambda: len(node.keys("held")) == 2, "the second one waits")
            assert waiter.poll() is None
            assert ends(holder, number) == (0, "")
            assert line(waiter).split()[0] != key
            assert ends(waiter) == (0, "")
    assert node.keys("held") == []


@pytest.mark.slowest
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slowest)])
def test_who_is_told_to_end_while_it_waits_leaves_the_queue_at_once(node: Node, number: signal.Signals) -> None:
    name = f"left-{int(number)}"
    with node.running("lock", name) as holder:
        key = line(holder)
        with node.running("lock", name, "--", "echo", "never") as waiter:
            node.until(lambda: len(node.keys(name)) == 2, "the second one waits")
            assert ends(waiter, number) == (128 + number, "")
        assert node.keys(name) == [key]
        code, out, err = node.run("lock", name, "--wait", "0", "--", "echo", "never")
        assert (code, out) == (1, "")
        assert err == f"raft-node: Others were before in {name!r} for 0 s; nothing is held.\n"
        assert node.keys(name) == [key]


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slowest)])
def test_a_signal_is_passed_on_to_the_command_and_the_lock_is_released_after_it(
    node: Node, number: signal.Signals
) -> None:
    script = f"import signal; signal.signal({int(number)}, signal.SIG_DFL); print('on', flush=True); signal.pause()"
    with node.running("lock", "passed", "--", sys.executable, "-c", script) as holder:
        assert line(holder) == "on"
        assert ends(holder, number) == (128 + number, "")
    assert node.keys("passed") == []


@pytest.mark.slowest
def test_a_lock_that_is_lost_ends_its_command(node: Node) -> None:
    with node.running("lock", "lost", "--ttl", "2", "--", "sh", "-c", "echo on; exec sleep 60") as holder:
        assert line(holder) == "on"
        (key,) = node.keys("lost")
        node.revoke(key)
        code, err = ends(holder)
    assert (code, "is killed" in err) == (7, False)
    assert err.startswith("raft-node: The lock was lost while sh runs: somebody else may hold it, so sh is told to end")
    with node.running("lock", "lost", "--ttl", "2") as holder:
        node.revoke(line(holder))
        code, err = ends(holder)
    assert (code, err.startswith("raft-node: Lost, and somebody else may hold it: ")) == (7, True)


@pytest.mark.slowest
def test_a_command_that_does_not_end_when_its_lock_is_lost_is_killed(node: Node) -> None:
    script = "trap '' TERM; echo on; exec sleep 60"
    with node.running("lock", "killed", "--ttl", "2", "--", "sh", "-c", script) as holder:
        assert line(holder) == "on"
        (key,) = node.keys("killed")
        node.revoke(key)
        code, err = ends(holder)
    assert code == 7
    assert "sh went on for 5 s without the lock: it is killed." in err


@pytest.mark.slowest
def test_a_command_that_was_through_before_the_loss_was_known_is_not_called_alone(node: Node) -> None:
    """The holder is stopped for longer than its lease lives, and its command ends meanwhile."""
    command = ("lock", "late", "--ttl", "2", "--", "sh", "-c", "echo on; read go; echo off")
    with node.running(*command, stdin=subprocess.PIPE) as holder:
        assert line(holder) == "on"
        holder.send_signal(signal.SIGSTOP)
        node.until(lambda: node.keys("late") == [], "its lease ended")
        assert holder.stdin is not None
        holder.stdin.write("go\n")
        holder.stdin.flush()
        assert line(holder) == "off"
        holder.send_signal(signal.SIGCONT)
        code, err = ends(holder)
    assert code == 7
    assert "The lock was lost while sh r" in err


async def test_a_loss_that_no_alarm_has_told_of_yet_counts_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    """As when a machine wakes: the command has ended, and the time of the lease is up."""
    lock = SimpleNamespace(key=b"q/1", token=1, revision=1, lost=asyncio.Event(), alive=False)
    told = Told()
    assert await run("/bin/sh", ["sh", "-c", "exit 0"], lock, told) == 7  # type: ignore[arg-type]
    assert "somebody else may have held it before sh ended" in capfd.readouterr().err
    lock.alive = True
    assert await run("/bin/sh", ["sh", "-c", "exit 3"], lock, told) == 3  # type: ignore[arg-type]


def test_what_cannot_be_run_is_told_before_anything_is_held(tmp_path: Path) -> None:
    nobody = ("--url", "http://127.0.0.1:1")
    ran = raft_node("lock", "x", *nobody, "--", "no-such-program")
    assert (ran.code, ran.err) == (127, "raft-node: The program no-such-program is not there, so nothing was locked.\n")
    (tmp_path / "text").write_text("")
    ran = raft_node("lock", "x", *nobody, "--", str(tmp_path / "text"))
    assert (ran.code, "cannot be run" in ran.err) == (126, True)


def test_programs_are_told_key_and_token(node: Node) -> None:
    with node.running("lock", "json", "--json") as holder:
        said = json.loads(line(holder))
        assert node.keys("json") == [said["key"]]
        assert said["token"] > 0
        assert ends(holder, signal.SIGTERM) == (0, "")


def test_a_lock_that_cannot_be_told_of_is_released(node: Node) -> None:
    with Path("/dev/full").open("w") as full:
        code, _, err = node.run("lock", "full", stdout=full)
    assert code == 74
    assert "the lock was had (token " in err
    assert "and is released, but standard output cannot be written: no space is left" in err
    assert node.keys("full") == []


@pytest.mark.slowest
def test_ctrl_c_at_a_terminal_reaches_the_command_once(node: Node) -> None:
    """Pressed several times: two signals that come together are one to whom they reach."""
    ours, theirs = pty.openpty()
    script = (
        "import signal, time; told = []; signal.signal(signal.SIGINT, lambda *_: told.append(1))\n"
        "print('on', flush=True)\n"
        f"for pressed in range(1, {PRESSED} + 1):\n"
        "    while len(told) < pressed: time.sleep(0.01)\n"
        "    time.sleep(0.3); print('told', len(told), 'of', pressed, flush=True)"
    )
    inherited = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with (
        os.fdopen(ours, "r+b", buffering=0) as terminal,
        node.running(
            "lock", "terminal", "--", sys.executable, "-c", script, **inherited, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        ) as holder,
    ):  # fmt: skip
        os.close(theirs)
        said = b""
        while b"on" not in said:
            said += terminal.read(100)
        for pressed in range(1, PRESSED + 1):
            terminal.write(b"\x03")
            while b"of %d\r\n" % pressed not in said:
                said += terminal.read(100)
            assert b"told %d of %d\r\n" % (pressed, pressed) in said
        assert holder.wait(20) == 0
    assert node.keys("terminal") == []


def test_etcdctl_and_this_command_exclude_each_other(node: Node) -> None:
    with node.etcdctl("lock", "both") as theirs:
        key = line(theirs)
        with node.running("lock", "both", "--", "sh", "-c", f"{TOLD}; read go", stdin=subprocess.PIPE) as ours:
            node.until(lambda: len(node.keys("both")) == 2, "ours waits")
            assert node.keys("both")[0] == key
            theirs.send_signal(signal.SIGINT)
            mine, token, _, revision = line(ours).split()
            assert int(token) < int(revision), "it was created before theirs was released"
            with node.etcdctl("lock", "both", "--", "sh", "-c", "echo $ETCD_LOCK_KEY $ETCD_LOCK_REV") as next_of_theirs:
                node.until(lambda: len(node.keys("both")) == 2, "theirs waits")
                assert next_of_theirs.poll() is None
                assert node.keys("both")[0] == mine
                assert ours.stdin is not None
                ours.stdin.write("\n")
                ours.stdin.flush()
                their_key, their_revision = line(next_of_theirs).split()
                assert their_key != mine
                assert int(their_revision) > int(revision)
                assert ends(ours) == (0, "")
                assert ends(next_of_theirs)[0] == 0
    assert node.keys("both") == []
