"""What a node answered, and what follows from it for the one who asked.

Why it exists: a program in front of the nodes may answer, too, so only what a node says settles anything; and what
settles a first attempt may say nothing of an earlier one that was not answered. It must not send anything.
"""

import contextlib
import json
import re
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp

from raftclient.errors import NotDone, OutcomeUnknown, RevisionMismatch

SESSION_GONE = ("session-expired", "sequence-answered", "sequence-reused")
"""Codes of refusals that are about the session, not about the write: nothing was done now."""


_OF_HANDSHAKES = re.compile("CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE|PROTOCOL_VERSION")
_SESSION = re.compile("[0-9A-Za-z-]{1,64}")


class Request(NamedTuple):
    """`path` and `query` are quoted. `key`: what it is about, for errors. A `POST` registers a session."""

    method: str
    key: bytes
    path: str
    query: str = ""
    body: bytes | None = None
    headers: Mapping[str, str] = {}


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def said(self) -> dict[str, Any]:
        """The JSON object of the answer; empty where it is none."""
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(self.body)
            return found if isinstance(found, dict) else {}
        return {}

    def revision(self) -> int:
        """From the ETag, else from the body, as after DELETE; 0 where no node answers like this."""
        etag = self.headers.get("ETag", "").strip('"')
        found = int(etag) if etag.isdecimal() else self.said().get("revision")
        return found if isinstance(found, int) else 0

    def session(self) -> str:
        """What a new session is called; empty where no node answers like this."""
        found = self.said().get("session")
        return found if isinstance(found, str) and _SESSION.fullmatch(found) else ""


class Failed(Exception):
    """No answer, or one that settles nothing; `safe`: the request had certainly no effect. `elsewhere`: another node
    may answer it now, for this one is gone, or waited for one that is."""

    def __init__(self, reason: str, safe: bool, elsewhere: bool = False) -> None:
        super().__init__(reason)
        self.safe = safe
        self.elsewhere = elsewhere


class SessionGone(Exception):
    """The session is of no use any more, and nothing was ever done of this write."""


def failed(error: Exception) -> Failed:
    """What an error of the HTTP library means."""
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return Failed(f"no connection ({error})", safe=True, elsewhere=True)
    if alert := _refused_handshake(error):
        return Failed(f"the node does not take this client's certificate ({alert})", safe=True, elsewhere=True)
    why = "silence" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return Failed(f"the request was sent, and no whole answer came ({why})", safe=False, elsewhere=True)


def _refused_handshake(error: BaseException | None) -> str:
    """What TLS said of this client, where it did not let it in; empty: it did. With TLS 1.3 that is heard after the
    request was sent, which no node reads before it has judged the certificate."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    reason = (error.reason or "") if error is not None else ""
    return reason.lower().replace("_", " ") if "ALERT" in reason and _OF_HANDSHAKES.search(reason) else ""


async def send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp repeats a PUT or DELETE by itself where a kept connection breaks: it must see none of its own errors."""
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as error:
        raise failed(error) from None


def settled(request: Request, endpoint: str, answer: Answer, uncertain: bool) -> Answer:
    """The answer where it is the result; raises `NotDone` where the node refused for good, else `Failed`.

    `uncertain`: an earlier attempt may have been done. What this one is refused for before it comes to the log then
    settles nothing; what the log says, it says of both."""
    method, key = request.method, request.key
    if answer.status == 200 and _is_result(method, answer):
        return answer
    said = answer.said()
    code, message = said.get("error"), said.get("message")
    if not (isinstance(code, str) and isinstance(message, str)):
        raise Failed(f"answered {answer.status}, not as a node does", safe=False)
    if answer.status == 404 and code == "key-not-found" and method not in ("PUT", "POST"):
        return answer
    if code in SESSION_GONE:
        if uncertain:
            raise OutcomeUnknown(method, key, endpoint, message)
        raise SessionGone
    if 400 <= answer.status < 500 or answer.status == 507:
        if uncertain and answer.status != 412 and code != "lease-not-found":
            raise Failed(f"answered {answer.status}: {message}", safe=True)
        refused = (RevisionMismatch if answer.status == 412 else NotDone)(method, key, endpoint, message)
        refused.status, refused.revision = answer.status, answer.revision()
        raise refused
    never_proposed = answer.status == 503 and "leader" in said and "Retry-After" in answer.headers
    raise Failed(f"answered {answer.status}: {message}", safe=never_proposed, elsewhere=answer.status == 504)


def _is_result(method: str, answer: Answer) -> bool:
    if method == "POST":
        return bool(answer.session())
    return bool(answer.revision()) and (method != "GET" or "ETag" in answer.headers)
