"""A session of the store is of the user who opened it, through every door."""

from typing import Any

import aiohttp
import pytest

from tests.access.double import served
from tests.access.test_standing import changed, with_users

PUT = {"key": "YQ==", "value": "dg=="}
WRITES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "put": ("PUT", "/kv/a", {"data": b"v"}),
    "delete": ("DELETE", "/kv/a", {}),
    "/v3": ("POST", "/v3/kv/put", {"json": PUT}),
}


@pytest.mark.parametrize("what", WRITES)
async def test_a_session_serves_who_opened_it_alone(what: str) -> None:
    async with served() as node, aiohttp.ClientSession(node.url) as http:
        shown = await with_users(node)
        await changed(node.auth.user_grant_role, user="ann", role="root")
        shown["file"] = "Bearer write-token"
        method, path, options = WRITES[what]
        for owner in shown:
            async with http.post("/sessions", headers={"Authorization": shown[owner]}) as answer:
                assert answer.status == 200, await answer.text()
                session = (await answer.json())["session"]
            for name in (*(each for each in shown if each != owner), owner):
                headers = {"Authorization": shown[name], "Raft-Session": session, "Raft-Sequence": "1"}
                async with http.request(method, path, headers=headers, **options) as answer:
                    body = await answer.text()
                    assert (name, "somebody else" in body) == (name, name != owner), body
                    assert (answer.status == 200) is (name == owner) or what == "delete"


async def test_whoever_shows_nothing_opens_none() -> None:
    async with served() as node, aiohttp.ClientSession(node.url) as http:
        await with_users(node)
        before = len(node.node.proposed)
        for headers in ({}, {"Authorization": "wrong.1"}):
            async with http.post("/sessions", headers=headers) as answer:
                assert answer.status == 401
        assert len(node.node.proposed) == before
