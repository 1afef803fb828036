"""The operators' routes."""

import pytest

from node.observe.health import LIVE_LOOP_AGE_US_MAX
from node.raft.types import Role
from node.runtime.ports import Readiness, StoreSummary
from tests.api.double import client_of, serving
from tests.observe.status import node_status


async def test_status_is_readable_and_in_milliseconds() -> None:
    async with serving() as server, client_of(server) as client, client.get("/status") as answer:
        body = await answer.json()
    assert (body["name"], body["role"], body["term"], body["leader"]) == ("n1", "leader", 4, "n1")
    assert (body["deadline_in_ms"], body["uptime_ms"]) == (50, 7000)
    assert [peer["last_contact_ms"] for peer in body["peers"]] == [1.5, None]
    assert [peer["link_up"] for peer in body["peers"]] == [True, False]
    assert [peer["lag_entries"] for peer in body["peers"]] == [0, 9]
    held = {"revision": 7, "keys": 3, "bytes": 900, "quota_bytes": 1 << 20, "leases": 2, "watches": 5}
    assert (body["store"], body["alarms"]) == ({**held, "watch_streams": 4}, [])


async def test_status_and_metrics_say_what_somebody_must_act_on() -> None:
    async with serving() as server, client_of(server) as client:
        server.node.own_status = node_status(store=StoreSummary(size_bytes=9, quota_bytes=9))
        async with client.get("/status") as answer:
            (alarm,) = (await answer.json())["alarms"]
        assert (alarm["alarm"], "puts are refused" in alarm["message"]) == ("NOSPACE", True)
        async with client.get("/metrics") as answer:
            text = await answer.text()
        assert '\nraft_alarm{alarm="NOSPACE"} 1.0\nraft_alarm{alarm="LOG_FULL"} 0.0\n' in text
        assert "\nraft_store_limit_bytes 9.0\n" in text
        server.node.own_status = node_status(store=None)
        async with client.get("/status") as answer:
            body = await answer.json()
        assert (body["store"], body["alarms"]) == (None, [])


async def test_a_node_that_is_not_heard_of_is_unknown_not_dead() -> None:
    async with serving() as server, client_of(server) as client, client.get("/cluster") as answer:
        body = await answer.json()
    own, other = body["nodes"]
    assert (own["state"], own["status"]["role"]) == ("reachable", "leader")
    assert (other["state"], other["status"], other["age_ms"]) == ("unknown", None, None)


async def test_the_log_can_be_compared() -> None:
    async with serving() as server, client_of(server) as client, client.get("/log?from=3&limit=2") as answer:
        body = await answer.json()
    assert [(line["index"], line["term"], line["checksum"]) for line in body["entries"]] == [
        (3, 1, "00000003"),
        (4, 1, "00000004"),
    ]


async def test_the_end_of_a_log_is_told_with_how_far_it_is() -> None:
    """One answer is one moment: whoever asks again and again need not know the indexes of a log that grows."""
    async with serving() as server, client_of(server) as client:
        core = server.node.own_status.core
        async with client.get("/log?last=3") as answer:
            body = await answer.json()
        assert body["last_index"] == core.last_index
        assert [line["index"] for line in body["entries"]] == list(
            range(max(1, core.last_index - 2), core.last_index + 1)
        )
        assert (body["commit"], body["applied"], body["durable"]) == (core.commit, core.applied, core.durable)
        assert (body["role"], body["term"]) == (core.role.value, core.term)
        assert body["match"] == {peer.name: peer.match_index for peer in core.peers if peer.progress}
        async with client.get("/log?last=0") as refused:
            assert (refused.status, (await refused.json())["field"]) == (400, "last")


async def test_health_routes_answer_200_or_503() -> None:
    async with serving() as server, client_of(server) as client:
        for path in ("/livez", "/readyz", "/startupz"):
            async with client.get(path) as answer:
                assert (answer.status, (await answer.json())["ok"]) == (200, True)
        server.node.own_status = node_status(role=Role.FOLLOWER, leader="")
        server.node.own_readiness = Readiness(leaderless_us=None)
        async with client.get("/livez") as answer:
            assert answer.status == 200
        async with client.get("/readyz") as answer:
            assert (answer.status, (await answer.json())["reason"]) == (503, "no leader is known")
        server.node.own_readiness = Readiness(leaving=True)
        async with client.get("/readyz") as answer:
            assert (answer.status, "leaving" in (await answer.json())["reason"]) == (503, True)
        server.node.loop_age = LIVE_LOOP_AGE_US_MAX + 1
        async with client.get("/livez") as answer:
            assert answer.status == 503


async def test_metrics_are_prometheus_text() -> None:
    async with serving() as server, client_of(server) as client, client.get("/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "\nraft_term 4.0\n" in await answer.text()


async def test_the_index_names_every_route() -> None:
    async with serving() as server, client_of(server) as client, client.get("/") as answer:
        routes = " ".join((await answer.json())["routes"])
    for path in ("/kv/", "/status", "/cluster", "/log", "/livez", "/readyz", "/metrics", "/events"):
        assert path in routes


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("POST", "/status", 405)])
async def test_what_is_not_there_is_said_in_json(method: str, path: str, status: int) -> None:
    async with serving() as server, client_of(server) as client, client.request(method, path) as answer:
        body = await answer.json()
        assert answer.status == status
        assert body["error"] in ("not-found", "method-not-allowed")
        assert ("Allow" in answer.headers) is (status == 405)


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"GET /kv/\x80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "malformed"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: \x80\r\n\r\n", 417, "expectation-failed"),
        (b"CONNECT HTTP/1.1\r\n\r\n", 505, "http-version"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n: \r\n\r\n", 400, "malformed"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414, "too-long"),
    ],
)
async def test_what_the_framework_would_answer_by_itself_is_json_too(
    request_bytes: bytes, status: int, code: str
) -> None:
    async with serving() as server:
        got, headers, body = await server.raw(request_bytes)
        assert (got, headers[b"content-type"]) == (status, b"application/json")
        assert f'"error":"{code}"'.encode() in body
