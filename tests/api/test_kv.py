"""`/kv` against a real server: keys of any bytes, revisions, conditions, and what each outcome becomes."""

import asyncio
import io
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from node.api.inputs import REQUEST_LINE_BYTES_MAX
from node.runtime.ports import DoneUntold, NotProposed, Outcome, ReadFailed, Unknown
from node.statemachine.writes import KEY_BYTES_MAX, VALUE_BYTES_MAX, Compact, KeyValue, Put
from tests.api.double import ScriptedNode, Server, client_of, serving


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with client_of(server) as session:
        yield session


@pytest.fixture
def node(server: Server) -> ScriptedNode:
    return server.node


def path(key: bytes, query: str = "") -> URL:
    return URL("/kv/" + quote(key, safe="") + query, encoded=True)


@pytest.mark.parametrize("key", [b"a", b"a/b//c", b"/", b"%2F", b"\xff\x00\xfe", "schön".encode(), b"a b+c?#&"])
async def test_a_key_may_hold_any_bytes(client: aiohttp.ClientSession, node: ScriptedNode, key: bytes) -> None:
    async with client.put(path(key), data=b"\x00value\xff") as answer:
        assert answer.status == 200
        assert answer.headers["ETag"] == '"2"'
        body = await answer.json()
        assert body["revision"] == 2
        assert b64decode(body["key_base64"]) == key
    assert isinstance(node.store.get(key), KeyValue)
    async with client.get(path(key)) as answer:
        assert (answer.status, await answer.read(), answer.headers["ETag"]) == (200, b"\x00value\xff", '"2"')
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.content_type == "application/octet-stream"
    async with client.delete(path(key)) as answer:
        assert (answer.status, (await answer.json())["revision"]) == (200, 3)
    async with client.get(path(key)) as answer:
        assert (answer.status, (await answer.json())["error"]) == (404, "key-not-found")
    async with client.delete(path(key)) as answer:
        assert answer.status == 404


async def test_slashes_and_dots_of_a_key_are_not_a_path(server: Server, node: ScriptedNode) -> None:
    for raw, key in ((b"a/../b", b"a/../b"), (b"..", b".."), (b"a//b/", b"a//b/")):
        request = b"PUT /kv/" + raw + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"
        status, _, _ = await server.raw(request)
        assert status == 200
        assert isinstance(node.store.get(key), KeyValue)


async def test_reads_pass_the_barrier_unless_stale_is_asked_for(
    client: aiohttp.ClientSession, node: ScriptedNode
) -> None:
    node.on_barrier = [Put(b"k", b"new")]
    async with client.get("/kv/k?consistency=stale") as answer:
        assert answer.status == 404
    assert node.barriers == 0
    async with client.get("/kv/k") as answer:
        assert await answer.read() == b"new"
    async with client.get("/kv/?prefix=k") as answer:
        assert answer.status == 200
    assert node.barriers == 2
    node.read_failure = ReadFailed("no-leader", "nobody leads", "")
    for target in ("/kv/k", "/kv/"):
        async with client.get(target) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert (await answer.json())["error"] == "no-leader"


async def test_if_match_is_compare_and_set(client: aiohttp.ClientSession, node: ScriptedNode) -> None:
    node.do(Put(b"k", b"1"))
    async with client.put("/kv/k", data=b"2", headers={"If-Match": '"9"'}) as answer:
        body = await answer.json()
        assert (answer.status, body["error"], body["revision"]) == (412, "revision-mismatch", 2)
        assert answer.headers["ETag"] == '"2"'
    async with client.put("/kv/k", data=b"2", headers={"If-Match": '"2"'}) as answer:
        assert (answer.status, answer.headers["ETag"]) == (200, '"3"')
    async with client.put("/kv/missing", data=b"2", headers={"If-Match": '"2"'}) as answer:
        assert (answer.status, (await answer.json())["revision"]) == (412, 0)
    async with client.delete("/kv/k", headers={"If-Match": '"2"'}) as answer:
        assert answer.status == 412
    async with client.delete("/kv/k", headers={"If-Match": '"3"'}) as answer:
        assert answer.status == 200
    assert node.store.get(b"k") is None


