"""One meaning for each status, whichever route of whichever server says it: the README's table, walked.

What happened is played; every route that it can happen to must say the status that stands for it, and a sentence that
does not say the contrary."""

import json
from typing import NamedTuple

import pytest

from node.api.kv_answers import unexpected
from node.runtime.ports import CommandOutcome, DoneUntold, NotProposed, Outcome, ReadFailed, Unknown
from node.statemachine.writes import PutResult
from tests.api.test_half_close import asked, asking, node_server
from tests.supervisor.test_monitor_parts import Node, Serve, hang_up, monitored, never_answer

PUT = b'{"key":"a2V5","value":"dmFsdWU="}'
TXN = b'{"success":[{"request_put":{"key":"a2V5"}}]}'
READ_TXN = b'{"success":[{"request_range":{"key":"a2V5"}}]}'
UNUSUAL = "X-Unusual: 1"
"""A header that keeps a request from the express lane."""

WRITES = {
    "PUT /kv": asking("PUT", "/kv/k", b"v"),
    "PUT /kv If-Match": asking("PUT", "/kv/k", b"v", 'If-Match: "2"'),
    "DELETE /kv": asking("DELETE", "/kv/k"),
    "POST /sessions": asking("POST", "/sessions"),
    "/v3 put": asking("POST", "/v3/kv/put", PUT, UNUSUAL),
    "/v3 put, express": asking("POST", "/v3/kv/put", PUT),
    "/v3 deleterange": asking("POST", "/v3/kv/deleterange", b'{"key":"a2V5"}'),
    "/v3 txn": asking("POST", "/v3/kv/txn", TXN),
    "/v3 compaction": asking("POST", "/v3/kv/compaction", b'{"revision":"1"}'),
}
READS = {
    "GET /kv/k": asking("GET", "/kv/k"),
    "GET /kv": asking("GET", "/kv/?prefix=k"),
    "/v3 range": asking("POST", "/v3/kv/range", b'{"key":"a2V5"}', UNUSUAL),
    "/v3 range, express": asking("POST", "/v3/kv/range", b'{"key":"a2V5"}'),
    "/v3 txn that reads": asking("POST", "/v3/kv/txn", READ_TXN),
    "/v3 member list": asking("POST", "/v3/cluster/member/list", b'{"linearizable":true}'),
}
COMMAND = {"POST /commands": asking("POST", "/commands/check_timers")}
TAKE_A_BODY = {
    route: request
    for route, request in {**WRITES, **READS, **COMMAND}.items()
    if not request.startswith((b"GET", b"DELETE", b"POST /sessions"))
}

NEVER_PROPOSED = [
    NotProposed(code, "a sentence") for code in ("no-leader", "overloaded", "no-link", "not-born", "stopping", "newer")
]
READ_FAILURES = [ReadFailed(code, "a sentence") for code in ("no-leader", "timeout", "stopping", "overloaded", "newer")]

DENIES = ("nothing was", "nothing happened", "not proposed")
"""Words of an answer that says that nothing happened."""
DOUBTS = ("unknown", "may still happen", "look before you repeat")


class Said(NamedTuple):
    """An answer. `code`: the `error` of `/kv`, the number of etcd's."""

    status: int
    code: object
    sentence: str
    retry_after: bool


async def said(port: int, request: bytes, half_close: bool = True) -> Said:
    """What the server answers to it."""
    got = await asked(port, request, half_close)
    head, _, body = got.partition(b"\r\n\r\n")
    found = json.loads(body)
    return Said(int(head.split()[1]), found.get("error", found.get("code")), found["message"], b"Retry-After" in head)


@pytest.mark.parametrize("route", WRITES)
async def test_what_became_of_a_write_has_one_status_on_every_route(route: str) -> None:
    is_etcd = route.startswith("/v3")
    rows: list[tuple[Outcome, int, object]] = [
        *((outcome, 503, 14 if is_etcd else outcome.code) for outcome in NEVER_PROPOSED),
        (Unknown("the leader changed; the write may still happen"), 504, 4 if is_etcd else "unknown outcome"),
        (DoneUntold(7, 1, "its answer is too long to be sent here"), 504, 4 if is_etcd else "done-untold"),
        (NotProposed("log-full", "the log is full"), 429 if is_etcd else 507, 8 if is_etcd else "log-full"),
        (NotProposed("too-large", "too long"), 400 if is_etcd else 413, 3 if is_etcd else "too-large"),
    ]
    async with node_server() as serving:
        for outcome, status, code in rows:
            serving.node.outcome = outcome
            answer = await said(serving.port, WRITES[route])
            assert (answer.status, answer.code) == (status, code), (outcome, answer)
            assert_sentence_fits(answer)
            if not is_etcd:
                assert answer.retry_after == (status == 503)


