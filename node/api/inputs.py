"""What a request says: its target, its query, its limits; bytes all the way, and strict.

Why it exists: a key may hold any bytes and any number of slashes, which frameworks decode, normalise or replace; so
the target is read here as it came over the wire. Whatever is not understood is 400 and names the field, because a
mistyped `?revison=5` must not quietly read the present.
"""

import asyncio
import re
from urllib.parse import unquote_to_bytes

from aiohttp import web

from node.api.answers import Problem, malformed
from node.api.once import NO_SESSION, Numbers

REQUEST_LINE_BYTES_MAX = 64 * 1024
"""A longer URL is refused by the framework (414). It alone bounds the keys that one reads, deletes or lists by: some
21,000 bytes, each percent-encoded (three for one), which take 5 ms to decode."""

TIMEOUT_MS_MAX = 60_000

QUERY_PARAMETERS_MAX = 16

NUMBER_MAX = 2**63 - 1

NAME_CHARS_MAX = 64

SHORT_BODY_SECONDS_MAX = 5.0
"""How long a body of a few thousand bytes may take to arrive."""

SESSION_HEADERS = ("Raft-Session", "Raft-Sequence", "Raft-Answered")

_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_ETAG = re.compile('"([0-9]{1,19})"')
_SESSION = re.compile("([0-9A-Za-z]{1,8})-([0-9]{1,19})")
_POSITIVE = re.compile("[0-9]{1,19}")


def target_of(request: web.BaseRequest) -> tuple[str | None, str, str]:
    """(authority, path, query) of the request target, undecoded.

    `authority` is None in the usual origin-form, else what an absolute-form target ("GET http://host/path") names.
    Raises `Problem` for anything else.
    """
    target = request.raw_path
    authority = None
    if target[:1] != "/":
        scheme, separator, rest = target.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            raise malformed("target", "the request target is neither a path nor an http URL")
        end = min((i for i in map(rest.find, "/?#") if i >= 0), default=len(rest))
        authority, target = rest[:end], rest[end:]
    if "#" in target:
        raise malformed("target", "the request target holds a fragment; write # as %23")
    path, _, query = target.partition("?")
    return authority, path, query


def decode(field: str, text: str, plus_is_space: bool = False) -> bytes:
    """Percent-decoded bytes."""
    if plus_is_space and "+" in text:
        text = text.replace("+", " ")
    if "%" in text:
        if _BAD_ESCAPE.search(text):
            raise malformed(field, f"{field} holds a % that two hexadecimal digits do not follow; write % as %25")
        return unquote_to_bytes(text)
    return text.encode()


class Query:
    """Query parameters; each at most once, and none beyond the known ones."""

    def __init__(self, text: str, known: tuple[str, ...]) -> None:
        self._values: dict[str, bytes] = {}
        if not text:
            return
        parts = text.split("&", QUERY_PARAMETERS_MAX)
        if len(parts) > QUERY_PARAMETERS_MAX:
            raise malformed("query", f"more than {QUERY_PARAMETERS_MAX} query parameters")
        for part in filter(None, parts):
            raw_name, _, value = part.partition("=")
            name = decode("query", raw_name, True).decode("utf-8", "replace")[:NAME_CHARS_MAX]
            if name not in known:
                raise malformed(name, f"there is no query parameter {name!r} here; known: {', '.join(known)}")
            if name in self._values:
                raise malformed(name, f"the query parameter {name!r} is given twice")
            self._values[name] = decode(name, value, True)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def bytes(self, name: str, default: bytes = b"") -> bytes:
        """The decoded value."""
        return self._values.get(name, default)

    def number(self, name: str, default: int, low: int = 0, high: int = NUMBER_MAX) -> int:
        """A decimal number within [low, high]."""
        value = self._values.get(name)
        if value is None:
            return default
        if not value.isdigit() or len(value) > 19 or not low <= int(value) <= high:
            raise malformed(name, f"{name} is a whole number from {low} to {high}")
        return int(value)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of `allowed`; the first where not given."""
        value = self._values.get(name)
        if value is None:
            return allowed[0]
        text = value.decode("utf-8", "replace")
        if text not in allowed:
            raise malformed(name, f"{name} is one of: {', '.join(allowed)}")
        return text

    def timeout_us(self) -> int | None:
        """`timeout_ms` in microseconds; None where not given: the node's own `request_timeout_ms`."""
        return self.number("timeout_ms", 0, 1, TIMEOUT_MS_MAX) * 1000 or None


