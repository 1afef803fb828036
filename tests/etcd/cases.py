"""Requests that no chance would find: each at one limit of what etcd accepts, or at one of its sentences.

Why it exists: the generator covers the ordinary and the slightly wrong; these are the edges that were once tried by
hand. They follow each other on a store of their own.
"""

import json
from base64 import b64encode
from typing import Any

from tests.etcd.generator import KV, Request

A, B = "YQ==", "Yg=="


def cases() -> list[Request]:
    """All of them, in order."""
    return [
        *_compactions(-1, 0, 0),
        *(Request(f"{KV}range", text) for text in _TEXTS),
        *(Request(f"{KV}range", b'{"key":"YQ==","limit":%s}' % number) for number in _NUMBERS),
        *(Request(f"{KV}range", b'{"key":"%s"}' % text) for text in _BASE64),
        *(_request("put", put) for put in _PUTS),
        *(_request("txn", txn) for txn in _TXNS),
        *_filters(),
        *_large(),
        *_nested(),
        *_compactions(3, 3, 2, 99999, -5),
        *(_request("txn", {"success": [{"request_range": {"key": A, "revision": r}}]}) for r in (2, -1, "3", 10**6)),
        *(Request(path, b"{}") for path in ("/v3/kv/nothing", "/v3/kv/range/", "/v3/maintenance/x", "/v3/kv")),
        *(Request("/v3/cluster/member/list", b) for b in (b'{"linearizable":"x"}', b"x", b"[]")),
        Request("/v3/maintenance/status", b"nul"),
    ]


def _request(name: str, message: Any) -> Request:
    return Request(KV + name, json.dumps(message).encode())


def _compactions(*revisions: int) -> list[Request]:
    return [_request("compaction", {"revision": revision}) for revision in revisions]


def _filters() -> list[Request]:
    """Each filter at each revision that a key has, and beside it."""
    names = [f"{end}_{what}_revision" for end in ("min", "max") for what in ("mod", "create")]
    return [
        _request("range", {"key": "AA==", "range_end": "AA==", name: revision, "keys_only": True})
        for name in names
        for revision in range(1, 24)
    ]


def _large() -> list[Request]:
    """Requests round 1.5 MiB and 2 MiB. The first limit is not exact in etcd: an id of varying length counts, too."""
    sizes = (1_572_838, 1_572_842, 2_097_144, 2_097_152, 2_500_000)
    puts = [_request("put", {"key": A, "value": b64encode(bytes(size)).decode()}) for size in sizes]
    reads = [_request("range", {"key": b64encode(b"k" * size).decode()}) for size in (9_000, 1_600_000, 2_200_000)]
    put = {"key": A, "value": b64encode(bytes(400_000)).decode()}
    large = {"success": [{"request_put": {**put, "key": key}} for key in (A, B, "Yw==", "ZA==")]}
    clean = _request("deleterange", {"key": A, "range_end": "Yw=="})
    return [*puts, *reads, _request("txn", large), clean]


def _nested() -> list[Request]:
    texts = []
    for depth in (2, 127, 128, 129, 2400, 3400):
        texts.append('{"success":[{"request_txn":' * depth + "{}" + "}]}" * depth)
    texts += ['{"key":"YQ==","a":' + "[" * depth + "]" * depth + "}" for depth in (9_999, 10_000)]
    return [Request(f"{KV}txn", text.encode()) for text in texts]


