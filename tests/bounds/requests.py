"""For every route its largest legal request: what it may carry, and what makes its answer longest.

Why it exists: the walk over all routes takes its cases from here, and fails where the router knows one more. A request
is the bytes that a client sends; the node of `cluster_of_one.py` answers it with the store of `store.py`.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple

from node.api.etcd.bodies import BODY_BYTES_MAX
from node.api.etcd.lease_door import KEEP_ALIVES_MAX
from node.api.etcd.routes import UNSUPPORTED
from node.api.inputs import REQUEST_LINE_BYTES_MAX
from node.runtime.commands import COMMANDS
from node.statemachine.writes import VALUE_BYTES_MAX
from tests.bounds.store import LEASES

EVERYTHING = {"key": "AA==", "range_end": "AA=="}
LONG_KEY = b"w" + b"k" * 8_000
"""Keys that begin so stand in the store for `/kv` to list."""
URLS = [f"http://h:{i}" for i in range(32_000)]
"""As many as the tokens of a body allow."""
LONGEST_VALUE = b"v" * 1_500_000
"""Of a put in etcd's form: with its key below 1.5 MiB."""


class Case(NamedTuple):
    """`data`: what is sent. `status`: of the answer. `until`: where it is cut off, for a stream; empty: at its end."""

    data: bytes
    status: tuple[int, ...] = (200,)
    until: bytes = b""


def ask(method: str, target: str, body: bytes = b"", close: bool = True) -> bytes:
    """A request. `close`: it goes the usual way, and the connection ends with it."""
    ends = "Connection: close\r\n" if close else ""
    return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{ends}Content-Length: {len(body)}\r\n\r\n".encode() + body


def post(path: str, message: Mapping[str, object], padded: bool = False) -> bytes:
    """A call of etcd's API; `padded`: to the longest body, with what nobody knows."""
    text = json.dumps(message)
    if padded:
        text = text[:-1] + ("," if message else "") + '"x":"' + "x" * (BODY_BYTES_MAX - len(text) - 100) + '"}'
    return ask("POST", path, text.encode())


def text_of(data: bytes) -> str:
    return b64encode(data).decode()


def _txn() -> dict[str, object]:
    """As many compares, operations, bytes and tokens as a transaction may have; two compares look at every key."""
    everywhere = {**EVERYTHING, "target": "CREATE", "result": "GREATER", "create_revision": "0"}
    one = {"key": text_of(b"key-000007"), "target": "VALUE", "value": text_of(b"v" * 64)}
    puts = [{"request_put": {"key": text_of(b"txn-%d" % i), "value": text_of(b"v" * 8_000)}} for i in range(96)]
    reads = [{"request_range": {**EVERYTHING, "limit": "10"}} for _ in range(32)]
    return {"compare": [everywhere, *[one] * 127], "success": puts + reads, "failure": [*reads]}


_READ = {
    path: Case(ask("GET", path)) for path in ("/openapi.json", "/status", "/stats", "/cluster", "/members", "/commands")
}
_READ |= {path: Case(ask("GET", path)) for path in ("/metrics", "/livez", "/readyz", "/startupz", "/health")}
_READ |= {path: Case(ask("GET", path)) for path in ("/version", "/source.json", "/csp-report", "/")}

_VOTE = {"name": text_of(b"vote"), "value": text_of(b"v" * 1_400_000)}
_CAMPAIGN = {**_VOTE, "lease": "9"}
_LEADER = {"leader": {"key": text_of(b"vote/9"), "rev": "1"}}
_TURNS: dict[str, Case] = {
    "lock/lock": Case(post("/v3/lock/lock", {"name": text_of(b"n" * 8_000), "lease": "9"}, padded=True)),
    "lock/unlock": Case(post("/v3/lock/unlock", {"key": text_of(b"n" * 8_000)}, padded=True)),
    "election/campaign": Case(post("/v3/election/campaign", _CAMPAIGN)),
    "election/leader": Case(post("/v3/election/leader", {"name": text_of(b"vote")}, padded=True)),
    "election/observe": Case(post("/v3/election/observe", {"name": text_of(b"vote")}, padded=True), until=b"}}\n"),
    "election/proclaim": Case(post("/v3/election/proclaim", {**_LEADER, "value": _VOTE["value"]}), (500,)),
    "election/resign": Case(post("/v3/election/resign", _LEADER, padded=True)),
}

