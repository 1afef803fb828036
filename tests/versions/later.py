"""Files as a later release would write them: another format version in the header, under a right checksum."""

import struct
import zlib
from pathlib import Path

from node.storage.frames import SECTOR_BYTES

_HEAD = struct.Struct("<8sIII")


def of_a_later_format(file: Path) -> None:
    """Raise the format version of a segment of the log (`.wal`), or of a snapshot, by one."""
    data = bytearray(file.read_bytes())
    magic, version, _, length = _HEAD.unpack_from(data)
    version += 1
    if file.suffix == ".wal":
        before, end = struct.pack("<8sII", magic, version, length), SECTOR_BYTES
    else:
        before, end = _HEAD.pack(magic, version, 0, length), _HEAD.size + length
    crc = zlib.crc32(bytes(data[_HEAD.size : end]), zlib.crc32(before))
    _HEAD.pack_into(data, 0, magic, version, crc, length)
    file.write_bytes(data)
