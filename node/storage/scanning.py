"""Reading the log back: what is intact is replayed, one torn write is recognised, everything else is refused.

Why it exists: a start, and whoever looks at a log, must judge it by one rule, and see exactly where it is broken. This
module only reads, and stops at the damage.

The rule. One frame at a time is written and synced, so after a crash at most one frame, the very last, can be there
in part, and then at least one of its sectors was never written and reads as zeros (properties 1-3 of `frames.py`).
Let O be where the next frame should begin; the file's size is fixed and durable before its first frame.
- Nothing but zeros from O on: the log ends here. In any other case of the last segment:
- The header at O is whole and the body is not. *Torn* if the share of some sector in this frame is all zero and
  nothing but zeros follows the frame. Otherwise refused: all of it was written, so it may have been acknowledged.
- The header at O is all zero. *Torn* (its first sector did not arrive) if the rest of O's sector is zero as well,
  no frame header is found further on, and what follows fits into one frame. Otherwise refused.
- Anything else at O (a header with a wrong checksum, sequence number or chain): refused; headers do not tear.
In an earlier segment nothing is ever torn, nor is the first frame of a segment, which came with the file. A segment
that is missing or shorter than it was made, a seal without a
successor, an unknown version, another's name, incarnation or cluster id, and contents that no log can have (a gap
between entries, terms that fall, a commit index beyond the end): refused, and nothing on disk is changed.

Where the log begins. With segment 1, or with one whose first frame has a *start* or a base. Removal of what a snapshot
holds begins with the newest segment that goes, so what lies before a gap is left over from it; whether a snapshot does
hold what is missing is for `continuity.py`.

What no rule can tell: a disk that loses whole sectors of the *last* frame after it said they were durable looks like
a torn write. Every frame before the last is proved by its successor.
"""

import re
from collections.abc import Iterator

import msgspec

from node import cures
from node.storage.errors import StorageError, damaged, from_os_error
from node.storage.files import FilePort
from node.storage.frames import (
    FRAME_BYTES_MAX,
    HEADER_BYTES,
    SECTOR_BYTES,
    FrameBody,
    FrameHeader,
    LaterFormat,
    Malformed,
    SegmentHeader,
    decode_frame_body,
    decode_frame_header,
    decode_segment_header,
    find_frame,
    has_unwritten_sector,
    salt_of,
    whole_payload,
)
from node.storage.replay import Replay
from node.storage.starts import Starts

_SEGMENT_NAME = re.compile(r"segment-(\d{8})\.wal")


