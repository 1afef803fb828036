"""What a token has opened ends when it is taken back, and nothing else does."""

import asyncio
from functools import partial

import aiohttp
import grpc.aio
import pytest

from node.access.principals import Role
from node.access.standing import Standing
from tests.access.double import Served, served


def take_back(node: Served, token: str) -> None:
    """As a new file of tokens does."""
    del node.source.principals[token]
    node.source.version += 1
    node.access.changed()


@pytest.mark.parametrize("path", ["/events", "/kv/?watch=1"])
async def test_a_stream_of_http_ends_with_its_token_and_others_go_on(path: str) -> None:
    async with (
        served() as node,
        aiohttp.ClientSession(node.url) as http,
        http.get(path, headers={"Authorization": "Bearer read-token"}) as theirs,
        http.get(path, headers={"Authorization": "Bearer write-token"}) as ours,
    ):
        assert (theirs.status, ours.status) == (200, 200)
        await asyncio.gather(theirs.content.readany(), ours.content.readany())
        take_back(node, "read-token")
        with pytest.raises(aiohttp.ClientError):
            await to_the_end(theirs)
        assert not ours.content.at_eof()
        assert ours.content.exception() is None


async def to_the_end(answer: aiohttp.ClientResponse) -> None:
    async with asyncio.timeout(10):
        while await answer.content.readany():
            pass


async def test_a_stream_of_grpc_ends_with_its_token_and_says_why() -> None:
    async with served() as node, grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
        create = bytes.fromhex("0a030a0161")  # WatchCreateRequest of the key "a"
        calls = []
        for token in ("read-token", "write-token"):
            call = channel.stream_stream("/etcdserverpb.Watch/Watch")(metadata=(("token", token),), timeout=20)
            await call.write(create)
            assert await call.read()
            calls.append(call)
        take_back(node, "read-token")
        with pytest.raises(grpc.aio.AioRpcError, match="nobody has this token any more"):
            await calls[0].read()
        assert await calls[0].code() is grpc.StatusCode.UNAUTHENTICATED
        assert not calls[1].done()
        calls[1].cancel()
        await calls[1].code()


async def test_what_is_over_is_forgotten() -> None:
    async with served() as node, aiohttp.ClientSession(node.url) as http:
        for _ in range(3):
            async with http.get("/status", headers={"Authorization": "Bearer read-token"}) as answer:
                assert answer.status == 200
        assert node.access._standing._open == {}


def test_each_credential_is_looked_at_once() -> None:
    standing = Standing()
    ended: list[int] = []
    looked: list[str | None] = []

    def may(credential: str | None, need: Role | None) -> bool:
        looked.append(credential)
        return credential == "a"

    forget = standing.hold("b", Role.READ, partial(ended.append, -1))
    for number in range(100):
        standing.hold("ab"[number % 2], Role.READ, partial(ended.append, number))
    forget()
    standing.judge(may)
    assert looked == ["a", "b"]
    assert ended == list(range(1, 100, 2))
