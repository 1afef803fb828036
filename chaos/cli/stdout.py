"""Standard input, output and error of one command, whatever they are: closed, a broken pipe, a full disk, ASCII alone.

Why it exists: a run that has broken something must go on and heal it, whether or not anybody can still read; so output
that cannot be written is never an error where it happens, and holds nobody up. It is remembered, and told at the end in
one sentence with what was done. What the encoding does not know is written with backslashes. It must not decide what is
printed.
"""

import codecs
import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from chaos.cli.outlet import Outlet, open_as

PATIENCE_SECONDS = 30.0
"""Whoever takes nothing at all for so long is not waited for any longer, when all is done."""
ERROR_PATIENCE_SECONDS, HURRIED_SECONDS = 5.0, 0.5
"""The same of standard error: it says little, and may be the same terminal, which was waited for already."""
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
    """What the command has done so far, as the beginning of a sentence; and where it prints."""

    words = NOTHING
    out: Outlet | None = None


def done(words: str) -> None:
    """Say what was done, before it is printed: "the run is over (passed), its report is ..."."""
    _Ended.words = words


def settle() -> None:
    """Wait until all is printed, for as long as somebody takes it. Not for those who hold a fault."""
    if _Ended.out is not None:
        sys.stdout.flush()
        _Ended.out.settle(PATIENCE_SECONDS)


def lost() -> str:
    """The sentence for output that could not be written; empty where all was."""
    if _Ended.out is None:
        return ""
    try:
        settle()
    except KeyboardInterrupt:
        return f"{_Ended.words}; not all of it was printed."
    error = _Ended.out.error
    if error is None:
        return ""
    reason = _WHY.get(error.errno or 0, error.strerror or str(error) or "it takes nothing")
    return f"{_Ended.words}, but standard output cannot be written: {reason}."


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Characters as JSON writes them where it must: valid inside of it, and readable outside."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)), error.end


codecs.register_error(ESCAPED, _escape)


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Standard output and error that never hold anybody up (see `Outlet`), and none of the three closed: a number that
    is free would be given to a socket or a file of the run, and the next word on standard error would be written into
    that."""
    _Ended.words, _Ended.out = NOTHING, None
    _fill_closed()
    before = sys.stdout, sys.stderr
    err = None
    try:
        sys.stdout, _Ended.out = _by_outlet(sys.stdout, ESCAPED)
        sys.stderr, err = _by_outlet(sys.stderr, "backslashreplace")
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
        gave_up = _end(_Ended.out, PATIENCE_SECONDS)
        _end(err, HURRIED_SECONDS if gave_up else ERROR_PATIENCE_SECONDS)


def _by_outlet(stream: TextIO, errors: str) -> tuple[TextIO, Outlet | None]:
    """The stream by an outlet; as it is, and None, where it is no file at all, such as in a test."""
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        return stream, None
    stream.flush()
    outlet = Outlet(getattr(buffer, "raw", buffer))
    return io.TextIOWrapper(outlet, stream.encoding, errors, line_buffering=stream.isatty()), outlet  # type: ignore[type-var]


def _end(outlet: Outlet | None, patience_s: float) -> bool:
    """Whether it was waited for in vain."""
    if outlet is None:
        return False
    with contextlib.suppress(KeyboardInterrupt):  # whoever is in a hurry
        outlet.end(patience_s)
    return isinstance(outlet.error, TimeoutError)


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
        open_as(number, how)
        return number
    return os.open(os.devnull, how)


def complain(text: str) -> None:
    """Text on standard error; where nobody takes it, the exit code alone must do."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
