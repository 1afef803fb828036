"""Standard input, output and error of one command, whatever they are: closed, a broken pipe, a full disk, ASCII alone.

Why it exists: a command may have done something before it finds that it cannot say so, and "internal error" would be a
lie about that. While `prepared` holds, whatever is printed, by whomever, goes through `_Door`: what the encoding does
not know is written with backslashes, and what cannot be written at all ends the command with one sentence, which also
says what was done. It must not decide what is printed.
"""

import codecs
import contextlib
import errno
import fcntl
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any

from node.cli.failure import OUTPUT, Failure

NOTHING = "Nothing was changed"
ESCAPED = "raft-json-escapes"
"""What is done with characters that the encoding of standard output does not know."""
_WHY = {
    errno.EBADF: "it is closed",
    errno.EPIPE: "nobody reads it any more",
    errno.ENOSPC: "no space is left where it goes",
    errno.EDQUOT: "the disk quota where it goes is used up",
}


class OutputLost(Failure):
    """Standard output takes no more. Not an OSError: libraries that print have habits about those."""


class _Done:
    """What the command has done so far, as the beginning of a sentence."""

    words = NOTHING


def done(words: str) -> None:
    """Say what was done, before it is printed: "put k (revision 7) was done"."""
    _Done.words = words


def lost(error: OSError) -> OutputLost:
    """The sentence for output that cannot be written."""
    return OutputLost(f"{_Done.words}, but standard output cannot be written: {why(error)}.", OUTPUT)


def why(error: OSError) -> str:
    """Why it cannot, as a part of a sentence."""
    return _WHY.get(error.errno or 0, error.strerror or "it takes nothing")


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Characters as JSON writes them where it must: valid inside of it, and readable outside."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)), error.end


codecs.register_error(ESCAPED, _escape)


class _Door(io.RawIOBase):
    """Writes to `target`; the first failure raises OutputLost, and nothing is written after it."""

    def __init__(self, target: Any) -> None:
        super().__init__()
        self._target = target
        self._broken = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        found: int = self._target.fileno()
        return found

    def isatty(self) -> bool:
        return bool(self._target.isatty())

    def write(self, data: Any) -> int:
        if self._broken:
            return len(data)
        try:
            while (written := self._target.write(data)) is None:  # somebody who shares it made it non-blocking
                select.select([], [self._target], [], 1.0)
            return int(written)
        except OSError as error:
            self._broken = True
            raise lost(error) from None


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Standard output by the door, and none of the three closed: a number that is free would be given to a socket or
    a log, and the next word on standard error would be written into that."""
    _Done.words = NOTHING
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
        sys.stdout.flush()
    finally:
        with contextlib.suppress(OutputLost, OSError):
            sys.stdout.flush()
        sys.stdout = before


def _fill_closed() -> None:
    """Opened the wrong way round, so that whoever uses one of them is told that it cannot be used."""
    if sys.stdin is None:
        sys.stdin = os.fdopen(_stand_in(0, os.O_WRONLY), "r", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(_stand_in(1, os.O_RDONLY), "w", closefd=False)
    if (
        sys.stderr is None
    ):  # nobody hears what is wrong, but what is done shall be done, and the exit code says how it went
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


def refuse_closed(otherwise: str) -> None:
    """For a command that goes on for long: where nobody could ever read, it need not begin."""
    try:
        open_for = fcntl.fcntl(sys.stdout.fileno(), fcntl.F_GETFL) & os.O_ACCMODE
    except OSError:  # not a file, such as in a test
        return
    if open_for == os.O_RDONLY:
        raise OutputLost(
            f"Standard output is closed, so {otherwise}: send it somewhere, for example > cluster.log.", OUTPUT
        )


def complain(sentence: str) -> None:
    """One line on standard error; where nobody takes it, the exit code alone must do."""
    try:
        print(f"raft-node: {' '.join(sentence.split())}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        with contextlib.suppress(
            OSError, ValueError
        ):  # or the interpreter tries again at its end, and changes the code
            _open_as(sys.stderr.fileno(), os.O_WRONLY)