def segment_name(number: int) -> str:
    """The file name of segment `number`, counted from 1."""
    return f"segment-{number:08d}.wal"


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A whole frame where it was found. `offset` and `size_bytes` are bytes in its file."""

    offset: int
    size_bytes: int
    sequence: int
    chain: int
    body: FrameBody


class SegmentScan(msgspec.Struct):
    """One segment as read. `end`: where its frames stop. `torn_bytes`: what lies there of a torn frame, or empty.

    One segment is held at a time, with its frames; a start keeps the entries alone.
    """

    file: str
    header: SegmentHeader
    frames: list[Frame]
    end: int
    sealed: bool = False
    torn_bytes: bytes = b""
    last_frame_bytes: bytes = b""
    damage: StorageError | None = None

    @property
    def untouched(self) -> bool:
        """Whether nothing was written since the file was made."""
        return not self.torn_bytes and len(self.frames) <= (self.header.version > 1)


def segment_numbers(files: FilePort) -> list[int]:
    """The numbers of the segments in the folder, ascending; raises `StorageError` where it cannot be read."""
    try:
        matches = [_SEGMENT_NAME.fullmatch(name) for name in files.names()]
    except OSError as error:
        raise from_os_error(error, "read the folder", files.folder) from error
    return [int(match[1]) for match in matches if match]


def scan(files: FilePort, replay: Replay, starts: Starts | None = None) -> Iterator[SegmentScan]:
    """Every segment in order, as far as it is intact and replayed; one with `damage` is the last that is given.

    Raises `StorageError` only where not even a segment's header can be had.
    """
    sequence, chain, first, before = 1, 0, None, None
    starts = starts or Starts()
    _, numbers = without_leftovers(segment_numbers(files))
    for number in numbers:
        last = number == numbers[-1]
        result = _scan_segment(files, number, last, sequence, chain, first)
        _require_start(files, result, first)
        _take(replay, starts, result)
        empty = last and result.untouched
        if before is not None and not before.sealed and not empty and result.damage is None:
            result.damage = damaged(before.file, before.end, "the segment is not sealed, but the next one holds data")
        yield result
        if result.damage is not None:
            return
        if result.frames:
            sequence, chain = result.frames[-1].sequence + 1, result.frames[-1].chain
        first, before = first or result.header, result


def without_leftovers(numbers: list[int]) -> tuple[list[int], list[int]]:
    """(segments that a removal has left over, segments of the log): the last gap is between them."""
    begin = len(numbers)
    while begin > 1 and numbers[begin - 2] == numbers[begin - 1] - 1:
        begin -= 1
    return numbers[: max(0, begin - 1)], numbers[max(0, begin - 1) :]


def _require_start(files: FilePort, result: SegmentScan, first: SegmentHeader | None) -> None:
    """The first segment says what came before, if anything did; and every file has the frame that it was made with."""
    number, frames = result.header.number, result.frames
    if result.damage is not None:
        return
    if first is None and number > 1 and not (frames and (frames[0].body.start or frames[0].body.base)):
        what = f"this segment is missing, but segment {number} exists"
        raise damaged(_path(files, segment_name(number - 1)), 0, what)
    if number > 1 and result.header.version > 1 and not frames:
        what = "the first frame is missing, and the segment was made with it"
        result.damage = damaged(result.file, SECTOR_BYTES, what)


def _path(files: FilePort, name: str) -> str:
    return f"{files.folder}/{name}"


def _scan_segment(
    files: FilePort, number: int, last: bool, sequence: int, chain: int, first: SegmentHeader | None
) -> SegmentScan:
    file = _path(files, segment_name(number))
    try:
        data = files.read(segment_name(number))
    except OSError as error:
        raise from_os_error(error, "read", file) from error
    try:
        header = decode_segment_header(data)
    except LaterFormat as error:
        raise damaged(file, 0, str(error), cures.LATER_RELEASE) from error
    except Malformed as error:
        raise damaged(file, 0, str(error)) from error
    result = SegmentScan(file=file, header=header, frames=[], end=SECTOR_BYTES)
    if first is None and number > 1:
        sequence, chain = header.first_sequence, header.chain
    wrong = _header_mismatch(header, number, len(data), sequence, chain, first)
    if wrong:
        result.damage = damaged(file, 0, wrong)
        return result
    try:
        _scan_frames(result, data, last, sequence, chain)
    except Malformed as error:
        result.damage = damaged(file, result.end, str(error))
    if result.frames:
        result.last_frame_bytes = data[result.frames[-1].offset : result.end]
    return result


def _header_mismatch(
    header: SegmentHeader, number: int, size_bytes: int, sequence: int, chain: int, first: SegmentHeader | None
) -> str:
    if header.number != number:
        return f"this is segment {header.number} under the name of segment {number}"
    if header.size_bytes != size_bytes:
        return f"the file has {size_bytes} bytes, but was made with {header.size_bytes}"
    if first is not None and header.cluster_id != first.cluster_id:
        ours, theirs = header.cluster_id or "(none)", first.cluster_id or "(none)"
        return f"the segment belongs to cluster {ours}, the first one to {theirs}"
    if first is not None and (header.name, header.incarnation) != (first.name, first.incarnation):
        ours, theirs = f"{header.name} ({header.incarnation})", f"{first.name} ({first.incarnation})"
        return f"the segment belongs to node {ours}, the first one to {theirs}"
    if (header.first_sequence, header.chain) != (sequence, chain):
        return f"the segment begins with frame {header.first_sequence}, and frame {sequence} of this chain must follow"
    return ""


def _scan_frames(result: SegmentScan, data: bytes, last: bool, sequence: int, chain: int) -> None:
    """Fill `result` up to the end of its frames; raises `Malformed` with `result.end` at the damage."""
    used = max(SECTOR_BYTES, len(data.rstrip(b"\0")))
    salt = salt_of(result.header.incarnation)
    while (at := result.end) < used:
        if data[at] == 0 and not any(data[at : at + HEADER_BYTES]):
            _require_torn_start(data, at, used, last, salt)
            result.torn_bytes = data[at:used]
            return
        header = decode_frame_header(data, at, salt)
        if header.sequence != sequence:
            raise Malformed(f"frame {header.sequence} stands where frame {sequence} must follow")
        if header.previous != chain:
            raise Malformed(f"frame {sequence} does not belong to the frame before it (chained checksum mismatch)")
        if header.flags and header.seal:
            if last:
                raise Malformed("the segment is sealed, so a later one existed, and it is missing")
            if used > at + HEADER_BYTES:
                raise Malformed("there is data behind the seal of the segment")
            result.sealed = True
            return
        payload = whole_payload(data, at, header)
        if payload is None:
            _require_torn_body(data, at, used, last, header)
            result.torn_bytes = data[at:used]
            return
        body, chain = decode_frame_body(payload, header), header.chain
        result.frames.append(Frame(at, header.size_bytes, sequence, chain, body))
        result.end, sequence = at + header.size_bytes, sequence + 1


def _require_torn_start(data: bytes, at: int, used: int, last: bool, salt: int) -> None:
    if any(data[at : (at // SECTOR_BYTES + 1) * SECTOR_BYTES]) or used - at > FRAME_BYTES_MAX or not last:
        raise Malformed("the log ends here, but there is data behind its end")
    later = find_frame(data, at, salt)
    if later is not None:
        raise Malformed(f"a frame is missing: zeros stand here, and another frame follows at byte {later}")


def _require_torn_body(data: bytes, at: int, used: int, last: bool, header: FrameHeader) -> None:
    end = at + header.size_bytes
    if end > len(data) or used > end or not last:
        raise Malformed(f"frame {header.sequence} is damaged (checksum mismatch), and it is not the last one")
    if not has_unwritten_sector(data, at, end):
        raise Malformed(
            f"frame {header.sequence} is damaged (checksum mismatch), and it was written completely,"
            " so it may have been acknowledged"
        )


def _take(replay: Replay, starts: Starts, result: SegmentScan) -> None:
    """Replay what is intact; note as damage what no log can contain."""
    for frame in result.frames:
        try:
            replay.take(frame.body)
            starts.take(result.header.number, frame.body)
        except Malformed as error:
            result.damage = damaged(result.file, frame.offset, str(error))
            return
    claimed, actual = result.header.cluster_id, replay.base.cluster_id
    if claimed != actual and result.damage is None:  # header and first entry came in one step, at birth
        what = f"the header names cluster {claimed or '(none)'}, but the log was born in {actual or '(none)'}"
        result.damage = damaged(result.file, 0, what)
