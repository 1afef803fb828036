"""What the client repeats, what it must not, and what it says: judged by servers that count."""

import ast
import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from raftclient import NotDone, OutcomeUnknown, RaftClient, RevisionMismatch, Value
from raftclient import client as module
from tests.client.breaking import AGAIN, DONE, Breaking, answer, breaking, full, leading, problem, refusing

UNSETTLED = {
    "504 of a node": problem(504, "unknown outcome"),
    "500 of a node": problem(500, "internal"),
    "503 of a proxy": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\nRetry-After: 1\r\n\r\nreset",
    "503 without Retry-After": problem(503, "no-leader", leader=None),
    "503 of another program": problem(503, "down", "a sentence", "Retry-After: 1"),
    "404 of a web server": b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    "200 that no node gives": answer(200, {"hello": 1}),
    "200 of a web page": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
    "a redirect": answer(307, None, "Location: http://127.0.0.1:1/"),
    "half an answer": b'HTTP/1.1 200 OK\r\nETag: "7"\r\nContent-Length: 90\r\n\r\nCUT',
    "half a head": b"HTTP/1.1 200 OK\r\nContent-CUT",
    "garbage": b"\x00\xff garbage \r\n\r\n",
    "closed after the request": b"",
    "reset after the request": None,
    "silence": ...,
    "an endless answer": b'HTTP/1.1 200 OK\r\nETag: "7"\r\nContent-Length: 9000000\r\n\r\n' + bytes(5_000_000),
}
REFUSED = {
    "400": problem(400, "malformed"),
    "403": problem(403, "forbidden"),
    "404 of a path": problem(404, "not-found"),
    "408": problem(408, "timeout"),
    "413": problem(413, "too-large"),
    "507": problem(507, "log-full"),
}


@pytest.mark.parametrize("what", UNSETTLED.values(), ids=UNSETTLED)
async def test_without_a_session_a_write_that_may_have_happened_is_sent_once_and_called_unknown(what: object) -> None:
    timeout_s = 0.3 if what is ... else 5
    for method in ("PUT", "DELETE"):
        async with (
            breaking(what) as bad,
            breaking() as good,
            RaftClient([bad.url, good.url], timeout_s=timeout_s, exactly_once=False) as client,
        ):
            with pytest.raises(OutcomeUnknown, match="read the key before you repeat the write") as caught:
                await (client.put("a key", "v") if method == "PUT" else client.delete("a key"))
            assert bad.requests == [f"{method} /kv/a%20key"]
            assert (good.requests, bad.registered, good.registered) == ([], 0, 0)
            assert "Raft-" not in bad.heads[0]
            assert (caught.value.key, caught.value.endpoint) == (b"a key", bad.url)
            assert caught.value.reason in str(caught.value)
            assert bad.url in str(caught.value)
            assert "'a key'" in str(caught.value)
            assert (client.attempts, client.retries) == (1, 0)


@pytest.mark.parametrize("what", UNSETTLED.values(), ids=UNSETTLED)
async def test_a_read_goes_on_to_another_node_whatever_happened(what: object, monkeypatch: pytest.MonkeyPatch) -> None:
    if what is ...:
        monkeypatch.setattr(module, "READ_SECONDS_MAX", 0.2)
    value = b'HTTP/1.1 200 OK\r\nETag: "9"\r\nContent-Length: 2\r\n\r\nhi'
    async with breaking(what) as bad, breaking(value) as good, RaftClient([bad.url, good.url], timeout_s=5) as client:
        assert await client.get("k") == Value(b"hi", 9)
        assert (len(bad.requests), len(good.requests), client.retries) == (1, 1, 1)


@pytest.mark.parametrize("what", REFUSED.values(), ids=REFUSED)
async def test_what_a_node_refuses_for_good_is_not_done_and_not_repeated(what: object) -> None:
    async with breaking(what) as bad, breaking() as good, RaftClient([bad.url, good.url]) as client:
        for call in (client.put("k", "v"), client.delete("k"), client.get("k")):
            with pytest.raises(NotDone, match="a sentence; nothing happened") as caught:
                await call
            assert not isinstance(caught.value, RevisionMismatch)
            assert f" {caught.value.status} ".encode() in bytes(what) if isinstance(what, bytes) else False
        assert bad.requests == ["PUT /kv/k", "DELETE /kv/k", "GET /kv/k"]
        assert good.requests == []


