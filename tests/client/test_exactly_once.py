"""A client in a session: it sends a write until there is an answer, always as the same write, and hides no doubt."""

import asyncio
import re
from typing import Any

import pytest

from raftclient import NotDone, OutcomeUnknown, RaftClient, RevisionMismatch, windows
from raftclient import client as module
from tests.client.breaking import AGAIN, DONE, Breaking, answer, breaking, problem, refusing
from tests.client.test_client import REFUSED, UNSETTLED

EXPIRED = problem(410, "session-expired")
UNKNOWN = problem(504, "unknown outcome")


def numbers(server: Breaking) -> list[tuple[int, int, int]]:
    """Session, sequence and answered of each request that reached the server; zeros where there are none."""
    found = []
    for head in server.heads:
        named = dict(re.findall(r"Raft-(\w+): (?:c1-)?(\d+)", head))
        found.append(tuple(int(named.get(name, 0)) for name in ("Session", "Sequence", "Answered")))
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("what", UNSETTLED.values(), ids=UNSETTLED)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_write_that_may_have_happened_is_sent_again_elsewhere_as_the_same_write(
    what: object, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS_MAX", 0.5)
    async with breaking(what) as bad, breaking() as good, RaftClient([bad.url, good.url]) as client:
        assert await (client.put("a key", "v") if method == "PUT" else client.delete("a key")) == 7
        assert bad.requests == good.requests == [f"{method} /kv/a%20key"]
        assert numbers(bad) == numbers(good) == [(1, 1, 0)]
        assert (client.attempts, client.retries, bad.registered + good.registered) == (2, 1, 1)


@pytest.mark.parametrize("what", [UNKNOWN, ..., b""], ids=["504", "silence", "closed"])
async def test_an_outcome_is_unknown_only_when_the_time_of_the_call_is_up(
    what: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS_MAX", 0.1)
    loop = asyncio.get_running_loop()
    async with breaking(what) as one, breaking(what) as two, RaftClient([one.url, two.url], timeout_s=1) as client:
        began = loop.time()
        with pytest.raises(OutcomeUnknown, match="read the key before you repeat the write"):
            await client.put("k", "v")
        assert 0.6 <= loop.time() - began < 1.8
        assert client.attempts >= 3
        assert set(numbers(one) + numbers(two)) == {(1, 1, 0)}


async def test_each_attempt_has_twice_the_time_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS_MAX", 0.1)
    async with breaking(..., ..., ..., DONE) as server, RaftClient([server.url], timeout_s=5) as client:
        assert await client.put("k", "v") == 7
        limits = [int(head.partition("timeout_ms=")[2].split(" ")[0]) for head in server.heads]
        assert limits[:3] == [90, 180, 360]


@pytest.mark.parametrize("what", [*REFUSED.values(), AGAIN], ids=[*REFUSED, "503"])
async def test_a_refusal_says_nothing_of_an_earlier_attempt_that_was_not_answered(what: object) -> None:
    async with breaking(UNKNOWN, what, DONE) as server, RaftClient([server.url]) as client:
        assert await client.put("k", "v") == 7
        assert numbers(server) == [(1, 1, 0)] * 3
    async with breaking(UNKNOWN, what) as server, RaftClient([server.url], timeout_s=0.6) as client:
        with pytest.raises(OutcomeUnknown):
            await client.put("k", "v")


@pytest.mark.parametrize("what", REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_at_once_did_not_happen(what: object) -> None:
    async with breaking(what) as server, RaftClient([server.url]) as client:
        with pytest.raises(NotDone, match="a sentence; nothing happened"):
            await client.put("k", "v")
        assert len(server.requests) == 1


async def test_what_the_log_says_of_a_repeated_write_it_says_of_every_attempt() -> None:
    mismatch = problem(412, "revision-mismatch", "the key is at revision 8", 'ETag: "8"', revision=8)
    missing = problem(404, "key-not-found", revision=4)
    async with breaking(UNKNOWN, mismatch, b"", missing) as server, RaftClient([server.url]) as client:
        with pytest.raises(RevisionMismatch) as caught:
            await client.compare_and_set("k", "v", 5)
        assert caught.value.revision == 8
        assert await client.delete("k") is None
        assert numbers(server) == [(1, 1, 0), (1, 1, 0), (1, 2, 1), (1, 2, 1)]


@pytest.mark.parametrize("code", ["session-expired", "sequence-answered", "sequence-reused"])
async def test_a_session_that_is_of_no_use_is_replaced_where_nothing_can_have_happened(code: str) -> None:
    gone = problem(410 if code == "session-expired" else 409, code)
    async with breaking(gone, DONE) as server, RaftClient([server.url]) as client:
        assert [await client.put("k", "v"), await client.put("k", "w")] == [7, 7]
        assert numbers(server) == [(1, 1, 0), (2, 1, 0), (2, 2, 1)]
        assert server.registered == 2
    async with breaking(AGAIN, gone, DONE) as server, RaftClient([server.url]) as client:
        assert await client.put("k", "v") == 7
        assert numbers(server) == [(1, 1, 0), (1, 1, 0), (2, 1, 0)]


@pytest.mark.parametrize("code", ["session-expired", "sequence-answered", "sequence-reused"])
async def test_a_write_of_unknown_outcome_is_not_sent_in_another_session(code: str) -> None:
    gone = problem(410 if code == "session-expired" else 409, code)
    async with breaking(UNKNOWN, gone, DONE) as server, RaftClient([server.url]) as client:
        with pytest.raises(OutcomeUnknown, match="a sentence; the outcome is unknown"):
            await client.put("k", "v")
        assert numbers(server) == [(1, 1, 0)] * 2


async def test_writes_side_by_side_share_a_session_and_each_has_its_number() -> None:
    async with breaking() as server, RaftClient([server.url]) as client:
        await asyncio.gather(*(client.put(f"{number}", "v") for number in range(50)))
        assert server.registered == 1
        assert sorted(sequence for _, sequence, _ in numbers(server)) == [*range(1, 51)]
        assert all(answered < sequence for _, sequence, answered in numbers(server))
        await client.put("k", "v")
        assert numbers(server)[-1] == (1, 51, 50)


async def test_what_a_caller_waits_for_no_more_counts_as_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is still on its way of it is refused, and not done behind the back of later writes."""
    async with breaking(..., DONE) as server, RaftClient([server.url], timeout_s=0.3) as client:
        with pytest.raises(OutcomeUnknown):
            await client.put("k", "1")
        await client.put("k", "2")
        assert numbers(server) == [(1, 1, 0), (1, 2, 1)]
    async with breaking(..., DONE) as server, RaftClient([server.url]) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.put("k", "1")
        await client.put("k", "2")
        assert numbers(server) == [(1, 1, 0), (1, 2, 1)]


async def test_a_write_that_waits_for_long_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS_MAX", 60.0)  # it is not sent again meanwhile
    async with breaking(..., DONE) as server, RaftClient([server.url], timeout_s=90) as client:
        stuck = asyncio.create_task(client.put("stuck", "v"))
        while not server.requests:  # noqa: ASYNC110 - what arrives elsewhere has no event here
            await asyncio.sleep(0.01)
        for _ in range(windows.WRITES_MAX + 5):
            await client.put("k", "v")
        stuck.cancel()
        await asyncio.wait([stuck])
        sent = numbers(server)
        assert max(sequence - answered for _, sequence, answered in sent) == windows.WRITES_MAX
        assert sent[-1] == (2, 6, 5)
        assert server.registered == 2


async def test_a_session_is_asked_for_until_there_is_one() -> None:
    async with breaking() as bad, breaking() as good, RaftClient([refusing(), bad.url, good.url]) as client:
        bad.sessions = [AGAIN, UNKNOWN, b"", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"]
        good.sessions = [UNKNOWN, None]
        assert await client.put("k", "v") == 7
        assert client.attempts == 1
        assert len(numbers(bad) + numbers(good)) == 1


@pytest.mark.parametrize(
    ("what", "timeout_s"), [(AGAIN, 0.6), (UNKNOWN, 0.6), (..., 0.4)], ids=["503", "504", "silence"]
)
async def test_without_a_session_in_time_nothing_happened(what: object, timeout_s: float) -> None:
    async with breaking() as server, RaftClient([server.url], timeout_s=timeout_s) as client:
        server.sessions = [what] * 50
        outcomes = await asyncio.gather(*(client.put("k", "v") for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [NotDone] * 3
        assert server.requests == []
        assert "no session was had" in str(outcomes[0])


async def test_a_node_that_refuses_a_session_for_good_refuses_the_write() -> None:
    async with breaking() as server, RaftClient([server.url]) as client:
        server.sessions = [problem(507, "log-full", "the log is full")]
        with pytest.raises(NotDone, match="no session was had: the log is full") as caught:
            await client.put("k", "v")
        assert caught.value.status == 507


async def test_nodes_of_before_there_were_sessions_are_written_to_without() -> None:
    async with breaking(DONE, UNKNOWN, DONE) as server, RaftClient([server.url]) as client:
        server.sessions = [problem(404, "not-found")]
        assert await client.put("k", "v") == 7
        with pytest.raises(OutcomeUnknown):
            await client.put("k", "v")
        assert numbers(server) == [(0, 0, 0)] * 2
        assert server.registered == 1


async def test_reading_needs_no_session() -> None:
    value = b'HTTP/1.1 200 OK\r\nETag: "9"\r\nContent-Length: 2\r\n\r\nhi'
    async with breaking(value) as server, RaftClient([server.url]) as client:
        assert (await client.get("k")) is not None
        assert (server.registered, numbers(server)) == (0, [(0, 0, 0)])


async def test_closing_while_a_session_is_asked_for_writes_nothing() -> None:
    async with breaking() as server:
        server.sessions = [...]
        async with RaftClient([server.url]) as client:
            write = asyncio.create_task(client.put("k", "v"))
            while not server.registered:  # noqa: ASYNC110 - what arrives elsewhere has no event here
                await asyncio.sleep(0.01)
        (outcome,) = await asyncio.gather(write, return_exceptions=True)
        assert isinstance(outcome, NotDone)
        assert server.requests == []


@pytest.mark.parametrize("given", [0, 7, True, "", "a b", "x\r\nEvil: 1", "s" * 65, None, ["c1-1"]])
async def test_what_is_no_name_of_a_session_is_no_session(given: Any) -> None:
    async with breaking() as server, RaftClient([server.url]) as client:
        server.sessions = [answer(200, {"session": given})]
        assert await client.put("k", "v") == 7
        assert numbers(server) == [(2, 1, 0)]
