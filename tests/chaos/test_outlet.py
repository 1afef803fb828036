"""Output holds nobody up: pipes that nobody reads, terminals that were paused, and what is told of it."""

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos import journal
from chaos.cli import outlet, stdout
from chaos.cli.outlet import Outlet
from chaos.errors import OUTPUT_LOST, PASSED
from tests.chaos.raft_chaos import Tool
from tests.supervisor.conftest import eventually

CTRL_S, CTRL_Q = b"\x13", b"\x11"
CUT = ("partition", "--duration", "2s", "--yes")


class Pipe:
    """One that is full at once."""

    def __init__(self) -> None:
        self.reads, writes = os.pipe()
        fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 4096)
        self.target = os.fdopen(writes, "wb", buffering=0)

    def read_all(self) -> bytes:
        """To its end, in a thread; close `target` for that."""
        with open(self.reads, "rb") as reader:
            return reader.read()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.target.close()


def test_who_writes_where_nobody_reads_goes_on_and_is_told_of_what_was_dropped(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet, "ROOM_BYTES", 10_000)
    out = Outlet(pipe.target)
    lines = [f"line {number:04}\n".encode() for number in range(5000)]
    for line in lines:
        out.write(line)
    last = b"x" * 20_000 + b"\n"
    out.write(last)
    told: list[bytes] = []
    reader = threading.Thread(target=lambda: told.append(pipe.read_all()))
    reader.start()
    out.end(10.0)
    pipe.target.close()
    reader.join()
    shown = told[0].splitlines(keepends=True)
    notes = [line for line in shown if line.startswith(b"...")]
    assert all(re.fullmatch(rb"\.\.\. \d+ lines were not shown\n", note) for note in notes)
    dropped = sum(int(note.split()[1]) for note in notes)
    assert dropped + len(shown) - len(notes) - 1 == len(lines)
    assert dropped > 3000
    assert shown[-1] == last, "the newest is kept whatever its size"


def test_the_end_waits_no_longer_for_whoever_takes_nothing(pipe: Pipe) -> None:
    out = Outlet(pipe.target)
    out.write(b"x" * 10_000 + b"\n")
    began = time.monotonic()
    out.end(0.2)
    assert time.monotonic() - began < 5.0
    assert isinstance(out.error, TimeoutError)
    os.close(pipe.reads)  # or its thread would hang there for as long as the tests go on


def test_the_end_waits_for_whoever_takes_a_little_again_and_again(pipe: Pipe) -> None:
    out = Outlet(pipe.target)
    text = b"x" * 60_000 + b"\n"
    out.write(text)
    taken: list[bytes] = []

    def read() -> None:
        while sum(map(len, taken)) < len(text):
            time.sleep(0.02)
            taken.append(os.read(pipe.reads, 4096))

    reader = threading.Thread(target=read)
    reader.start()
    out.end(5.0)
    reader.join()
    assert b"".join(taken) == text
    assert out.error is None
    os.close(pipe.reads)


def test_what_was_printed_for_nobody_is_output_that_could_not_be_written(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdout, "PATIENCE_SECONDS", 0.2)
    with open(pipe.target.fileno(), "w", closefd=False) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with stdout.prepared():
            stdout.done("All was done")
            print("x" * 10_000)
            assert stdout.lost() == (
                "All was done, but standard output cannot be written: nothing of it was taken for 0.2 s."
            )
    os.close(pipe.reads)


class Terminal:
    """The command at a terminal whose user has pressed Ctrl-S before it said anything."""

    def __init__(self, tool: Tool, *arguments: str, program: tuple[str, ...] = ("-m", "chaos.cli")) -> None:
        self.master, self._slave = pty.openpty()
        os.write(self.master, CTRL_S)
        self.popen = subprocess.Popen(
            [sys.executable, *program, *arguments, *tool.where()],
            stdin=self._slave, stdout=self._slave, stderr=self._slave, start_new_session=True,
        )  # fmt: skip

    def goes_on(self) -> str:
        """Ctrl-Q, and all that it said to its end."""
        os.write(self.master, CTRL_Q)
        said: list[bytes] = []

        def read() -> None:
            while b"Report: " not in b"".join(said):
                said.append(os.read(self.master, 65536))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        reader.join(60.0)
        return b"".join(said).decode()

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait(10.0)
        os.close(self.master)
        os.close(self._slave)


def journal_of(tool: Tool) -> Path | None:
    return next((path for path in tool.runs.glob("*/undo.json") if not path.parent.is_symlink()), None)


def has_cut_and_healed(tool: Tool) -> bool:
    path = journal_of(tool)
    return path is not None and b"will_do" in path.read_bytes() and not journal.read(path).open_steps


@pytest.mark.longest
@pytest.mark.slowest
def test_a_terminal_that_was_paused_holds_up_no_healing_and_shows_all_of_it_afterwards(tool: Tool) -> None:
    run = Terminal(tool, *CUT)
    try:
        eventually(lambda: has_cut_and_healed(tool), "the healing")
        assert tool.status()["in_force"] == []
        said = run.goes_on()
        assert "acknowledged writes per second" in said
        assert "were not shown" not in said
        assert run.popen.wait(30.0) == PASSED, said
    finally:
        run.end()


@pytest.mark.longest
def test_a_pipe_that_nobody_reads_holds_up_no_healing(tool: Tool) -> None:
    """Both streams; the end gives up then, and the exit code says so."""
    pipe = Pipe()
    pipe.target.write(b"x" * 4096)
    impatient = (
        "import sys; from chaos.cli import main, stdout; stdout.PATIENCE_SECONDS = 1.0; sys.exit(main(sys.argv[1:]))"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", impatient, *CUT, *tool.where()], stdin=subprocess.DEVNULL, stdout=pipe.target,
        stderr=pipe.target,
    )  # fmt: skip
    try:
        eventually(lambda: has_cut_and_healed(tool), "the healing")
        assert tool.status()["in_force"] == []
        assert run.wait(60.0) == OUTPUT_LOST
    finally:
        run.kill()
        run.wait(10.0)
        pipe.target.close()
        os.close(pipe.reads)


@pytest.mark.longest
def test_a_run_in_the_background_of_a_terminal_that_stops_such_writers_goes_on(tool: Tool) -> None:
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[3] |= termios.TOSTOP
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    shell = (
        "import fcntl, os, subprocess, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "sys.exit(subprocess.call([sys.executable, '-m', 'chaos.cli', *sys.argv[1:]], process_group=0))"
    )
    run = subprocess.Popen([sys.executable, "-c", shell, *CUT, *tool.where()], stdin=slave, stdout=slave, stderr=slave)
    try:
        assert run.wait(60.0) == PASSED  # what it says fits into the terminal's own buffer
    finally:
        if run.poll() is None:
            run.send_signal(signal.SIGKILL)
        run.wait(10.0)
        os.close(slave)
        os.close(master)
