"""etcd's lease calls where a comparison with etcd cannot tell: time that passes, failures, sessions, bounds."""

import json
from base64 import b64encode
from typing import Any

import aiohttp
import pytest

from node.api.etcd.lease_door import KEEP_ALIVES_MAX, STREAM_BYTES_MAX
from node.runtime.ports import NotProposed, ReadFailed, Unknown
from node.statemachine import leasing
from node.statemachine.writes import LeaseGrant, Put
from tests.api.double import client_of, serving

SECOND = 1_000_000


async def post(http: aiohttp.ClientSession, path: str, message: object, **headers: str) -> tuple[int, Any]:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    async with http.post(f"/v3/lease/{path}", data=data, headers=headers) as answer:
        return answer.status, json.loads(await answer.read() or b"null")


async def test_what_is_left_of_a_lease_is_whole_seconds_of_log_time_and_never_less_than_none() -> None:
    async with serving() as server, client_of(server) as http:
        server.node.log_time = 50 * SECOND
        assert (await post(http, "grant", {"ID": 5, "TTL": 10}))[1]["TTL"] == "10"
        for passed_us, left in ((0, "10"), (1, "9"), (SECOND, "9"), (9 * SECOND, "1"), (9 * SECOND + 1, None)):
            server.node.log_time = 50 * SECOND + passed_us
            _, body = await post(http, "timetolive", {"ID": 5})
            assert (body.get("TTL"), body["grantedTTL"]) == (left, "10")
        server.node.log_time = 61 * SECOND
        assert "TTL" not in (await post(http, "timetolive", {"ID": 5}))[1], "not ended yet"
        _, body = await post(http, "keepalive", {"ID": 5})
        assert "TTL" not in body["result"]


async def test_looks_wait_for_the_barrier_and_say_where_there_is_none() -> None:
    async with serving() as server, client_of(server) as http:
        server.node.on_barrier = [LeaseGrant(5, 10), Put(b"k", b"v", 5)]
        assert (await post(http, "timetolive", {"ID": 5, "keys": True}))[1]["keys"] == [b64encode(b"k").decode()]
        assert (await post(http, "leases", {}))[1]["leases"] == [{"ID": "5"}]
        server.node.read_failure = ReadFailed("no-leader", "nobody leads")
        for path in ("timetolive", "leases"):
            assert await post(http, path, {}) == (503, {"code": 14, "message": "etcdserver: no leader"})


async def test_failures_of_writes_are_told_as_of_every_write() -> None:
    async with serving() as server, client_of(server) as http:
        for outcome, status, code in (
            (NotProposed("no-leader", "nobody leads"), 503, 14),
            (Unknown("who knows"), 504, 4),
            (NotProposed("log-full", "the log is full"), 429, 8),
        ):
            server.node.outcome = outcome
            for path in ("grant", "revoke", "keepalive"):
                answered, body = await post(http, path, {"ID": 5, "TTL": 10})
                assert (answered, body["code"]) == (status, code), path


async def test_a_stream_of_keep_alives_that_fails_later_ends_with_an_error_in_its_last_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving() as server, client_of(server) as http:
        server.node.do(LeaseGrant(5, 10))
        propose, asked = server.node.propose, 0

        async def failing(*arguments: Any) -> Any:
            nonlocal asked
            asked += 1
            return NotProposed("no-leader", "nobody leads") if asked > 1 else await propose(*arguments)

        monkeypatch.setattr(server.node, "propose", failing)
        async with http.post("/v3/lease/keepalive", data=b'{"ID":5}{"ID":5}{"ID":5}') as answer:
            lines = [json.loads(line) for line in (await answer.read()).splitlines()]
        assert lines[0]["result"]["TTL"] == "10"
        assert lines[1:] == [{"error": {"code": 14, "message": "etcdserver: no leader", "details": []}}]


async def test_a_body_of_keep_alives_is_bounded() -> None:
    async with serving() as server, client_of(server) as http:
        async with http.post("/v3/lease/keepalive", data=b"{}" * (KEEP_ALIVES_MAX + 5)) as answer:
            assert (await answer.read()).count(b"\n") == KEEP_ALIVES_MAX
        status, body = await post(http, "keepalive", b" " * (STREAM_BYTES_MAX + 1))
        assert (status, body["code"]) == (429, 8)


async def test_a_grant_in_a_session_that_comes_twice_is_done_once_and_answered_alike() -> None:
    async with serving() as server, client_of(server) as http:
        async with http.post("/sessions") as answer:
            session = (await answer.json())["session"]
        numbers = {"Raft-Session": session, "Raft-Sequence": "1"}
        first = await post(http, "grant", {"TTL": 10}, **numbers)
        assert await post(http, "grant", {"TTL": 10}, **numbers) == first
        assert server.node.store.lease_count == 1
        revoke = {"Raft-Session": session, "Raft-Sequence": "2"}
        assert (await post(http, "revoke", {"ID": first[1]["ID"]}, **revoke))[0] == 200
        assert (await post(http, "revoke", {"ID": first[1]["ID"]}, **revoke))[0] == 200, "told as before"


async def test_a_full_store_grants_no_lease_but_keeps_alive_and_revokes() -> None:
    async with serving(quota_bytes=500) as server, client_of(server) as http:
        assert (await post(http, "grant", {"ID": 5, "TTL": 10}))[0] == 200
        server.node.do(Put(b"k", b"v" * 400))
        assert (await post(http, "grant", {"ID": 6, "TTL": 10}))[1]["message"] == (
            "etcdserver: mvcc: database space exceeded"
        )
        assert (await post(http, "keepalive", {"ID": 5}))[1]["result"]["TTL"] == "10"
        assert (await post(http, "revoke", {"ID": 5}))[0] == 200


async def test_more_leases_than_there_may_be_are_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "LEASES_MAX", 1)
    async with serving() as server, client_of(server) as http:
        assert (await post(http, "grant", {"TTL": 10}))[0] == 200
        refused = (429, {"code": 8, "message": "etcdserver: too many leases"})
        assert await post(http, "grant", {"TTL": 10}) == refused


async def test_long_lists_are_written_in_pieces_and_whole() -> None:
    async with serving() as server, client_of(server) as http:
        server.node.do(LeaseGrant(5, 10), *(Put(b"%05d" % number, b"", 5) for number in range(3_000)))
        server.node.do(*(LeaseGrant(number, 100 + number) for number in range(10, 3_000)))
        keys = (await post(http, "timetolive", {"ID": 5, "keys": True}))[1]["keys"]
        assert keys == [b64encode(b"%05d" % number).decode() for number in range(3_000)]
        leases = (await post(http, "leases", {}))[1]["leases"]
        assert [int(lease["ID"]) for lease in leases] == [5, *range(10, 3_000)]
