"""One watch, held at node after node until enough was told.

Why it exists: a node that fails must not end what a person or a script waits for. The changes of one revision are
printed once all of them are there, so whoever goes on at another node from the next revision misses nothing and prints
nothing twice. It must not decide what is printed where.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from node.cli.failure import FAILED, UNAVAILABLE, USAGE, Failure
from node.cli.identity import asking_session, trouble
from node.cli.stdout import complain
from node.supervisor.watch import UNREACHABLE, read_bounded

GIVE_UP_SECONDS = 30.0
"""So long no node may be had before the command ends."""
AGAIN_SECONDS = 0.2
SILENCE_SECONDS = 20.0
"""A node that says nothing for so long is left: one that is well says every 15 s that it is there."""
CONNECT_SECONDS_MAX = 2.0
BLOCK_BYTES_MAX = 8 * 1024 * 1024
"""A longer event is none of a node's."""
REFUSAL_BYTES_MAX = 64 * 1024


class _Ended(Exception):
    """This node says no more; the message says why."""


async def follow(prefix: bytes, addresses: list[str], revision: int, count: int, as_json: bool) -> None:
    """Print until `count` changes were told (0: for ever). Raises Failure."""
    async with asking_session() as http:
        following = _Following(http, prefix, revision, count, as_json)
        loop = asyncio.get_running_loop()
        until = loop.time() + GIVE_UP_SECONDS
        at = 0
        while True:
            address = addresses[at % len(addresses)]
            try:
                if await following.at(address):
                    return
                reason = "the node ended the watch"
            except _Ended as error:
                reason = str(error)
            except (*UNREACHABLE, ValueError) as error:
                wrong = trouble(error)
                reason = f"it {wrong}" if wrong else f"it cannot be reached ({type(error).__name__})"
            if following.began:
                until = loop.time() + GIVE_UP_SECONDS
                complain(f"{address}: {reason}; going on elsewhere.")
            elif loop.time() >= until:
                raise Failure(f"No node can be watched, {address} for one: {reason}.", UNAVAILABLE)
            at += 1
            await asyncio.sleep(AGAIN_SECONDS)


class _Following:
    def __init__(self, http: aiohttp.ClientSession, prefix: bytes, revision: int, count: int, as_json: bool) -> None:
        self.began = False
        self._http = http
        self._prefix = prefix
        self._next = revision
        self._left = count
        self._as_json = as_json
        self._held: list[dict[str, Any]] = []

    async def at(self, address: str) -> bool:
        """Watch at that node until it ends. True: enough was told."""
        self.began = False
        self._held.clear()
        url = f"{address}/kv/?prefix={quote(self._prefix, safe='')}&watch=1&revision={self._next}"
        times = aiohttp.ClientTimeout(None, CONNECT_SECONDS_MAX, SILENCE_SECONDS, CONNECT_SECONDS_MAX)
        async with self._http.get(URL(url, encoded=True), timeout=times, allow_redirects=False) as answer:
            if answer.status != 200:
                await self._refused(answer)
            async for block in _blocks(answer.content):
                if self._take(block):
                    return True
        return False

    async def _refused(self, answer: aiohttp.ClientResponse) -> None:
        body = await read_bounded(answer, REFUSAL_BYTES_MAX)
        try:
            said = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError):
            said = {}
        reason = str(said.get("message") or f"HTTP {answer.status}").rstrip(".")
        if answer.status == 410:
            raise Failure(f"{reason[:1].upper()}{reason[1:]}: read the keys, and watch from there on.", FAILED)
        if said and answer.status in (400, 401, 403, 404, 414):
            code = FAILED if answer.status in (401, 403) else USAGE
            raise Failure(f"The watch was refused with status {answer.status}: {reason}.", code)
        raise _Ended(reason)

    def _take(self, block: bytes) -> bool:
        """One event of the stream. True: enough was told."""
        fields = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
        kind = fields.get(b"event", b"")
        said = msgspec.json.decode(fields[b"data"], type=dict[str, Any]) if b"data" in fields else {}
        if kind == b"compacted":
            reason = str(said.get("message", "history is gone"))
            raise Failure(f"{reason[:1].upper()}{reason[1:]}: read the keys, and watch from there on.", FAILED)
        if kind == b"no-leader":
            raise _Ended(str(said.get("message", "it knows no leader")))
        if kind == b"watching":
            self.began = True
        elif kind in (b"put", b"delete"):
            self._held.append({"type": kind.decode(), **said})
        if b"id" not in fields:
            return False
        self._next = max(self._next, int(fields[b"id"]) + 1)
        held, self._held = self._held, []
        for change in held:
            print(_line(change, self._as_json))
            self._left -= 1
            if not self._left:
                break
        if held:
            sys.stdout.flush()
        return bool(held) and self._left == 0


def _line(change: dict[str, Any], as_json: bool) -> str:
    if as_json:
        return msgspec.json.encode(change).decode()
    key = _shown(change.get("key"), change["key_base64"])
    value = "" if change["type"] == "delete" else f"  {_shown(change.get('value'), change['value_base64'])}"
    return f"{change['revision']}  {change['type']:6}  {key}{value}"


def _shown(text: str | None, in_base64: str) -> str:
    """As it is, where a line can hold it."""
    if text is None:
        return f"base64:{in_base64}"
    return text if text.isprintable() else msgspec.json.encode(text).decode()


async def _blocks(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    waiting = bytearray()
    async for piece in content.iter_any():
        searched = max(0, len(waiting) - 1)
        waiting += piece
        while (end := waiting.find(b"\n\n", searched)) >= 0:
            yield bytes(waiting[:end])
            del waiting[: end + 2]
            searched = 0
        if len(waiting) > BLOCK_BYTES_MAX:
            raise _Ended(f"an event is longer than {BLOCK_BYTES_MAX} bytes")
