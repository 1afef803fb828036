"""The API server as this tool uses it: JSON requests and WebSockets, each with a timeout, each failure a sentence.

Why it exists: the generated client blocks, and its stream call swaps methods of a shared object, so it may not be used
from two threads; here every request is a coroutine and every WebSocket its own connection. It must not know what is
asked for. A request is sent once, but for GET, PUT and DELETE on a kept connection that turns out to be broken: so a
PUT carries the object's resourceVersion and a DELETE a precondition wherever doing it twice would matter.
"""

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from chaos.errors import ChaosError, Refused
from chaos.targets.kubernetes.account import Account

T = TypeVar("T")
Object = dict[str, Any]
"""A Kubernetes object as it is in JSON."""

REQUEST_SECONDS_MAX = 10.0
CONNECT_SECONDS_MAX = 5.0
HEARTBEAT_SECONDS = 10.0
"""A WebSocket whose other end falls silent is given up after one and a half of these."""
FRAME_BYTES_MAX = 4 * 1024 * 1024
PAGE_OBJECTS = 500
PAGES_MAX = 40
LISTS_MAX = 3
CHANNELS = "v4.channel.k8s.io"
"""The subprotocol of exec and port-forward: the first byte of a frame is its channel."""
MERGE_PATCH = "application/merge-patch+json"


class ApiError(ChaosError):
    """The API server said no. `status`: of HTTP; 0: it was not reached."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


class Forbidden(ApiError, Refused):
    """A permission is missing; the message is the API server's own, which names verb, resource and namespace."""

    code = Refused.code


class Unreachable(ApiError):
    """Nobody answers."""


class Api:
    """One account at one API server. Close it."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=account.tls or False),
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS_MAX, sock_connect=CONNECT_SECONDS_MAX),
        )

    async def get(self, path: str, **query: str) -> Object:
        return await self._request("GET", path, query)

    async def find(self, path: str, **query: str) -> Object | None:
        """As `get`; None where there is no such object."""
        try:
            return await self._request("GET", path, query)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def items(self, path: str, **query: str) -> list[Object]:
        """Every object of a list, page by page; from the beginning where it changed too much meanwhile (410)."""
        for _ in range(LISTS_MAX - 1):
            try:
                return await self._pages(path, dict(query))
            except ApiError as error:
                if error.status != 410:
                    raise
        return await self._pages(path, query)

    async def _pages(self, path: str, query: dict[str, str]) -> list[Object]:
        found: list[Object] = []
        query["limit"] = str(PAGE_OBJECTS)
        for _ in range(PAGES_MAX):
            page = await self._request("GET", path, query)
            found += page.get("items") or []
            more = page.get("metadata", {}).get("continue")
            if not more:
                return found
            query["continue"] = more
        raise ApiError(f"{path} has more than {PAGE_OBJECTS * PAGES_MAX} objects: too many for this tool.")

    async def create(self, path: str, body: Object) -> Object:
        return await to_its_end(self._request("POST", path, {}, body))

    async def replace(self, path: str, body: Object) -> Object:
        """With `metadata.resourceVersion` in `body`: 409 where somebody else changed it meanwhile."""
        return await to_its_end(self._request("PUT", path, {}, body))

    async def patch(self, path: str, body: Object) -> Object:
        """A JSON merge patch: what is named is replaced, None removes."""
        return await to_its_end(self._request("PATCH", path, {"fieldManager": "raft-chaos"}, body, MERGE_PATCH))

    async def delete(self, path: str, options: Object | None = None) -> bool:
        """Whether there was such an object."""
        try:
            await to_its_end(self._request("DELETE", path, {}, options))
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def websocket(self, path: str, query: Sequence[tuple[str, str]]) -> aiohttp.ClientWebSocketResponse:
        """A connection of its own to a subresource that streams; whoever asks for it closes it."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS_MAX):
                return await self._session.ws_connect(
                    self._url(path, query),
                    headers=await self.account.headers(),
                    protocols=(CHANNELS,),
                    heartbeat=HEARTBEAT_SECONDS,
                    max_msg_size=FRAME_BYTES_MAX,
                    proxy=self.account.proxy,
                    server_hostname=self.account.server_name,
                )
        except aiohttp.WSServerHandshakeError as error:
            sentence = f"{path}: the API server answered {error.status} ({error.message})"
            if error.status in (401, 403):
                raise self._denied(error.status, f"opening {path} is not allowed ({error.message})") from error
            raise ApiError(sentence, error.status) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from error

    async def close(self) -> None:
        await self._session.close()

    async def _request(
        self, verb: str, path: str, query: Mapping[str, str], body: Object | None = None, kind: str = "application/json"
    ) -> Object:
        headers = {"Accept": "application/json", **({} if body is None else {"Content-Type": kind})}
        try:
            async with asyncio.timeout(REQUEST_SECONDS_MAX):  # a credential plugin may never answer
                headers |= await self.account.headers()
            async with self._session.request(
                verb,
                self._url(path, tuple(query.items())),
                data=None if body is None else json.dumps(body),
                headers=headers,
                proxy=self.account.proxy,
                server_hostname=self.account.server_name,
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from error
        try:
            said = json.loads(content) if content else {}
        except (ValueError, RecursionError):
            said = {"message": content[:200].decode(errors="replace")}
        if answer.status < 400:
            return dict(said)
        message = str(said.get("message") or answer.reason)
        if answer.status in (401, 403):
            raise self._denied(answer.status, message)
        raise ApiError(f"{verb} {path}: the API server answered {answer.status} ({message}).", answer.status)

    def _url(self, path: str, query: Sequence[tuple[str, str]]) -> URL:
        # Encoded here and once: selectors hold characters that may not be encoded twice
        return URL(self.account.host + path + ("?" + urlencode(query) if query else ""), encoded=True)

    def _denied(self, status: int, message: str) -> Forbidden:
        if status == 401:
            return Forbidden(
                f"{self.account.host} does not know whoever asks by context {self.account.context} ({message}): "
                "has its token or certificate expired?",
                401,
            )
        return Forbidden(
            f"Context {self.account.context} lacks a permission: {message}. The chart's Role has it: "
            "helm upgrade ... --set chaos.rbac.create=true, and see docs/chaos.md.",
            403,
        )

    def _unreachable(self, error: BaseException) -> Unreachable:
        what = str(error) or type(error).__name__
        return Unreachable(
            f"The cluster of context {self.account.context} at {self.account.host} does not answer: {what}."
        )


async def to_its_end(change: Coroutine[Any, Any, T], seconds: float = REQUEST_SECONDS_MAX) -> T:
    """Wait for the answer even when cancelled, in bounds: what is healed next must see what was done."""
    task = asyncio.ensure_future(change)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,), timeout=seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
