"""The end of what a node's process wrote: the last lines of its log file, those with a text in them where asked.

Why it exists: a page that shows five logs must not read five files of megabytes every two seconds. Only the end of a
file is ever read. It must not interpret the lines.
"""

from pathlib import Path

import msgspec

TAIL_LINES_DEFAULT = 200
TAIL_LINES_MAX = 2000
SCANNED_BYTES_MAX = 512 * 1024
"""How far back from its end a file is looked through."""
LINE_CHARACTERS_MAX = 4000
FILTER_BYTES_MAX = 200


class Output(msgspec.Struct, frozen=True):
    """`lines`: oldest first. `whole`: they are all that the file holds (of that filter). `bytes`: the file's size."""

    lines: list[str]
    whole: bool
    bytes: int


def tail(path: Path, count: int, wanted: str = "") -> Output:
    """The last `count` lines that contain `wanted` in any case. A file that is not there has no lines."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, 2)
            begin = max(0, size - SCANNED_BYTES_MAX)
            log.seek(begin)
            piece = log.read(SCANNED_BYTES_MAX)
    except OSError:
        return Output([], True, 0)
    if begin:  # a line that begins before the piece is left out, unless it is all there is
        _, separator, rest = piece.partition(b"\n")
        piece = rest if separator and rest else piece
    lines = piece.decode(errors="replace").split("\n")
    if not lines[-1]:
        lines.pop()
    if wanted:
        folded = wanted.casefold()
        lines = [line for line in lines if folded in line.casefold()]
    return Output([_shorten(line) for line in lines[-count:]], begin == 0 and len(lines) <= count, size)


def _shorten(line: str) -> str:
    return line if len(line) <= LINE_CHARACTERS_MAX else line[: LINE_CHARACTERS_MAX - 1] + "…"
