"""A running etcd and a running node answer alike over gRPC, whatever they are asked."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict, Parse, ParseError

from tests.etcd.cases import cases
from tests.etcd.generator import Generator, Request
from tests.etcd.processes import etcd_program, running_etcd, running_node
from tests.grpc.messages import message

GENERATED = 400

METHODS = {
    "/v3/kv/range": ("/etcdserverpb.KV/Range", "RangeRequest", "RangeResponse"),
    "/v3/kv/put": ("/etcdserverpb.KV/Put", "PutRequest", "PutResponse"),
    "/v3/kv/deleterange": ("/etcdserverpb.KV/DeleteRange", "DeleteRangeRequest", "DeleteRangeResponse"),
    "/v3/kv/txn": ("/etcdserverpb.KV/Txn", "TxnRequest", "TxnResponse"),
    "/v3/kv/compaction": ("/etcdserverpb.KV/Compact", "CompactionRequest", "CompactionResponse"),
}


def asked(request: Request) -> tuple[str, bytes, str] | None:
    """Method, message and the kind of its answer; None for what only JSON can say."""
    if request.path not in METHODS:
        return None
    path, kind, answer = METHODS[request.path]
    try:
        return path, Parse(_numbers(request.body), message(kind)()).SerializeToString(), answer
    except (ParseError, UnicodeDecodeError, ValueError):
        return None


def _numbers(body: bytes | str) -> str:
    """Enums by their numbers: Google's parser has no other names of them here."""
    text = body.decode() if isinstance(body, bytes) else body
    for at, names in enumerate((("NONE", "EQUAL", "KEY"), ("ASCEND", "GREATER"), ("DESCEND", "LESS"), ("NOT_EQUAL",))):
        for name in names:
            text = text.replace(f'"{name}"', str(at))
    for name, number in (("VERSION", 0), ("CREATE", 1), ("MOD", 2), ("LEASE", 4)):
        text = text.replace(f'"target":"{name}"', f'"target":{number}').replace(
            f'"target": "{name}"', f'"target":{number}'
        )
    return text


def answer_of(channel: Any, path: str, data: bytes, kind: str) -> tuple[int, object]:
    """Code and sentence, or the answer without ids and terms."""
    try:
        found = message(kind).FromString(channel.unary_unary(path, bytes, bytes)(data, timeout=20))
    except grpc.RpcError as error:
        return error.code().value[0], error.details()
    found.header.cluster_id = found.header.member_id = found.header.raft_term = 0
    return 0, MessageToDict(found)


UNREADABLE = (
    b"\x0a",
    b"\x0a\x05a",
    b"\x08\x01",
    b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x18" + b"\xff" * 10 + b"\x01",
    b"\x0c",
    b"\x00\x01",
    b"\x9f\x06",
    b"\x1a\x00",
    b"\x0a\x01k\xfa\x06\x03abc\xfb\x06\x08\x05\xfc\x06",
    b"\x0a\x01k\x0a\x01l\x18\x00",
)
"""As a PutRequest, the last two but for what is not known."""

UNKNOWN = ("/etcdserverpb.KV/Nothing", "/etcdserverpb.Nothing/Do", "/nothing", "/etcdserverpb.KV/RangeStream")


@pytest.mark.slow
def test_a_node_and_etcd_answer_alike_over_grpc(tmp_path: Path) -> None:
    program = etcd_program()
    if program is None:
        pytest.skip("no etcd: put etcd 3.6 on PATH, or name it in ETCD")
    differences, compared, revision, generator = [], 0, 1, Generator(7)
    with (
        running_etcd(program, tmp_path) as port,
        running_node(tmp_path) as own_port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as reference,
        grpc.insecure_channel(f"127.0.0.1:{own_port}") as own,
    ):
        for data in UNREADABLE:
            said = [answer_of(channel, "/etcdserverpb.KV/Put", data, "PutResponse") for channel in (reference, own)]
            if said[0] != said[1]:
                differences.append(f"{data!r}\netcd: {said[0]}\nhere: {said[1]}")
        for path in UNKNOWN:
            said = [answer_of(channel, path, b"", "PutResponse") for channel in (reference, own)]
            if said[0] != said[1]:
                differences.append(f"{path}\netcd: {said[0]}\nhere: {said[1]}")
        for given in [*cases(), *(None for _ in range(GENERATED))]:
            request = given or generator.next(revision)
            call = asked(request)
            if call is None:
                continue
            path, data, kind = call
            expected, answer = answer_of(reference, path, data, kind), answer_of(own, path, data, kind)
            compared += 1
            if isinstance(expected[1], dict):
                revision = max(revision, int(expected[1].get("header", {}).get("revision", 0)))
            if answer != expected:
                differences.append(f"{request}\netcd: {expected}\nhere: {answer}"[:1500])
    assert not differences, f"{len(differences)} of {compared}\n" + "\n\n".join(differences[:10])
    assert compared > GENERATED // 3
