"""Who is listened to: the handshake above a carrier, on the simulated network and frame by frame."""

import zlib
from random import Random
from typing import Any

import msgspec
import pytest

from node.raft.messages import Append, Heartbeat, Lane, Message, Report, Vote
from node.raft.types import Entry, EntryKind, Member
from node.simulation.network import SimNetwork
from node.transport.codec import PROTOCOL_OLDEST, PROTOCOL_VERSION, Hello, decode, encode
from node.transport.links import PeerLinks
from node.transport.port import FRAME_BYTES_MAX
from tests.conformance.test_carrier_simulated import VirtualTime

VOTE = Vote(2, 1, 1)
BULK = Append(2, 1, 1, 0, (Entry(2, 2, EntryKind.WRITE, b"x"),))


class Wire:
    """A carrier that keeps what is sent."""

    def __init__(self) -> None:
        self.up = {("b", lane): True for lane in Lane}
        self.sent: list[tuple[str, Lane, bytes]] = []

    def send(self, peer: str, lane: Lane, frame: bytes) -> bool:
        if self.up.get((peer, lane)):
            self.sent.append((peer, lane, frame))
            return True
        return False

    def flush(self) -> None: ...

    def outbound_up(self, peer: str, lane: Lane) -> bool:
        return self.up.get((peer, lane), False)

    def reset(self, peer: str | None = None) -> None: ...

    def set_peers(self, peers: tuple[str, ...]) -> None: ...


class Node:
    """Links with everything they tell, kept."""

    def __init__(self, name: str = "a", cluster_id: str = "c1", boot: str = "boot-a") -> None:
        self.delivered: list[tuple[Member, Message]] = []
        self.changes: list[tuple[str, Lane, str, bool, str]] = []
        self.wire = Wire()
        self.links = PeerLinks(
            name=name,
            incarnation=f"{name}-1",
            boot=boot,
            cluster_id=cluster_id,
            deliver=lambda sender, message: self.delivered.append((sender, message)),
            on_link=lambda *change: self.changes.append(change),
        )
        self.links.attach(self.wire)

    def hear(self, message: Message | Hello, lane: Lane = Lane.CONTROL) -> str | None:
        return self.links.on_frame("b", lane, encode(message))


def hello(**changes: Any) -> Hello:
    fields = {"version": PROTOCOL_VERSION, "cluster_id": "c1", "name": "b", "incarnation": "b-1", "boot": "boot-b"}
    return Hello(**{**fields, "lane": Lane.CONTROL, **changes})


def test_a_message_after_its_hello_is_delivered_with_its_sender() -> None:
    node = Node()
    node.links.on_inbound("b", Lane.CONTROL, True, "")
    assert node.changes == []
    assert node.hear(hello()) is None
    assert node.hear(VOTE) is None
    assert node.delivered == [(Member("b", "b-1"), VOTE)]
    assert node.changes == [("b", Lane.CONTROL, "in", True, "")]
    node.links.on_inbound("b", Lane.CONTROL, False, "goodbye")
    assert node.changes[-1] == ("b", Lane.CONTROL, "in", False, "goodbye")


def test_a_message_before_the_hello_closes_the_link() -> None:
    node = Node()
    node.links.on_inbound("b", Lane.CONTROL, True, "")
    assert node.hear(VOTE) == "the first frame is not a hello"
    assert node.links.counters.bad_frames == 1
    assert node.delivered == []


