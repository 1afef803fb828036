"""Our codec against Google's own: what one writes the other reads."""

from random import Random
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from node.api.etcd.errors import EtcdError
from node.api.etcd.schema import ANSWERS, ENUMS, GRPC_MESSAGES, MESSAGES, Field, Message
from node.api.grpc.wire import FIELDS_MAX, decoded_quickly, decoding, encode, varint
from node.api.slices import at_once
from tests.grpc.messages import facts, message, new

REQUESTS = {**MESSAGES, **GRPC_MESSAGES}
TABLES = {**REQUESTS, **ANSWERS}
EDGES = (0, 1, 127, 128, 2**31, 2**32 - 1, 2**63 - 1, -1, -(2**63))


def value_of(chance: Random, field: Field, depth: int) -> Any:
    if field.type in TABLES:
        return message_of(chance, field.type, depth - 1)
    if field.type in ENUMS:
        return chance.randrange(len(ENUMS[field.type]))
    if field.type == "bytes":
        return chance.randbytes(chance.choice((0, 1, 40, 200)))
    if field.type == "string":
        return chance.choice(("", "a", "http://127.0.0.1:2380", "é\u20ac"))
    if field.type == "bool":
        return chance.random() < 0.5
    number = chance.choice((*EDGES, chance.randrange(2**63)))
    return number if field.type == "int64" else number % (2**32 if field.type == "uint32" else 2**64)


def message_of(chance: Random, name: str, depth: int = 4) -> Message:
    """Any message: of a group of alternatives one field at most."""
    found: Message = {}
    grouped: list[Field] = []
    for field in TABLES[name]:
        if field.oneof:
            grouped.append(field)
        elif chance.random() < 0.6 and (depth > 0 or field.type not in TABLES):
            several = [value_of(chance, field, depth) for _ in range(chance.randrange(4) if field.repeated else 1)]
            found[field.name] = several if field.repeated else several[0]
    grouped = [field for field in grouped if depth > 0 or field.type not in TABLES]
    if grouped and chance.random() < 0.9:
        field = chance.choice(grouped)
        found[field.name] = value_of(chance, field, depth)
    return found


def google(name: str, values: Message) -> Any:
    """The same as Google's message."""
    by_name = {field.name: field for field in TABLES[name]}

    def inner(field: Field, value: Any) -> Any:
        return google(field.type, value) if field.type in TABLES else value

    fields = {
        key: [inner(by_name[key], one) for one in value] if by_name[key].repeated else inner(by_name[key], value)
        for key, value in values.items()
    }
    return new(name, **fields)


def without_defaults(name: str, values: Message) -> Message:
    """As proto3 says it: what has its default is not there, but inner messages and alternatives are."""
    found: Message = {}
    for field in TABLES[name]:
        value = values.get(field.name)
        if value is None or (not value and not field.oneof and (field.repeated or field.type not in TABLES)):
            continue
        if field.type in TABLES:
            found[field.name] = (
                [without_defaults(field.type, one) for one in value]
                if field.repeated
                else without_defaults(field.type, value)
            )
        else:
            found[field.name] = value
    return found


def test_the_table_has_etcds_numbers_and_types() -> None:
    known = {(name, field.name): field for name, fields in {**REQUESTS, **ANSWERS}.items() for field in fields}
    seen = set()
    for owner, number, name, kind, *more in facts():
        field = known.get((owner, name))
        if field is not None:
            seen.add((owner, name))
            assert (field.number, field.type, field.repeated) == (int(number), kind, "repeated" in more), (owner, name)
            assert bool(field.oneof) == bool([one for one in more if one != "repeated"]), (owner, name)
    assert set(known) == seen


@pytest.mark.parametrize("name", [name for name, fields in REQUESTS.items() if fields])
def test_what_google_writes_we_read(name: str) -> None:
    chance = Random(name)
    for _ in range(25):
        values = message_of(chance, name)
        data = google(name, values).SerializeToString()
        assert without_defaults(name, at_once(decoding(data, name))) == without_defaults(name, values)


@pytest.mark.parametrize("name", ANSWERS)
def test_what_we_write_google_reads(name: str) -> None:
    chance = Random(name)
    for _ in range(15):
        values = message_of(chance, name)
        assert message(name).FromString(encode(values, name)) == google(name, values)


