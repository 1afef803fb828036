"""Who did what is told: for operators always, for writers where that is asked for; in bounds, and without content."""

import aiohttp
import grpc.aio
import pytest

from node.access.audit import EVENTS_PER_SECOND_MAX, WHAT_CHARS_MAX, Audit, Detail
from node.access.entrance import Access
from node.access.principals import Role, with_roles
from node.api.etcd.tokens import shown
from node.api.etcd.users import Users
from node.api.express import Answer, Express
from node.statemachine.auth_writes import LogIn
from tests.access.double import Known, served
from tests.access.test_doors import called
from tests.access.test_standing import with_users


class Written:
    """What was told, and a clock."""

    def __init__(self, writes: bool = False) -> None:
        self.events: list[Detail] = []
        self.lines: list[Detail] = []
        self.counts: dict[tuple[str, str], int] = {}
        self.loop_s = 0.0
        self.audit = Audit(self.events.append, self.lines.append, lambda: self.loop_s, self.counts, writes=writes)

    @property
    def told(self) -> list[tuple[object, ...]]:
        return [(detail["who"], detail["what"], detail["outcome"]) for detail in self.events]


def bearer(role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {role}-token"}


async def test_what_an_operator_does_over_http_is_told_with_who_and_what_came_of_it() -> None:
    written = Written()
    async with served(written.audit) as node, aiohttp.ClientSession(node.url) as http:
        for method, path, role in (
            ("POST", "/commands/campaign?node=n2", "operate"),
            ("POST", "/commands/campaign?wrong=1", "operate"),
            ("GET", "/backup", "operate"),
            ("POST", "/v3/cluster/member/remove", "operate"),
            ("POST", "/commands/campaign", "write"),
            ("GET", "/commands", "operate"),
            ("PUT", "/kv/a", "write"),
            ("POST", "/commands/campaign", "nobody"),
        ):
            async with http.request(
                method, path, headers=bearer(role), data=None if method == "GET" else b"{}"
            ) as answer:
                await answer.read()
    assert written.told == [
        ("a-operate", "POST /commands/campaign?node=n2", "200"),
        ("a-operate", "POST /commands/campaign?wrong=1", "400"),
        ("a-operate", "GET /backup", "200"),
        ("a-operate", "POST /v3/cluster/member/remove", "404"),
        ("a-write", "POST /commands/{name}", "denied"),
    ]
    assert written.lines == []


async def test_what_an_operator_does_over_grpc_is_told() -> None:
    written = Written()
    async with served(written.audit) as node, grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
        for path, role in (
            ("Maintenance/Defragment", "operate"),
            ("Cluster/MemberRemove", "operate"),
            ("Cluster/MemberRemove", "read"),
            ("Maintenance/Status", "operate"),
            ("KV/Put", "write"),
        ):
            await called(channel, f"/etcdserverpb.{path}", (("token", f"{role}-token"),))
        stream = channel.unary_stream("/etcdserverpb.Maintenance/Snapshot")(b"", metadata=(("token", "operate-token"),))
        assert [piece async for piece in stream]
    assert written.told == [
        ("a-operate", "/etcdserverpb.Maintenance/Defragment", "OK"),
        ("a-operate", "/etcdserverpb.Cluster/MemberRemove", "NOT_FOUND"),
        ("a-read", "/etcdserverpb.Cluster/MemberRemove", "denied"),
        ("a-operate", "/etcdserverpb.Maintenance/Snapshot", "OK"),
    ]


async def test_writes_are_told_in_the_log_alone_and_without_what_was_written() -> None:
    written = Written(writes=True)
    put = {"key": "c2VjcmV0", "value": "c2VjcmV0"}
    async with served(written.audit) as node, aiohttp.ClientSession(node.url) as http:
        async with http.put("/kv/a?lease=7", data=b"secret", headers=bearer("write")) as answer:
            await answer.read()
        async with http.post("/v3/kv/put", json=put, headers=bearer("write")) as answer:
            assert answer.status == 200
        async with grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
            await called(channel, "/etcdserverpb.KV/Put", (("token", "write-token"),))
    assert [(detail["what"], detail["outcome"]) for detail in written.lines] == [
        ("PUT /kv/a?lease=7", "404"),
        ("POST /v3/kv/put", "200"),
        ("/etcdserverpb.KV/Put", "INVALID_ARGUMENT"),
    ]
    assert written.events == []
    assert "secret" not in str(written.lines)


def test_a_write_by_the_express_lane_is_told_with_what_came_of_it() -> None:
    """A third of the rate it cost to send them the longer way."""
    written = Written(writes=True)
    answered: list[int] = []

    def taken(body: bytes, answer: Answer) -> bool:
        answer(400 if body else 200, b"")
        return True

    lane = Express({"/v3/kv/put": taken, "/v3/kv/range": taken}, (), None, Access([Known()], None, written.audit))
    for path, body in (("put", b""), ("put", b"{"), ("range", b"")):
        head = f"POST /v3/kv/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer write-token\r\n"
        found = lane.read(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert found is not None
        assert found[0].take(found[1], lambda status, _body: answered.append(status))
    assert [(line["who"], line["what"], line["outcome"]) for line in written.lines] == [
        ("a-write", "POST /v3/kv/put", "200"),
        ("a-write", "POST /v3/kv/put", "400"),
    ]
    assert answered == [200, 400, 200]


def test_events_are_few_and_none_is_lost() -> None:
    written = Written()
    principal = with_roles("a", Role.OPERATE)
    for number in range(100):
        written.audit.done(principal, Role.OPERATE, f"POST /commands/{number}", "200")
    assert (len(written.events), len(written.lines)) == (EVENTS_PER_SECOND_MAX, 100 - EVENTS_PER_SECOND_MAX)
    written.loop_s = 1.0
    written.audit.done(principal, Role.OPERATE, "POST /commands/last", "200")
    assert written.events[-1]["untold"] == 100 - EVENTS_PER_SECOND_MAX
    assert written.counts == {("operate", "200"): 101}


@pytest.mark.parametrize("what", ["GET /\r\n\u2028", "x" * 1000])
def test_what_was_asked_is_one_short_line(what: str) -> None:
    written = Written()
    written.audit.done(with_roles("a", Role.OPERATE), Role.OPERATE, what, "200")
    told = str(written.events[0]["what"])
    assert told.isprintable()
    assert len(told) <= WHAT_CHARS_MAX


def test_where_nobody_is_asked_nothing_is_told() -> None:
    written, source = Written(), Known()
    access = Access([source], None, written.audit)
    source.demands = False
    assert access.told(access.enter(None, Role.OPERATE, "a test"), Role.OPERATE, "a test") is None


async def test_a_token_that_was_not_known_yet_is_told_by_its_name_once_it_is() -> None:
    """The head of such a request is the same before and after."""
    written = Written()
    async with served(written.audit) as node, grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
        await with_users(node)
        users = node.access.users
        assert isinstance(users, Users)
        secret, digest = users.tokens.made()
        for _ in range(3):
            await called(channel, "/etcdserverpb.Cluster/MemberPromote", (("token", shown(secret, 99)),))
        node.node.do(LogIn("root", users.auth.users["root"].since, digest))
        await called(channel, "/etcdserverpb.Cluster/MemberPromote", (("token", shown(secret, 99)),))
    assert [(who, outcome) for who, _, outcome in written.told] == [("", "UNAUTHENTICATED")] * 3 + [
        ("root", "NOT_FOUND")
    ]