def precondition(request: web.BaseRequest) -> int | None:
    """The mod_revision that a write demands: from `If-Match: "7"`, 0 (no such key) from `If-None-Match: *`, or None."""
    headers = request.headers
    match, none_match = headers.getall("If-Match", []), headers.getall("If-None-Match", [])
    if match and none_match:
        raise malformed("If-Match", "If-Match and If-None-Match contradict each other; send one of them")
    if match:
        found = _ETAG.fullmatch(match[0].strip()) if len(match) == 1 else None
        if found is None or not 1 <= int(found[1]) <= NUMBER_MAX:
            raise malformed("If-Match", 'If-Match is one revision in double quotes, as in If-Match: "7"')
        return int(found[1])
    if none_match:
        if [value.strip() for value in none_match] != ["*"]:
            raise malformed("If-None-Match", "If-None-Match on a write can only be *")
        return 0
    return None


def session_of(request: web.BaseRequest) -> Numbers:
    """What the headers of a write in a session say: session and sequence, or none of the three."""
    session = _one(request, SESSION_HEADERS[0], _SESSION, "what POST /sessions gave, as in 4f1c2a7b-9")
    sequence, answered = (_positive(request, name) for name in SESSION_HEADERS[1:])
    if session is None and sequence is None and answered is None:
        return NO_SESSION
    if session is None or sequence is None:
        raise malformed(SESSION_HEADERS[0], f"{' and '.join(SESSION_HEADERS[:2])} come together or not at all")
    if (answered or 0) >= sequence:
        raise malformed(SESSION_HEADERS[2], f"{SESSION_HEADERS[2]} is below {SESSION_HEADERS[1]}")
    return Numbers(_in_bounds(SESSION_HEADERS[0], session[2]), sequence, answered or 0, session[1])


def _positive(request: web.BaseRequest, name: str) -> int | None:
    found = _one(request, name, _POSITIVE, f"a whole number from 1 to {NUMBER_MAX}")
    return None if found is None else _in_bounds(name, found[0])


def _one(request: web.BaseRequest, name: str, form: re.Pattern[str], what: str) -> re.Match[str] | None:
    """What a header says, once; None where it is not there."""
    given = request.headers.getall(name, [])
    if not given:
        return None
    found = form.fullmatch(given[0].strip())
    if len(given) > 1 or found is None:
        raise malformed(name, f"{name} is, once, {what}")
    return found


def _in_bounds(name: str, digits: str) -> int:
    if not 1 <= int(digits) <= NUMBER_MAX:
        raise malformed(name, f"{name} holds a whole number from 1 to {NUMBER_MAX}")
    return int(digits)


async def short_body(
    request: web.Request, field: str, bytes_max: int, seconds_max: float = SHORT_BODY_SECONDS_MAX
) -> bytes:
    """The whole of a body, in however many pieces it comes; bounded in size, and in time. Raises `Problem`."""
    if (request.content_length or 0) > bytes_max:
        raise too_large(field, bytes_max)
    body = b""
    try:
        async with asyncio.timeout(seconds_max):
            while piece := await request.content.readany():
                await asyncio.sleep(0)  # `readany` itself gives nobody else a turn while pieces wait
                body += piece
                if len(body) > bytes_max:
                    raise too_large(field, bytes_max)
    except TimeoutError:
        raise Problem(408, "timeout", f"the {field} did not arrive in time; nothing was done") from None
    except web.RequestPayloadError:
        raise malformed(field, f"the {field} is broken; nothing was done") from None
    return body


def too_large(what: str, limit_bytes: int, cure: str = "") -> Problem:
    """413."""
    message = f"the {what} is longer than {limit_bytes} bytes{'; ' if cure else ''}{cure}"
    return Problem(413, "too-large", message, field=what, limit=limit_bytes)