def read_alike(name: str, data: bytes) -> bool:
    """Whether both read it; where we do and Google does not, it is text that is not UTF-8, which etcd's own reads."""
    try:
        ours = at_once(decoding(data, name))
    except EtcdError:
        return False
    theirs = message(name)()
    try:
        theirs.ParseFromString(data)
    except DecodeError:
        assert name.startswith(("Member", "Health"))
        return False
    assert MessageToDict(google(name, ours)) == MessageToDict(_known(theirs))
    return True


def test_whatever_comes_is_a_message_or_an_error_of_its_client() -> None:
    chance = Random(1)
    names = sorted(REQUESTS)
    read = sum(read_alike(chance.choice(names), chance.randbytes(chance.randrange(24))) for _ in range(1500))
    assert read > 50


def test_a_message_that_is_bent_is_read_as_google_reads_it() -> None:
    chance, read = Random(2), 0
    for _ in range(500):
        whole = bytearray(google("TxnRequest", message_of(chance, "TxnRequest")).SerializeToString())
        if whole:
            whole[chance.randrange(len(whole))] = chance.randrange(256)
            read += read_alike(
                "TxnRequest", bytes(whole[: chance.choice((len(whole), chance.randrange(len(whole) + 1)))])
            )
    assert read > 50


def _known(theirs: Any) -> Any:
    theirs.DiscardUnknownFields()
    return theirs


def test_of_alternatives_the_last_one_counts_and_a_message_that_comes_again_is_merged() -> None:
    put = new("RequestOp", request_put=new("PutRequest", key=b"a", lease=5)).SerializeToString()
    again = new("RequestOp", request_put=new("PutRequest", key=b"b")).SerializeToString()
    ranged = new("RequestOp", request_range=new("RangeRequest", key=b"c")).SerializeToString()
    assert at_once(decoding(put + again, "RequestOp")) == {"request_put": {"key": b"b", "lease": 5}}
    assert at_once(decoding(put + ranged, "RequestOp")) == {"request_range": {"key": b"c"}}


def test_fields_that_are_not_known_are_passed_over() -> None:
    unknown = b"".join(
        (
            varint(99 << 3) + varint(2**63),
            varint(98 << 3 | 1) + bytes(8),
            varint(97 << 3 | 2) + b"\x03abc",
            varint(96 << 3 | 5) + bytes(4),
            varint(95 << 3 | 3) + varint(1 << 3) + b"\x05" + varint(95 << 3 | 4),
        )
    )
    key = new("PutRequest", key=b"k", value=b"v").SerializeToString()
    assert at_once(decoding(unknown + key + unknown, "PutRequest")) == {"key": b"k", "value": b"v"}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a", "unexpected EOF"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "proto: negative length found during unmarshaling"),
        (b"\x18" + b"\xff" * 10 + b"\x01", "proto: integer overflow"),
        (b"\x0c", "proto: PutRequest: wiretype end group for non-group"),
        (b"\x00\x01", "proto: PutRequest: illegal tag 0 (wire type 0)"),
        (b"\x9f\x06", "proto: illegal wireType 7"),
        (b"\x12\x01", "unexpected EOF"),
        (b"\x1a\x00", "proto: wrong wireType = 2 for field Lease"),
    ],
)
def test_etcds_decoder_says_the_same(data: bytes, why: str) -> None:
    with pytest.raises(EtcdError, match=r".*") as failed:
        at_once(decoding(data, "PutRequest"))
    assert (failed.value.code, failed.value.message) == (13, f"grpc: error unmarshalling request: {why}")


def test_a_message_of_many_fields_is_read_in_steps_and_at_most_so_many() -> None:
    op = new("RequestOp", request_put=new("PutRequest", key=b"k")).SerializeToString()
    data = b"".join(b"\x12" + varint(len(op)) + op for _ in range(1000))
    assert decoded_quickly(data, "TxnRequest") is None
    assert len(list(decoding(data, "TxnRequest"))) >= 1000 * 3 // 64
    with pytest.raises(EtcdError, match="too many fields"):
        at_once(decoding(b"\x20\x01" * (FIELDS_MAX + 1), "RangeRequest"))
    group = varint(95 << 3 | 3) + b"\x20\x01" * 5000 + varint(95 << 3 | 4)
    with pytest.raises(EtcdError, match="too many fields"):
        at_once(decoding(group, "RangeRequest"))


def test_messages_inside_each_other_end_before_the_stack_does() -> None:
    data = b""
    for _ in range(1500):
        inner = b"\x22" + varint(len(data)) + data
        data = b"\x12" + varint(len(inner)) + inner
    with pytest.raises(EtcdError, match="too deep"):
        at_once(decoding(data, "TxnRequest"))
