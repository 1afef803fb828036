"""What is watched of an etcd and of a node, step by step, and what they say to it.

Why it exists: a watch goes on, so it is no request with one answer. Every step names how many lines are read of it.
"""

import http.client
import json
from base64 import b64encode
from typing import Any, NamedTuple


class Step(NamedTuple):
    """Writes are done first. Then, where `body` is not empty, it is posted to /v3/watch, and so many `lines` are read;
    after each of the writes in `during` one more."""

    writes: tuple[tuple[str, Any], ...] = ()
    body: str = ""
    lines: int = 0
    during: tuple[tuple[str, Any], ...] = ()


def _b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _put(key: str, value: str = "v") -> tuple[str, Any]:
    return "put", {"key": _b64(key), "value": _b64(value)}


def _delete(key: str, end: str = "") -> tuple[str, Any]:
    return "deleterange", {"key": _b64(key), "range_end": _b64(end)}


def _txn(*operations: tuple[str, Any]) -> tuple[str, Any]:
    names = {"put": "request_put", "deleterange": "request_delete_range"}
    return "txn", {"success": [{names[kind]: message} for kind, message in operations]}


def _create(key: str, end: str = "", **more: Any) -> str:
    return json.dumps({"create_request": {"key": _b64(key), "range_end": _b64(end), **more}})


_PREV: dict[str, Any] = {"prev_kv": True}
_LIVE = (_put("a", "1"), _put("a", "2"), _delete("a"), _put("ab"), _txn(_put("ad"), _put("ac"), _delete("ab")))

STEPS = (
    Step((_put("a", "1"), _put("a", "2"), _delete("a"), _put("ab"), _txn(_put("ad"), _put("ac")))),
    Step(body=_create("a", "b", start_revision=2, **_PREV), lines=2),
    Step(body=_create("a", "b", start_revision=3), lines=2),
    Step(body=_create("a", start_revision="2", filters=["NOPUT"]), lines=2),
    Step(body=_create("a", startRevision=2, filters=["NODELETE"], prevKv=True), lines=2),
    Step(body=_create("", start_revision=2), lines=1),
    Step(body=_create("", "\0", start_revision=5), lines=2),
    Step(body=_create("ab", "\0", start_revision=2), lines=2),
    Step(body=_create("a", watch_id=5) * 2 + _create("a", "a") + '{"cancel_request":{"watch_id":5}}', lines=4),
    Step(body=_create("a") + _create("b") + _create("a", watch_id=7) + '{"cancel_request":{"watch_id":9}}', lines=3),
    Step(body=_create("a", start_revision=-5), lines=1),
    Step(body=_create("a", start_revision=2) + _create("ab", start_revision="2", watch_id=5), lines=4),
    Step(body=_create("a", "b"), lines=1, during=_LIVE),
    Step(body=_create("a", "b", fragment=True, **_PREV), lines=1, during=_LIVE),
    Step(body=_create("a", "b", filters=[1]), lines=1, during=(_put("a"), _txn(_put("aa"), _delete("a")))),
    Step(body=_create("q", start_revision=60), lines=1),
    Step((_delete("a", "b"), _put("b"), _put("c"), ("compaction", {"revision": 19}))),
    Step(body=_create("a", "c", start_revision=19, **_PREV), lines=2),
    Step(body=_create("a", "c", start_revision=18), lines=2),
    Step(body=_create("a", "c", start_revision=20) + _create("a", start_revision=4, watch_id=8), lines=4),
)


def said(port: int) -> list[list[Any]]:
    """What the server on that port says in each step; in a step that writes nothing, whichever comes first."""
    return [_play(port, step) for step in STEPS]


def _play(port: int, step: Step) -> list[Any]:
    for write in step.writes:
        _write(port, write)
    if not step.body:
        return []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", "/v3/watch", step.body.encode())
        answer = connection.getresponse()
        lines = [_line(answer) for _ in range(step.lines)]
        lines.sort(key=lambda line: json.dumps(line, sort_keys=True))
        for write in step.during:
            _write(port, write)
            lines.append(_line(answer))
        return lines
    finally:
        connection.close()


def _line(answer: http.client.HTTPResponse) -> Any:
    line = json.loads(answer.readline())
    header = line.get("result", {}).get("header", {})
    for name in ("cluster_id", "member_id", "raft_term"):
        header.pop(name, None)
    return line


def _write(port: int, write: tuple[str, Any]) -> None:
    kind, message = write
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", f"/v3/kv/{kind}", json.dumps(message).encode())
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
    finally:
        connection.close()
