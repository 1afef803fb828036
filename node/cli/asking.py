"""One request about a key, sent to node after node until an answer settles it.

Why it exists: a command should not leave a person with a write that may have happened. It writes in a session of the
cluster, which does a write once however often it comes, so it is sent again until there is an answer or its time is up.
It must not print, and must not call an outcome known that is not: only what a node says settles anything.
"""

import asyncio
import contextlib
import errno
import math
import os
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from node.cli.failure import UNAVAILABLE, UNKNOWN_OUTCOME, Failure
from node.cli.identity import asking_session, trouble
from node.supervisor.watch import UNREACHABLE, read_bounded

REQUEST_TIMEOUT_SECONDS = 15.0
"""For all attempts together, and beyond the nodes' own request timeout: they give a better answer than silence."""
ATTEMPT_SECONDS_MAX = 2.0
"""The first round of a write in a session: a node that is paused does not answer, and another one would. Twice as long
in each round that follows, since it may be the cluster that is slow, and not one node."""
ATTEMPT_SECONDS_MIN = 0.25
"""With less time than this left, nothing is sent again."""
AGAIN_SECONDS = 0.1
"""Between two rounds."""
SESSION_IDLE_MS = 60_000
"""A command's session is soon forgotten: the cluster has room for a bounded number of them."""
BODY_BYTES_MAX = 2 * 1024 * 1024
"""Of a value to send or an answer to take; nodes refuse values over 1 MiB themselves."""

SESSION_GONE = ("session-expired", "sequence-answered", "sequence-reused")
"""Codes of refusals that are about the session, not about the write: nothing was done now."""


class Answer:
    """What a node answered."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, url: str) -> None:
        self.status, self.headers, self.body, self.url = status, headers, body, url

    @property
    def said(self) -> dict[str, object]:
        """The JSON object; empty where there is none."""
        with contextlib.suppress(msgspec.MsgspecError, RecursionError):
            return msgspec.json.decode(self.body, type=dict[str, object])
        return {}

    @property
    def reason(self) -> str:
        """The node's sentence, where it gave one."""
        said = self.said
        if not said:
            return self.body.decode(errors="replace").strip()[:300] or f"HTTP {self.status}"
        return str(said.get("message") or said.get("error") or f"HTTP {self.status}")

    @property
    def revision(self) -> int | None:
        """From the ETag, else from the JSON of an answer that has none."""
        text = self.headers.get("ETag", "").strip('"')
        found = int(text) if text.isdecimal() else self.said.get("revision")
        return found if isinstance(found, int) else None


class NotSent(Exception):
    """No connection: the node never got it. The message says who cannot be reached, and how."""


class NoAnswer(Exception):
    """It was sent, and no whole answer came; the message says why."""