async def test_a_write_that_was_never_proposed_is_repeated_elsewhere() -> None:
    async with breaking(AGAIN) as one, breaking(AGAIN, DONE) as two, RaftClient([one.url, two.url]) as client:
        assert await client.put("k", "v") == 7
        assert (len(one.requests), len(two.requests)) == (2, 2)
        assert (client.attempts, client.retries) == (4, 3)


async def test_a_write_is_repeated_elsewhere_where_nobody_listens() -> None:
    async with breaking() as good, RaftClient([refusing(), good.url], exactly_once=False) as client:
        assert await client.put("k", "v") == 7
        assert (client.attempts, client.retries) == (2, 1)
        assert await client.put("k", "v") == 7
        assert client.retries == 1, "the node that answered is asked first from then on"


@pytest.mark.parametrize("gone", [None, b"", problem(504, "unknown outcome")], ids=["reset", "closed", "504"])
async def test_where_a_node_is_gone_each_other_is_tried_at_once_and_none_twice(
    gone: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        waits.extend([seconds] if seconds else [])  # the HTTP library gives way to others
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    async with (
        breaking(gone) as one,
        breaking(gone) as two,
        breaking(gone, DONE) as three,
        RaftClient([one.url, two.url, three.url], timeout_s=5) as client,
    ):
        assert await client.put("k", "v") == 7
        assert [len(node.requests) for node in (one, two, three)] == [2, 2, 2]
    assert waits == [module.BACKOFF_SECONDS_MIN], "all are gone: only then it waits"


async def test_a_write_is_repeated_elsewhere_where_connecting_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_SECONDS_MAX", 0.2)
    async with (
        full() as stuck,
        breaking() as good,
        RaftClient([stuck, good.url], timeout_s=5, exactly_once=False) as client,
    ):
        assert await client.put("k", "v") == 7
        assert good.requests == ["PUT /kv/k"]
        assert client.retries == 1


async def test_a_name_that_does_not_resolve_is_a_node_that_nothing_was_sent_to() -> None:
    async with breaking() as good, RaftClient(["http://nobody.invalid:1", good.url]) as client:
        assert await client.put("k", "v") == 7
    await asyncio.get_running_loop().shutdown_default_executor()  # where names are looked up


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("broken", [b"", None], ids=["closed", "reset"])
async def test_a_kept_connection_that_breaks_does_not_send_the_write_again(foreign: bool, broken: object) -> None:
    """aiohttp repeats PUT and DELETE by itself on a kept connection; the server would count one more of each."""
    async with aiohttp.ClientSession() as session, breaking(DONE, broken, DONE, broken, DONE) as server:
        own = session if foreign else None
        async with RaftClient([server.url], session=own, exactly_once=False) as client:
            assert await client.put("k", "1") == 7
            with pytest.raises(OutcomeUnknown):
                await client.put("k", "2")
            assert await client.put("k", "3") == 7
            with pytest.raises(OutcomeUnknown):
                await client.delete("k")
        assert server.requests == ["PUT /kv/k"] * 3 + ["DELETE /kv/k"]
        assert server.connections <= 3, "the connection was never kept, so the test shows nothing"
        assert not session.closed


async def test_a_node_that_closes_the_connection_after_its_answer_is_left_alone() -> None:
    last = answer(200, {"revision": 7}, 'ETag: "7"', "Connection: close")
    async with breaking(last) as leaving, breaking() as good, RaftClient([leaving.url, good.url]) as client:
        leaving.status = leading(5)  # it still leads, and must not be preferred for that
        for _ in range(50):  # long enough for the search for the leader, which is under way, to end
            assert await client.put("k", "v") == 7
        assert (len(leaving.requests), len(good.requests)) == (1, 49)


async def test_the_only_node_is_asked_again_though_it_closed_the_connection() -> None:
    last = answer(200, {"revision": 7}, 'ETag: "7"', "Connection: close")
    async with breaking(last) as only, RaftClient([only.url]) as client:
        assert [await client.put("k", "v"), await client.put("k", "v")] == [7, 7]
        assert client.retries == 0


async def test_the_leader_of_the_highest_term_is_asked_first() -> None:
    async with (
        breaking(status=leading(9, "follower")) as follower,
        breaking(status=leading(3)) as deposed,
        breaking(status=leading(4)) as leader,
        RaftClient([follower.url, deposed.url, leader.url]) as client,
    ):
        await client.put("k", "v")
        assert [len(server.requests) for server in (follower, deposed, leader)] == [0, 0, 1]
        assert (await client.status())[leader.url] == leading(4)


async def test_a_new_leader_is_found_after_a_failure() -> None:
    async with (
        breaking(AGAIN, status=leading(1)) as old,
        breaking() as other,
        breaking() as new,
        RaftClient([old.url, other.url, new.url]) as client,
    ):
        old.status, new.status = leading(1, "follower"), leading(2)
        for _ in range(50):  # through the next node at once, and through the leader as soon as it is known
            await client.put("k", "v")
        assert len(old.requests) == 1
        assert len(new.requests) > len(other.requests)


async def test_a_call_ends_in_its_time_and_says_that_nothing_happened() -> None:
    loop = asyncio.get_running_loop()
    async with breaking(AGAIN) as server, RaftClient([server.url, refusing()], timeout_s=0.7) as client:
        began = loop.time()
        with pytest.raises(NotDone, match=r"attempts in 0\.7 s\); nothing happened") as caught:
            await client.put("k", "v")
        assert 0.4 <= loop.time() - began < 1.4
        assert caught.value.status == 0
        assert 2 <= client.attempts <= 12, "the pauses between attempts grow"
        assert client.retries == client.attempts - 1
        assert 0.4 <= client.longest_stall_s < 1.4


async def test_a_write_is_not_sent_again_when_it_is_too_late_for_an_answer() -> None:
    """Else the last attempt of a write that was refused all the time would end it as unknown."""
    async with breaking(AGAIN, AGAIN, ...) as server, RaftClient([server.url], timeout_s=0.3) as client:
        with pytest.raises(NotDone):
            await client.put("k", "v")
        assert len(server.requests) <= 2


async def test_the_node_is_told_to_answer_before_the_client_gives_up() -> None:
    async with breaking() as server, RaftClient([server.url], timeout_s=2) as client:
        await client.put("k", "v")
        await client.get("k", stale=True)
        assert 1000 <= int(server.heads[0].partition("timeout_ms=")[2].split(" ")[0]) <= 1800
        assert "/kv/k?consistency=stale&timeout_ms=" in server.heads[1]


async def test_conditions_travel_as_the_api_wants_them() -> None:
    mismatch = problem(412, "revision-mismatch", "the key is at revision 8", 'ETag: "8"', revision=8)
    nothing = problem(412, "revision-mismatch", "there is no such key", revision=0)
    async with breaking(DONE, DONE, DONE, mismatch, nothing) as server, RaftClient([server.url]) as client:
        assert await client.compare_and_set("k", "v", 0) == 7
        assert await client.compare_and_set("k", "v", 7) == 7
        assert await client.delete("k", expect_revision=3) == 7
        for revision in (8, 0):
            with pytest.raises(RevisionMismatch) as caught:
                await client.compare_and_set("k", "v", 5)
            assert (caught.value.revision, caught.value.status) == (revision, 412)
        told = [line for head in server.heads for line in head.split("\r\n") if line.startswith("If-")]
        assert told == ["If-None-Match: *", 'If-Match: "7"', 'If-Match: "3"', 'If-Match: "5"', 'If-Match: "5"']


async def test_keys_of_dots_and_slashes_arrive_as_they_are() -> None:
    async with breaking() as server, RaftClient([server.url]) as client:
        for key in ("..", "a/../b", b"\xff?#%"):
            await client.put(key, "v")
        assert server.requests == ["PUT /kv/%2E%2E", "PUT /kv/a%2F%2E%2E%2Fb", "PUT /kv/%FF%3F%23%25"]


async def test_an_answer_without_an_end_is_not_read_to_its_end() -> None:
    async with (
        breaking(UNSETTLED["an endless answer"]) as server,
        RaftClient([server.url], exactly_once=False) as client,
    ):
        with pytest.raises(OutcomeUnknown, match="longer than"):
            await client.put("k", "v")


async def test_a_key_that_is_not_there_is_none() -> None:
    async with breaking(problem(404, "key-not-found", revision=4)) as server, RaftClient([server.url]) as client:
        assert await client.get("k") is None
        assert await client.delete("k") is None
        with pytest.raises(NotDone):  # which no node answers
            await client.put("k", "v")


async def test_the_revision_of_a_value_is_never_taken_from_the_value() -> None:
    async with breaking(answer(200, {"revision": 5})) as server, RaftClient([server.url], timeout_s=0.3) as client:
        with pytest.raises(NotDone, match="not as a node does"):
            await client.get("k")


async def test_an_idle_connection_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS_MAX", 0.1)
    async with breaking() as server, RaftClient([server.url]) as client:
        await client.put("k", "v")
        kept = server.connections
        await client.put("k", "v")
        assert server.connections == kept
        await asyncio.sleep(0.3)
        await client.put("k", "v")
        assert server.connections == kept + 1


@pytest.mark.parametrize(
    "endpoint",
    ["", "127.0.0.1:8001", "http://", "http:///x", "http://h:99999", "http://h:x", "http://[::1", "ftp://h:1"],
)
def test_endpoints_are_urls(endpoint: str) -> None:
    """Else the first write through it would be called unknown, though nothing can be sent there."""
    for endpoints in ([], [endpoint], ["http://127.0.0.1:1", endpoint]):
        with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:8001"):
            RaftClient(endpoints)


async def test_new_calls_leave_a_node_that_is_silent_and_the_write_there_waits_for_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.05)
    async with (
        breaking(...) as silent,
        breaking() as good,
        RaftClient([silent.url, good.url]) as client,
        under_way(client, silent) as waiting,
    ):
        await moved_on(client)
        for _ in range(3):
            assert await client.put("k", "2") == 7
        assert (len(silent.requests), len(good.requests)) == (1, 3)
        assert not waiting.done()


