"""`/commands`, `/stats` and a simulated failure, as HTTP shows them."""

import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from node.api.commands import ARGUMENTS_BYTES_MAX
from node.api.server import ApiRunner, build_app
from node.observe.metrics import Metrics
from node.observe.stats import Stats
from node.observe.trace import Trace
from node.raft.messages import Heartbeat
from node.raft.types import Role
from node.runtime.commands import COMMANDS
from node.runtime.latency import CommitLatency
from node.runtime.ports import CommandOutcome, FaultView
from node.transport.links import LinkCounters, Traffic
from tests.api.double import ScriptedNode, client_of, serving

Outcome = tuple[int, dict[str, Any]]


async def test_the_list_names_every_command_with_its_arguments() -> None:
    async with serving() as server, client_of(server) as client, client.get("/commands") as answer:
        body = await answer.json()
    assert body["enabled_faults"] is False
    assert [row["name"] for row in body["commands"]] == [spec.name for spec in COMMANDS]
    cut = next(row for row in body["commands"] if row["name"] == "cut_link")
    assert (cut["changes"], cut["needs_faults"]) == (True, True)
    assert [(a["name"], a["required"], a["default"]) for a in cut["arguments"]] == [
        ("peer", True, None),
        ("direction", False, "both"),
        ("seconds", False, 30.0),
    ]


async def test_a_command_goes_to_the_named_node_with_its_arguments() -> None:
    async with serving() as server, client_of(server) as client:
        async with client.post("/commands/cut_link?node=n2&timeout_ms=700", data=b'{"peer":"n3"}') as answer:
            assert (answer.status, await answer.json()) == (
                200,
                {"ok": True, "command": "cut_link", "node": "n2", "message": "done", "data": {"a": 1}},
            )
        async with client.post("/commands/check_timers") as answer:
            assert (await answer.json())["node"] == "n1"
        assert server.node.commanded == [("cut_link", {"peer": "n3"}, "n2"), ("check_timers", {}, "")]
        barrier, left, _ = server.node.timeouts_us
        assert barrier == 350_000
        assert left is not None
        assert 350_000 <= left <= 700_000


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("refused", 409, "refused"),
        ("unknown-command", 404, "unknown-command"),
        ("unknown-node", 404, "unknown-node"),
        ("malformed", 400, "malformed"),
        ("faults-disabled", 403, "faults-disabled"),
        ("unknown", 504, "unknown outcome"),
        ("no-link", 503, "no-link"),
        ("overloaded", 503, "overloaded"),
        ("stopping", 503, "stopping"),
    ],
)
async def test_every_other_end_has_its_status_and_its_sentence(code: Any, status: int, error: str) -> None:
    async with serving() as server, client_of(server) as client:
        server.node.command_outcome = CommandOutcome("recover", "n1", code, "because", field="peer")
        async with client.post("/commands/recover") as answer:
            body = await answer.json()
            assert answer.status == status
            assert ("Retry-After" in answer.headers) == (status == 503)
        assert (body["ok"], body["error"], body["message"], body["command"], body["node"]) == (
            False, error, "because", "recover", "n1",
        )  # fmt: skip
        assert body.get("field") == ("peer" if status == 400 else None)


@pytest.mark.parametrize("body", [b"[]", b"7", b"{", b'{"a":1}x', b"\xff", b"[" * 3000, b'{"a":"\xff"}'])
async def test_a_body_that_is_no_json_object_is_refused_and_nothing_is_commanded(body: bytes) -> None:
    async with serving() as server, client_of(server) as client:
        async with client.post("/commands/recover", data=body) as answer:
            assert (answer.status, (await answer.json())["field"]) == (400, "body")
        assert server.node.commanded == []


async def test_a_body_is_bounded() -> None:
    async with serving() as server, client_of(server) as client:
        for chunked in (False, True):
            data = b" " * (ARGUMENTS_BYTES_MAX + 1)

            async def pieces(data: bytes = data) -> Any:
                yield data

            async with client.post("/commands/recover", data=pieces() if chunked else data) as answer:
                assert answer.status == 413
        assert server.node.commanded == []


async def test_other_methods_and_pages_of_other_sites_command_nothing() -> None:
    async with serving() as server, client_of(server) as client:
        async with client.get("/commands/recover") as answer:
            assert answer.status == 405
        async with client.post("/commands/recover", headers={"Origin": "http://evil.example"}) as answer:
            assert answer.status == 403
        async with client.post("/commands/recover?nodes=n2") as answer:
            assert (answer.status, (await answer.json())["field"]) == (400, "nodes")
        assert server.node.commanded == []


