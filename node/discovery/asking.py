"""The client of a registry: register, withdraw, look up; short waits, bounded answers, no retries.

Why it exists: a dial waits for a look-up, so a registry that is slow or gone must cost it little: after a failed
look-up nobody waits for the next seconds, who look elsewhere at once. It must not remember an answer.
"""

import asyncio
from typing import TypeVar

import aiohttp
import msgspec

from node.discovery.lookup import Lookup
from node.discovery.own_threads import OwnThreads
from node.discovery.port import ResolutionError
from node.discovery.words import ANSWER_BYTES_MAX, Found, Registered, Registration

LOOK_UP_S_MAX = 0.3
"""Less than half of what a dial has (`LinkSettings.dial_timeout_s`): the other half is for who answered."""
REGISTER_S_MAX = 1.0
SILENT_S = 2.0
"""After a look-up that was not answered nobody waits for another for so long."""
CONNECTIONS_MAX = 8
WORDS_CHARS_MAX = 200
"""Of what a registry, or what is none, says of itself."""

T = TypeVar("T")


class RegistryClient:
    """`url`: where the registry is, such as `http://127.0.0.1:5000`. Every failure is a `ResolutionError`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._lookup = Lookup()
        self._silent_until_s = 0.0
        self._why_silent = ""

    async def find(self, name: str) -> Found:
        """Who is registered under that name now."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._silent_until_s:
            raise ResolutionError(self._why_silent)  # the same words: a link tells of each other reason
        try:
            return await self._ask("GET", f"/nodes/{name}", None, LOOK_UP_S_MAX, Found)
        except ResolutionError as error:
            self._silent_until_s, self._why_silent = loop.time() + SILENT_S, str(error)
            raise

    async def register(self, said: Registration) -> Registered:
        """Say where this process is. What is answered ends a silence, too."""
        answer = await self._ask("PUT", f"/nodes/{said.name}", msgspec.json.encode(said), REGISTER_S_MAX, Registered)
        self._silent_until_s = 0.0
        return answer

    async def withdraw(self, name: str, boot: str) -> None:
        """This process leaves."""
        await self._ask("DELETE", f"/nodes/{name}?boot={boot}", None, LOOK_UP_S_MAX, dict[str, bool])

    async def _ask(self, method: str, path: str, body: bytes | None, seconds_max: float, kind: type[T]) -> T:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, resolver=OwnThreads(self._lookup)),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        try:
            async with (
                asyncio.timeout(seconds_max),
                self._session.request(method, self.url + path, data=body, allow_redirects=False) as answer,
            ):
                text = await answer.content.read(ANSWER_BYTES_MAX + 1)
                while len(text) <= ANSWER_BYTES_MAX and (more := await answer.content.read(ANSWER_BYTES_MAX)):
                    text += more
        except TimeoutError:
            raise ResolutionError(f"the registry {self.url} did not answer within {seconds_max} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ResolutionError(f"the registry {self.url} cannot be asked: {_in_one_line(str(error))}") from None
        if len(text) > ANSWER_BYTES_MAX:
            raise ResolutionError(f"the registry {self.url} answers more than {ANSWER_BYTES_MAX} bytes")
        if answer.status != 200:
            raise ResolutionError(f"the registry {self.url} refuses: {_sentence_of(text, answer.status)}")
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ResolutionError(f"{self.url} is no registry: {error}") from None

    async def close(self) -> None:
        """End its connections."""
        if self._session is not None:
            await self._session.close()
        await self._lookup.close()


def _sentence_of(text: bytes, status: int) -> str:
    try:
        return _in_one_line(str(msgspec.json.decode(text, type=dict[str, object])["message"]))
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):
        return f"status {status}"


def _in_one_line(text: str) -> str:
    """What it says goes into the log, once for each other sentence: so it is short, and one line."""
    words = " ".join(text.split())
    return "".join(each if each.isprintable() else "?" for each in words)[:WORDS_CHARS_MAX]