def test_a_hello_is_good_for_its_own_link_only() -> None:
    node = Node()
    node.hear(hello())
    assert node.hear(VOTE, Lane.BULK) == "the first frame is not a hello"
    node.links.on_inbound("b", Lane.CONTROL, False, "connection lost")
    node.links.on_inbound("b", Lane.CONTROL, True, "")
    assert node.hear(VOTE) == "the first frame is not a hello"
    assert node.delivered == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"version": PROTOCOL_VERSION + 1},
            f"no protocol in common: version {PROTOCOL_VERSION + 1} there, version {PROTOCOL_VERSION} here "
            "(UPGRADING.md)",
        ),
        ({"name": "x"}, "the hello names x, the link b"),
        ({"lane": Lane.BULK}, "the hello names lane bulk, the link control"),
        ({"cluster_id": "c2"}, "cluster id c2 is not ours (c1)"),
    ],
)
def test_a_wrong_hello_is_refused_with_its_reason(changes: dict[str, Any], sentence: str) -> None:
    node = Node()
    node.links.on_inbound("b", Lane.CONTROL, True, "")
    assert node.hear(hello(**changes)) == sentence
    assert node.links.counters.refused_hellos == 1
    assert node.hear(VOTE) == "the first frame is not a hello"
    assert node.changes == []


@pytest.mark.parametrize(("ours", "theirs"), [("", "c1"), ("c1", ""), ("", "")])
def test_who_is_not_born_is_listened_to(ours: str, theirs: str) -> None:
    node = Node(cluster_id=ours)
    assert node.hear(hello(cluster_id=theirs)) is None
    assert node.hear(VOTE) is None
    assert len(node.delivered) == 1


def test_birth_ends_links_of_other_clusters_and_is_told_on_open_links() -> None:
    node = Node(cluster_id="")
    node.links.on_outbound("b", Lane.BULK, True, "")
    node.hear(hello(cluster_id="c2"))
    node.hear(hello(cluster_id="", lane=Lane.BULK), Lane.BULK)
    node.wire.sent.clear()
    node.links.set_cluster_id("c1")
    assert [decode(frame) for _, _, frame in node.wire.sent] == [
        Hello(PROTOCOL_VERSION, "c1", "a", "a-1", "boot-a", Lane.BULK, oldest=PROTOCOL_OLDEST)
    ]
    assert node.hear(VOTE) == "cluster id c2 is not ours (c1)"
    assert node.hear(BULK, Lane.BULK) is None
    assert node.hear(hello(cluster_id="c1", lane=Lane.BULK), Lane.BULK) is None
    assert len(node.changes) == 3  # a hello that comes again is no change


def test_frames_of_an_earlier_process_are_dropped() -> None:
    node = Node()
    node.hear(hello(boot="old"))
    node.hear(hello(boot="old", lane=Lane.BULK), Lane.BULK)
    node.links.on_inbound("b", Lane.CONTROL, False, "connection lost")
    node.links.on_inbound("b", Lane.CONTROL, True, "")
    node.hear(hello(boot="new", incarnation="b-2"))
    assert node.hear(BULK, Lane.BULK) == "b restarted: boot new replaced old"
    assert node.links.counters.stale_frames == 1
    assert node.delivered == []
    assert node.hear(VOTE) is None
    assert node.delivered == [(Member("b", "b-2"), VOTE)]


def test_bad_bytes_close_the_link_and_are_counted() -> None:
    node = Node()
    node.hear(hello())
    garbage = b"\xc1garbage"
    reason = node.links.on_frame("b", Lane.CONTROL, garbage + zlib.crc32(garbage).to_bytes(4, "big"))
    assert reason is not None
    assert reason.startswith("not a message")
    assert node.links.counters.bad_frames == 1