_TEXTS = (
    *(b"", b"   ", b"\n", b"null", b"[]", b'"a"', b"1", b"1x", b"true x", b"nul", b"nan", b"[1", b'{"a":[[['),
    *(b'"abc', b'{"a":'),
    *(b'{"key":1}', b'{"key":null}', b'{"key":"","value":"YQ=="}', b'{"key":"Zm9v","key":"YQ=="}', b'{"key":["YQ=="]}'),
    *(b'{"key":"YQ==","foo":{"a":[1,2,{"b":null}]}}', b'{"key":"YQ=="} trailing', b'{"key":"YQ==",}', b"{key:1}"),
    *(b"{'key':1}", b'{"key":{"a":1}}', b'{"Key":"YQ=="}', b'{"":1}', b'{"key":"YQ==","[foo.bar]":1,"@type":"x"}'),
    *(b'{"key":"YQ==","revision":99999}', b'{"key":"YQ==","revision":-1}', b'{"key":"YQ==","keys_only":"true"}'),
    *(b'{"key":"YQ==","keys_only":1}', b'{"key":"YQ==","keys_only":true,"keysOnly":true}', b'{"key":"\\u0059Q=="}'),
    *(b'{"key":"YQ==","range_end":"","rangeEnd":null}', b'{"key":"YQ==","lim\\u0069t":"x"}', b'{"key":"\xff"}'),
    *(b'{"key":"YQ==","sort_order":%s}' % v for v in (b"7", b"-1", b'"1"', b"1.0", b"1.5", b"true", b"null", b"[]")),
    *(b'{"key":"YQ==","sort_target":%s}' % v for v in (b'"VALUE"', b'"value"', b"5", b"99999999999", b"2147483647")),
    *(b'  {"key" :\n "!!"}', b'{"\xc3\xa9":"\xc3\xa9","key":"!"}', b'{"key":"YQ==","a":"\\x"}', b'{"a":"\x01"}'),
    *(b'{"a":tru}', b'{"a":tRue}', b'{"a":nulll}', b'{"key":"YQ==" "a":1}', b'{"key" 1}', b'{"a":[1,]}'),
    *(b'{"a":[1 2]}', b'{"a":[]'),
    *(b'\xef\xbb\xbf{}', b'{"a":-}', b'{"a":1.}', b'{"a":1e}', b'{"a":1e+}', b'{"a":"\\u12"}', b'{"a":"\\u12x4"}'),
    *(b'{"a":\xff}', b'{"a":\x7f}', b'{"a":\xa0}', b'{"a":\\}', b"{\"a\":'a'}", b'{"\xff":1}', b'{"a":"\xc3("}'),
    *(b'{"a":"\\ud83d\\ude00","key":"YQ=="}', b'{"a":"\\ud800abcdefghijk"}', b'{"a":"\\udc00\\ud800","b":1}'),
    *(b'{"key":"\\ud800"}', b'{"key":"\\ud800\\u0041bcdefghijkl"}', b'{"key":"\\ud800"          }'),
    *(b'{"a":"\\ud800\\n"}', b'{"a":"\\ud800'),
    *(b'{"a":"\\ud800\xc3\xa9\x7f\xe2\x80\xa8xyz"}', b'{"a":"b",\n\t"key":\r\n"?"}'),
)  # fmt: skip

_NUMBERS = (
    *(b'"5"', b'"-5"', b"-5", b"1.0", b"1e1", b"1.5", b'"1.5"', b'" 1"', b'""', b'"abc"', b"true", b'"5 6"', b'"5,"'),
    *(b"9223372036854775807", b"9223372036854775808", b'"-9223372036854775808"', b'"-9223372036854775809"', b'"5}"'),
    *(b"01", b"+1", b"1e400", b'"1e2"', b"-0", b'"-0"', b'"+1"', b'"01"', b"NaN", b"0.5e1", b"50e-1", b"55e-1"),
    *(b"1e19", b"-"),
    *(b"0e99999999999", b"1e99999999999", b"1e-99999999999", b"{}", b"[]", b'"\\u0035"', b'"\\u00e9"', b"10e-2"),
    *(b"1E1", b"1e+1"),
)  # fmt: skip

_BASE64 = (
    *(b"!!", b"YQ", b"YQ=", b"YQ===", b"Y-_Q", b"Y+_Q", b"YR==", b"Y\\nQ==", b"Y", b"YWI", b"A=BC", b"YQ==YQ=="),
    *(
        b"YWJj\\n\\n\\n\\n",
        b"YQ=\\n=\\n\\n\\n",
        b"YWJj\\n",
        b"YQ\\r\\n==",
        b"YQ\n==",
        b"====",
        b"=",
        b"YQ==\\n\\n\\n\\n",
    ),
    *(b"Y Q=", b"\xc3\xa9", b"-_8=", b"-_8", b"+/8", b"\\/\\/\\/\\/"),
)

