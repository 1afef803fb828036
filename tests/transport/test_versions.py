"""Two releases talk: what a node does with a hello, a field or a message of a release that it does not know.

Why it exists: an upgrade is one node after the other, so for a while every cluster is one of two releases, and what the
newer one adds must be passed over, or refused by name, as UPGRADING.md says.
"""

import zlib
from typing import Any

import msgspec
import pytest

from node.raft.messages import Heartbeat, Lane, Vote
from node.transport import codec
from node.transport.checks import FrameError
from node.transport.codec import CHECKSUM_BYTES, Hello, common_version, decode, encode
from node.transport.inbound import REASON_BYTES_MAX
from tests.transport.test_links import Node, hello


def framed(*fields: Any, checksum_is_a_field: bool = False) -> bytes:
    """An array as a release writes it that is not this one."""
    body = msgspec.msgpack.encode([*fields, *([2**32 - 1] if checksum_is_a_field else [])])
    body = body[:-CHECKSUM_BYTES] if checksum_is_a_field else body
    return body + zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big")


@pytest.mark.parametrize(
    ("ours", "theirs", "common"),
    [
        ((6, 6), (0, 6), 6),
        ((6, 6), (6, 7), 6),
        ((6, 6), (7, 7), 0),
        ((6, 6), (0, 7), 0),
        ((7, 7), (6, 6), 0),
        ((6, 7), (6, 6), 6),
        ((6, 7), (0, 6), 6),
        ((6, 7), (0, 5), 0),
        ((6, 7), (7, 9), 7),
        ((6, 7), (8, 9), 0),
    ],
    ids=lambda pair: str(pair),
)
def test_two_releases_talk_in_the_newest_version_that_both_speak(
    monkeypatch: pytest.MonkeyPatch, ours: tuple[int, int], theirs: tuple[int, int], common: int
) -> None:
    monkeypatch.setattr(codec, "PROTOCOL_OLDEST", ours[0])
    monkeypatch.setattr(codec, "PROTOCOL_VERSION", ours[1])
    assert common_version(hello(oldest=theirs[0], version=theirs[1])) == common


def test_a_newer_peer_that_speaks_our_version_too_is_heard() -> None:
    node = Node()
    node.links.on_inbound("b", Lane.CONTROL, True, "")
    new = codec.PROTOCOL_VERSION + 1
    fields = ("hello", new, "c1", "b", "b-1", "boot-b", 0, "", 0, codec.PROTOCOL_VERSION, "a field of later")
    assert node.links.on_frame("b", Lane.CONTROL, framed(*fields, checksum_is_a_field=True)) is None
    assert node.hear(Vote(3, 9, 2)) is None
    assert [message for _, message in node.delivered] == [Vote(3, 9, 2)]


def test_a_newer_peer_that_does_not_is_refused_with_both_versions_and_where_to_read() -> None:
    node = Node()
    node.links.on_inbound("b", Lane.CONTROL, True, "")
    reason = node.hear(hello(version=12, oldest=11))
    assert reason == "no protocol in common: versions 11 to 12 there, version 6 here (UPGRADING.md)"
    assert len(reason) <= REASON_BYTES_MAX, "the peer is told all of it"
    assert node.links.counters.refused_hellos == 1


def test_a_hello_of_the_release_before_is_read_without_what_it_does_not_tell() -> None:
    before = framed("hello", 6, "c1", "b", "b-1", "boot-b", 0, "h.example", 9001, checksum_is_a_field=True)
    assert decode(before) == Hello(6, "c1", "b", "b-1", "boot-b", Lane.CONTROL, "h.example", 9001)
    older = framed("hello", 6, "c1", "b", "b-1", "boot-b", 0, checksum_is_a_field=True)
    assert decode(older) == Hello(6, "c1", "b", "b-1", "boot-b", Lane.CONTROL)


def test_the_release_before_reads_our_hello() -> None:
    class Before(msgspec.Struct, array_like=True, tag="hello"):
        version: int
        cluster_id: str
        name: str
        incarnation: str
        boot: str
        lane: Lane
        host: str = ""
        port: int = 0

    said = encode(Hello(6, "c1", "a", "a-1", "boot-a", Lane.BULK, "h.example", 9001, 6))
    assert msgspec.msgpack.decode(said, type=Before) == Before(
        6, "c1", "a", "a-1", "boot-a", Lane.BULK, "h.example", 9001
    )


def test_a_field_of_a_later_release_at_the_end_of_a_message_is_passed_over() -> None:
    heartbeat = msgspec.msgpack.decode(encode(Heartbeat(3, 7))[:-CHECKSUM_BYTES])
    assert decode(framed(*heartbeat, "a field of later")) == Heartbeat(3, 7)


def test_a_message_of_a_later_release_ends_the_link_and_says_so() -> None:
    node = Node()
    node.links.on_inbound("b", Lane.CONTROL, True, "")
    assert node.hear(hello()) is None
    with pytest.raises(FrameError):
        decode(framed("from-later", 1))
    assert "not a message" in str(node.links.on_frame("b", Lane.CONTROL, framed("from-later", 1)))
    assert node.delivered == []
