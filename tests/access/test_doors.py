"""Every route and every method is asked without a token, with a wrong one, with one of too little, and with enough."""

import asyncio
from base64 import b64encode

import aiohttp
import grpc
import grpc.aio
import pytest

from node import addresses
from node.access.principals import INCLUDED, Need, Role
from node.access.table import METHODS, ROUTES
from node.api.etcd.users import Users
from tests.access.double import Served, served
from tests.access.test_standing import with_users

REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
GUARDED = [(what, need) for what, need in ROUTES.items() if need is not None]


def less_than(need: Need) -> list[str]:
    """Tokens that may not."""
    return [f"{role}-token" for role in Role if need not in INCLUDED[role]]


async def asked(
    http: aiohttp.ClientSession, what: str, token: str | None, patience_s: float = 30.0
) -> tuple[int, str, dict[str, str]]:
    """Status, body and headers of a request that is of that route, and not complete: nothing would come of it.
    Status 0: it waits for something to tell, so it was let in."""
    method, _, path = what.partition(" ")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=patience_s)
    url = path.replace("{key}", "a").replace("{name}", "nothing").replace("{path}", "nothing")
    try:
        async with http.request(method, url, headers=headers, timeout=timeout) as answer:
            body = "" if answer.status == 200 else await answer.text()
            return answer.status, body, dict(answer.headers)
    except TimeoutError:
        return 0, "", {}


async def test_without_a_token_every_route_but_those_that_are_open_answers_401_and_says_what_to_send() -> None:
    async with served() as node, aiohttp.ClientSession(node.url) as http:
        for what, need in GUARDED:
            status, body, headers = await asked(http, what, None)
            assert (what, status) == (what, 401)
            assert f"this needs a token that may {need}" in body
            assert what.partition(" ")[2].startswith("/v3/") or headers["WWW-Authenticate"] == "Bearer"
        assert (node.node.proposed, node.node.commanded) == ([], [])


async def test_with_a_wrong_token_it_is_401() -> None:
    async with served() as node, aiohttp.ClientSession(node.url) as http:
        for what, _ in GUARDED:
            status, body, _ = await asked(http, what, "wrong")
            assert (what, status) == (what, 401)
            assert "nobody has this token" in body


async def test_with_a_token_of_too_little_it_is_403_and_says_whose_it_is_and_what_is_missing() -> None:
    async with served() as node, aiohttp.ClientSession(node.url) as http:
        for what, need in GUARDED:
            for token in less_than(need):
                status, body, _ = await asked(http, what, token)
                assert (what, token, status) == (what, token, 403)
                assert f"a-{token.removesuffix('-token')} may " in body
                assert f"this needs {need}" in body
        assert (node.node.proposed, node.node.commanded) == ([], [])


async def test_with_a_token_of_enough_nobody_is_kept_out_and_what_is_open_needs_none() -> None:
    """But for the page's own two routes, which no program may use, token or not."""
    async with served() as node, aiohttp.ClientSession(node.url) as http:
        for what, need in ROUTES.items():
            token = None if need is None else f"{need}-token"
            status, body, _ = await asked(http, what, token, patience_s=1.0)
            assert (what, status in (401, 403)) == (what, what in ("POST /login", "POST /logout")), body


async def put_once(node: Served, token: str) -> int:
    """Over a connection of its own: one whose request went the usual way is not the lane's any more."""
    body, headers = {"key": "YQ==", "value": "Yg=="}, {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(node.url) as http,
        http.post("/v3/kv/put", json=body, headers=headers) as answer,
    ):
        assert answer.status == 200 or (await answer.json())["code"] in (7, 16)
        return answer.status


async def test_the_express_lane_knows_tokens_and_forgets_those_that_are_gone() -> None:
    async with served() as node:
        asked_for = [(token, await put_once(node, token)) for token in ("write-token", "read-token", "wrong")]
        assert asked_for == [("write-token", 200), ("read-token", 403), ("wrong", 401)]
        assert await put_once(node, "write-token") == 200
        assert len(node.node.proposed) == 2
        del node.source.principals["write-token"]
        node.source.version += 1
        assert await put_once(node, "write-token") == 401
        assert len(node.node.proposed) == 2


async def called(
    channel: grpc.aio.Channel, path: str, metadata: tuple[tuple[str, str], ...], timeout_s: float = 10.0
) -> grpc.StatusCode:
    """How a call with an empty message ends; OK where it is a stream that goes on."""
    call = channel.unary_stream(path)(b"", metadata=metadata, timeout=timeout_s)
    try:
        if await call.read() is not grpc.aio.EOF:
            call.cancel()
            await call.code()  # until Google's client has done with it
            return grpc.StatusCode.OK
    except grpc.aio.AioRpcError:
        pass
    return await call.code()


@pytest.mark.parametrize("name", ["authorization", "token"])
async def test_every_method_of_grpc_is_refused_without_a_token_with_a_wrong_one_and_with_too_little(name: str) -> None:
    async with served() as node, grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
        for path, need in METHODS.items():
            if need is None:
                assert await called(channel, path, (), 0.5) is not grpc.StatusCode.UNAUTHENTICATED
                continue
            ends = [await called(channel, path, metadata) for metadata in ((), ((name, "wrong"),))]
            assert (path, ends) == (path, [grpc.StatusCode.UNAUTHENTICATED] * 2)
            for token in less_than(need):
                end = await called(channel, path, ((name, token),))
                assert (path, token, end) == (path, token, grpc.StatusCode.PERMISSION_DENIED)
            end = await called(channel, path, ((name, f"{need}-token"),), 0.5)  # a stream that waits is let in
            assert (path, end in REFUSED) == (path, False)
        assert node.node.commanded == []


