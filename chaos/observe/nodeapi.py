"""What a node can be asked over HTTP, each request sent at most once, and what became of it told honestly.

Why it exists: a checker lives on its clients never guessing. A write is "ok", "fail" (provably nothing happened) or
"unknown"; a library that silently sends a request again, or a timeout that is taken for a failure, would make a liar
of the tool. It must not retry, and not judge what a node says.
"""

import asyncio
from collections.abc import Mapping
from typing import Literal, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from chaos.clock import Clock
from chaos.errors import ChaosError
from chaos.model import LogLine, View
from chaos.observe.identity import of_environment, token_headers

ANSWER_BYTES_MAX = 4 * 1024 * 1024
LINE_BYTES_MAX = 256 * 1024
"""The longest line of an event stream."""
LOG_PAGE_LINES = 1000
"""What a node gives of its log in one answer, at most."""
LOG_LINES_MAX = 50_000
"""Of each node's log the last so many entries are compared."""
ERROR_CHARACTERS_MAX = 200
STATUS_TIMEOUT_SECONDS = 1.0
PAGE_TIMEOUT_SECONDS = 5.0
NUMBER_DIGITS_MAX = 18
NOT_A_NUMBER = -1
"""What a read reports as the value where the node answered with something that no client of ours ever wrote."""

Outcome = Literal["ok", "fail", "unknown"]
_Page = TypeVar("_Page")


class Reply(msgspec.Struct, frozen=True):
    """What became of a write or read. `value`: what a read saw, 0 where the key does not exist. `code`: the HTTP
    status, 0 for none. `revision`: the store's, as the node named it for an acknowledged write, or for
    the write that a read saw; 0: it named none."""

    outcome: Outcome
    code: int = 0
    error: str = ""
    value: int | None = None
    revision: int = 0


class CommandAnswer(msgspec.Struct, frozen=True):
    """What a node said to a command. `code` is its word ("ok", "refused", "faults-disabled", ...); "unreachable":
    nothing was sent; "unknown": the answer was lost."""

    ok: bool
    code: str
    message: str


class AnswerLost(aiohttp.ClientError):
    """The request may have been sent, and its answer did not come."""


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp sends a PUT, GET or DELETE a second time when a kept connection breaks, and does so by the type of the
    error: this gives such errors a type of their own."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise  # no connection, so nothing was sent
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise AnswerLost(str(error) or type(error).__name__) from error


_NOTHING_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
UNREACHABLE = (aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""What asking a node may raise when it, or the way to it, is gone."""


class _Log(msgspec.Struct):
    first_index: int
    commit: int
    entries: tuple[LogLine, ...]


class _Problem(msgspec.Struct):
    error: str = ""
    message: str = ""


_VIEW = msgspec.json.Decoder(View)
_LOG = msgspec.json.Decoder(_Log)
_PROBLEM = msgspec.json.Decoder(_Problem)


def new_session() -> aiohttp.ClientSession:
    """A session that sends every request at most once, through no proxy, to as many places at a time as are asked.
    Raises ChaosError where what the environment names for TLS, or as a token, is of no use."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=of_environment() or True),
        headers=token_headers(),
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=LINE_BYTES_MAX,
        middlewares=(_send_once,),
    )


async def fetch_view(
    session: aiohttp.ClientSession, url: str, clock: Clock, timeout_s: float = STATUS_TIMEOUT_SECONDS
) -> View | None:
    """What the node says of itself, with when it was asked and answered; None: no answer in time, or none of a node."""
    asked_us = clock.now_us()
    try:
        status, body = await _get(session, f"{url}/status", timeout_s)
        if status != 200:
            return None
        view = _VIEW.decode(body)
    except (*UNREACHABLE, msgspec.MsgspecError, RecursionError):
        return None
    return msgspec.structs.replace(view, time_us=view.time_us or None, asked_us=asked_us, answered_us=clock.now_us())