_USER, _ROLE = "u" * 256, "r" * 256
_AUTH: dict[str, Case] = {
    f"POST /v3/auth/{path}": Case(post(f"/v3/auth/{path}", message, padded=True), (status,))
    for path, message, status in (
        ("status", {}, 200),
        ("authenticate", {"name": _USER, "password": "p" * 1024}, 400),
        ("user/add", {"name": _USER, "password": "p" * 1024}, 200),
        ("user/changepw", {"name": _USER, "password": "p" * 1024}, 200),
        ("role/add", {"name": _ROLE}, 200),
        ("role/grant", {"name": _ROLE, "perm": {"key": text_of(b"k" * 8192), "range_end": text_of(b"l" * 8192)}}, 200),
        ("user/grant", {"user": _USER, "role": _ROLE}, 200),
        ("user/get", {"name": _USER}, 200),
        ("role/get", {"role": _ROLE}, 200),
        ("user/list", {}, 200),
        ("role/list", {}, 200),
        ("role/revoke", {"role": _ROLE, "key": text_of(b"k" * 8192), "range_end": text_of(b"l" * 8192)}, 200),
        ("user/revoke", {"name": _USER, "role": _ROLE}, 200),
        ("user/delete", {"name": _USER}, 200),
        ("role/delete", {"role": _ROLE}, 200),
        ("enable", {}, 400),
        ("disable", {}, 200),
    )
}
"""In this order."""

READING: dict[str, Case] = {
    **{f"GET {path}": case for path, case in _READ.items()},
    "GET /log": Case(ask("GET", "/log?limit=1000")),
    "GET /events": Case(ask("GET", "/events"), until=b"\n\n"),
    "GET /static/{path}": Case(ask("GET", "/static/trace.js")),
    "POST /csp-report": Case(ask("POST", "/csp-report", b"{" + b" " * 16_000 + b"}"), (204,)),
    "POST /login": Case(ask("POST", "/login", b"secret=" + b"%41" * 1360), (403,)),  # of no page of this node
    "POST /logout": Case(ask("POST", "/logout"), (403,)),
    "GET /kv": Case(ask("GET", f"/kv?prefix={LONG_KEY.decode()}&limit=1000")),
    "PUT /kv/{key}": Case(ask("PUT", "/kv/longest", b"v" * VALUE_BYTES_MAX)),
    "GET /kv/{key}": Case(ask("GET", "/kv/longest")),
    "DELETE /kv/{key}": Case(ask("DELETE", "/kv/longest")),
    "POST /sessions": Case(ask("POST", "/sessions?idle_ms=86400000&timeout_ms=5000")),
    "POST /v3/kv/put": Case(
        post("/v3/kv/put", {"key": text_of(b"long"), "value": text_of(LONGEST_VALUE), "prev_kv": True})
    ),
    "POST /v3/kv/range": Case(post("/v3/kv/range", EVERYTHING)),
    "POST /v3/kv/txn": Case(post("/v3/kv/txn", _txn())),
    "POST /v3/watch": Case(
        post("/v3/watch", {"create_request": {**EVERYTHING, "start_revision": "2", "prev_kv": True}}),
        until=b'"mod_revision":"1500',
    ),
    **{
        f"POST {path}": Case(post(path, message, padded=True), status)
        for path, message, status in (
            ("/v3/lease/grant", {"TTL": "60"}, (200,)),
            ("/v3/lease/revoke", {"ID": "7"}, (200,)),
            ("/v3/kv/lease/revoke", {"ID": "7"}, (404,)),
            ("/v3/lease/timetolive", {"ID": LEASES + 1, "keys": True}, (200,)),
            ("/v3/kv/lease/timetolive", {"ID": LEASES + 1, "keys": True}, (200,)),
            ("/v3/lease/leases", {}, (200,)),
            ("/v3/kv/lease/leases", {}, (200,)),
        )
    },
    "POST /v3/lease/keepalive": Case(ask("POST", "/v3/lease/keepalive", b'{"ID":"8"}' * KEEP_ALIVES_MAX)),
    "POST /v3/maintenance/status": Case(post("/v3/maintenance/status", {}, padded=True)),
    "POST /v3/maintenance/alarm": Case(post("/v3/maintenance/alarm", {}, padded=True)),
    "POST /v3/maintenance/defragment": Case(post("/v3/maintenance/defragment", {}, padded=True)),
    "POST /v3/maintenance/hash": Case(post("/v3/maintenance/hash", {}, padded=True)),
    "POST /v3/maintenance/hashkv": Case(post("/v3/maintenance/hashkv", {"revision": "100000"}, padded=True)),
    "POST /v3/maintenance/snapshot": Case(post("/v3/maintenance/snapshot", {}, padded=True)),
    "POST /v3/maintenance/transfer-leadership": Case(
        post("/v3/maintenance/transfer-leadership", {"targetID": "1"}, padded=True), (400,)
    ),
    **{f"POST /v3/{path}": case for path, case in _TURNS.items()},
    **_AUTH,
    "GET /backup": Case(ask("GET", "/backup")),
    "POST /v3/cluster/member/list": Case(post("/v3/cluster/member/list", {}, padded=True)),
    "POST /v3/cluster/member/add": Case(post("/v3/cluster/member/add", {"peerURLs": URLS}, padded=True), (400,)),
    "POST /v3/cluster/member/promote": Case(post("/v3/cluster/member/promote", {"ID": "1"}, padded=True), (404,)),
    "POST /v3/cluster/member/remove": Case(post("/v3/cluster/member/remove", {"ID": "1"}, padded=True), (404,)),
    "POST /v3/cluster/member/update": Case(post("/v3/cluster/member/update", {"ID": "1"}, padded=True), (404,)),
    "* /v3/{path}": Case(ask("POST", "/v3/" + "x" * 60_000, b"x" * BODY_BYTES_MAX), (404,)),
}
"""By method and path as the router has them."""

