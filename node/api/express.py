"""The express lane: small requests of the busiest routes, answered without the framework.

Why it exists: two thirds of what a write costs its leader is the framework's work round a handler (parsing, routing,
tasks, headers). A request that is exactly what a plain client of a few fixed routes sends, whole and alone in one
piece, is recognised and answered here; everything else, whatever it is, goes to the framework untouched, which stays
the one place where requests are judged. It must not refuse anything: what it does not know it does not take.

A head (request line and headers) is judged once and remembered, for clients repeat theirs to the letter.
"""

import re
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus

import msgspec
from aiohttp.helpers import rfc822_formatted_time

from node.access.entrance import Access, bearer
from node.access.principals import ANYBODY, CURRENT, Principal
from node.access.table import need_of_route
from node.api.guard import is_own_name

BODY_BYTES_MAX = 64 * 1024
"""A longer body goes the usual way."""

HEAD_BYTES_MAX = 1024
HEADS_REMEMBERED_MAX = 1024

Answer = Callable[[int, bytes], None]
"""Called once, later or at once, with status and body (JSON)."""

Handler = Callable[[bytes, Answer], bool]
"""Takes the body of a request and answers it; False: not taken, nothing was done, the usual way it goes."""

_REQUEST_LINE = re.compile(r"POST (/[A-Za-z0-9/_-]{1,64}) HTTP/1\.1")
_HEADER = re.compile(r"([A-Za-z0-9-]{1,32}): ?([\x20-\x7e]{0,256})")
_LENGTH = re.compile(r"[0-9]{1,6}")
_HARMLESS = ("accept", "accept-encoding", "content-type", "user-agent")
"""Headers that change nothing about an answer here. Any other but those below makes the request an unusual one."""


_ANSWER_HEAD = (
    b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: %d\r\n"
    b"Date: %b\r\n%b\r\n"
)
_STATUS_LINES = {int(status): f"{int(status)} {status.phrase}".encode() for status in HTTPStatus}


class Verdict(msgspec.Struct, frozen=True):
    """What a head says: its route's handler (None: it has none here), and how long the body is. `told`: who is to be
    told what came of each request; None: nobody."""

    handler: Handler | None
    length: int
    principal: Principal = ANYBODY
    told: Callable[[str], None] | None = None

    def take(self, body: bytes, answer: Answer) -> bool:
        """The request, for whom it is; False: not taken, as with a handler."""
        if self.handler is None:
            return False
        before = CURRENT.set(self.principal)
        try:
            return self.handler(body, answer if self.told is None else _telling(answer, self.told))
        finally:
            CURRENT.reset(before)


class Express:
    """`routes`: handlers by path. `closed`: whether the lane is closed now. `allowed_hosts` as for the guard. `access`
    None: everything is open."""

    def __init__(
        self,
        routes: Mapping[str, Handler],
        allowed_hosts: Collection[str],
        closed: Callable[[], bool] | None = None,
        access: Access | None = None,
    ) -> None:
        self._routes = routes
        self._allowed_hosts = frozenset(name.lower() for name in allowed_hosts)
        self.closed = closed or (lambda: False)
        self._access = access or Access()
        self._version = self._access.version
        """Of what is remembered."""
        self._verdicts: dict[bytes, Verdict | None] = {}

    def read(self, data: bytes) -> tuple[Verdict, bytes] | None:
        """The verdict and the body, if `data` is one whole request that can be read here; None for all else."""
        end = data.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX)
        if end < 0:
            return None
        head = data[:end]
        if self._version != self._access.version:
            self._version = self._access.version
            self._verdicts.clear()
        try:
            verdict = self._verdicts[head]
        except KeyError:
            verdict = self._remember(head)
        if verdict is None or len(data) != end + 4 + verdict.length:
            return None
        return verdict, data[end + 4 :]

    def _remember(self, head: bytes) -> Verdict | None:
        if len(self._verdicts) >= HEADS_REMEMBERED_MAX:
            self._verdicts.clear()
        verdict = self._verdicts[head] = self._judge(head)
        return verdict

    def _judge(self, head: bytes) -> Verdict | None:
        """None for whatever is not perfectly ordinary, such as a header that is given twice."""
        line, *lines = head.decode("latin-1").split("\r\n")
        request = _REQUEST_LINE.fullmatch(line)
        if request is None:
            return None
        headers: dict[str, str] = {}
        for each in lines:
            header = _HEADER.fullmatch(each)
            if header is None or header[1].lower() in headers:
                return None
            headers[header[1].lower()] = header[2].strip()
        host, length = headers.pop("host", ""), headers.pop("content-length", "")
        shown = headers.pop("authorization", None)
        ordinary = headers.pop("connection", "keep-alive").lower() == "keep-alive" and not (headers.keys() - _HARMLESS)
        if not ordinary or not is_own_name(host, self._allowed_hosts) or _LENGTH.fullmatch(length) is None:
            return None
        if int(length) > BODY_BYTES_MAX:
            return None
        handler = self._routes.get(request[1])
        if handler is None:
            return Verdict(None, int(length))
        credential = None if shown is None else bearer(shown)
        need = need_of_route("POST", request[1])
        principal = self._access.look(credential, need, judges_users=True)
        if principal is None:
            return None  # the framework's lane says why not
        return Verdict(handler, int(length), principal, self._access.told(principal, need, f"POST {request[1]}"))


def _telling(answer: Answer, told: Callable[[str], None]) -> Answer:
    def tell(status: int, body: bytes) -> None:
        told(str(status))
        answer(status, body)

    return tell


def rendered(status: int, body: bytes, ends: bool) -> bytes:
    """A whole answer in JSON; `ends`: the connection ends with it, and the answer says so."""
    last = b"Connection: close\r\n" if ends else b""
    return _ANSWER_HEAD % (_STATUS_LINES[status], len(body), rfc822_formatted_time().encode(), last) + body