async def not_let_in(session: aiohttp.ClientSession, url: str) -> str:
    """Why the node does not tell who asks of itself, in its own words; empty where that is not why there is no view."""
    try:
        status, body = await _get(session, f"{url}/status", STATUS_TIMEOUT_SECONDS)
    except UNREACHABLE:
        return ""
    return _problem_of(body).message if status in (401, 403) else ""


async def fetch_log(session: aiohttp.ClientSession, url: str, from_index: int = 1) -> tuple[LogLine, ...]:
    """The committed entries from `from_index` on, or as far back as the node has them; the last LOG_LINES_MAX of them.

    Raises ChaosError where the node does not give them.
    """
    head = await page(session, url, "/log?from=1&limit=1", _LOG)
    at, commit = max(from_index, head.first_index, head.commit - LOG_LINES_MAX + 1), head.commit
    lines: list[LogLine] = []
    while at <= commit:
        more = await page(session, url, f"/log?from={at}&limit={LOG_PAGE_LINES}", _LOG)
        piece = [line for line in more.entries if at <= line.index <= commit]
        if not piece:
            break  # compacted away meanwhile
        if piece[0].index > at:
            lines.clear()  # so was what came before
        lines += piece
        at = piece[-1].index + 1
    return tuple(lines)


async def command(
    session: aiohttp.ClientSession,
    url: str,
    name: str,
    arguments: Mapping[str, str | float],
    timeout_s: float = PAGE_TIMEOUT_SECONDS,
) -> CommandAnswer:
    """`POST /commands/{name}` of that node; never raises for what the node or the way to it does."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with session.post(
            f"{url}/commands/{quote(name, safe='')}",
            data=msgspec.json.encode(dict(arguments)),
            timeout=timeout,
            allow_redirects=False,
        ) as answer:
            body = await _bounded(answer)
            problem = _problem_of(body)
            if answer.status == 200:
                return CommandAnswer(True, "ok", problem.message)
            return CommandAnswer(False, problem.error or str(answer.status), problem.message or f"HTTP {answer.status}")
    except _NOTHING_SENT as error:
        return CommandAnswer(False, "unreachable", said(error))
    except UNREACHABLE as error:
        return CommandAnswer(False, "unknown", said(error))


async def put_value(session: aiohttp.ClientSession, url: str, key: str, value: int, timeout_s: float) -> Reply:
    """Write, sent once. "fail" only where provably nothing was written: no connection, or a refusal (4xx, 503, 507)."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with session.put(
            _of_key(url, key), data=str(value).encode(), timeout=timeout, allow_redirects=False
        ) as answer:
            if answer.status == 200:  # said before the body, whose loss takes nothing back
                return Reply("ok", 200, revision=_revision_of(answer))
            outcome: Outcome = "fail" if 400 <= answer.status < 500 or answer.status in (503, 507) else "unknown"
            return Reply(outcome, answer.status, await _reason(answer))
    except _NOTHING_SENT as error:
        return Reply("fail", 0, said(error))
    except UNREACHABLE as error:
        return Reply("unknown", 0, said(error))


