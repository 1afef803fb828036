"""What the store itself remembers of keys: how often each was written, and what it held at each revision.

Why it exists: the last value of a key says little of the writes before it. The store keeps its past, so every
acknowledged write can be asked for by the revision that the node named for it. It must not judge what it finds.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote

import aiohttp
import msgspec

from chaos.errors import ChaosError
from chaos.observe.nodeapi import NOT_A_NUMBER, number_in, page, post_page

KEYS_PAGE = 1000
KEYS_MAX = 10_000
RANGES_PAGE = 128
"""Reads of the past in one request: what a transaction may hold."""

Found = tuple[int, int]
"""(revision of the write that put it there, value); (0, 0): the key was not there."""


class _Key(msgspec.Struct):
    key: str | None
    version: int


class _Keys(msgspec.Struct):
    keys: tuple[_Key, ...]
    more: bool


_Number = Annotated[int, msgspec.Meta(ge=0)]


class _Version(msgspec.Struct):
    mod_revision: _Number
    value: str = ""


class _Header(msgspec.Struct):
    revision: _Number


class _Range(msgspec.Struct):
    header: _Header
    kvs: tuple[_Version, ...] = ()


class _Response(msgspec.Struct):
    response_range: _Range


class _Ranges(msgspec.Struct):
    responses: tuple[_Response, ...]


_KEYS = msgspec.json.Decoder(_Keys)
_RANGES = msgspec.json.Decoder(_Ranges, strict=False)  # 64-bit numbers come as strings


async def fetch_versions(session: aiohttp.ClientSession, url: str, prefix: str) -> dict[str, int]:
    """How often each key that begins with `prefix` was written since it exists, read linearizably.

    Raises ChaosError where the node does not say.
    """
    found: dict[str, int] = {}
    start = ""
    while len(found) < KEYS_MAX:
        query = f"prefix={quote(prefix, safe='')}&limit={KEYS_PAGE}" + (
            f"&from={quote(start, safe='')}" if start else ""
        )
        keys = await page(session, url, f"/kv/?{query}", _KEYS)
        found |= {line.key: line.version for line in keys.keys if line.key is not None}
        last = keys.keys[-1].key if keys.keys else None
        if not keys.more or last is None:
            break
        start = last + "\x00"
    return found


async def fetch_past(session: aiohttp.ClientSession, url: str, wanted: Sequence[tuple[str, int]]) -> list[Found]:
    """For each (key, revision) what the key held then, read linearizably; nothing where the store has not come to
    that revision.

    Raises ChaosError where the node does not say, for example because its past was compacted.
    """
    now = await _ranges(session, url, [("", 0)])
    revision = now[0].header.revision
    asked = [one for one in wanted if one[1] <= revision]
    answers: list[Found] = []
    for first in range(0, len(asked), RANGES_PAGE):
        answers += map(_found, await _ranges(session, url, asked[first : first + RANGES_PAGE]))
    said = iter(answers)
    return [next(said) if one[1] <= revision else (0, 0) for one in wanted]


async def _ranges(session: aiohttp.ClientSession, url: str, wanted: Sequence[tuple[str, int]]) -> list[_Range]:
    reads = [
        {"request_range": {"key": b64encode(key.encode() or b"\0").decode(), "revision": str(revision)}}
        for key, revision in wanted
    ]
    told = await post_page(session, url, "/v3/kv/txn", {"success": reads}, _RANGES)
    if len(told.responses) != len(wanted):
        raise ChaosError(f"{url} answered {len(told.responses)} of {len(wanted)} reads of the past.")
    return [response.response_range for response in told.responses]


def _found(answer: _Range) -> Found:
    if not answer.kvs:
        return 0, 0
    try:
        return answer.kvs[0].mod_revision, number_in(b64decode(answer.kvs[0].value, validate=True))
    except NotBase64:
        return answer.kvs[0].mod_revision, NOT_A_NUMBER
