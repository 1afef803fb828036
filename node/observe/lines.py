"""Lines on their way to a file that may block: standard error of a node, standard output of a supervisor.

Why it exists: whoever reads them may stop reading (a paused terminal, a log collector that hangs, a full disk), and a
write then waits for as long as that lasts, while the loop that wanted to say one line sends no heartbeat. So lines wait
in a bounded queue, and a thread of their own, which may wait alone, writes them. What the queue cannot hold is lost,
counted, and told in the next line that gets through.

Whole lines only: they are written in pieces that a pipe takes wholly or not at all, so that the last words of a process
end with a line. It must not know what a line says, and nothing here raises but `put` of a strict one.
"""

import contextlib
import errno
import io
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import TextIO

LINES_WAITING_MAX = 10_000
LINES_WAITING_BYTES_MAX = 4 * 1024 * 1024
"""What may wait to be written; lines beyond either are lost."""

PIECE_BYTES_MAX = 4096
"""Of one write: a pipe takes so much (PIPE_BUF of Linux) at once or not at all. A longer line goes by itself."""

LAST_WORDS_SECONDS = 0.5
"""How long the end of a process waits for its last lines to be read."""

TRY_AGAIN_SECONDS = 1.0
"""Where a descriptor that must not be waited in takes nothing, it is waited for beside it, so long at a time. And the
pause after a write that failed: a full disk fails at once, and a thread that does nothing else slows down the loop."""

_GONE = frozenset({errno.EPIPE, errno.EBADF, errno.EIO})
"""Errors after which nobody will read any more; any other loses the piece (a disk that is full may have room again)."""

Told = Callable[[int], str]
"""The line that tells how many lines were lost."""


def lost_words(count: int, what: str = "standard error") -> str:
    """The sentence."""
    return f"{count} line{'s were' if count != 1 else ' was'} lost because {what} was not read"


class Lines:
    """Writes to file descriptor `fd`, from a daemon thread. `put` may be called from any thread and never waits.

    `told` makes the line that tells of a loss. `strict`: `put` raises OSError once nobody can read any more, and
    `broken` is called once, from the writer's thread; otherwise such lines count as lost.
    """

    def __init__(
        self, fd: int, told: Told = lost_words, *, strict: bool = False, broken: Callable[[], None] = lambda: None
    ) -> None:
        self.lost = 0
        """Lines lost so far."""
        self.error: OSError | None = None
        """Why the last write that failed did."""
        self.told = told
        self._fd = fd
        self._strict = strict
        self._broken = broken
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._told_of = 0
        self._telling = 0
        """How many lost lines the piece tells of that is being written; 0: it holds lines."""
        self._gone: OSError | None = None
        """Nobody will read any more."""
        self._half = False
        """Part of a line is written, and its end could not be."""
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name="lines", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Queue one line, given without its newline; text with newlines in it is one line of several rows."""
        data = line.encode(errors="backslashreplace") + b"\n"
        with self._changed:
            if self._strict and self._gone is not None:
                raise OSError(self._gone.errno, self._gone.strerror)
            full = len(self._waiting) >= LINES_WAITING_MAX or (
                self._waiting_bytes + len(data) > LINES_WAITING_BYTES_MAX and self._waiting
            )
            if full or self._closed or self._gone is not None:
                self.lost += 1
                return
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if len(self._waiting) == 1:
                self._changed.notify_all()

    def close(self, seconds: float = LAST_WORDS_SECONDS) -> bool:
        """Take no more; wait, not longer than that, until all is written. Whether it was."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # --- the thread ---------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        while (piece := self._next_piece()) is not None:
            if self._half:  # the next line must not go on in the middle of another
                piece = b"\n" + piece
            try:
                while piece:
                    written = self._write(piece)
                    if written:
                        self._half = piece[written - 1 : written] != b"\n"
                    piece = piece[written:]
            except OSError as error:
                self._failed(error, piece.removeprefix(b"\n"))  # the end of a line that is there, or of none

    def _write(self, piece: bytes) -> int:
        try:
            return os.write(self._fd, piece)
        except BlockingIOError:  # somebody who shares it made it so; to change that would change it for them, too
            select.select([], [self._fd], [], TRY_AGAIN_SECONDS)
            return 0

    def _next_piece(self) -> bytes | None:
        """Whole lines, as many as a pipe takes at once; None at the end."""
        with self._changed:
            while not self._waiting and not self._closed and self.lost == self._told_of:
                self._changed.wait()
            if self.lost > self._told_of and self._gone is None:
                self._telling, self._told_of = self.lost - self._told_of, self.lost
                return self.told(self._telling).encode(errors="backslashreplace") + b"\n"
            self._telling = 0
            if not self._waiting:
                return None
            piece = self._waiting.popleft()
            while self._waiting and len(piece) + len(self._waiting[0]) <= PIECE_BYTES_MAX:
                piece += self._waiting.popleft()
            self._waiting_bytes -= len(piece)
            return piece

    def _failed(self, error: OSError, piece: bytes) -> None:
        with self._changed:
            self.error = error
            if self._telling:
                self._told_of -= self._telling  # to be told again: nobody said that line, so it is not lost itself
            else:
                self.lost += piece.count(b"\n")
            if error.errno not in _GONE:
                if self._closed:
                    self._told_of = self.lost  # what is left is tried once
                self._changed.wait_for(lambda: self._closed, TRY_AGAIN_SECONDS)
                return
            self._gone = error
            self.lost += len(self._waiting)
            self._told_of = self.lost
            self._waiting.clear()
            self._waiting_bytes = 0
            self._closed = True
        self._broken()


class LineStream(io.TextIOBase):
    """Text for `print` and tables, whose lines go to `lines`. Like the stream `instead_of` where a program asks."""

    encoding = "utf-8"

    def __init__(self, lines: Lines, instead_of: TextIO) -> None:
        self._lines = lines
        self._like = instead_of
        self._begun = ""

    def isatty(self) -> bool:
        return self._like.isatty()

    def fileno(self) -> int:
        return self._like.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Lines that are whole are queued. Raises OSError where nobody reads any more."""
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            self._lines.put(line)
        return len(text)

    def flush(self) -> None:
        """Nothing: what is queued is on its way, and a line that was begun waits for its end."""

    def end(self) -> None:
        """Queue what was begun."""
        if self._begun:
            with contextlib.suppress(OSError):
                self._lines.put(self._begun)
            self._begun = ""