async def test_a_bearer_is_understood_by_grpc_too() -> None:
    async with served() as node, grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
        metadata = (("authorization", "Bearer read-token"),)
        assert await called(channel, "/etcdserverpb.Maintenance/Status", metadata) is grpc.StatusCode.OK


async def test_what_grpc_remembers_of_a_head_is_forgotten_with_the_token() -> None:
    async with served() as node, grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
        for _ in range(3):  # from the second on the block of the head is the same
            end = await called(channel, "/etcdserverpb.Maintenance/Status", (("token", "read-token"),))
            assert end is grpc.StatusCode.OK
        del node.source.principals["read-token"]
        node.source.version += 1
        for _ in range(2):
            end = await called(channel, "/etcdserverpb.Maintenance/Status", (("token", "read-token"),))
            assert end is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "line",
    [
        b"Cookie: a[b=c; raft_session=x",
        b'Cookie: ="',
        b'Cookie: raft_session="\\"',
        b"Cookie: raft_session=%ff%00%zz",
        b"Cookie: raft_session=\xff\xfe",
        b"Cookie: ;;;,,,",
        b"Cookie: Path=1; Expires; raft_session",
        b"Cookie: " + b"x" * 8000,
        b"Authorization: ",
        b"Authorization: Bearer ",
        b"Authorization: Bearer \xff\xfe",
        b"Authorization: " + b"x" * 8000,
    ],
)
async def test_what_is_no_credential_is_nobodys_and_harms_nothing(line: bytes) -> None:
    async with served() as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n" + line + b"\r\nConnection: close\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 401 ")
        writer.close()


@pytest.mark.parametrize("lines", [("write", "wrong"), ("wrong", "write"), ("read", "write"), ("write", "write")])
async def test_whoever_shows_two_tokens_is_nobody_at_every_door(lines: tuple[str, str]) -> None:
    """A proxy before a node may look at the one, and the node at the other."""
    async with served() as node, grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
        for path in ("/v3/kv/put", "/v3/maintenance/status"):
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            shown = "".join(f"Authorization: Bearer {name}-token\r\n" for name in lines)
            writer.write(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{shown}Connection: close\r\n".encode())
            writer.write(b"Content-Length: 2\r\n\r\n{}")
            assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 401 ")
            writer.close()
        for name in ("authorization", "token"):
            metadata = tuple((name, f"{line}-token") for line in lines)
            end = await called(channel, "/etcdserverpb.Maintenance/Status", metadata)
            assert end is grpc.StatusCode.UNAUTHENTICATED
        assert node.node.proposed == []


async def test_passwords_that_are_tried_are_counted_by_whose_connection_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as node, grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
        await with_users(node)
        monkeypatch.setattr(addresses, "OWN", ())
        users, whose = node.access.users, []
        assert isinstance(users, Users)

        async def fits(_password: str, _kept: bytes) -> bool:
            whose.append(addresses.ASKING.get())
            return False

        monkeypatch.setattr(users.passwords, "fits", fits)
        ann = b64encode(b"ann:wrong").decode()
        form, own = b"user=ann&secret=wrong", {"Origin": node.url}
        async with aiohttp.ClientSession(node.url, connector=aiohttp.TCPConnector(force_close=True)) as http:
            await http.get("/kv/a", headers={"Authorization": f"Basic {ann}"})
            await http.post("/v3/auth/authenticate", json={"name": "ann", "password": "wrong"})
            await http.post("/login", data=form, headers=own, allow_redirects=False)
        name = b"ann"
        message = b"\x0a" + bytes([len(name)]) + name + b"\x12\x05wrong"
        call = channel.unary_unary("/etcdserverpb.Auth/Authenticate")(message)
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert whose == ["127.0.0.1"] * 4


async def test_what_nobody_asks_for_does_not_reach_the_log_while_users_are_in_force() -> None:
    """It would be refused there, too, but stand in it, and in somebody's session. Who asked before they came in force
    is nobody, too."""
    async with served() as node, grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
        shown = await with_users(node)
        node.source.demands = False
        async with aiohttp.ClientSession(node.url) as http:
            async with http.post("/sessions", headers={"Authorization": shown["root"]}) as answer:
                session = (await answer.json())["session"]
            in_session = {"Raft-Session": session, "Raft-Sequence": "9", "Raft-Answered": "8"}
            before = len(node.node.proposed)
            for path, body in (
                ("kv/put", {"key": "YQ=="}),
                ("kv/deleterange", {"key": "YQ=="}),
                ("kv/txn", {"success": [{"requestPut": {"key": "YQ=="}}]}),
                ("lease/grant", {"TTL": "9"}),
                ("lease/revoke", {"ID": "9"}),
                ("auth/user/delete", {"name": "ann"}),
                ("auth/disable", {}),
            ):
                for headers in ({}, in_session):
                    async with http.post(f"/v3/{path}", json=body, headers=headers) as answer:
                        told = (answer.status, (await answer.json())["message"])
                    assert (path, told) == (path, (400, "etcdserver: user name is empty")), headers
            async with http.post("/v3/lease/keepalive", json={"ID": "9"}) as answer:
                assert "user name is empty" in await answer.text()
        put = channel.unary_unary("/etcdserverpb.KV/Put")(bytes.fromhex("0a0161120162"))
        assert await put.code() is grpc.StatusCode.INVALID_ARGUMENT
        keep = channel.stream_stream("/etcdserverpb.Lease/LeaseKeepAlive")(timeout=20)
        await keep.write(b"\x08\x09")
        assert await keep.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert len(node.node.proposed) == before
