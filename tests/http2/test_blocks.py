"""What is remembered of header blocks is what reading them again would say."""

from random import Random

import pytest
from hpack import Decoder, Encoder

from node.api.http2.blocks import BLOCK_BYTES_PER_FIELD, REMEMBERED_BYTES_MAX, Blocks, literal
from node.api.http2.frames import ConnectionFault, StreamFault

BASE = [(":method", "POST"), (":scheme", "http"), (":authority", "h")]


def test_a_block_means_what_the_table_makes_of_it_now() -> None:
    """The same bytes are other fields once the table has another first entry."""
    chance, encoder, plain, blocks = Random(1), Encoder(), Decoder(), Blocks()
    found_again = 0
    heads: set[int] = set()
    for _ in range(2000):
        fields = [*BASE, (":path", f"/p{chance.randrange(4)}"), ("te", "trailers")]
        fields += [("grpc-timeout", f"{chance.randrange(3)}S")] if chance.random() < 0.5 else []
        if chance.random() < 0.05:
            fields.append((f"x-{chance.randrange(1000)}", "y" * chance.randrange(200)))
        block = encoder.encode(fields)
        head = blocks.head(block)
        found_again += id(head) in heads
        heads.add(id(head))
        wanted = dict(plain.decode(block, raw=True))
        assert head.path == wanted.pop(b":path")
        assert head.fields == {name: value for name, value in wanted.items() if name[:1] != b":"}
    assert found_again > 1000


def test_the_same_bytes_mean_another_path_once_another_is_first_in_the_table() -> None:
    encoder, blocks = Encoder(), Blocks()

    def sent(path: str) -> bytes:
        block: bytes = encoder.encode([(":method", "POST"), (":scheme", "http"), (":path", path)])
        assert blocks.head(block).path == path.encode()
        return block

    sent("/a")
    indexes = sent("/a")
    assert sent("/a") == indexes
    sent("/b")
    assert sent("/b") == indexes
    blocks.trailers(encoder.encode([("x-a", "b")]))
    assert sent("/a") != indexes
    sent("/c")
    assert sent("/c") == indexes


def test_trailers_and_blocks_that_are_passed_over_change_the_table_too() -> None:
    encoder, blocks = Encoder(), Blocks()
    first = encoder.encode([*BASE, (":path", "/one")])
    blocks.head(first)
    again = encoder.encode([*BASE, (":path", "/one")])
    assert blocks.head(again).path == b"/one"
    blocks.trailers(encoder.encode([("x-a", "b")]))
    blocks.skip(encoder.encode([("x-c", "d")]))
    assert blocks.head(encoder.encode([*BASE, (":path", "/one")])).path == b"/one"
    with pytest.raises(ConnectionFault):
        blocks.head(b"\xff\xff\xff\xff\x7f")


def test_trailers_change_what_a_remembered_block_means() -> None:
    encoder, blocks = Encoder(), Blocks()

    def sent(value: str) -> bytes:
        block: bytes = encoder.encode([(":method", "POST"), (":scheme", "http"), (":path", "/"), ("x-t", value)])
        assert blocks.head(block).fields[b"x-t"] == value.encode()
        return block

    sent("one")
    indexes = sent("one")
    blocks.trailers(encoder.encode([("x-t", "two")]))
    assert sent("two") == indexes
    blocks.skip(encoder.encode([("x-t", "three")]))
    assert sent("three") == indexes


def test_what_we_write_every_table_reads() -> None:
    fields = ((b":status", b"200"), (b"grpc-message", b"x" * 500), (b"a", b""))
    for before in ([], [("a", "b")] * 3):
        decoder = Decoder()
        decoder.decode(Encoder().encode(before))
        assert tuple(decoder.decode(literal(fields), raw=True)) == fields


@pytest.mark.parametrize(
    "fields",
    [
        [(":method", "POST"), (":scheme", "http")],
        [*BASE, (":path", "")],
        [*BASE, (":path", "/"), (":path", "/")],
        [*BASE, ("te", "trailers"), (":path", "/")],
        [*BASE, (":path", "/"), (":status", "200")],
        [*BASE, (":path", "/"), ("te", "gzip")],
        [*BASE, (":path", "/"), ("connection", "close")],
        [*BASE, (":path", "/"), ("a b", "c")],
        [*BASE, (":path", "/"), ("a", "b\nc")],
        [*BASE, (":path", "/"), ("content-length", "-1")],
    ],
)
def test_a_malformed_head_ends_its_stream(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(StreamFault):
        Blocks().head(Encoder().encode(fields))


def bare(fields: list[tuple[str, str]]) -> bytes:
    """A block that changes no table."""
    return literal([(name.encode(), value.encode()) for name, value in fields])


def test_what_is_remembered_of_a_connection_that_is_idle_has_a_bound() -> None:
    blocks = Blocks()
    for number in range(200):
        fields = [*BASE, (":path", "/"), (f"x-{number}", "y" * 3000)]
        assert blocks.head(bare(fields)).fields[b"x-%d" % number] == b"y" * 3000
        kept = sum(len(block) + sum(map(len, head.fields.values())) for block, head in blocks._heads.items())
        assert kept <= REMEMBERED_BYTES_MAX
    assert blocks._heads, "what is short enough is remembered"
    long = bare([*BASE, (":path", "/"), ("x", "y" * 8150)])
    blocks.head(long)
    blocks.head(long)
    assert long not in blocks._heads


def test_fields_that_are_read_count_and_what_is_found_again_does_not() -> None:
    blocks = Blocks()
    block = bare([*BASE, (":path", "/"), ("x", "y" * 160)])
    blocks.head(block)
    read = blocks.fields_read
    assert read == 5 + len(block) // BLOCK_BYTES_PER_FIELD
    blocks.head(block)
    assert blocks.fields_read == read
    blocks.skip(block)
    assert blocks.fields_read == 2 * read