async def test_if_none_match_creates_only(client: aiohttp.ClientSession, node: ScriptedNode) -> None:
    for expected in (200, 412):
        async with client.put("/kv/k", data=str(expected), headers={"If-None-Match": "*"}) as answer:
            assert answer.status == expected
    found = node.store.get(b"k")
    assert isinstance(found, KeyValue)
    assert found.value == b"200"


async def test_older_revisions_stay_readable_until_compacted(client: aiohttp.ClientSession, node: ScriptedNode) -> None:
    node.do(Put(b"k", b"1"), Put(b"k", b"2"))
    async with client.get("/kv/k?revision=2") as answer:
        assert (await answer.read(), answer.headers["ETag"]) == (b"1", '"2"')
    async with client.get("/kv/k?revision=4") as answer:
        body = await answer.json()
        assert (answer.status, body["error"], body["field"]) == (400, "future-revision", "revision")
    node.do(Compact(3))
    for target in ("/kv/k?revision=2", "/kv/?revision=2"):
        async with client.get(target) as answer:
            body = await answer.json()
            assert (answer.status, body["error"], body["compact_revision"]) == (410, "compacted", 3)


async def test_a_list_pages_through_a_prefix_at_one_revision(client: aiohttp.ClientSession, node: ScriptedNode) -> None:
    keys = [b"a/1", b"a/2 &", b"a/\xff", b"b"]
    node.do(*(Put(key, b"v") for key in keys))
    target, found = "/kv/?prefix=a%2F&limit=1&consistency=stale", []
    while target:
        async with client.get(URL(target, encoded=True)) as answer:
            body = await answer.json()
        found += body["keys"]
        assert body["more"] is (body["next"] is not None)
        target = body["next"]
        node.do(Put(b"a/0", b"later"), Put(b"a/3", b"later"))
    assert [b64decode(item["key_base64"]) for item in found] == keys[:3]
    assert [item["key"] for item in found] == ["a/1", "a/2 &", None]
    assert node.barriers == 0
    async with client.get("/kv/") as answer:
        body = await answer.json()
        assert (body["count"], body["more"], len(body["keys"])) == (6, False, 6)
        assert body["revision"] == node.store.revision


