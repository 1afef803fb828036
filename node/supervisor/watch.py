"""What nodes say over HTTP: `/status` once, `/events` for as long as it lasts.

Why it exists: the supervisor and the commands ask nodes the same things. It must not decide what an answer means.
"""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import msgspec

from node.observe.events import TraceEvent
from node.runtime.ports import Status

STATUS_TIMEOUT_SECONDS = 1.0
STATUS_BYTES_MAX = 1024 * 1024
EVENT_LINE_BYTES_MAX = 256 * 1024
RECONNECT_SECONDS_MIN, RECONNECT_SECONDS_MAX = 0.05, 0.25
"""Between two attempts to follow a node that does not answer; the wait doubles from the first to the second."""

_STATUS = msgspec.json.Decoder(Status)
_EVENT = msgspec.json.Decoder(TraceEvent)
UNREACHABLE = (aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""What an attempt to talk to a node may raise when the node or the way to it is gone."""


def new_session(connector: aiohttp.BaseConnector | None = None) -> aiohttp.ClientSession:
    """A client that never goes through a proxy and follows no redirect to elsewhere."""
    return aiohttp.ClientSession(connector=connector, trust_env=False, read_bufsize=EVENT_LINE_BYTES_MAX)


async def fetch_status(session: aiohttp.ClientSession, url: str) -> Status | None:
    """The node's own view; None where it does not answer in time, or not as a node does."""
    timeout = aiohttp.ClientTimeout(total=STATUS_TIMEOUT_SECONDS)
    try:
        async with session.get(f"{url}/status", timeout=timeout, allow_redirects=False) as answer:
            if answer.status != 200:
                return None
            return _STATUS.decode(await answer.content.read(STATUS_BYTES_MAX))
    except (*UNREACHABLE, msgspec.MsgspecError, ValueError):
        return None


async def follow_events(session: aiohttp.ClientSession, url: str) -> AsyncIterator[TraceEvent]:
    """Every event of the node's transitions ring from its beginning, then each as it happens; never ends by itself.

    Reconnects with a bounded backoff and resumes where it was. Last-Event-ID names the process as well, so the events
    of a restarted node are told from its beginning.
    """
    wait, last_id = RECONNECT_SECONDS_MIN, ""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=STATUS_TIMEOUT_SECONDS)
    while True:
        try:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
            async with session.get(f"{url}/events", headers=headers, timeout=timeout, allow_redirects=False) as answer:
                if answer.status == 200:
                    wait = RECONNECT_SECONDS_MIN
                    async for line in answer.content:
                        if line.startswith(b"id:"):
                            last_id = line[3:].strip().decode(errors="replace")
                        elif line.startswith(b"data:"):
                            event = _event(line[5:])
                            if event:
                                yield event
        except (*UNREACHABLE, ValueError):  # ValueError: a line beyond the limit; begin again after it
            pass
        await asyncio.sleep(wait)
        wait = min(wait * 2, RECONNECT_SECONDS_MAX)


def _event(data: bytes) -> TraceEvent | None:
    try:
        return _EVENT.decode(data)
    except msgspec.MsgspecError:
        return None  # a notice of the stream itself, such as "events were lost"