async def get_value(session: aiohttp.ClientSession, url: str, key: str, timeout_s: float) -> Reply:
    """Read linearizably. Whatever is no value and no 404 is "fail": a read that failed says nothing."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with session.get(_of_key(url, key), timeout=timeout, allow_redirects=False) as answer:
            if answer.status == 404 and _problem_of(await _bounded(answer)).error == "key-not-found":
                return Reply("ok", 404, value=0)
            if answer.status != 200:
                return Reply("fail", answer.status, await _reason(answer))
            body = await _bounded(answer)
            value = number_in(body)
            strange = f"the value is {body[:40]!r}" if value == NOT_A_NUMBER else ""
            return Reply("ok", 200, strange, value, _revision_of(answer))
    except UNREACHABLE as error:
        return Reply("fail", 0, said(error))


def _revision_of(answer: aiohttp.ClientResponse) -> int:
    return max(0, number_in(answer.headers.get("ETag", "").strip('"').encode()))


def number_in(text: bytes) -> int:
    """The number that a client wrote, NOT_A_NUMBER where it is none."""
    return int(text) if text.isdigit() and len(text) <= NUMBER_DIGITS_MAX else NOT_A_NUMBER


def nothing_sent(error: BaseException) -> bool:
    """Whether there was no connection, so that the request certainly did not arrive."""
    return isinstance(error, _NOTHING_SENT)


async def get_bytes(session: aiohttp.ClientSession, address: str, timeout_s: float) -> tuple[int, bytes]:
    """HTTP status and answer, of at most ANSWER_BYTES_MAX. Raises one of UNREACHABLE."""
    return await _get(session, address, timeout_s)


async def post_bytes(
    session: aiohttp.ClientSession, address: str, question: Mapping[str, object], timeout_s: float
) -> tuple[int, bytes]:
    """The same of a POST."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with session.post(
        address, data=msgspec.json.encode(question), timeout=timeout, allow_redirects=False
    ) as answer:
        return answer.status, await _bounded(answer)


async def page(session: aiohttp.ClientSession, url: str, what: str, decoder: msgspec.json.Decoder[_Page]) -> _Page:
    """One answer of a node to a GET. Raises ChaosError where it gives none, or another one than expected."""
    try:
        status, body = await _get(session, f"{url}{what}", PAGE_TIMEOUT_SECONDS)
    except UNREACHABLE as error:
        raise _no_answer(url, what, error) from None
    return _decoded(decoder, url, status, body)


async def post_page(
    session: aiohttp.ClientSession,
    url: str,
    what: str,
    question: Mapping[str, object],
    decoder: msgspec.json.Decoder[_Page],
) -> _Page:
    """One answer of a node to a question that takes a POST and changes nothing. Raises ChaosError, as `page` does."""
    try:
        status, body = await post_bytes(session, f"{url}{what}", question, PAGE_TIMEOUT_SECONDS)
    except UNREACHABLE as error:
        raise _no_answer(url, what, error) from None
    return _decoded(decoder, url, status, body)


def _of_key(url: str, key: str) -> str:
    return f"{url}/kv/{quote(key, safe='/')}"


async def _get(session: aiohttp.ClientSession, address: str, timeout_s: float) -> tuple[int, bytes]:
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with session.get(address, timeout=timeout, allow_redirects=False) as answer:
        return answer.status, await _bounded(answer)


def _no_answer(url: str, what: str, error: BaseException) -> ChaosError:
    return ChaosError(f"{url}{what} gave no answer ({said(error)}); is the node up?")


def _decoded(decoder: msgspec.json.Decoder[_Page], url: str, status: int, body: bytes) -> _Page:
    if status != 200:
        problem = _problem_of(body)
        raise ChaosError(f"{url} answered {status} {problem.error}: {problem.message or 'no reason given'}")
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ChaosError(f"{url} answered as no node does ({error}); is it another program or version?") from None


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > ANSWER_BYTES_MAX:
            raise AnswerLost(f"an answer longer than {ANSWER_BYTES_MAX} bytes")
    return bytes(body)


async def _reason(answer: aiohttp.ClientResponse) -> str:
    try:
        problem = _problem_of(await _bounded(answer))
    except UNREACHABLE:
        return f"HTTP {answer.status}"
    return f"{problem.error}: {problem.message}"[:ERROR_CHARACTERS_MAX] if problem.error else f"HTTP {answer.status}"


def _problem_of(body: bytes) -> _Problem:
    try:
        return _PROBLEM.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return _Problem()


def said(error: BaseException) -> str:
    """Why there was no answer, for people."""
    return (str(error) or type(error).__name__)[:ERROR_CHARACTERS_MAX]
