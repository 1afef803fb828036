"""Values of single fields, as Go reads them: whole numbers, base64, escapes; and how Go quotes what it complains of.

Why it exists: what etcd takes for a number or for bytes is part of its API, and so is what it does not. Long ones are
read in steps. It must not know which field a value is for.
"""

import json
import re
from base64 import b64decode

from node.api.slices import Steps

INT64 = range(-(2**63), 2**63)
UINT64 = range(2**64)
INT32 = range(-(2**31), 2**31)

BASE64_CHARS_PER_STEP = 64 * 1024
"""Divisible by four. 3 to 7 ns for each of them."""

BASE64_CHARS_PER_WORK = 256

ESCAPES_PER_STEP = 256

_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?", re.ASCII)
_DIGITS_MAX = 20
NUMBER_CHARS_MAX = 16_384
"""Of a number, also of one in a string; a longer one is none."""

_ALPHABETS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_STANDARD = bytes.maketrans(b"-_", b"+/")
_ESCAPED_PIECE = re.compile(
    r'(?:[^\\]{1,64}+|\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    r"|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})){1,256}+"
)


def integer(text: str, allowed: range) -> int | None:
    """A JSON number that is whole ("1", "1.0", "1e1") and in range; else None."""
    found = _NUMBER.fullmatch(text) if len(text) <= NUMBER_CHARS_MAX else None
    if found is None:
        return None
    sign, whole, fraction = found[1], found[2].lstrip("0"), (found[3] or "").rstrip("0")
    if not whole and not fraction:
        return 0
    exponent_text = found[4] or "0"
    exponent_digits = exponent_text.lstrip("+-0")
    if len(exponent_digits) > 10:
        return None
    exponent = int(exponent_digits or "0") * (-1 if exponent_text[0] == "-" else 1)
    if exponent not in INT32:
        return None
    if exponent >= 0:
        if len(fraction) > exponent or len(whole) + exponent > _DIGITS_MAX:
            return None
        digits = whole + fraction + "0" * (exponent - len(fraction))
    else:
        kept = len(whole) + exponent
        if fraction or kept < 0 or whole[kept:].strip("0"):
            return None
        digits = whole[:kept] or "0"
    if len(digits) > _DIGITS_MAX:
        return None
    value = int(sign + digits)
    return value if value in allowed else None


def base64_bytes(text: str) -> Steps[bytes | None]:
    """Base64 of either alphabet, padded or not, line ends ignored, as Go's decoder has it; else None."""
    padded = len(text) % 4 == 0
    url = "-" in text or "_" in text
    if "\n" in text or "\r" in text:
        text = text.replace("\n", "").replace("\r", "")
    if not text.isascii() or (url and ("+" in text or "/" in text)):
        return None
    data = text.encode()
    padding = b""  # or what is no base64 at all
    for start in range(0, len(data), BASE64_CHARS_PER_STEP):
        if start:
            yield BASE64_CHARS_PER_STEP // BASE64_CHARS_PER_WORK
        padding += data[start : start + BASE64_CHARS_PER_STEP].translate(None, _ALPHABETS)
        if padding not in ((b"", b"=", b"==") if padded else (b"",)):
            return None
    if not data.endswith(padding):
        return None
    if (len(data) % 4 and padded) or len(data) % 4 == 1:
        return None
    data += b"=" * (-len(data) % 4)
    if url:
        data = data.translate(_STANDARD)
    pieces: list[bytes] = []
    for start in range(0, len(data), BASE64_CHARS_PER_STEP):
        if start:
            yield BASE64_CHARS_PER_STEP // BASE64_CHARS_PER_WORK
        pieces.append(b64decode(data[start : start + BASE64_CHARS_PER_STEP]))
    return b"".join(pieces)


def unescaped(text: str) -> Steps[tuple[str, int | None]]:
    """What a JSON string says; and, where it is not text, how far it can be read: to the end of a surrogate's escape
    that has no other half. Every escape in `text` is whole."""
    parts: list[str] = []
    at = 0
    while at < len(text):
        found = _ESCAPED_PIECE.match(text, at)
        if found is None:
            return "", at + len("\\udc00")
        parts.append(json.loads(f'"{found[0]}"'))
        at = found.end()
        if at < len(text):
            yield ESCAPES_PER_STEP
    return "".join(parts), None


def go_quoted(data: bytes) -> str:
    """As Go's %q has it."""
    text = data.decode("utf-8", "surrogateescape")
    return '"' + "".join(_go_character(c) for c in text) + '"'


def _go_character(character: str) -> str:
    named = {"\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r", '"': '\\"'}
    if character in named or character == "\\":
        return named.get(character, "\\\\")
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