class Asking:
    """`addresses`: base URLs of nodes. One object for one request."""

    def __init__(self, http: aiohttp.ClientSession, method: str, key: str, addresses: list[str]) -> None:
        self._http, self._method, self._key, self._addresses = http, method, key, addresses
        self._path = f"/kv/{quote(os.fsencode(key), safe='')}"
        self._until = asyncio.get_running_loop().time() + REQUEST_TIMEOUT_SECONDS
        self._troubles: list[str] = []

    async def read(self, query: Mapping[str, str]) -> Answer:
        """A read changes nothing and may always be repeated: the first answer that is no "not now"."""
        last: Answer | None = None
        for address in self._addresses:
            try:
                last = await self._send("GET", address, self._path, query)
            except (NotSent, NoAnswer) as error:
                self._troubles.append(str(error))
                continue
            if last.status not in (503, 504):
                return last
        return last or self._nobody()

    async def write(self, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Session after session, until an answer settles the matter. Raises Failure where none does."""
        while True:
            session = await self._register()
            if isinstance(session, Answer):
                return session
            if not session:
                return await self._write_once(body, headers)
            answer = await self._write_again(body, {**headers, "Raft-Session": session, "Raft-Sequence": "1"})
            if answer.said.get("error") not in SESSION_GONE:
                return answer  # else nothing was done, in a session that had to make room for others

    async def _register(self) -> str | Answer:
        """A new session, empty where nodes know none; or the answer that ends it all. Nothing is written yet, so any
        node may be asked; who answers is asked first from now on."""
        last: Answer | None = None
        for address in list(self._addresses):
            limit = min(ATTEMPT_SECONDS_MAX, self._left())
            try:
                answer = await self._send("POST", address, "/sessions", {"idle_ms": str(SESSION_IDLE_MS)}, limit=limit)
            except (NotSent, NoAnswer) as error:
                self._troubles.append(str(error))
                continue
            self._addresses.remove(address)
            self._addresses.insert(0, address)
            if answer.status == 200:
                return str(answer.said.get("session", ""))
            if answer.status < 500:
                return "" if answer.status == 404 else answer
            last = answer
        if last is None:
            self._nobody()
        return Answer(503, {}, last.body, last.url)  # whatever became of the session, nothing was written

    async def _write_once(self, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Without a session: to a next node only after 503 (never proposed), for anything else could do it twice."""
        last: Answer | None = None
        for address in self._addresses:
            try:
                last = await self._send(self._method, address, self._path, {}, body, headers)
            except NotSent as error:
                self._troubles.append(str(error))
                continue
            except NoAnswer as error:
                self._unknown(str(error))
            if last.status != 503:
                return last
        return last or self._nobody()

    async def _write_again(self, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """In a session: round after round, as long as an attempt may have been done, and nothing settles it."""
        patience, doubt, last = ATTEMPT_SECONDS_MAX, "", None
        while True:
            for address in self._addresses:
                limit = min(patience, self._left())
                if doubt and limit < ATTEMPT_SECONDS_MIN:
                    self._unknown(doubt)
                try:
                    last = await self._send(self._method, address, self._path, {}, body, headers, limit)
                except NotSent as error:
                    self._troubles.append(str(error))
                except NoAnswer as error:
                    doubt = str(error)
                else:
                    if doubt and last.said.get("error") in SESSION_GONE:
                        self._unknown(f"{doubt}, and then {address} said: {last.reason.rstrip('.')}")
                    if _settles(last, bool(doubt)):
                        return last
                    if last.status != 503:
                        doubt = f"{address} answered {last.status} ({last.reason.rstrip('.')})"
            if not doubt:
                return last or self._nobody()
            patience *= 2
            await asyncio.sleep(min(AGAIN_SECONDS, self._left()))

    async def _send(
        self,
        method: str,
        address: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit: float = math.inf,
    ) -> Answer:
        """Once. Raises NotSent or NoAnswer. The node's own time ends first: it can tell what was never proposed, a
        client's silence cannot."""
        node_ms = {"timeout_ms": str(max(1, int(limit * 900)))} if limit < math.inf else {}
        limit = min(limit, self._left())
        url = URL(f"{address}{path}", encoded=True).update_query({**query, **node_ms})
        timeout = aiohttp.ClientTimeout(total=limit, sock_connect=min(2.0, limit), ceil_threshold=math.inf)
        options: dict[str, Any] = {"data": body, "headers": headers, "timeout": timeout, "allow_redirects": False}
        try:
            async with self._http.request(method, url, **options) as response:
                content = await read_bounded(response, BODY_BYTES_MAX)
                return Answer(response.status, response.headers, content, address)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            refused = isinstance(error, OSError) and error.errno == errno.ECONNREFUSED
            said = trouble(error) or ("refuses connections" if refused else "cannot be reached")
            raise NotSent(f"{address} {said}") from None
        except (*UNREACHABLE, ValueError) as error:
            if wrong := trouble(error):
                raise NotSent(f"{address} {wrong}") from None
            raise NoAnswer(f"{address} took the request and did not answer ({type(error).__name__})") from None

    def _left(self) -> float:
        return max(0.001, self._until - asyncio.get_running_loop().time())

    def _nobody(self) -> NoReturn:
        others = f", and so it is with {len(self._troubles) - 1} more" if len(self._troubles) > 1 else ""
        raise Failure(
            f"No node answers, so nothing happened: {self._troubles[0]}{others}; is the cluster running?", UNAVAILABLE
        )

    def _unknown(self, doubt: str) -> NoReturn:
        raise Failure(
            f"Unknown outcome: {doubt}, so the write may have happened or may happen yet: read {self._key!r} before "
            "you repeat it.",
            UNKNOWN_OUTCOME,
        )


def _settles(answer: Answer, doubtful: bool) -> bool:
    """Whether there is nothing to wait for any more. `doubtful`: an earlier attempt may have been done. What this one
    is refused for before it comes to the log then settles nothing; what the log says, it says of both."""
    code = answer.said.get("error")
    if answer.status in (200, 201, 204, 412) or code in SESSION_GONE or code == "key-not-found":
        return True
    refused = 300 <= answer.status < 500 or answer.status == 507
    return refused and not doubtful


async def asked(
    method: str,
    key: str,
    addresses: list[str],
    query: Mapping[str, str],
    body: bytes | None,
    headers: Mapping[str, str],
) -> Answer:
    """The answer that settles it; raises Failure where there is none."""
    async with asking_session() as http:
        asking = Asking(http, method, key, addresses)
        return await (asking.read(query) if method == "GET" else asking.write(body, headers))