async def test_a_simulated_failure_keeps_clients_out_and_operators_in() -> None:
    node, trace, failing = ScriptedNode(), Trace("n1", "boot-1", lambda: 1), [True]
    metrics = Metrics(node.status, trace, node.loop_age_us, node.store)
    runner = ApiRunner(build_app(node, node.store, trace, metrics, failing=lambda: failing[0]))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:

            async def ask(method: str, path: str) -> Outcome:
                async with client.request(method, path) as answer:
                    text = await answer.text()
                    return answer.status, json.loads(text) if text[:1] == "{" else {}

            for method, path in (("GET", "/kv/"), ("GET", "/kv"), ("PUT", "/kv/a"), ("DELETE", "/kv/a")):
                status, body = await ask(method, path)
                assert (status, body["error"]) == (503, "simulated-failure")
            status, body = await ask("POST", "/v3/kv/range")
            assert (status, body["code"]) == (503, 14)
            for path in ("/status", "/cluster", "/log", "/livez", "/metrics", "/commands", "/kvetch"):
                assert (await ask("GET", path))[0] == (404 if path == "/kvetch" else 200)
            assert (await ask("POST", "/commands/recover"))[0] == 200
            assert node.proposed == []
            failing[0] = False
            assert (await ask("PUT", "/kv/a"))[0] == 200
    finally:
        await runner.cleanup()


def test_stats_are_the_counts_of_the_trace_the_links_the_driver_and_the_faults() -> None:
    trace, latency = Trace("n1", "boot-1", lambda: 1), CommitLatency()
    latency.record(2_000, 5_000_000, 1_700_000_000_000_000)
    fault = FaultView("cut", "n2", "out", 0.0, 1_500_000)
    stats = Stats(
        trace,
        {"n2": Traffic(1, 2, 3, 4)},
        lambda: latency.summary(5_000_000),
        lambda: (fault,),
        {"cut": 1},
        frames_refused=LinkCounters(damaged_frames=3).by_reason,
    )
    for phase in ("pre-vote", "vote", "vote"):
        trace.transition("election", 3, "candidate", {"phase": phase, "campaign": 1})
    trace.transition("won", 3, "leader", {"votes": 2})
    trace.transition("vote", 3, "leader", {"candidate": "n2", "granted": True, "phase": "vote", "reason": ""})
    trace.transition("vote", 3, "leader", {"candidate": "n2", "granted": False, "phase": "vote", "reason": ""})
    trace.transition("vote", 3, "leader", {"candidate": "n2", "granted": True, "phase": "pre-vote", "reason": ""})
    trace.transition("role", 3, "leader", {"from": "follower", "to": "pre-candidate", "reason": ""})
    trace.message(True, "n2", Heartbeat(1, 1))
    trace.message(True, "n3", Heartbeat(1, 1))
    trace.message(False, "n3", Heartbeat(1, 1))
    body: dict[str, Any] = stats.body(Role.LEADER)
    assert body["elections"] == {"started": 2, "won": 1, "lost": 1, "pre_votes": 1}
    assert stats.body(Role.CANDIDATE)["elections"] == {"started": 2, "won": 1, "lost": 0, "pre_votes": 1}
    assert body["transitions"] == {"follower->pre-candidate": 1}
    assert body["votes"] == {"granted": 1, "refused": 1}
    assert body["heartbeats"] == {"sent": 2, "received": 1}
    assert body["peers"] == [
        {"name": "n2", "messages_sent": 1, "messages_received": 2, "bytes_sent": 3, "bytes_received": 4}
    ]
    assert body["faults"] == [{"kind": "cut", "peer": "n2", "direction": "out", "value": 0.0, "expires_in_ms": 1500.0}]
    assert body["commit_latency_ms"]["count"] == 1
    assert body["frames_refused"]["damaged"] == 3
    node = ScriptedNode()
    text = Metrics(node.status, trace, node.loop_age_us, node.store, stats).render().decode()
    for line in (
        "raft_faults_active 1.0",
        'raft_fault_injections_total{kind="cut"} 1.0',
        'raft_frames_refused_total{why="damaged"} 3.0',
        'raft_peer_bytes_sent_total{peer="n2"} 3.0',
        'raft_commit_latency_seconds{quantile="0.5"} 0.00',
    ):
        assert line in text
