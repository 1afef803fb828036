"""Standard output of a program that must go on while nobody reads it, such as `raft-node cluster` in a paused terminal.

Why it exists: the supervisor has one loop, too. Printing waits for whoever reads, and a terminal that is held (Ctrl-S)
would hold the page of all nodes, their log files' bounds and the way out. It must not decide what is printed.
"""

import io
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from node.observe.lines import Lines, LineStream, lost_words


class Output:
    """While it is open, what is printed goes through a queue. `broken` is called, from another thread, once nobody can
    read any more; what is printed after that raises OSError. Where standard output is no file, it stays as it is."""

    def __init__(self) -> None:
        self.broken: Callable[[], object] = lambda: None
        self.error: OSError | None = None
        """Why something was not written, once it is closed."""
        self._before = sys.stdout
        self._lines: Lines | None = None
        self._stream: LineStream | None = None

    def __enter__(self) -> "Output":
        self._before = sys.stdout
        try:
            descriptor = sys.stdout.fileno()
        except (OSError, AttributeError, io.UnsupportedOperation):
            return self
        with suppress(OSError):
            sys.stdout.flush()
        self._lines = Lines(
            descriptor, lambda count: lost_words(count, "the output"), strict=True, broken=lambda: self._is_broken()
        )
        self._stream = sys.stdout = LineStream(self._lines, self._before)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stream is None or self._lines is None:
            return
        self._stream.end()
        self._lines.close()
        self.error = self._lines.error
        sys.stdout = self._before

    def _is_broken(self) -> None:
        with suppress(RuntimeError):  # the loop that was to hear of it has ended
            self.broken()