@pytest.mark.parametrize("key", [b"k" * (KEY_BYTES_MAX + 1), b"k" * 60_000, b"\xff" * 21_000])
async def test_what_v3_wrote_under_a_long_key_is_read_listed_and_removed_here(
    client: aiohttp.ClientSession, node: ScriptedNode, key: bytes
) -> None:
    put = {"key": b64encode(key).decode(), "value": b64encode(b"v").decode()}
    async with client.post("/v3/kv/put", json=put) as answer:
        assert answer.status == 200
    for method in ("GET", "HEAD"):
        async with client.request(method, path(key)) as answer:
            assert (answer.status, answer.headers["ETag"]) == (200, '"2"')
    for name in ("prefix", "from"):
        async with client.get(URL(f"/kv/?{name}={quote(key, safe='')}", encoded=True)) as answer:
            assert [b64decode(row["key_base64"]) for row in (await answer.json())["keys"]] == [key]
    async with client.delete(path(key), headers={"If-Match": '"2"'}) as answer:
        assert (answer.status, (await answer.json())["deleted"]) == (200, 1)
    assert node.store.get(key) is None


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_url_that_is_too_long_is_414_and_names_the_way_for_long_keys(server: Server, method: str) -> None:
    target = b"/kv/" + b"k" * (REQUEST_LINE_BYTES_MAX - 3)
    status, _, body = await server.raw(method.encode() + b" " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (status, b"/v3/kv/range and /v3/kv/deleterange take a long key" in body) == (414, True)
    header = b"GET /kv/k HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n"
    assert (await server.raw(header))[0] == 400


async def test_a_list_goes_on_at_keys_that_no_url_can_hold(client: aiohttp.ClientSession, node: ScriptedNode) -> None:
    long = b"l" * 70_000
    keys = [b"a", b"b" * 30_000 + b"\xff", b"b" * 70_000, b"c" + long, b"d", b"e" + b"\xff" * 30_000]
    node.do(*(Put(key, b"v") for key in keys))
    target, found = "/kv/?limit=1", []
    while target:
        assert len(target) <= REQUEST_LINE_BYTES_MAX
        async with client.get(URL(target, encoded=True)) as answer:
            assert answer.status == 200
            body = await answer.json()
        found += [b64decode(row["key_base64"]) for row in body["keys"]]
        target = body["next"]
    assert found == sorted(keys)


async def test_a_list_that_no_url_can_go_on_says_that_there_is_more(
    client: aiohttp.ClientSession, node: ScriptedNode
) -> None:
    node.do(*(Put(b"k" * 70_000 + end, b"v") for end in (b"1", b"2")))
    async with client.get("/kv/?limit=1") as answer:
        body = await answer.json()
    assert (body["more"], body["next"], body["count"]) == (True, None, 2)


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (Unknown("the leader changed"), 504, "unknown outcome"),
        (NotProposed("log-full", "the log is full"), 507, "log-full"),
        *(
            (NotProposed(code, "a sentence", "n2"), 503, code)
            for code in ("no-leader", "overloaded", "no-link", "not-born", "stopping", "something-new")
        ),
        (DoneUntold(7, 1, "its answer is too long to be sent here"), 504, "done-untold"),
        (NotProposed("too-large", "it is too long for one entry"), 413, "too-large"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_each_outcome_has_its_status(
    client: aiohttp.ClientSession, node: ScriptedNode, outcome: Outcome, status: int, code: str, method: str
) -> None:
    node.outcome = outcome
    async with client.request(method, "/kv/k", data=b"v") as answer:
        body = await answer.json()
        assert (answer.status, body["error"]) == (status, code)
        assert body["message"]
        assert answer.headers.get("Retry-After") == ("1" if status == 503 else None)


async def test_what_is_too_long_is_413_and_is_never_proposed(client: aiohttp.ClientSession, node: ScriptedNode) -> None:
    longest = b"\xff" * KEY_BYTES_MAX
    async with client.put(path(longest), data=b"x" * VALUE_BYTES_MAX) as answer:
        assert answer.status == 200
    node.proposed.clear()
    async with client.put(path(longest + b"\xff"), data=b"x") as answer:
        body = await answer.json()
        assert (answer.status, body["field"], body["limit"]) == (413, "key", KEY_BYTES_MAX)
        assert "POST /v3/kv/put takes a longer one" in body["message"]

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b"x" * (VALUE_BYTES_MAX // 16)

    for data in (io.BytesIO(b"x" * (VALUE_BYTES_MAX + 1)), chunks()):
        async with client.put("/kv/k", data=data) as answer:
            assert (answer.status, (await answer.json())["field"]) == (413, "value")
    assert node.proposed == []


@pytest.mark.parametrize(
    ("method", "target", "headers", "field"),
    [
        ("GET", "/kv/%zz", {}, "key"),
        ("PUT", "/kv/a%2", {}, "key"),
        ("PUT", "/kv/", {}, "key"),
        ("DELETE", "/kv/", {}, "key"),
        ("GET", "/kv/k?revison=5", {}, "revison"),
        ("GET", "/kv/k?revision=-1", {}, "revision"),
        ("GET", "/kv/k?revision=5&revision=6", {}, "revision"),
        ("GET", "/kv/k?revision=" + "9" * 30, {}, "revision"),
        ("GET", "/kv/k?consistency=weak", {}, "consistency"),
        ("GET", "/kv/k?timeout_ms=0", {}, "timeout_ms"),
        ("PUT", "/kv/k?timeout_ms=60001", {}, "timeout_ms"),
        ("PUT", "/kv/k?consistency=stale", {}, "consistency"),
        ("GET", "/kv/?limit=1001", {}, "limit"),
        ("GET", "/kv/?prefix=%f", {}, "prefix"),
        ("PUT", "/kv/k", {"If-Match": "7"}, "If-Match"),
        ("PUT", "/kv/k", {"If-Match": 'W/"7"'}, "If-Match"),
        ("PUT", "/kv/k", {"If-Match": '"0"'}, "If-Match"),
        ("DELETE", "/kv/k", {"If-Match": '"1", "2"'}, "If-Match"),
        ("PUT", "/kv/k", {"If-None-Match": '"1"'}, "If-None-Match"),
        ("PUT", "/kv/k", {"If-None-Match": "*", "If-Match": '"1"'}, "If-Match"),
        ("GET", "/log?from=0", {}, "from"),
        ("GET", "/log?limit=x", {}, "limit"),
        ("GET", "/events?messages=2", {}, "messages"),
        ("GET", "/events", {"Last-Event-ID": "7"}, "Last-Event-ID"),
    ],
)
async def test_malformed_input_is_400_and_names_the_field(
    client: aiohttp.ClientSession, node: ScriptedNode, method: str, target: str, headers: dict[str, str], field: str
) -> None:
    async with client.request(method, URL(target, encoded=True), headers=headers) as answer:
        body = await answer.json()
        assert (answer.status, body["error"], body["field"]) == (400, "malformed", field)
    assert node.proposed == []
    assert node.barriers == 0


async def test_timeouts_are_passed_on_in_microseconds(client: aiohttp.ClientSession, node: ScriptedNode) -> None:
    async with client.put("/kv/k?timeout_ms=250", data=b"v"), client.put("/kv/k", data=b"v"), client.get("/kv/k"):
        assert node.timeouts_us == [250_000, None, None]


async def test_a_body_that_does_not_arrive_is_408_and_is_never_proposed(server: Server, node: ScriptedNode) -> None:
    request = b"PUT /kv/k?timeout_ms=50 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf"
    status, _, body = await server.raw(request)
    assert (status, b"timeout" in body) == (408, True)
    assert node.proposed == []


async def test_a_value_that_announces_itself_as_too_long_is_refused_before_it_is_sent(server: Server) -> None:
    length = str(VALUE_BYTES_MAX + 1).encode()
    request = b"PUT /kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + length + b"\r\n\r\n"
    status, _, _ = await asyncio.wait_for(server.raw(request), 2)
    assert status == 413


async def test_a_compressed_value_is_refused_not_guessed(server: Server, node: ScriptedNode) -> None:
    request = b"PUT /kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    assert (await server.raw(request))[0] == 415
    assert node.proposed == []


async def test_a_fault_in_the_node_shows_no_traceback_and_leaves_a_write_unknown(
    client: aiohttp.ClientSession, node: ScriptedNode, caplog: pytest.LogCaptureFixture
) -> None:
    node.error = ValueError("a secret")
    for method, status, code in (("GET", 500, "internal"), ("PUT", 504, "unknown outcome")):
        caplog.clear()
        async with client.request(method, "/kv/k", data=b"v") as answer:
            assert (answer.status, (await answer.json())["error"]) == (status, code)
            assert "secret" not in await answer.text()
        assert "a secret" in caplog.text


async def test_outcomes_are_counted(client: aiohttp.ClientSession, node: ScriptedNode, server: Server) -> None:
    async with client.put("/kv/k", data=b"v"), client.get("/kv/k"), client.get("/kv/k?consistency=stale"):
        pass
    node.outcome = Unknown("?")
    async with client.put("/kv/k", data=b"v"):
        pass
    assert server.metrics.proposals == {"done": 1, "unknown": 1}
    assert server.metrics.reads == {"linearizable": 1, "stale": 1}


async def test_head_is_get_without_a_body(client: aiohttp.ClientSession, node: ScriptedNode) -> None:
    node.do(Put(b"k", b"123"))
    async with client.head("/kv/k") as answer:
        assert (answer.status, answer.headers["ETag"], answer.headers["Content-Length"]) == (200, '"2"', "3")


async def test_writes_are_commands_in_the_log(client: aiohttp.ClientSession, node: ScriptedNode) -> None:
    async with client.put("/kv/k", data=b"v"):
        pass
    assert node.proposed == [bytes.fromhex("97a170c4016bc4017600c2c2c2")]
