"""What a node says of changes, as it goes on to another node: server-sent events in, changes out, each once.

Why it exists: whoever comes back says the revision up to which all was heard. So the changes of one revision are held
until the last of them is there: a stream that breaks between them is as if none had come. It must not choose the node.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
from yarl import URL

from raftclient.answers import Answer, Failed, failed, send_once
from raftclient.errors import HistoryGone, NotDone

BLOCK_BYTES_MAX = 8 * 1024 * 1024
"""A longer event is none of a node's: a value has a mebibyte at most, and is said twice."""


CONNECT_SECONDS_MAX = 2.0
SILENCE_SECONDS = 20.0
"""A node that says nothing for so long is left: one that is well says every 15 s that it is there."""
REFUSAL_BYTES_MAX = 64 * 1024


class Change(NamedTuple):
    """What a write did to a key. `value` None: the key was removed. Changes of one revision belong together."""

    key: bytes
    value: bytes | None
    revision: int


class Followed:
    """`next`: the first revision that is still to be heard; 0: from now on. `began`: whether the present stream did."""

    def __init__(self, prefix: bytes, revision: int) -> None:
        self.prefix = prefix
        self.next = revision
        self.began = False
        self._held: list[Change] = []

    def begin(self) -> None:
        """A stream begins anew, from `next` on."""
        self.began = False
        self._held.clear()

    def take(self, block: bytes) -> list[Change]:
        """One event of the stream; the changes that are whole by now. Raises `HistoryGone`, or `Failed` where another
        node may say more: this one has no leader, or says what no node says."""
        fields = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
        kind = fields.get(b"event", b"")
        try:
            heard_until = int(fields[b"id"]) if b"id" in fields else None
            said = json.loads(fields[b"data"]) if b"data" in fields else {}
            if kind == b"compacted":
                raise HistoryGone("WATCH", self.prefix, "", str(said["message"]), int(said["compact_revision"]))
            if kind in (b"put", b"delete"):
                self._held.append(_change(said, deleted=kind == b"delete"))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise Failed(f"an event that no node sends ({type(error).__name__})", safe=True) from None
        if kind == b"no-leader":
            raise Failed(str(said.get("message", "it knows no leader")), safe=True, elsewhere=True)
        self.began = self.began or kind == b"watching"
        if heard_until is None:
            return []
        self.next = max(self.next, heard_until + 1)
        whole, self._held = self._held, []
        return whole


def _change(said: dict[str, Any], *, deleted: bool) -> Change:
    value = None if deleted else base64.b64decode(said["value_base64"])
    return Change(base64.b64decode(said["key_base64"]), value, int(said["revision"]))


async def blocks(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The events of a stream. Raises `Failed` for one that is too long."""
    waiting = bytearray()
    async for piece in pieces:
        searched = max(0, len(waiting) - 1)
        waiting += piece
        while (end := waiting.find(b"\n\n", searched)) >= 0:
            yield bytes(waiting[:end])
            del waiting[: end + 2]
            searched = 0
        if len(waiting) > BLOCK_BYTES_MAX:
            raise Failed(f"an event is longer than {BLOCK_BYTES_MAX} bytes", safe=True)


async def changes(
    session: aiohttp.ClientSession, endpoint: str, followed: Followed, answer_s: float
) -> AsyncGenerator[Change, None]:
    """What one node says, until it says no more. It has `answer_s` to begin. Raises `Failed`."""
    url = f"{endpoint}/kv/?prefix={quote(followed.prefix, safe='')}&watch=1&revision={followed.next}"
    times = aiohttp.ClientTimeout(None, CONNECT_SECONDS_MAX, SILENCE_SECONDS, CONNECT_SECONDS_MAX)
    options: dict[str, Any] = {"timeout": times, "allow_redirects": False, "raise_for_status": False}
    options |= {"headers": {"Accept-Encoding": "identity"}, "middlewares": (send_once,)}
    try:
        async with contextlib.AsyncExitStack() as open_:
            async with asyncio.timeout(answer_s):
                answer = await open_.enter_async_context(session.get(URL(url, encoded=True), **options))
            if answer.status != 200:
                await _refused(answer, endpoint, followed)
            async with contextlib.aclosing(blocks(answer.content.iter_any())) as found:
                async for block in found:
                    for change in followed.take(block):
                        yield change
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise failed(error) from None


async def _refused(response: aiohttp.ClientResponse, endpoint: str, followed: Followed) -> None:
    """Raises what a node's refusal of a watch means: `Failed` where another one may take it."""
    answer = Answer(response.status, response.headers, await response.content.read(REFUSAL_BYTES_MAX))
    said, prefix = answer.said(), followed.prefix
    reason = str(said.get("message") or f"HTTP {answer.status}")
    if answer.status == 410 and isinstance(said.get("compact_revision"), int):
        raise HistoryGone("WATCH", prefix, endpoint, reason, said["compact_revision"])
    if said.get("error") and answer.status in (400, 403, 404):
        refused = NotDone("WATCH", prefix, endpoint, reason)
        refused.status = answer.status
        raise refused
    raise Failed(reason, safe=True)
