"""The quick way to read a request is the exact way, where it says anything at all."""

import json
from base64 import b64encode

import pytest

from node.api.etcd.decoding import decoding, decoding_exactly
from node.api.etcd.errors import EtcdError
from node.api.etcd.quick import decode_quickly
from node.api.etcd.schema import Message
from node.api.etcd.sizes import measuring
from node.api.slices import at_once
from tests.etcd.cases import cases
from tests.etcd.generator import Generator, Request

MESSAGES = {
    "/v3/kv/range": "RangeRequest",
    "/v3/kv/put": "PutRequest",
    "/v3/kv/deleterange": "DeleteRangeRequest",
    "/v3/kv/txn": "TxnRequest",
}


def decode(body: bytes, message: str) -> Message:
    return at_once(decoding(body, message))


def decode_exactly(body: bytes, message: str) -> Message:
    return at_once(decoding_exactly(body, message))


def requests() -> list[Request]:
    generator = Generator(7)
    return [*cases(), *(generator.next(50) for _ in range(2000))]


def test_the_quick_way_never_differs_from_the_exact_one() -> None:
    quick = 0
    for path, body in requests():
        message = MESSAGES.get(path, "")
        usual = decode_quickly(body, message)
        if usual is not None:
            quick += 1
            assert usual == decode_exactly(body, message), body
    assert quick > 500


@pytest.mark.parametrize(
    "body",
    [
        b'{"key":"YQ==","key":"Yg=="}',
        b'{"key":"YQ==","limit":1e1}',
        b'{"key":"YQ==","rangeEnd":"Yg=="}',
        b'{"key":"YQ==","limit":null}',
        b'{"key":"YQ"}',
        b'{"key":"YQ==","limit":"01"}',
        b'{"key":"YQ==","limit":9223372036854775808}',
        b'{"key":"YQ=="} x',
    ],
)
def test_what_is_unusual_is_left_to_the_exact_way(body: bytes) -> None:
    assert decode_quickly(body, "RangeRequest") is None


def test_the_usual_requests_go_the_quick_way() -> None:
    for path, message in (
        ("PutRequest", {"key": "YQ==", "value": "Yg==", "prev_kv": True}),
        ("RangeRequest", {"key": "YQ==", "range_end": "Yg==", "limit": "10", "sort_order": "DESCEND"}),
        (
            "TxnRequest",
            {
                "compare": [{"key": "YQ==", "target": "MOD", "mod_revision": "5"}],
                "success": [{"request_put": {"key": "YQ==", "value": "Yg=="}}],
            },
        ),
    ):
        assert decode_quickly(json.dumps(message).encode(), path) is not None


@pytest.mark.parametrize("size", [1, 127, 128, 16_383, 16_384, 2_097_143])
def test_sizes_are_those_of_the_protocols_own_encoding(size: int) -> None:
    body = json.dumps({"key": "YQ==", "value": b64encode(bytes(size)).decode(), "lease": "-1", "prev_kv": True})
    length_bytes = 1 if size < 128 else 2 if size < 16_384 else 3 if size < 2_097_152 else 4
    assert at_once(measuring(decode(body.encode(), "PutRequest"), "PutRequest")) == 3 + 1 + length_bytes + size + 11 + 2


def test_a_request_that_is_refused_names_the_place() -> None:
    with pytest.raises(EtcdError, match=r"\(line 2:2\): invalid value for bytes field key"):
        decode(b'  {"key" :\n "!!"}', "RangeRequest")
