"""Lines never make their speaker wait: a pipe that nobody reads fills, and what is lost is counted and told."""

import errno
import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from node.observe.lines import LINES_WAITING_MAX, PIECE_BYTES_MAX, Lines, LineStream, lost_words
from node.observe.logs import configure_logging


class Pipe:
    """Read by hand."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def read_all(self) -> bytes:
        """To its end, which must come."""
        os.close(self.writer)
        self.writer = -1
        with os.fdopen(os.dup(self.reader), "rb") as file:
            return file.read()

    def close(self) -> None:
        for end in (self.reader, self.writer):
            if end >= 0:
                os.close(end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_lines_arrive_in_order_and_whole(pipe: Pipe) -> None:
    lines = Lines(pipe.writer)
    for number in range(100):
        lines.put(f"line {number}")
    assert lines.close(10)
    assert pipe.read_all().decode().splitlines() == [f"line {number}" for number in range(100)]
    assert lines.lost == 0


def test_nobody_waits_for_a_reader_and_what_is_lost_is_counted_and_told(pipe: Pipe) -> None:
    lines = Lines(pipe.writer)
    text = "x" * 200
    for _ in range(2 * LINES_WAITING_MAX):
        lines.put(text)  # a put that waits would wait for ever: nobody reads
    lost = lines.lost
    assert LINES_WAITING_MAX / 2 < lost < 2 * LINES_WAITING_MAX
    assert not lines.close(0.05), "the writer is stuck, and the end does not wait for it"
    got: list[bytes] = []
    reading = threading.Thread(target=lambda: got.append(_read_to_the_end(pipe.reader)))
    reading.start()
    assert lines.close(10)
    os.close(pipe.writer)
    pipe.writer = -1
    reading.join()
    found = got[0].decode().splitlines()
    told = [line for line in found if line != text]  # more than once, where the writer's thread came late
    assert sum(int(line.split()[0]) for line in told) == lost
    assert all(line == lost_words(int(line.split()[0])) for line in told)
    assert found.count(text) + lost == 2 * LINES_WAITING_MAX


def _read_to_the_end(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 65536):
        parts.append(part)
    return b"".join(parts)


def test_what_a_full_pipe_holds_at_the_end_are_whole_lines(pipe: Pipe) -> None:
    lines = Lines(pipe.writer)
    for number in range(2000):
        lines.put(f"{number}:" + "y" * 333)
    assert not lines.close(0.2)
    held = os.read(pipe.reader, 1 << 20)  # what a process that ends now leaves behind
    assert held.endswith(b"\n")
    assert len(held) > PIECE_BYTES_MAX
    _read_while_alive(lines, pipe)


def _read_while_alive(lines: Lines, pipe: Pipe) -> None:
    os.set_blocking(pipe.reader, False)
    end = time.monotonic() + 10
    while not lines.close(0.01):
        assert time.monotonic() < end
        try:
            os.read(pipe.reader, 1 << 20)
        except BlockingIOError:
            continue


def test_a_descriptor_that_others_made_non_blocking_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    lines = Lines(pipe.writer)
    for _ in range(1000):
        lines.put("z" * 200)
    got: list[bytes] = []
    reading = threading.Thread(target=lambda: got.append(_read_to_the_end(pipe.reader)))
    reading.start()
    assert lines.close(10)
    os.close(pipe.writer)
    pipe.writer = -1
    reading.join()
    assert got[0].count(b"\n") == 1000
    assert lines.lost == 0


def test_a_reader_that_is_gone_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    os.close(pipe.reader)
    pipe.reader = -1
    lines = Lines(pipe.writer)
    lines.put("nobody hears this")
    assert lines.close(5)
    lines.put("nor this")
    assert lines.lost == 2


def test_a_strict_one_says_that_nobody_reads_any_more(pipe: Pipe) -> None:
    os.close(pipe.reader)
    pipe.reader = -1
    broken = threading.Event()
    lines = Lines(pipe.writer, strict=True, broken=broken.set)
    lines.put("one")
    assert broken.wait(5)
    with pytest.raises(OSError) as raised:
        lines.put("two")
    assert raised.value.errno == errno.EPIPE
    assert lines.close(5)


def test_what_is_printed_becomes_lines(pipe: Pipe) -> None:
    lines = Lines(pipe.writer)
    stream = LineStream(lines, io.StringIO())
    print("a", "b", file=stream, flush=True)
    print("one\ntwo", file=stream, end="")
    stream.end()
    assert lines.close(10)
    assert pipe.read_all() == b"a b\none\ntwo\n"


def test_the_log_of_a_node_tells_its_loss_in_its_own_form(pipe: Pipe) -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    lines = Lines(pipe.writer)
    try:
        configure_logging("n1", lambda: (3, "leader"), lines=lines, human=False)
        logging.getLogger("node.test").warning("hello %s", "you")
        logging.getLogger("node.test").warning("this does not fit %d", "a number")
        assert msgspec.json.decode(lines.told(3))["message"] == "3 lines were lost because standard error was not read"
        assert lines.close(10)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    first, second = map(msgspec.json.decode, pipe.read_all().splitlines())
    assert (first["message"], first["node"], first["term"], first["level"]) == ("hello you", "n1", 3, "WARNING")
    assert "could not be made" in second["message"]


def test_a_process_whose_errors_nobody_reads_ends_all_the_same(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from node.observe.lines import Lines\n"
        "lines = Lines(2)\n"
        "for _ in range(5000): lines.put('x' * 100)\n"
        "lines.close(0.2)\n"
    )
    process = subprocess.Popen([sys.executable, str(program)], stderr=subprocess.PIPE)
    assert process.wait(20) == 0
    assert process.stderr is not None
    assert process.stderr.read().endswith(b"\n")
    process.stderr.close()


def test_a_full_disk_is_tried_again_at_a_stated_rate_and_what_it_lost_is_counted_once() -> None:
    tried: list[bytes] = []

    class Full(Lines):
        def _write(self, piece: bytes) -> int:
            tried.append(piece)
            raise OSError(errno.ENOSPC, "no space left on device")

    lines = Full(2)
    lines.put("a line")
    end = time.monotonic() + 10
    while not tried and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.2)
    assert len(tried) <= 2, "a writer that spins holds up the loop by Python's lock"
    assert lines.lost == 1, "the line that tells of a loss is none that anybody said"
    assert lines.close(5)


def test_what_a_full_disk_lost_is_told_when_it_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.observe.lines.TRY_AGAIN_SECONDS", 0.01)
    written: list[bytes] = []
    told = threading.Event()

    class FullThrice(Lines):
        failures = 0

        def _write(self, piece: bytes) -> int:
            if self.failures < 3:
                self.failures += 1
                raise OSError(errno.ENOSPC, "no space left on device")
            written.append(piece)
            told.set()
            return len(piece)

    lines = FullThrice(2)
    lines.put("a line")
    assert told.wait(5)
    assert written == [lost_words(1).encode() + b"\n"]
    assert lines.close(5)


def test_a_line_that_a_full_disk_cut_off_is_ended_before_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, real = [9], os.write
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    failed = threading.Event()

    def write(fd: int, data: bytes) -> int:
        if fd != file:
            return real(fd, data)
        if not room[0]:
            failed.set()
            raise OSError(errno.ENOSPC, "no space")
        written = real(fd, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr("node.observe.lines.os.write", write)
    monkeypatch.setattr("node.observe.lines.TRY_AGAIN_SECONDS", 0.0)
    lines = Lines(file, lambda count: f"{count} lost")
    lines.put("a whole line")
    assert failed.wait(5)
    room[0] = 1000
    lines.put("the last words")
    assert lines.close(5)
    os.close(file)
    assert (tmp_path / "log").read_text().splitlines()[0] == "a whole l"
    assert "the last words" in (tmp_path / "log").read_text().splitlines()
    assert lines.error is not None
