"""What a token has opened ends when it is taken back, and nothing else does."""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from functools import partial

import aiohttp
import grpc.aio
import pytest

from node.access.principals import ANYBODY, CURRENT, Role, with_roles
from node.access.standing import ENDED_PER_TURN_MAX, LetIn, Standing
from node.api.etcd.auth_calls import AuthCall
from node.statemachine.auth_writes import AsUser, AuthEnable, Kind, RoleAdd, RoleGrantPermission, UserGrantRole
from node.statemachine.writes import Put, encode_write
from tests.access.double import Served, served
from tests.grpc.double import until


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


async def with_users(node: Served) -> dict[str, str]:
    """Users in force: root, and ann who reads what begins with a; by name what each shows."""
    shown = {}
    for name in ("root", "ann"):
        await node.auth.user_add({"name": name, "password": f"{name}pw"}, 0)
    permission = RoleGrantPermission("a", Kind.READ, b"a", b"b")
    node.node.do(RoleAdd("a"), permission, UserGrantRole("ann", "a"), UserGrantRole("root", "root"), AuthEnable())
    for name in ("root", "ann"):
        answer = await node.auth.authenticate({"name": name, "password": f"{name}pw"}, 0)
        shown[name] = str(answer.fields["token"])
    return shown


async def changed(call: AuthCall, **message: str) -> None:
    """A change of users, by who may."""
    before = CURRENT.set(with_roles("a", Role.WRITE, Role.OPERATE))
    await call(message, 0)
    CURRENT.reset(before)


async def another_password(node: Served, name: str) -> None:
    await changed(node.auth.user_change_password, name=name, password="another")


@pytest.mark.parametrize("by", ["token", "password"])
@pytest.mark.parametrize(("name", "path"), [("ann", "/kv/?prefix=a&watch=1"), ("root", "/events")])
async def test_what_a_user_opened_ends_with_the_password(name: str, path: str, by: str) -> None:
    async with served() as node, aiohttp.ClientSession(node.url) as http:
        shown = (await with_users(node))[name]
        if by == "password":
            shown = f"Basic {b64encode(f'{name}:{name}pw'.encode()).decode()}"
        async with (
            http.get(path, headers={"Authorization": shown}) as theirs,
            http.get("/events", headers={"Authorization": "Bearer read-token"}) as ours,
        ):
            assert (theirs.status, ours.status) == (200, 200)
            await asyncio.gather(theirs.content.readany(), ours.content.readany())
            await changed(node.auth.role_add, name="other")
            node.access.look_at_users()
            await another_password(node, "ann" if name == "root" else "root")
            node.access.look_at_users()
            assert not theirs.content.at_eof()
            assert theirs.content.exception() is None
            await another_password(node, name)
            node.access.look_at_users()
            with pytest.raises(aiohttp.ClientError):
                await to_the_end(theirs)
            assert ours.content.exception() is None


async def test_what_root_opened_ends_when_that_user_is_root_no_more() -> None:
    async with served() as node, aiohttp.ClientSession(node.url) as http:
        shown = (await with_users(node))["ann"]
        await changed(node.auth.user_grant_role, user="ann", role="root")
        async with http.get("/events", headers={"Authorization": shown}) as answer:
            assert answer.status == 200
            await answer.content.readany()
            await changed(node.auth.user_revoke_role, name="ann", role="root")
            node.access.look_at_users()
            with pytest.raises(aiohttp.ClientError):
                await to_the_end(answer)


@pytest.mark.slowest
async def test_a_watch_of_a_user_over_grpc_ends_with_the_password_and_not_with_a_permission() -> None:
    async with served() as node, grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
        shown = (await with_users(node))["ann"]
        call = channel.stream_stream("/etcdserverpb.Watch/Watch")(metadata=(("token", shown),), timeout=20)
        await call.write(bytes.fromhex("0a030a0161"))  # WatchCreateRequest of the key "a"
        assert await call.read()
        await changed(node.auth.user_revoke_role, name="ann", role="a")
        assert node.node.store.auth.users["ann"].roles == ()
        node.access.look_at_users()
        assert not call.done()
        await another_password(node, "ann")
        node.access.look_at_users()
        with pytest.raises(grpc.aio.AioRpcError, match="etcdserver: invalid auth token"):
            await call.read()
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED


