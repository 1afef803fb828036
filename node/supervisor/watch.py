"""What nodes say over HTTP: `/status` once, `/events` for as long as it lasts.

Why it exists: the supervisor and the commands ask nodes the same things. It must not decide what an answer means.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Mapping

import aiohttp
import msgspec

from node.observe.events import TraceEvent
from node.observe.headline import Alarmed, Named, Words

STATUS_TIMEOUT_SECONDS = 1.0
STATUS_BYTES_MAX = 1024 * 1024
CLUSTER_BYTES_MAX = 8 * 1024 * 1024
"""A `/status` of each node."""
EVENT_LINE_BYTES_MAX = 256 * 1024
RECONNECT_SECONDS_MIN, RECONNECT_SECONDS_MAX = 0.05, 0.25
"""Between two attempts to follow a node that does not answer; the wait doubles from the first to the second."""
REFUSED_SECONDS = 60.0
"""Between two attempts to follow a node that does not let this process in, as once users are in force: more of them
would ring the alarm for refused access (`RaftAccessRefused`)."""


class PeerLine(Named, frozen=True):
    """When that peer was last heard, in milliseconds (None: never), and whether there is a link to it."""

    last_contact_ms: float | None
    link_up: bool = True


class StoreLine(msgspec.Struct, frozen=True):
    """What its store holds, and how many watches of clients it has."""

    keys: int
    bytes: int
    quota_bytes: int
    leases: int
    watches: int


class AlarmLine(Alarmed, frozen=True):
    """What somebody must act on, in a sentence."""

    message: str


class NodeStatus(Words, frozen=True, kw_only=True):
    """The part of `/status` that the commands use; what else a newer node says is passed over."""

    commit: int
    applied: int
    peers: tuple[PeerLine, ...]
    waiting_for: str = ""
    learners: tuple[Named, ...] = ()
    store: StoreLine | None = None
    alarms: tuple[AlarmLine, ...] = ()
    client_url: str = ""


class NodeView(msgspec.Struct, frozen=True):
    """A node as another one sees it: `state` "reachable", or "unknown"; `status`, what was heard of it last."""

    name: str
    state: str = "unknown"
    status: NodeStatus | None = None


class ClusterView(msgspec.Struct, frozen=True):
    """What `node` says on `/cluster`."""

    node: str
    nodes: tuple[NodeView, ...]


class _Problem(msgspec.Struct):
    message: str = ""


_STATUS = msgspec.json.Decoder(NodeStatus)
_CLUSTER = msgspec.json.Decoder(ClusterView)
_EVENT = msgspec.json.Decoder(TraceEvent)
UNREACHABLE = (aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""What an attempt to talk to a node may raise when the node or the way to it is gone."""


class AnswerLost(aiohttp.ClientError):
    """The request was sent, in part or whole, and the connection broke before the answer."""


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp repeats a PUT or DELETE by itself when the connection breaks, which could do a write twice: it does
    so for two kinds of errors, and this gives them a third."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise  # nothing was sent
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise AnswerLost(str(error)) from error


def new_session(
    connector: aiohttp.BaseConnector | None = None, headers: Mapping[str, str] | None = None
) -> aiohttp.ClientSession:
    """A client that sends each request at most once, with these headers, and goes through no proxy."""
    return aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        trust_env=False,
        read_bufsize=EVENT_LINE_BYTES_MAX,
        middlewares=(_send_once,),
    )


async def read_bounded(answer: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """The whole body; raises ValueError where it is longer than `bytes_max`."""
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > bytes_max:
            raise ValueError(f"an answer longer than {bytes_max} bytes")
    return bytes(body)


class Refused(Exception):
    """Nothing listens there: where that is this machine, the node's process has ended, or still reads its log."""


class NotLetIn(Exception):
    """The node answers, and says why it does not tell; the message is its sentence."""


async def fetch_status(session: aiohttp.ClientSession, url: str) -> NodeStatus | None:
    """The node's own view; None where it does not answer in time, or not as a node does."""
    try:
        return await ask_status(session, url)
    except Refused:
        return None


async def ask_status(
    session: aiohttp.ClientSession, url: str, told: Callable[[Exception], None] = lambda _error: None
) -> NodeStatus | None:
    """As `fetch_status`; raises Refused where the connection is refused. `told` hears what else went wrong."""
    timeout = aiohttp.ClientTimeout(total=STATUS_TIMEOUT_SECONDS)
    try:
        async with session.get(f"{url}/status", timeout=timeout, allow_redirects=False) as answer:
            if answer.status in (401, 403):
                told(NotLetIn(_said(await read_bounded(answer, STATUS_BYTES_MAX))))
            if answer.status != 200:
                return None
            return _STATUS.decode(await read_bounded(answer, STATUS_BYTES_MAX))
    except aiohttp.ClientConnectorError as error:
        if error.errno == errno.ECONNREFUSED:
            raise Refused from None
        told(error)
        return None
    except (*UNREACHABLE, msgspec.MsgspecError, ValueError, RecursionError) as error:
        told(error)
        return None


def _said(body: bytes) -> str:
    """The sentence of an error."""
    try:
        return msgspec.json.decode(body, type=_Problem).message
    except (msgspec.MsgspecError, RecursionError):
        return "it gives no reason"


async def fetch_cluster(session: aiohttp.ClientSession, url: str) -> ClusterView | None:
    """All nodes as that one sees them; None where it does not answer in time, or not as a node does."""
    timeout = aiohttp.ClientTimeout(total=STATUS_TIMEOUT_SECONDS)
    try:
        async with session.get(f"{url}/cluster", timeout=timeout, allow_redirects=False) as answer:
            if answer.status != 200:
                return None
            return _CLUSTER.decode(await read_bounded(answer, CLUSTER_BYTES_MAX))
    except (*UNREACHABLE, msgspec.MsgspecError, ValueError, RecursionError):
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
                elif answer.status in (401, 403):
                    wait = REFUSED_SECONDS
        except (*UNREACHABLE, ValueError):  # ValueError: a line beyond the limit; begin again after it
            pass
        await asyncio.sleep(wait)
        wait = min(wait * 2, RECONNECT_SECONDS_MAX)


def _event(data: bytes) -> TraceEvent | None:
    try:
        return _EVENT.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return None  # a notice of the stream itself, such as "events were lost"