@pytest.mark.parametrize("route", READS)
async def test_a_read_that_fails_is_never_an_unknown_outcome(route: str) -> None:
    async with node_server() as serving:
        for failure in READ_FAILURES:
            serving.node.read_failure = failure
            answer = await said(serving.port, READS[route])
            assert answer.status == 503, (failure, answer)
            assert_sentence_fits(answer)


@pytest.mark.parametrize("route", TAKE_A_BODY)
async def test_a_body_that_does_not_arrive_is_408_and_nothing_was_done(
    route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.api.etcd.bodies.BODY_SECONDS_MAX", 0.05)
    monkeypatch.setattr("node.api.kv.BODY_TIMEOUT_US", 50_000)
    monkeypatch.setattr("node.api.commands.TIMEOUT_US_DEFAULT", 50_000)
    monkeypatch.setattr("node.api.server.LINGERING_SECONDS", 0.05)
    late = TAKE_A_BODY[route].replace(b"Content-Length: ", b"Content-Length: 9", 1)
    async with node_server() as serving:
        answer = await said(serving.port, late, half_close=False)
        assert answer.status == 408, answer
        assert "nothing was" in answer.sentence
        assert_sentence_fits(answer)
        assert serving.node.proposed == []
        assert serving.node.commanded == []


@pytest.mark.parametrize(
    ("code", "status"),
    [("unknown", 504), ("no-link", 503), ("overloaded", 503), ("stopping", 503), ("refused", 409)],
)
async def test_what_became_of_a_command_has_the_same_statuses(code: str, status: int) -> None:
    async with node_server() as serving:
        outcome = CommandOutcome("check_timers", "n1", code, "a sentence")  # type: ignore[arg-type]
        serving.node.command_outcome = outcome
        assert (await said(serving.port, COMMAND["POST /commands"])).status == status


async def test_a_write_whose_result_is_of_another_kind_was_done() -> None:
    problem = unexpected(PutResult(7, None))
    assert (problem.status, problem.body["error"]) == (504, "done-untold")


# --- the monitor ------------------------------------------------------------------------------------------------


async def babble(_reader: object, writer: object) -> None:
    """An answer without end."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")  # type: ignore[attr-defined]
    while True:
        writer.write(bytes(65536))  # type: ignore[attr-defined]
        await writer.drain()  # type: ignore[attr-defined]


CHANGES = (("PUT", "/nodes/n1/kv/k"), ("DELETE", "/nodes/n1/kv/k"), ("POST", "/nodes/n1/commands/x"), ("PUT", "/kv/k"))
LOOKS = (("GET", "/nodes/n1/kv/k"), ("GET", "/nodes/n1/log"), ("GET", "/nodes/n1/stats"))


@pytest.mark.slowest
@pytest.mark.parametrize("behave", [hang_up, never_answer, babble], ids=["hangs up", "is silent", "answers for ever"])
async def test_the_monitor_says_504_of_what_may_have_changed_something_and_502_of_what_did_not(
    behave: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.supervisor.monitor.LOOK_SECONDS_MAX", 0.2)
    monkeypatch.setattr("node.supervisor.forward.MARGIN_SECONDS", 0.1)
    async with monitored(Node("n1", behave)) as (base, http):
        for routes, status in ((CHANGES, 504), (LOOKS, 502)):
            for method, path in routes:
                query = "" if routes is LOOKS and "/kv/" not in path else "?timeout_ms=100"
                async with http.request(method, f"{base}{path}{query}", data=b"{}" if method != "GET" else None) as got:
                    body = await got.json()
                    assert got.status == status, (method, path, body)
                    assert (body["error"] == "unknown outcome") == (status == 504)
                    assert_sentence_fits(Said(status, body["error"], body["message"], False))


@pytest.mark.parametrize(("method", "path"), [*CHANGES, *LOOKS])
async def test_the_monitor_says_502_or_503_where_no_node_was_reached(method: str, path: str) -> None:
    data = None if method == "GET" else b"{}"
    async with (
        monitored(Node("n1", hang_up), dead=("n1",)) as (base, http),
        http.request(method, base + path, data=data) as got,
    ):
        body = await got.json()
    assert got.status == (503 if path == "/kv/k" else 502), body
    assert_sentence_fits(Said(got.status, body["error"], body["message"], False))


def assert_sentence_fits(answer: Said) -> None:
    """504: nobody knows, or it was done. 408, 502, 503: nothing happened."""
    if answer.status == 504:
        assert not any(words in answer.sentence for words in DENIES), answer
    elif answer.status in (408, 502, 503):
        assert not any(words in answer.sentence for words in DOUBTS), answer
