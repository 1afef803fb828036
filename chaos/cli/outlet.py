"""A stream whose writes never wait: a thread of its own hands them on, and what finds no room is dropped and counted.

Why it exists: whoever holds a fault must heal it in time, and a terminal that was paused with Ctrl-S, a pipe that
nobody reads or a network disk that hangs holds up everybody who writes into it, for ever. It must not know what is
written.
"""

import io
import os
import select
import signal
import threading
import time
from collections import deque
from typing import Any

ROOM_BYTES = 1024 * 1024
"""So much waits to be taken; then the oldest lines go. The newest piece is kept whatever its size."""


class Outlet(io.RawIOBase):
    """Hands whole lines on to `target`. `error`: the first failure, after which all goes nowhere."""

    def __init__(self, target: Any) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._target = target
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._bytes = 0
        self._dropped_lines = 0
        self._unfinished = b""
        self._under_way = self._ended = False
        self._moved_at = 0.0
        self._thread: threading.Thread | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        found: int = self._target.fileno()
        return found

    def isatty(self) -> bool:
        return bool(self._target.isatty())

    def write(self, data: Any) -> int:
        """Never waits. A line goes on its way when its end is there, or with `flush`."""
        whole, newline, self._unfinished = (self._unfinished + bytes(data)).rpartition(b"\n")
        self._put(whole + newline)
        return len(data)

    def flush(self) -> None:
        if not self.closed:
            piece, self._unfinished = self._unfinished, b""
            self._put(piece)

    def settle(self, patience_s: float) -> None:
        """Wait until all is handed on; whoever takes nothing at all for so long is waited for no longer: an error."""
        self.flush()
        with self._changed:
            self._moved_at = time.monotonic()
            while (self._pieces or self._under_way) and self.error is None:
                left_s = self._moved_at + patience_s - time.monotonic()
                if left_s <= 0:
                    self._fail(TimeoutError(f"nothing of it was taken for {patience_s:g} s"))
                else:
                    self._changed.wait(left_s)

    def end(self, patience_s: float) -> None:
        """`settle`, and let the thread end; one that hangs in a write goes with the process."""
        self.settle(patience_s)
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._thread is not None and not self._under_way:
            self._thread.join()

    def _put(self, piece: bytes) -> None:
        with self._changed:
            if not piece or self.error is not None or self._ended:
                return
            self._pieces.append(piece)
            self._bytes += len(piece)
            while self._bytes > ROOM_BYTES and len(self._pieces) > 1:
                oldest = self._pieces.popleft()
                self._bytes -= len(oldest)
                self._dropped_lines += oldest.count(b"\n")
            if self._thread is None:
                self._thread = threading.Thread(target=self._hand_on, name="standard output", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _hand_on(self) -> None:
        # Signals are for the main thread; and to a terminal that stops who writes from the background (`stty tostop`)
        # a thread that blocks SIGTTOU may write
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while (piece := self._next()) is not None:
            try:
                self._write(piece)
            except (OSError, ValueError) as error:  # ValueError: somebody closed it
                with self._changed:
                    self._fail(error if isinstance(error, OSError) else OSError(str(error)))
            with self._changed:
                self._under_way = False
                self._changed.notify_all()

    def _next(self) -> bytes | None:
        """What goes out now; None: that was all."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._ended)
            if not self._pieces:
                return None
            piece = self._pieces.popleft()
            self._bytes -= len(piece)
            if self._dropped_lines:
                piece = f"... {self._dropped_lines} lines were not shown\n".encode() + piece
                self._dropped_lines = 0
            self._under_way = True
            return piece

    def _write(self, piece: bytes) -> None:
        left = memoryview(piece)
        while left and self.error is None:
            taken = self._target.write(left)
            if taken is None:  # somebody who shares it made it non-blocking
                select.select([], [self._target], [], 1.0)
                continue
            left = left[taken:]
            with self._changed:
                self._moved_at = time.monotonic()

    def _fail(self, error: OSError) -> None:
        """The lock is held."""
        if self.error is None:
            self.error = error
        self._pieces.clear()
        self._bytes = 0


def open_as(number: int, how: int) -> None:
    """A descriptor of that number that leads nowhere."""
    opened = os.open(os.devnull, how)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
