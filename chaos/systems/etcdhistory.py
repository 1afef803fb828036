"""The answers of etcd's JSON API, and all that a node's own store says of the past.

A watch is served by the node that is asked, out of its own store: every change of every revision, in order. So two
nodes whose watches differ hold different histories, as two logs that differ would. `hashkv` adds what no change shows.

Why it exists: etcd shows no entries of Raft's log to anybody. It must not judge.
"""

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import msgspec

from chaos.errors import ChaosError
from chaos.model import LogLine
from chaos.observe.nodeapi import LOG_LINES_MAX, PAGE_TIMEOUT_SECONDS, UNREACHABLE, post_bytes, said

HASH_EVERY = 250
"""Revisions between two hashes of the whole store."""
WATCH_SECONDS_MAX = 30.0


class _Header(msgspec.Struct, frozen=True):
    cluster_id: int = 0
    member_id: int = 0
    revision: int = 0


class EtcdMember(msgspec.Struct, frozen=True):
    """Of the list of members."""

    ID: int
    name: str = ""
    isLearner: bool = False


class _Pair(msgspec.Struct, frozen=True):
    key: str = ""
    value: str = ""
    mod_revision: int = 0
    version: int = 0


class _Change(msgspec.Struct, frozen=True):
    kv: _Pair
    type: str = "PUT"


class _Told(msgspec.Struct, frozen=True):
    events: tuple[_Change, ...] = ()
    compact_revision: int = 0
    canceled: bool = False


class Answer(msgspec.Struct, frozen=True):
    """All that one is asked for here; each answer has some of it."""

    header: _Header = _Header()
    version: str = ""
    raftTerm: int = 0
    raftIndex: int = 0
    raftAppliedIndex: int = 0
    members: tuple[EtcdMember, ...] = ()
    kvs: tuple[_Pair, ...] = ()
    hash: int = 0
    message: str = ""
    result: _Told | None = None


MISSING = Answer()
_DECODER = msgspec.json.Decoder(Answer, strict=False)  # 64-bit numbers come as strings


def decode(body: bytes) -> Answer | None:
    """None: it is no answer of etcd."""
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None


def coded(text: str) -> str:
    """Keys and values are base64."""
    return b64encode(text.encode()).decode()


def reason(code: int, body: bytes) -> str:
    """Why it was refused, for people."""
    return (decode(body) or MISSING).message or f"HTTP {code}"


async def ask(session: aiohttp.ClientSession, url: str, what: str, question: Mapping[str, object]) -> Answer:
    """One answer to a question that changes nothing. Raises ChaosError where there is none."""
    try:
        code, body = await post_bytes(session, f"{url}/v3/{what}", question, PAGE_TIMEOUT_SECONDS)
    except UNREACHABLE as error:
        raise ChaosError(f"{url}/v3/{what} gave no answer ({said(error)}); is the node up?") from None
    found = decode(body)
    if code != 200 or found is None:
        raise ChaosError(f"{url}/v3/{what} answered {code}: {reason(code, body)}.")
    return found


async def history(session: aiohttp.ClientSession, url: str) -> tuple[LogLine, ...]:
    """A line for every revision that the cluster has now, LOG_LINES_MAX of them at most, as that node has them.

    Raises ChaosError where it does not come to the end, or has forgotten the beginning.
    """
    now = (await ask(session, url, "kv/range", {"key": coded("\0")})).header.revision
    first = max(2, now - LOG_LINES_MAX + 1)  # revision 1 is the empty store
    if now < first:
        return ()
    sums: dict[int, Any] = {}
    try:
        async with asyncio.timeout(WATCH_SECONDS_MAX):
            async for change in _watch(session, url, first, now):
                sums.setdefault(change.kv.mod_revision, hashlib.sha256()).update(msgspec.json.encode(change))
    except (*UNREACHABLE, ValueError) as error:
        raise ChaosError(f"{url} told of its past to revision {max(sums, default=0)} only ({said(error)}).") from None
    for revision in range((first // HASH_EVERY + 1) * HASH_EVERY, now + 1, HASH_EVERY):
        found = await ask(session, url, "maintenance/hashkv", {"revision": str(revision)})
        if revision in sums:
            sums[revision].update(str(found.hash).encode())
    return tuple(LogLine(revision, 0, sums[revision].hexdigest()[:16]) for revision in sorted(sums))


async def _watch(session: aiohttp.ClientSession, url: str, first: int, last: int) -> AsyncIterator[_Change]:
    asked = {"create_request": {"key": coded("\0"), "range_end": coded("\0"), "start_revision": str(first)}}
    async with session.post(f"{url}/v3/watch", data=msgspec.json.encode(asked)) as answer:
        async for line in answer.content:
            told = (decode(line) or MISSING).result
            if told is None:
                continue
            if told.compact_revision or told.canceled:
                raise ChaosError(f"{url} has forgotten what was before revision {told.compact_revision}.")
            for change in told.events:
                if change.kv.mod_revision <= last:
                    yield change
            if told.events and told.events[-1].kv.mod_revision >= last:
                return
    raise ChaosError(f"{url} ended the watch of its past.")