CHANGING: dict[str, Case] = {
    "POST /v3/kv/deleterange": Case(post("/v3/kv/deleterange", EVERYTHING)),
    "POST /v3/kv/compaction": Case(post("/v3/kv/compaction", {"revision": "200000"})),
}
"""Those that change the whole store: they go last."""

COMMAND_CASES = {
    spec.name: Case(ask("POST", f"/commands/{spec.name}?timeout_ms=1000", b"{" + b" " * 4_000 + b"}"), (200, 400, 409))
    for spec in COMMANDS
}
"""One route serves them all."""

_POSTS = [name.removeprefix("POST ") for name in (*READING, *CHANGING) if name.startswith("POST /v3/")]
_NO_HEAD = ("GET /events", "GET /backup")
_GETS = [name.removeprefix("GET ") for name in READING if name.startswith("GET ") and name not in _NO_HEAD]

LIKE_ANOTHER = (
    *(f"POST /v3/{path}" for path in UNSUPPORTED),
    *(f"* /v3/{path}" for path in UNSUPPORTED),
    *(f"* {path}" for path in _POSTS),
    *(f"HEAD {path}" for path in _GETS),
)
"""Routes that answer by the same few lines whatever is asked: refusals, and GETs of which the body is left out."""

BESIDE: dict[str, Case] = {
    "the express lane puts its longest body": Case(
        ask("POST", "/v3/kv/put", f'{{"key":"{text_of(b"k")}","value":"{text_of(b"v" * 48_000)}"}}'.encode(), False),
        until=b"}\n",
    ),
    "the express lane reads the longest value": Case(
        ask("POST", "/v3/kv/range", f'{{"key":"{text_of(b"long")}"}}'.encode(), False), until=b'"count":"1"}\n'
    ),
    "a limited read of the past": Case(
        post("/v3/kv/range", {**EVERYTHING, "revision": "100000", "limit": "1"}),
    ),
    "many compares": Case(ask("POST", "/v3/kv/txn", b'{"compare":[' + b"{}," * 1_300_000 + b"{}]}"), (429,)),
    "a watch of everything that was": Case(ask("GET", "/kv?watch=1&revision=2"), until=b'"revision":1500'),
    "a log of long entries": Case(ask("GET", "/log?limit=1000")),
    "a long target": Case(ask("GET", "/kv/" + "%41" * (REQUEST_LINE_BYTES_MAX // 3 - 2)), (404,)),
    "a long query": Case(ask("GET", "/kv?prefix=" + "%41" * (REQUEST_LINE_BYTES_MAX // 3 - 4))),
}
"""Largest requests in other ways."""
