"""A client for applications: finds the leader, repeats what is safe to repeat, says when an outcome is unknown.

Why it exists: a write that failed on the way may have happened, and a program that repeats it does it twice. This
client repeats a write only where it was provably never proposed: no connection was made, or the node said so with
its own 503. It must not know anything of `node`, and must not hide an unknown outcome.

    async with RaftClient(["http://127.0.0.1:8001", "http://127.0.0.1:8002"]) as client:
        revision = await client.put("greeting", "hello")
        found = await client.get("greeting")  # Value(b"hello", revision), or None
        await client.compare_and_set("greeting", "goodbye", revision)

After `OutcomeUnknown`, read the key: what is there settles a write that was made with `compare_and_set`.
"""

import asyncio
import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import aiohttp
from yarl import URL  # aiohttp's own: the only way to hand it a path that it leaves as it is

from raftclient.arguments import Text, endpoints_of, flag_of, key_of, revision_of, seconds_of, session_of, text_of

CONNECT_SECONDS_MAX = 2.0
READ_SECONDS_MAX = 2.0
"""One attempt of a read: a node that is paused takes connections and does not answer, and another one would."""
STATUS_SECONDS_MAX = 0.5
SILENCE_SECONDS = 1.0
"""A node that has not answered a call for so long is left by new calls, unless it still says that it leads. The write
that waits there goes on waiting: it may have happened, so only that node can say what became of it."""
ATTEMPT_SECONDS_MIN = 0.25
"""With less time than this left, nothing is sent again: too late to be answered, it would make an unknown outcome."""
BACKOFF_SECONDS_MIN, BACKOFF_SECONDS_MAX = 0.02, 0.2
"""Between attempts; doubles from the first to the second."""
LEAVING_SECONDS = 5.0
"""How long a node that closed the connection after its answer is the last choice: it is about to end."""
IDLE_SECONDS_MAX = 2.0
"""A connection idle for longer is not used again: a leaving node lingers longer, so none is used as it closes."""
ANSWER_BYTES_MAX = 4 * 1024 * 1024


class Value(NamedTuple):
    """What is stored. `revision`: of the store when this key was last written."""

    value: bytes
    revision: int


class ClientError(Exception):
    """`key` and `endpoint` (the node that was asked last) say what it is about, `reason` why it failed."""

    cure = ""

    def __init__(self, method: str, key: bytes, endpoint: str, reason: str) -> None:
        super().__init__(f"{method} {key[:100].decode(errors='replace')!r} at {endpoint}: {reason}; {self.cure}.")
        self.key, self.endpoint, self.reason = key, endpoint, reason


class NotDone(ClientError):
    """Provably nothing happened, and nothing will. `status`: HTTP's where a node refused for good, else 0."""

    cure = "nothing happened"
    status = revision = 0


class RevisionMismatch(NotDone):
    """The key was not at the revision that the write demanded. `revision`: where it is, 0 for no such key."""


class OutcomeUnknown(ClientError):
    """The write may have happened, or may happen yet."""

    cure = "the outcome is unknown: read the key before you repeat the write"


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def said(self) -> dict[str, Any]:
        """The JSON object of the answer; empty where it is none."""
        with contextlib.suppress(ValueError):
            found = json.loads(self.body)
            return found if isinstance(found, dict) else {}
        return {}

    def revision(self) -> int:
        """From the ETag, else from the body, as after DELETE; 0 where no node answers like this."""
        etag = self.headers.get("ETag", "").strip('"')
        found = int(etag) if etag.isdecimal() else self.said().get("revision")
        return found if isinstance(found, int) else 0


class _Failed(Exception):
    """No answer, or one that settles nothing; `safe`: the request had certainly no effect."""

    def __init__(self, reason: str, safe: bool) -> None:
        super().__init__(reason)
        self.safe = safe