def test_a_damaged_frame_ends_the_link_is_counted_and_reaches_nobody() -> None:
    node = Node()
    node.hear(hello())
    frame = bytearray(encode(BULK))
    frame[len(frame) // 2] ^= 0x04
    reason = node.links.on_frame("b", Lane.CONTROL, bytes(frame))
    assert reason == f"a frame of {len(frame)} bytes was damaged on its way (checksum mismatch)"
    assert (node.links.counters.damaged_frames, node.links.counters.bad_frames) == (1, 0)
    assert node.delivered == []


def test_a_peer_of_the_version_without_checksums_is_refused_by_name() -> None:
    node = Node()
    old = msgspec.msgpack.encode(hello(version=1))
    sentence = f"no protocol in common: version 1 there, version {PROTOCOL_VERSION} here (UPGRADING.md)"
    assert node.links.on_frame("b", Lane.CONTROL, old) == sentence
    assert (node.links.counters.refused_hellos, node.links.counters.damaged_frames) == (1, 0)


def test_hello_is_the_first_frame_of_every_outbound_link() -> None:
    node = Node()
    node.links.on_outbound("b", Lane.CONTROL, True, "")
    assert node.links.send("b", VOTE)
    assert [decode(frame) for _, _, frame in node.wire.sent] == [
        Hello(PROTOCOL_VERSION, "c1", "a", "a-1", "boot-a", Lane.CONTROL, oldest=PROTOCOL_OLDEST),
        VOTE,
    ]
    node.links.on_outbound("b", Lane.CONTROL, False, "goodbye")
    assert node.changes == [("b", Lane.CONTROL, "out", True, ""), ("b", Lane.CONTROL, "out", False, "goodbye")]


def test_a_hello_that_a_full_link_refused_is_said_before_the_next_message() -> None:
    node = Node(cluster_id="")
    node.links.on_outbound("b", Lane.CONTROL, True, "")
    node.wire.up["b", Lane.CONTROL] = False  # as a full queue: the link is up, and takes nothing
    node.links.set_cluster_id("c1")
    assert node.links.counters.refused_sends == 1
    node.wire.up["b", Lane.CONTROL] = True
    node.wire.sent.clear()
    assert node.links.send("b", VOTE)
    assert node.links.send("b", VOTE)
    said = [decode(frame) for _, _, frame in node.wire.sent]
    greeting = Hello(PROTOCOL_VERSION, "c1", "a", "a-1", "boot-a", Lane.CONTROL, oldest=PROTOCOL_OLDEST)
    assert said == [greeting, VOTE, VOTE]


def test_messages_take_their_lane_and_connected_means_both() -> None:
    node = Node()
    assert node.links.connected("b")
    node.links.send("b", Heartbeat(1, 0))
    node.links.send("b", BULK)
    assert [lane for _, lane, _ in node.wire.sent] == [Lane.CONTROL, Lane.BULK]
    node.wire.up["b", Lane.BULK] = False
    assert not node.links.connected("b")
    assert not node.links.send("b", BULK)
    assert not node.links.send("stranger", VOTE)
    assert node.links.counters.refused_sends == 2


def test_a_message_over_the_limit_is_not_sent() -> None:
    node = Node()
    assert not node.links.send("b", Report(bytes(FRAME_BYTES_MAX)))
    assert node.wire.sent == []
    assert node.links.counters.oversized_frames == 1


def test_two_nodes_meet_on_a_network_and_a_third_of_another_cluster_is_kept_out() -> None:
    time = VirtualTime()
    network = SimNetwork(schedule=time.schedule, now=time.now, chance=Random(5))
    names = ("a", "b", "x")
    nodes = {name: Node(name, cluster_id="other" if name == "x" else "ours", boot=f"boot-{name}") for name in names}
    for name, node in nodes.items():
        node.links.attach(network.endpoint(name, names, node.links))
    while time.step(1_000_000):
        pass
    assert nodes["a"].links.connected("b")
    assert nodes["a"].links.send("b", VOTE)
    while time.step(2_000_000):
        pass
    assert nodes["b"].delivered == [(Member("a", "a-1"), VOTE)]
    reasons = {reason for peer, _, direction, up, reason in nodes["a"].changes if peer == "x" and not up}
    assert reasons == {"cluster id other is not ours (ours)", "the peer closed: cluster id ours is not ours (other)"}
    assert not [change for change in nodes["a"].changes if change[0] == "x" and change[2:4] == ("in", True)]
    assert nodes["a"].links.counters.refused_hellos < 20, "the redials of a refused peer must back off"
