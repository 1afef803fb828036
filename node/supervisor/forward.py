"""One request, carried to one node and its answer back: bounded in time and size, and never sent twice.

Why it exists: the monitor's page talks to one server only, which stands in for all nodes. What becomes of a request
must stay as honest here as on a node: 502 where nothing was sent or nothing was changed, 504 where nobody knows.
It must not choose the node, and not repeat anything.
"""

import asyncio
import re
from collections.abc import Callable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from node.api.answers import Problem, malformed
from node.supervisor.child import ProcessView
from node.supervisor.layout import NodeEntry
from node.supervisor.watch import UNREACHABLE, read_bounded

CONNECT_SECONDS_MAX = 1.0
LOOK_SECONDS_MAX = 2.0
"""For what a node answers from memory."""
BODY_SECONDS_MAX = 5.0
"""How long a request's own body may take to arrive."""
MARGIN_SECONDS = 1.0
"""On top of the time that the node gives itself: it should be the node that says what became of a write."""
ANSWER_BYTES_MAX = 4 * 1024 * 1024

_PASSED_ON = ("Accept", "Content-Type", "Content-Encoding", "If-Match", "If-None-Match")
_KEPT_BACK = frozenset(
    ("connection", "content-length", "date", "keep-alive", "server", "transfer-encoding", "content-encoding")
)
_TIMEOUT_MS = re.compile(r"(?:^|&)timeout_ms=([0-9]{1,5})(?:&|$)")


class NotSent(Problem):
    """The node takes no connection, so it never saw the request."""


class Lost(Problem):
    """The node's connection broke after the request was sent."""


class Forwarder:
    """Sends requests on. `process` says what is known of a node's process."""

    def __init__(self, session: aiohttp.ClientSession, process: Callable[[str], ProcessView]) -> None:
        self._session, self._process = session, process

    async def send(
        self, request: web.Request, entry: NodeEntry, target: str, seconds: float, body: bytes | None = None
    ) -> web.Response:
        """The node's answer to the request's method on `target` (path and query, undecoded).

        Raises NotSent, Lost, or a Problem with 502 or 504; each says what it means for something that changes.
        """
        changes = request.method not in ("GET", "HEAD")
        if self._process(entry.name).state == "ended":
            raise self.not_sent(entry.name)
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.request(
                    request.method,
                    URL(entry.url + target, encoded=True),
                    headers=_headers(request),
                    data=body,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS_MAX),
                    allow_redirects=False,
                ) as answer,
            ):
                content = await read_bounded(answer, ANSWER_BYTES_MAX)
                kept = [(k, v) for k, v in answer.headers.items() if k.lower() not in _KEPT_BACK]
                return web.Response(body=content, status=answer.status, headers=CIMultiDict(kept))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise self.not_sent(entry.name) from None
        except TimeoutError:
            raise self._silent(entry.name, seconds, changes) from None
        except UNREACHABLE:
            raise self._lost(entry.name, changes) from None
        except ValueError:
            raise self._too_long(entry.name, changes) from None

    def not_sent(self, name: str) -> NotSent:
        """Why there is no answer of `name`, and that it never got the request."""
        process = self._process(name)
        message = f"{name} (process {process.pid}) takes no connections; nothing was sent to it"
        if process.state == "ended":
            message = f"{name} does not run: it {process.how}; POST /nodes/{name}/start starts it"
        return NotSent(502, "unreachable", message, node=name)

    def _silent(self, name: str, seconds: float, changes: bool) -> Problem:
        if changes:
            message = f"{name} did not say within {seconds:g} s what became of this: look before you repeat it"
            return Problem(504, "unknown outcome", message, node=name)
        return Problem(502, "timeout", f"{name} did not answer within {seconds:g} s; nothing was changed", node=name)

    def _too_long(self, name: str, changes: bool) -> Problem:
        message = f"{name} answers with more than {ANSWER_BYTES_MAX} bytes"
        if changes:
            message += ", so what became of this is not passed on: look before you repeat it"
            return Problem(504, "unknown outcome", message, node=name)
        return Problem(502, "too-large", f"{message}: ask for less, or ask it directly", node=name)

    def _lost(self, name: str, changes: bool) -> Lost:
        if changes:
            message = f"the connection to {name} broke before it said what became of this: look before you repeat it"
            return Lost(504, "unknown outcome", message, node=name)
        return Lost(502, "unreachable", f"the connection to {name} broke before it answered", node=name)


def _headers(request: web.Request) -> CIMultiDict[str]:
    headers = CIMultiDict((name, value) for name in _PASSED_ON for value in request.headers.getall(name, ()))
    headers["Accept-Encoding"] = "identity"
    return headers


def seconds_for(query: str, default: float) -> float:
    """How long to wait where the query may say `timeout_ms`, in seconds."""
    found = _TIMEOUT_MS.search(query)
    return (int(found[1]) / 1000 if found else default) + MARGIN_SECONDS


async def body_of(request: web.Request, bytes_max: int) -> bytes:
    """The request's own body, complete before anything of it is sent on."""
    if (request.content_length or 0) > bytes_max:
        raise _too_large(bytes_max)
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(bytes_max) from None
    except TimeoutError:
        raise Problem(408, "timeout", "the body did not arrive in time; nothing was sent on") from None
    except web.RequestPayloadError:
        raise malformed("body", "the body is broken; nothing was sent on") from None
    if len(body) > bytes_max:
        raise _too_large(bytes_max)
    return body


def _too_large(bytes_max: int) -> Problem:
    return Problem(413, "too-large", f"the body is longer than {bytes_max} bytes", field="body", limit=bytes_max)
