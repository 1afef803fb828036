"""Requests about leases, one after the other, and what of the answers must be equal.

Why it exists: what is left of a time to live depends on when one asks, the order of a lease's keys on chance in etcd,
and a number that nobody chose is each side's own.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.etcd.comparison import OWN_TO_EACH, Answer, Client
from tests.etcd.generator import Request

LATE_S = 30
"""The story takes less than that."""

A, B, C = "YQ==", "Yg==", "Yw=="
_NUMBERS = (
    *(b"{}", b'{"ID":"5"}', b'{"ID":5}', b'{"ID":"x"}', b'{"ID":1.5}', b'{"ID":1e3}', b'{"ID":null}', b'{"id":5}'),
    *(b'{"ID":9223372036854775807}', b'{"ID":9223372036854775808}', b'{"ID":5,"ID":5}', b"nul", b"", b"[]", b'{"ID":5'),
    b'{"ID":"5","more":{"a":[1]}}',
)


def _put(key: str, **more: Any) -> tuple[str, Any]:
    return "kv/put", {"key": key, "value": B, **more}


def _ttl(number: int) -> tuple[str, Any]:
    return "lease/timetolive", {"ID": number, "keys": True}


_IF_5 = [{"key": A, "target": "LEASE", "lease": "5"}]
_EVERYTHING = ("kv/range", {"key": "AA==", "range_end": "AA=="})

_STORY: tuple[tuple[str, Any], ...] = (
    *(("lease/grant", {"TTL": ttl, "ID": 900 + ttl % 97}) for ttl in (600, -5, 0, 1, 2, 3, 9_000_000_000)),
    *(("lease/grant", {"TTL": ttl, "ID": 7}) for ttl in (9_000_000_001, 2**63 - 1, "x", 1.5, "600", 600)),
    *(("lease/grant", body) for body in ({}, {"TTL": "500"}, {"ID": -3, "TTL": 700}, {"ID": -3, "TTL": 700})),
    *(("lease/grant", {"ID": number, "TTL": 1000}) for number in (5, 6, 2**63 - 1, -(2**63))),
    *(("lease/timetolive", number) for number in _NUMBERS),
    *(("kv/lease/timetolive", number) for number in _NUMBERS[:3]),
    *(("lease/keepalive", number) for number in _NUMBERS),
    ("lease/keepalive", b'{"ID":5}{"ID":404}\n {"ID":"6"}'),
    ("lease/keepalive", b'{"ID":5} {"ID":'),
    ("lease/keepalive", b'{"ID":5},{"ID":6}'),
    *(_put(A, lease=5), _put(B, lease="5"), _put(C, lease=404), _put(C, lease=-3), _ttl(5), _ttl(-3), _ttl(404)),
    *(_put(B, ignore_lease=True), _put(B, ignore_lease=True, lease=5), _ttl(5), _put(B), _ttl(5), _put(B, lease=6)),
    *(_ttl(5), _ttl(6), _put(A, lease=6), _ttl(5), _ttl(6), _put(A, lease=5)),
    ("kv/txn", {"compare": _IF_5, "success": [{"request_put": {"key": C, "lease": 5}}]}),
    ("kv/txn", {"compare": _IF_5, "success": [{"request_put": {"key": C}}, {"request_put": {"key": B, "lease": 4}}]}),
    ("kv/txn", {"success": [{"request_put": {"key": "enp6", "ignore_value": True, "lease": 4}}]}),
    ("kv/put", {"key": "enp6", "ignore_value": True, "lease": 4}),
    *(_ttl(5), ("kv/deleterange", {"key": C}), _ttl(5), _EVERYTHING),
    *(("lease/revoke", {"ID": 5}), _EVERYTHING, _ttl(5), ("lease/revoke", {"ID": 5}), ("kv/lease/revoke", {"ID": 6})),
    *(_EVERYTHING, ("lease/keepalive", {"ID": 5}), ("kv/lease/revoke", {})),
    *(("lease/revoke", number) for number in _NUMBERS[3:]),
    *(("lease/grant", {"ID": 5, "TTL": 800}), _put(A, lease=5), _ttl(5), _put(A), _ttl(5)),
    *(("lease/leases", {}), ("kv/lease/leases", b""), ("lease/leases", b"x"), ("kv/lease/grant", {})),
    ("kv/lease/keepalive", {"ID": 5}),
    *(("lease/revoke", {"ID": number}) for number in (2**63 - 1, -(2**63), -3)),
    *(_EVERYTHING, ("lease/leases", {"a": 1})),
)


def requests() -> list[Request]:
    """All of them, in order."""
    return [
        Request(f"/v3/{path}", body if isinstance(body, bytes) else json.dumps(body).encode()) for path, body in _STORY
    ]


def answers(side: Client) -> Iterator[Answer]:
    """To each of them, without what is a side's own."""
    lasting: dict[str, str] = {}
    for request in requests():
        yield _comparable(request, side.post(request), lasting)


def _comparable(request: Request, answer: Answer, lasting: dict[str, str]) -> Answer:
    """`lasting`: leases that live on until the end, by what they are called here."""
    body: Any = answer.body
    if request.path.endswith("keepalive") and answer.status == 200:
        lines = body.splitlines() if isinstance(body, str) else [json.dumps(body)]
        return Answer(answer.status, [_without_ids(json.loads(line)["result"]) for line in lines])
    if not isinstance(body, dict):
        return answer
    if request.path.endswith("grant") and "ID" in body:
        name = body["ID"] if b'"ID"' in request.body else "@MADE"
        if int(body["TTL"]) > LATE_S:
            lasting[body["ID"]] = name
        body["ID"] = name
    if "grantedTTL" in body:
        late = int(body["grantedTTL"]) - int(body["TTL"])
        body["TTL"] = "@LEFT" if 0 <= late <= LATE_S else body["TTL"]
    if "keys" in body:
        body["keys"] = sorted(body["keys"])
    if "leases" in body:
        body["leases"] = [lasting[lease["ID"]] for lease in body["leases"] if lease["ID"] in lasting]
    return answer


def _without_ids(result: dict[str, Any]) -> dict[str, Any]:
    for name in OWN_TO_EACH:
        result["header"].pop(name, None)
    return result
