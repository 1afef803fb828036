"""`GET /kv/?prefix=a&watch=1`: changes of keys as server-sent events, for people with curl and for browsers.

Why it exists: it is the same stream of watches as etcd's API has, in the words of `/kv`. Each revision's last event has
the revision as its id, so whoever comes back with `Last-Event-ID` misses nothing and hears nothing twice. A node that
has no leader for too long can tell nothing new, so it says that and ends the stream: the client goes on at another one.
Whoever asks with `consistency=stale` takes what this node has, and stays. It must not know how changes are found.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence

from aiohttp import web

from node.addresses import ASKING
from node.api.answers import json_text, malformed, try_again
from node.api.etcd.users import Users
from node.api.following import Following
from node.api.inputs import Query
from node.api.kv_answers import named, unreadable
from node.statemachine.writes import Compacted, prefix_end
from node.watching.events import Event, Response
from node.watching.hub import NO_LEADER, WatchHub
from node.watching.interest import shape_of
from node.watching.stream import WatchStream

SILENCE_SECONDS = 15.0
"""After so long without a change the client is told how far it is."""

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}
_LEADERLESS = "this node has known no leader for three election timeouts, so it hears of no changes: ask another"
_BESIDE_A_WATCH = ("from", "limit")


class KeyWatch:
    """Answers a list's request that is to go on."""

    def __init__(self, hub: WatchHub, following: Following, users: Users) -> None:
        self._hub = hub
        self._users = users
        self._following = following

    async def follow(self, request: web.Request, query: Query, *, stale: bool) -> web.StreamResponse:
        """Stream until the client leaves; unless `stale`, until there is no leader for too long. Call it after the
        barrier."""
        for name in _BESIDE_A_WATCH:
            if name in query:
                raise malformed(
                    name, f"a watch has no {name}: it tells what changes from now on, or from a revision on"
                )
        prefix, first = query.bytes("prefix"), query.number("revision", 0)
        after = _resumed(request)
        first = first if after is None else after + 1
        start, end = prefix or b"\0", prefix_end(prefix)
        self._check(first, start, end)

        def begin(on_ready: Callable[[], None]) -> WatchStream:
            may_end = self._users.end_of_anybody()
            stream = WatchStream(self._hub, on_ready, needs_leader=not stale, whose=ASKING.get(), reason_to_end=may_end)
            stream.create(start, end, first)
            return stream

        response = web.StreamResponse(headers=_HEADERS)
        return await self._following.serve(request, response, begin, _Blocks(first))

    def _check(self, first: int, start: bytes, end: bytes) -> None:
        compacted = self._hub.store.compact_revision
        if first and first < compacted:
            raise unreadable(Compacted(first, compacted))
        refusal = self._following.refusal()
        if refusal is not None:
            raise try_again(*refusal)
        exhausted = self._hub.shares.refusal(ASKING.get(), shape_of(start, end), self._hub.watches)
        if exhausted:
            raise try_again("overloaded", exhausted.removeprefix("etcdserver: "))


def _resumed(request: web.Request) -> int | None:
    last = request.headers.get("Last-Event-ID", "")
    if not last:
        return None
    if not (last.isascii() and last.isdigit() and len(last) <= 18):
        raise malformed("Last-Event-ID", "Last-Event-ID is none of this stream's ids, which are revisions")
    return int(last)


class _Blocks:
    """An event of the stream for each event, in order."""

    silence_seconds: float | None = SILENCE_SECONDS

    def __init__(self, first: int) -> None:
        self._first = first

    def parts(self, said: Iterable[Response]) -> Iterator[bytes]:
        for response in said:
            if response.created:
                told = self._first - 1 if self._first else response.revision
                yield b"retry: 1000\nid: %d\nevent: watching\ndata: %s\n\n" % (told, json_text({"revision": told}))
            elif response.canceled:
                yield b"event: compacted\ndata: %s\n\n" % json_text(_gone(response))
            elif response.events:
                yield from _blocks(response.events)
            else:
                yield b": still here\nid: %d\n\n" % response.revision

    def silence(self, stream: WatchStream) -> bytes:
        stream.progress()  # what comes of it is said by `parts`
        return b""

    def end(self, reason: str) -> bytes:
        if reason == NO_LEADER:
            return b"event: no-leader\ndata: %s\n\n" % json_text({"message": _LEADERLESS})
        return b": %s\n\n" % reason.encode()


def _blocks(events: Sequence[Event]) -> Iterator[bytes]:
    for at, event in enumerate(events, 1):
        revision = event.kv.mod_revision
        if at == len(events) or events[at].kv.mod_revision != revision:
            yield b"id: %d\n" % revision
        yield _block(event)


def _gone(response: Response) -> dict[str, object]:
    message = f"the changes before revision {response.compact_revision} were compacted before you took them"
    return {"compact_revision": response.compact_revision, "message": message}


def _block(event: Event) -> bytes:
    """What happened, made once for all."""
    made = event.text
    if made is None:
        kv = event.kv
        about: dict[str, object] = {**named(kv.key), "revision": kv.mod_revision}
        if not event.is_delete:
            about |= {
                "value": _text(kv.value),
                "value_base64": b64encode(kv.value).decode(),
                "create_revision": kv.create_revision,
                "version": kv.version,
            }
        kind = b"delete" if event.is_delete else b"put"
        made = event.text = b"event: %s\ndata: %s\n\n" % (kind, json_text(about))
    return made


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
