"""Standard input, output and error of one command, whatever they are: closed, a broken pipe, a full disk, ASCII alone.

Why it exists: a run that has broken something must go on and heal it, whether or not anybody can still read; so output
that cannot be written is never an error where it happens. It is remembered, and told at the end in one sentence with
what was done. What the encoding does not know is written with backslashes. It must not decide what is printed.
"""

import codecs
import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any

NOTHING = "Nothing was changed"
ESCAPED = "raft-json-escapes"
"""What is done with characters that the encoding of standard output does not know."""
_WHY = {
    errno.EBADF: "it is closed",
    errno.EPIPE: "nobody reads it any more",
    errno.ENOSPC: "no space is left where it goes",
    errno.EDQUOT: "the disk quota where it goes is used up",
}


class _Ended:
    """What the command has done so far, as the beginning of a sentence; and the first failure to print."""

    words = NOTHING
    error: OSError | None = None


def done(words: str) -> None:
    """Say what was done, before it is printed: "the run is over (passed), its report is ..."."""
    _Ended.words = words


def lost() -> str:
    """The sentence for output that could not be written; empty where all was."""
    error = _Ended.error
    if error is None:
        return ""
    reason = _WHY.get(error.errno or 0, error.strerror or "it takes nothing")
    return f"{_Ended.words}, but standard output cannot be written: {reason}."


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Characters as JSON writes them where it must: valid inside of it, and readable outside."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)), error.end


codecs.register_error(ESCAPED, _escape)


class _Door(io.RawIOBase):
    """Writes to `target`; after the first failure, to nowhere."""

    def __init__(self, target: Any) -> None:
        super().__init__()
        self._target = target

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        found: int = self._target.fileno()
        return found

    def isatty(self) -> bool:
        return bool(self._target.isatty())

    def write(self, data: Any) -> int:
        if _Ended.error is not None:
            return len(data)
        try:
            while (written := self._target.write(data)) is None:  # somebody who shares it made it non-blocking
                select.select([], [self._target], [], 1.0)
            return int(written)
        except OSError as error:
            _Ended.error = error
            return len(data)


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Standard output by the door, and none of the three closed: a number that is free would be given to a socket or
    a file of the run, and the next word on standard error would be written into that."""
    _Ended.words, _Ended.error = NOTHING, None
    _fill_closed()
    before = sys.stdout
    buffer = getattr(before, "buffer", None)
    if buffer is None:  # no file at all, such as in a test
        yield
        return
    before.flush()
    door = _Door(getattr(buffer, "raw", buffer))
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(door), before.encoding, ESCAPED, line_buffering=before.isatty())
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout = before


def _fill_closed() -> None:
    """Opened the wrong way round, so that whoever uses one of them is told that it cannot be used."""
    if sys.stdin is None:
        sys.stdin = os.fdopen(_stand_in(0, os.O_WRONLY), "r", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(_stand_in(1, os.O_RDONLY), "w", closefd=False)
    if sys.stderr is None:  # nobody hears what is wrong; the exit code alone says how it went
        sys.stderr = os.fdopen(_stand_in(2, os.O_WRONLY), "w", closefd=False)


def _stand_in(number: int, how: int) -> int:
    """A descriptor that leads nowhere, of that number where it is free."""
    try:
        os.fstat(number)
    except OSError:
        _open_as(number, how)
        return number
    return os.open(os.devnull, how)


def _open_as(number: int, how: int) -> None:
    opened = os.open(os.devnull, how)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)


def complain(text: str) -> None:
    """Text on standard error; where nobody takes it, the exit code alone must do."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        with contextlib.suppress(
            OSError, ValueError
        ):  # or the interpreter tries again at its end, and changes the code
            _open_as(sys.stderr.fileno(), os.O_WRONLY)