_PUTS: tuple[Any, ...] = (
    *({"key": A, "value": B, "lease": lease} for lease in (7, -1, "9223372036854775807")),
    *({"key": A, "ignore_value": True, **more} for more in ({}, {"value": B}, {"lease": 9}, {"ignore_lease": True})),
    *({"key": A, "ignore_lease": True, **more} for more in ({}, {"lease": 5})),
    *({"key": key, "value": B} for key in (A, B, "YWI=", "Yy8x")),
    *({"key": A, "ignore_value": True, **more} for more in ({"prev_kv": True}, {"lease": 9}, {"ignore_lease": True})),
    *({"key": A, "value": B, "ignore_lease": True, "prev_kv": True}, {"key": "YWI="}),
)

_PUT_A, _PUT_B = {"request_put": {"key": A, "value": B}}, {"request_put": {"key": B}}
_GET_A = {"request_range": {"key": A}}
_KEEP = {"request_put": {"key": "enp6", "ignore_value": True}}

_TXNS: tuple[Any, ...] = (
    *({}, {"compare": [{}]}, {"success": [{}]}, {"success": [None]}, {"success": [{"request_put": None}]}),
    *({"success": None, "compare": None}, {"success": [{"request_put": {}}]}, {"failure": [{"requestRange": {}}]}),
    *({"success": "x"}, {"success": {}}, {"success": [1]}, {"success": [{"request_put": 1}]}, {"success": [[]]}),
    {"compare": [{"key": A, "target": "VERSION", "version": "0", "value": "Mg=="}]},
    {"compare": [{"key": A, "version": None, "value": None}]},
    {"compare": [{"key": A, "version": None, "value": B}]},
    {"success": [{"request_put": {"key": A}, "requestPut": None}]},
    {"success": [{**_GET_A, **_PUT_A}]},
    *({"compare": [{"key": A, "target": t, "version": "0", "result": r}]} for t in range(-1, 7) for r in range(-1, 6)),
    *({"compare": [{"key": "enp6", "target": t, "result": r}]} for t in range(6) for r in range(5)),
    *({"compare": [{"key": A, "range_end": "AA==", "target": t, "result": r}]} for t in range(6) for r in range(5)),
    *({"compare": [{"key": A, "result": "FOO", "target": "FOO"}]}, {"compare": [{"key": A}] * 129}),
    *({"success": [_GET_A] * count} for count in (128, 129)),
    *({"success": [{"request_txn": {"success": [_GET_A] * count}}]} for count in (127, 128)),
    {"success": [{"request_range": {"key": A, "sort_order": 9}}]},
    *({"success": pair} for pair in ([_PUT_A, _PUT_A], [_PUT_A, _PUT_B], [_PUT_A, _GET_A, _PUT_B, _GET_A])),
    *(
        {"success": order}
        for end in ("AA==", "Yw==", "YQ==", "")
        for delete in [{"request_delete_range": {"key": A, "range_end": end, "prev_kv": True}}]
        for order in ([_PUT_B, delete], [delete, _PUT_B], [delete, delete], [_GET_A, delete, _GET_A])
    ),
    *(
        {"success": [{"request_txn": one}, {"request_txn": other}, *last]}
        for put in [{"success": [_PUT_A]}]
        for delete in [{"failure": [{"request_delete_range": {"key": A}}]}]
        for one, other in ((put, put), (put, delete), (delete, put), (delete, delete))
        for last in ([], [_PUT_A], [{"request_delete_range": {"key": A}}])
    ),
    {"success": [{"request_txn": {"success": [_PUT_A], "failure": [_PUT_A]}}]},
    {"success": [_KEEP, {"request_range": {"key": A, "revision": 9999}}]},
    {"success": [{"request_range": {"key": A, "revision": 9999}}, {"request_put": {"key": "enp6", "lease": 8}}]},
    {"success": [{"request_put": {"key": "enp6", "ignore_value": True, "lease": 8}}]},
    {"success": [{"request_put": {"key": A, "lease": 5}}]},
)  # fmt: skip