def _failed(error: Exception) -> _Failed:
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return _Failed(f"no connection ({error})", safe=True)
    why = "silence" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return _Failed(f"the request was sent, and no whole answer came ({why})", safe=False)


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp repeats a PUT or DELETE by itself where a kept connection breaks: it must see none of its own errors."""
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as error:
        raise _failed(error) from None


class RaftClient:
    """Any number of tasks may use one client; every call ends within `timeout_s`. `endpoints`: base URLs of nodes, or
    of a Service before them. `session`: one to use instead of an own, not closed here. Counters: `attempts` (requests
    for keys), `retries` (those after a call's first), `longest_stall_s` (the longest that a call took).

    Arguments of a wrong type are a TypeError, before anything is sent."""

    def __init__(
        self, endpoints: Sequence[str], *, timeout_s: float = 15.0, session: aiohttp.ClientSession | None = None
    ) -> None:
        self._endpoints, self._timeout_s = endpoints_of(endpoints), seconds_of("timeout_s", timeout_s)
        self._session, self._is_own = session_of(session), session is None
        self._is_open = False
        self._current = 0
        self._leaving_until: dict[str, float] = {}
        self._search: asyncio.Task[None] | None = None
        self.attempts = self.retries = 0
        self.longest_stall_s = 0.0

    async def __aenter__(self) -> Self:
        if self._session is None:
            # Addresses are looked up for each connection: in Kubernetes a name outlives its address.
            connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False, keepalive_timeout=IDLE_SECONDS_MAX)
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False)
        self._is_open = True
        try:
            await self._find_leader()
        except BaseException:  # cancelled: nobody will call __aexit__
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Writes under way end as `OutcomeUnknown`."""
        self._is_open = False
        try:
            if self._search is not None:
                self._search.cancel()
                await asyncio.wait([self._search])
        finally:
            if self._is_own and self._session is not None:
                await self._session.close()
                self._session = None

    async def get(self, key: Text, *, stale: bool = False) -> Value | None:
        """The value, linearizable, or with `stale` what the node that is asked has; None: no such key."""
        query = "consistency=stale&" if flag_of("stale", stale) else ""
        answer = await self._call("GET", key_of(key), query=query)
        return None if answer.status == 404 else Value(answer.body, answer.revision())

    async def put(self, key: Text, value: Text) -> int:
        """Set a value; the revision of the write."""
        return (await self._call("PUT", key_of(key), text_of("value", value))).revision()

    async def compare_and_set(self, key: Text, value: Text, expect_revision: int) -> int:
        """Set a value only where the key is still at that revision (0: where there is none); the new revision.
        Raises `RevisionMismatch`."""
        demanded = revision_of(expect_revision)
        return (await self._call("PUT", key_of(key), text_of("value", value), demanded)).revision()

    async def delete(self, key: Text, *, expect_revision: int | None = None) -> int | None:
        """Remove a key; the revision of the write, None where there was no such key. Raises `RevisionMismatch`."""
        demanded = None if expect_revision is None else revision_of(expect_revision)
        answer = await self._call("DELETE", key_of(key), None, demanded)
        return None if answer.status == 404 else answer.revision()

    async def status(self) -> dict[str, dict[str, Any] | None]:
        """`/status` of every endpoint, None where there was no answer."""
        return dict(zip(self._endpoints, await asyncio.gather(*map(self._status, self._endpoints)), strict=True))

    async def _call(
        self, method: str, key: bytes, body: bytes | None = None, revision: int | None = None, query: str = ""
    ) -> _Answer:
        """Attempt after attempt until an answer settles the matter, one way or the other."""
        loop = asyncio.get_running_loop()
        began, wait, reason, attempts = loop.time(), BACKOFF_SECONDS_MIN, "no time", 0
        demand = {} if revision is None else {"If-Match": f'"{revision}"'} if revision else {"If-None-Match": "*"}
        quoted = quote(key, safe="").replace(".", "%2E")  # dots alone would be the name of a folder
        try:
            while (left := began + self._timeout_s - loop.time()) > ATTEMPT_SECONDS_MIN or not attempts:
                endpoint = self._endpoints[self._current]
                self.attempts, self.retries, attempts = self.attempts + 1, self.retries + bool(attempts), attempts + 1
                limit = min(left, READ_SECONDS_MAX) if method == "GET" else left
                # The node's own time ends first: it can tell what was never proposed, a client's silence cannot.
                path = f"/kv/{quoted}?{query}timeout_ms={max(1, min(60_000, int(limit * 900)))}"
                silence = loop.call_later(SILENCE_SECONDS, self._move_on, endpoint)
                try:
                    answer = await self._send(method, endpoint + path, limit, body, demand)
                    if answer.headers.get("Connection", "").lower() == "close":
                        self._leaving_until[endpoint] = loop.time() + LEAVING_SECONDS
                        self._move_on(endpoint)
                    return _settled(method, key, endpoint, answer)
                except _Failed as error:
                    reason = str(error)
                    self._move_on(endpoint)
                    if method != "GET" and not error.safe:
                        raise OutcomeUnknown(method, key, endpoint, reason) from None
                finally:
                    silence.cancel()
                await asyncio.sleep(wait)
                wait = min(wait * 2, BACKOFF_SECONDS_MAX)
            raise NotDone(method, key, endpoint, f"{reason} ({attempts} attempts in {self._timeout_s:g} s)")
        finally:
            self.longest_stall_s = max(self.longest_stall_s, loop.time() - began)

    async def _send(self, method: str, url: str, limit_s: float, body: bytes | None, demand: dict[str, str]) -> _Answer:
        """One request, sent at most once."""
        if self._session is None or not self._is_open:
            raise RuntimeError("the client is not open: use it as `async with RaftClient(...) as client`")
        options: dict[str, Any] = {"data": body, "headers": {"Accept-Encoding": "identity", **demand}}
        # The threshold is where aiohttp begins to round limits up to whole seconds.
        limits = {"total": limit_s, "connect": min(CONNECT_SECONDS_MAX, limit_s / 2), "ceil_threshold": math.inf}
        options["timeout"] = aiohttp.ClientTimeout(**limits)
        options |= {"allow_redirects": False, "raise_for_status": False, "middlewares": (_send_once,)}
        try:
            async with self._session.request(method, URL(url, encoded=True), **options) as answer:
                content = bytearray()
                async for piece in answer.content.iter_any():
                    content += piece
                    if len(content) > ANSWER_BYTES_MAX:
                        raise _Failed(f"the answer is longer than {ANSWER_BYTES_MAX} bytes", safe=False)
                return _Answer(answer.status, answer.headers, bytes(content))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failed(error) from None

    def _move_on(self, endpoint: str) -> None:
        """To another endpoint, unless another call has moved on already; meanwhile look who leads."""
        count = len(self._endpoints)
        if self._endpoints[self._current] != endpoint or count == 1:
            return
        others = [*range(self._current + 1, count), *range(self._current)]
        self._current = next((number for number in others if not self._leaves(number)), others[0])
        if self._is_open and (self._search is None or self._search.done()):
            self._search = asyncio.create_task(self._find_leader(), name="find the leader")

    def _leaves(self, number: int) -> bool:
        return self._leaving_until.get(self._endpoints[number], 0.0) > asyncio.get_running_loop().time()

    async def _find_leader(self) -> None:
        """Prefer the endpoint that leads in the highest term: it saves a hop. Any node will do, so nothing fails."""
        found = await asyncio.gather(*map(self._status, self._endpoints))
        leaders = [
            (status["term"], number)
            for number, status in enumerate(found)
            if status and status.get("role") == "leader" and isinstance(status.get("term"), int)
        ]
        if leaders and not self._leaves(max(leaders)[1]):
            self._current = max(leaders)[1]

    async def _status(self, endpoint: str) -> dict[str, Any] | None:
        with contextlib.suppress(_Failed):
            answer = await self._send("GET", f"{endpoint}/status", STATUS_SECONDS_MAX, None, {})
            return answer.said() or None if answer.status == 200 else None
        return None


def _settled(method: str, key: bytes, endpoint: str, answer: _Answer) -> _Answer:
    """The answer where it is the result; raises `NotDone` where the node refused for good, else `_Failed`."""
    if answer.status == 200 and answer.revision() and (method != "GET" or "ETag" in answer.headers):
        return answer
    said = answer.said()
    code, message = said.get("error"), said.get("message")
    if not (isinstance(code, str) and isinstance(message, str)):
        raise _Failed(f"answered {answer.status}, not as a node does", safe=False)
    if answer.status == 404 and code == "key-not-found" and method != "PUT":
        return answer
    if 400 <= answer.status < 500 or answer.status == 507:
        refused = (RevisionMismatch if answer.status == 412 else NotDone)(method, key, endpoint, message)
        refused.status, refused.revision = answer.status, answer.revision()
        raise refused
    never_proposed = answer.status == 503 and "leader" in said and "Retry-After" in answer.headers
    raise _Failed(f"answered {answer.status}: {message}", safe=never_proposed)
