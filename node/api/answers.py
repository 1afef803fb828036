"""How the API answers: JSON by msgspec, and one shape for every error.

Why it exists: a client handles errors by `error` (a code), a person reads `message` (a sentence), and neither ever
sees a traceback. It must not decide what is an error.
"""

from collections.abc import Mapping

import msgspec
from aiohttp import web

RETRY_AFTER_SECONDS = 1
"""What `Retry-After` says where a request may be repeated: about one election."""

JSON_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}
STREAM_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Of lines of JSON that come one by one."""

_ENCODER = msgspec.json.Encoder()


class Problem(Exception):
    """An answer that is an error. `code` is for programs, `message` one sentence; `more` joins them in the body."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body: dict[str, object] = {"error": code, "message": message, **more}

    def answer(self) -> web.Response:
        """The response."""
        return json_answer(self.body, self.status, self.headers)


def malformed(field: str, message: str) -> Problem:
    """400, naming the field that is wrong."""
    return Problem(400, "malformed", message, field=field)


def try_again(code: str, message: str, leader: str = "") -> Problem:
    """503: nothing happened, and the same request may be sent again."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return Problem(503, code, message, headers=headers, leader=leader or None)


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """`body` as JSON with a newline, so that it reads well in a terminal."""
    own = {**JSON_HEADERS, **headers} if headers else JSON_HEADERS
    return web.Response(body=json_body(body), status=status, headers=own)


def json_text(value: object) -> bytes:
    """A value as JSON: a piece of an answer."""
    return _ENCODER.encode(value)


def json_body(body: object) -> bytes:
    """The bytes of a JSON answer."""
    return _ENCODER.encode(body) + b"\n"
