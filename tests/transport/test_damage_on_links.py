"""Bits flip between nodes: the link ends and is dialled anew, and nothing wrong is believed. What clusters make of it
is the simulator's to show."""

from random import Random

import pytest

from node.raft.messages import Append
from node.raft.types import Entry, EntryKind
from node.simulation.carrier import Link
from node.simulation.network import SimNetwork
from node.transport import codec
from tests.conformance.test_carrier_simulated import VirtualTime
from tests.transport.test_links import Node

SECOND_US = 1_000_000
APPENDS = 3000


class FlippingNetwork(SimNetwork):
    """Flips one bit, any of them, in a part of all frames, until `stops_at_us`."""

    share = 0.02
    stops_at_us = 60 * SECOND_US
    flips = 0

    def transmit(self, link: Link, frame: bytes) -> bool:
        if self._now() < self.stops_at_us and self._happens(self.share):
            self.flips += 1
            bit = int(self._chance.random() * len(frame) * 8)
            changed = bytearray(frame)
            changed[bit // 8] ^= 1 << bit % 8
            frame = bytes(changed)
        return super().transmit(link, frame)


class Pair:
    """Nodes a and b on a network that flips bits; a says numbered entries to b, at most once each."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.network = FlippingNetwork(schedule=self.time.schedule, now=self.time.now, chance=Random(7))
        self.nodes = {name: Node(name, boot=f"boot-{name}") for name in ("a", "b")}
        for name, node in self.nodes.items():
            node.links.attach(self.network.endpoint(name, ("a", "b"), node.links))
        self.said: list[Append] = []
        for number in range(APPENDS):
            entry = Entry(number + 2, 1, EntryKind.WRITE, b"%d bottles" % number)
            self.time.schedule((number + 1) * 10_000, lambda entry=entry: self._say(entry))  # type: ignore[misc]
        while self.time.step(61 * SECOND_US):
            pass

    def _say(self, entry: Entry) -> None:
        message = Append(1, entry.index - 1, 1, 0, (entry,))
        if self.nodes["a"].links.send("b", message):
            self.said.append(message)

    @property
    def heard(self) -> list[Append]:
        return [message for _, message in self.nodes["b"].delivered if isinstance(message, Append)]


def test_only_what_was_said_is_heard_and_the_link_comes_back_after_each_damage() -> None:
    pair = Pair()
    b = pair.nodes["b"]
    damaged = b.links.counters.damaged_frames
    assert damaged > 10
    assert b.links.counters.bad_frames == 0, "nothing damaged came as far as the decoder"
    assert len(pair.heard) > len(pair.said) / 2
    said = iter(pair.said)
    assert all(message in said for message in pair.heard), "in order, each once, and nothing else"
    ended = [change for change in b.changes if change[2] == "in" and not change[3] and "damaged" in change[4]]
    assert len(ended) == damaged
    assert b.changes[-1][3] or any(change[3] for change in b.changes[-4:]), "the last end was not the last word"
    assert pair.nodes["a"].links.connected("b")


class Blind:
    """A checksum that is always right: the four bytes behind it are overwritten by none."""

    def crc32(self, body: bytes) -> int:
        return Anything(0)


class Anything(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


def test_without_the_checksum_a_flipped_bit_passes_for_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "zlib", Blind())
    pair = Pair()
    wrong = [message for message in pair.heard if message not in pair.said]
    assert wrong, "the test above proves nothing if the decoder alone notices"