async def test_a_slow_node_that_says_that_it_leads_is_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.05)
    async with (
        breaking(..., DONE, status=leading(2)) as slow,
        breaking() as other,
        RaftClient([slow.url, other.url]) as client,
        under_way(client, slow),
    ):
        await moved_on(client)
        assert await client.put("k", "2") == 7
        assert (len(slow.requests), len(other.requests)) == (2, 0)


@asynccontextmanager
async def under_way(client: RaftClient, server: Breaking) -> AsyncIterator[asyncio.Task[int]]:
    """A write that has reached that server."""
    write = asyncio.create_task(client.put("k", "1"))
    while not server.requests:  # noqa: ASYNC110 - what arrives elsewhere has no event here
        await asyncio.sleep(0.01)
    yield write
    write.cancel()
    await asyncio.wait([write])


async def moved_on(client: RaftClient) -> None:
    """The client has left a node, and its search for the leader is over."""
    nodes = client._nodes
    while nodes._looking is None or not nodes._looking.done():  # noqa: ASYNC110 - nor has this
        await asyncio.sleep(0.01)


async def test_closing_makes_writes_under_way_unknown_and_leaves_no_search_behind() -> None:
    async with breaking(...) as one, breaking(...) as two:
        async with RaftClient([one.url, two.url]) as client:
            writes = [asyncio.create_task(client.put("k", "v")) for _ in range(3)]
            while len(one.requests) < 3:  # noqa: ASYNC110 - what arrives elsewhere has no event here
                await asyncio.sleep(0.01)
        assert {type(outcome) for outcome in await asyncio.gather(*writes, return_exceptions=True)} == {OutcomeUnknown}
        assert two.requests == []
        with pytest.raises(RuntimeError, match="not open"):
            await client.put("k", "v")


