"""Every object that the API has, beside every key that the store has.

Why it exists: a watch cache that missed a change looks healthy until somebody reads what is no longer so. It is asked
for everything in both ways that clients ask, and each answer is held against what the store itself says.
"""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from tests.judges.apiserver import Api
from tests.judges.verdicts import Listed, Span, Stored, unlike

PREFIX = "/registry/"
PAGE = 500
AGREE_SECONDS_MAX = 30.0
NOT_STORED = ("componentstatuses",)


async def collections(api: Api) -> AsyncIterator[tuple[str, str]]:
    """(path, name) of every collection that can be listed, in every version that is served."""
    groups = ["/api/v1"]
    for group in (await api.get("/apis"))["groups"]:
        groups += [f"/apis/{version['groupVersion']}" for version in group["versions"]]
    for group in groups:
        for resource in (await api.get(group))["resources"]:
            if "list" in resource["verbs"] and "/" not in resource["name"] and resource["name"] not in NOT_STORED:
                yield f"{group}/{resource['name']}", resource["name"]


async def stored(http: aiohttp.ClientSession, node: str, revision: int = 0) -> tuple[int, dict[str, Stored]]:
    """Every key below PREFIX as of that revision, or of the present one, which is told; `node`: its URL."""
    found: dict[str, Stored] = {}
    key = PREFIX.encode()
    end = base64.b64encode(PREFIX[:-1].encode() + b"0").decode()
    while True:
        asked: dict[str, Any] = {"key": base64.b64encode(key).decode(), "range_end": end, "limit": PAGE}
        async with http.post(
            f"{node}/v3/kv/range", json=asked | ({"revision": revision} if revision else {})
        ) as answer:
            assert answer.status == 200, await answer.text()
            page = await answer.json()
        revision = revision or int(page["header"]["revision"])
        for one in page.get("kvs", []):
            key = base64.b64decode(one["key"])
            value = base64.b64decode(one.get("value", ""))
            found[key.decode()] = Stored(key.decode(), int(one["mod_revision"]), value)
        if not page.get("more"):
            return revision, found
        key += b"\0"


async def listed(api: Api, parameters: dict[str, str]) -> tuple[list[Listed], dict[str, dict[str, Any]]]:
    """Every object of every collection, as values and whole by path."""
    found: list[Listed] = []
    whole: dict[str, dict[str, Any]] = {}
    async for path, resource in collections(api):
        for one in (await api.get(path, **parameters))["items"]:
            meta = one["metadata"]
            space, name = meta.get("namespace", ""), meta["name"]
            found.append(Listed(resource, space, name, int(meta["resourceVersion"])))
            whole[f"{path} {space}/{name}"] = one
    return found, whole


async def agree(api: Api, http: aiohttp.ClientSession, nodes: list[str]) -> tuple[int, list[Stored]]:
    """The number of objects, and all keys, once all nodes hold the same and both lists show it. A watch cache may lag:
    there is some time for that, and then it fails with what differs still."""
    deadline = time.monotonic() + AGREE_SECONDS_MAX
    while True:
        _, before = await stored(http, nodes[0])
        fresh, fresh_whole = await listed(api, {"resourceVersion": ""})
        cached, cached_whole = await listed(api, {"resourceVersion": "0"})
        revision, after = await stored(http, nodes[0])
        wrong = [f"{node} holds other keys" for node in nodes[1:] if (await stored(http, node, revision))[1] != after]
        span = Span(before, after, revision)
        wrong += [f"consistent list: {one}" for one in unlike(span, fresh)]
        wrong += [f"list of the watch cache: {one}" for one in unlike(span, cached)]
        wrong += [
            f"{path}: {fresh_whole[path]} and, of the watch cache, {cached_whole[path]}"
            for path in sorted(fresh_whole.keys() & cached_whole.keys())
            if _revision(fresh_whole[path]) == _revision(cached_whole[path]) and fresh_whole[path] != cached_whole[path]
        ]
        if not wrong:
            return len(fresh), list(after.values())
        assert time.monotonic() < deadline, "\n".join(wrong[:20])
        await asyncio.sleep(0.5)


def _revision(found: dict[str, Any]) -> str:
    return str(found["metadata"]["resourceVersion"])
