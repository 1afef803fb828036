"""Header blocks (HPACK, RFC 7541): a client's are read, and remembered where they change nothing; ours are constant.

Why it exists: to decode a block takes forty times as long as to look it up, and clients send the same ones over and
over: once their table is filled, each is a handful of indexes. A block that changes the table makes the remembered ones
void, for indexes shift. `hpack` decodes all others (`ngh2` does too, but brings an engine of its own, is alpha, and is
no faster in the whole than frames of ours with this memory). It must not know what a request asks.
"""

from collections.abc import Sequence

from hpack import Decoder, HPACKError
from hpack.table import HeaderTable

from node.api.http2.fields import Head, check_trailers, head_of
from node.api.http2.frames import ConnectionFault, ErrorCode

BLOCK_BYTES_MAX = 8 * 1024
"""Of a header block as it is sent."""

LIST_BYTES_MAX = 16 * 1024
"""Of what it says, each field with 32 bytes more, as the protocol counts."""

BLOCKS_REMEMBERED_MAX = 64
"""For one connection."""
REMEMBERED_BYTES_MAX = 16 * 1024
"""Of all of them and what they say, counted as above: a connection that is idle keeps it."""

BLOCK_BYTES_PER_FIELD = 16
"""To read a field takes some 5 µs, and so do so many bytes of Huffman's code."""

SIZE_UPDATES_MAX = 2
"""At the beginning of a block; more are of no use to anybody."""

Fields = Sequence[tuple[bytes, bytes]]


class _Table(HeaderTable):
    """Counts what is added."""

    added = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.added += 1
        super().add(name, value)


class Blocks:
    """Of one connection: its table goes through all blocks, so each has to be read, also of who is not served."""

    def __init__(self) -> None:
        self._decoder = Decoder(LIST_BYTES_MAX)
        self._table = _Table()
        self._decoder.header_table = self._table
        self._heads: dict[bytes, Head] = {}
        self._remembered = 0
        self.fields_read = 0
        """Since the beginning; what was remembered costs nothing."""

    def head(self, block: bytes) -> Head:
        """Of a request. Raises `ConnectionFault` where the block cannot be read, `StreamFault` where what it says is
        malformed."""
        found = self._heads.get(block)
        if found is not None:
            return found
        before = self._table.added
        fields = self._read(block)
        changed = self._table.added != before or _size_updates(block) > 0
        size = len(block) + sum(len(name) + len(value) + 32 for name, value in fields)
        full = len(self._heads) >= BLOCKS_REMEMBERED_MAX or self._remembered + size > REMEMBERED_BYTES_MAX
        if changed or full:
            self._forget()
        head = head_of(fields)
        if not changed and size <= REMEMBERED_BYTES_MAX:
            self._heads[block] = head
            self._remembered += size
        return head

    def trailers(self, block: bytes) -> None:
        """What a client says after its body, which nobody wants to know; raises likewise."""
        self._forget()
        check_trailers(self._read(block))

    def skip(self, block: bytes) -> None:
        """Of a stream that is not served any more."""
        self._forget()
        self._read(block)

    def _forget(self) -> None:
        self._heads.clear()
        self._remembered = 0

    def _read(self, block: bytes) -> Fields:
        if _size_updates(block) > SIZE_UPDATES_MAX:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "the header table's size changes too often")
        self.fields_read += len(block) // BLOCK_BYTES_PER_FIELD
        try:
            fields = tuple(self._decoder.decode(block, raw=True))
        except HPACKError as error:
            oversized = type(error).__name__ == "OversizedHeaderListError"
            code = ErrorCode.ENHANCE_YOUR_CALM if oversized else ErrorCode.COMPRESSION_ERROR
            why = "the header list is too long" if oversized else "a header block cannot be read"
            raise ConnectionFault(code, why) from None
        self.fields_read += len(fields)
        return fields


def _size_updates(block: bytes) -> int:
    """Those that stand at its beginning, as far as they matter."""
    found = at = 0
    while at < len(block) and block[at] & 0xE0 == 0x20 and found <= SIZE_UPDATES_MAX:
        found += 1
        if block[at] & 0x1F == 0x1F:
            at += 1
            while at < len(block) and block[at] & 0x80:
                at += 1
        at += 1
    return found


def literal(fields: Fields) -> bytes:
    """A block that every table reads alike: each field literal, none to be remembered."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


def _text(data: bytes) -> bytes:
    return _integer(len(data)) + data


def _integer(number: int) -> bytes:
    """With a prefix of seven bits."""
    if number < 0x7F:
        return bytes((number,))
    number -= 0x7F
    out = bytearray((0x7F,))
    while number >= 0x80:
        out.append(0x80 | number & 0x7F)
        number >>= 7
    out.append(number)
    return bytes(out)