async def test_a_client_that_is_cancelled_as_it_opens_leaves_no_session_behind() -> None:
    async with full() as stuck:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), RaftClient([stuck]):
                pass
        gc.collect()  # an unclosed session warns here, and warnings are errors


async def test_a_session_that_raises_for_status_does_not_hide_what_a_node_said() -> None:
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        breaking(AGAIN, DONE) as server,
        RaftClient([server.url], session=session) as client,
    ):
        assert await client.put("k", "v") == 7


async def test_long_limits_are_not_rounded_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp rounds limits over five seconds up to a whole second of the loop's clock."""
    limits: list[aiohttp.ClientTimeout] = []

    async with aiohttp.ClientSession() as session, breaking() as server:
        send = session.request

        def request(*arguments: Any, timeout: aiohttp.ClientTimeout, **options: Any) -> Any:
            limits.append(timeout)
            return send(*arguments, timeout=timeout, **options)

        monkeypatch.setattr(session, "request", request)
        async with RaftClient([server.url], timeout_s=60, session=session) as client:
            assert await client.put("k", "v") == 7
    assert limits
    assert all((limit.total or 0) < limit.ceil_threshold for limit in limits)


def test_it_imports_nothing_else_of_the_node() -> None:
    imported: set[str] = set()
    for file in Path(module.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text())
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {f"{'.' * node.level}{node.module}" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    others = {name.partition(".")[0] for name in imported} - {*sys.stdlib_module_names, "raftclient"}
    assert others == {"aiohttp", "yarl"}