def test_each_credential_is_looked_at_once() -> None:
    standing = Standing()
    ended: list[int] = []
    looked: list[str | None] = []
    somebody = with_roles("a", Role.READ)

    def may(let_in: LetIn) -> bool:
        looked.append(let_in.credential)
        return let_in.credential == "a"

    forget = standing.hold(LetIn(somebody, "b", Role.READ), partial(ended.append, -1))
    for number in range(100):
        standing.hold(LetIn(somebody, "ab"[number % 2], Role.READ), partial(ended.append, number))
    forget()
    standing.judge(may)
    assert looked == ["a", "b"]
    assert ended == list(range(1, 100, 2))


async def test_what_was_opened_while_nobody_had_to_say_who_they_are_ends_once_everybody_has_to() -> None:
    """Nothing of what is written then is told there, not even in the second until it is looked for."""
    async with (
        served() as node,
        aiohttp.ClientSession(node.url) as http,
        grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel,
    ):
        node.source.demands = False
        body = b'{"create_request":{"key":"YQ=="}}'
        events, idle = await http.get("/events"), await http.get("/kv/?prefix=b&watch=1")
        watched = [await http.get("/kv/?prefix=a&watch=1"), await http.post("/v3/watch", data=body)]
        for answer in (events, idle, *watched):
            assert answer.status == 200
            await answer.content.readany()
        calls = []
        for key in ("61", "62"):  # of "a", and of "b"
            call = channel.stream_stream("/etcdserverpb.Watch/Watch")(timeout=20)
            await call.write(bytes.fromhex(f"0a030a01{key}"))
            assert await call.read()
            calls.append(call)
        health = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=20)
        await health.read()

        shown = await with_users(node)
        node.node.do(AsUser("", 0, encode_write(Put(b"a", b"a secret"))))

        said = [(await answer.content.read()).decode() for answer in watched]
        assert all("users were put in force" in text and "secret" not in text for text in said), said
        with pytest.raises(grpc.aio.AioRpcError, match="users were put in force"):
            await calls[0].read()
        assert await calls[0].code() is grpc.StatusCode.UNAVAILABLE, "by this code clients open it anew"
        assert not calls[1].done()

        async with http.get("/kv/?prefix=a&watch=1", headers={"Authorization": shown["ann"]}) as ours:
            await ours.content.readany()
            node.access.look_at_users()
            with pytest.raises(grpc.aio.AioRpcError, match="users were put in force"):
                await calls[1].read()
            for answer in (events, idle):
                with pytest.raises(aiohttp.ClientError):
                    await to_the_end(answer)
            node.node.do(AsUser("", 0, encode_write(Put(b"a", b"for ann"))))
            assert b"for ann" in await ours.content.readany()
        assert not health.done(), "that is open to all"
        health.cancel()
        for answer in (events, idle, *watched):
            answer.close()
        await until(lambda: not any(let_in.need for let_in, _ in node.access._standing._open.values()))


async def test_a_queue_that_nobody_had_to_be_known_for_is_left_once_everybody_has_to() -> None:
    async with served() as node, aiohttp.ClientSession(node.url) as http:
        node.source.demands = False
        node.node.do(Put(b"e/1", b"who leads"))
        observing = await http.post("/v3/election/observe", data=b'{"name":"ZQ=="}')
        assert b"result" in await observing.content.readany()
        await with_users(node)
        node.node.do(AsUser("", 0, encode_write(Put(b"e/1", b"a secret"))))
        text = (await observing.content.read()).decode()
        assert "secret" not in text
        assert "users were put in force" in text


def test_so_many_are_ended_in_one_turn() -> None:
    turns: list[Callable[[], None]] = []
    standing, ended = Standing(turns.append), list[int]()
    forgets: list[Callable[[], None]] = []

    def end(number: int) -> None:
        ended.append(number)
        if number % 2:
            forgets[number]()  # as gRPC's do

    many = 2 * ENDED_PER_TURN_MAX + 10
    for number in range(many):
        forgets.append(standing.hold(LetIn(ANYBODY, None, Role.READ), partial(end, number)))
    standing.judge(lambda _let_in: False)
    assert len(ended) == ENDED_PER_TURN_MAX
    forgets[many - 1]()  # it is over by itself meanwhile
    standing.judge(lambda _let_in: False)
    assert len(turns) == 1, "it is under way"
    while turns:
        turns.pop()()
    assert set(ended) == set(range(many - 1))
