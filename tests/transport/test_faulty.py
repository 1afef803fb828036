"""Faults at the edge, frame by frame: what vanishes, what waits, what comes back, and that all of it ends."""

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from node.raft.messages import Lane
from node.transport import faulty, held
from node.transport.faulty import Fault, FaultyCarrier

CONTROL, BULK = Lane.CONTROL, Lane.BULK
LONG_S = 600.0


class Below:
    """A carrier that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Lane, bytes]] = []
        self.resets: list[str | None] = []
        self.down: list[str] = []
        self.peers: tuple[str, ...] = ()

    def send(self, peer: str, lane: Lane, frame: bytes) -> bool:
        if peer in self.down:
            return False
        self.sent.append((peer, lane, frame))
        return True

    def flush(self) -> None: ...

    def outbound_up(self, peer: str, lane: Lane) -> bool:
        return peer not in self.down

    def reset(self, peer: str | None = None) -> None:
        self.resets.append(peer)

    def set_peers(self, peers: tuple[str, ...]) -> None:
        self.peers = peers

    def frames(self, peer: str = "b") -> list[bytes]:
        return [frame for to, _, frame in self.sent if to == peer]


class Above:
    """A receiver that keeps what it hears, and greets on every new link as the real one does."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Lane, bytes]] = []
        self.links: list[tuple[str, str, Lane, bool]] = []
        self.answer: str | None = None
        self.reply = b""
        self.carrier: FaultyCarrier | None = None
        self.arrived = asyncio.Event()

    def on_outbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        self.links.append(("out", peer, lane, up))
        if up and self.carrier is not None:
            self.carrier.send(peer, lane, b"hello")

    def on_inbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        self.links.append(("in", peer, lane, up))

    def on_frame(self, peer: str, lane: Lane, frame: bytes) -> str | None:
        self.heard.append((peer, lane, frame))
        self.arrived.set()
        if self.reply and self.carrier is not None:
            self.carrier.send(peer, lane, self.reply)
        return self.answer

    def frames(self, peer: str = "b") -> list[bytes]:
        return [frame for sender, _, frame in self.heard if sender == peer]


class Bench:
    def __init__(self) -> None:
        self.below, self.above = Below(), Above()
        self.told: list[tuple[str, str, str, bool, str]] = []
        self.ended = asyncio.Event()
        self.carrier = FaultyCarrier(self.above, ("b", "c"), Random(1), asyncio.get_running_loop(), self._tell)
        self.carrier.attach(self.below)
        self.above.carrier = self.carrier

    def _tell(self, fault: Fault, on: bool, reason: str) -> None:
        self.told.append((fault.kind, fault.peer, fault.direction, on, reason))
        if not on:
            self.ended.set()

    def say(self, *frames: bytes, peer: str = "b", lane: Lane = CONTROL) -> list[bool]:
        return [self.carrier.send(peer, lane, frame) for frame in frames]

    def hear(self, *frames: bytes, peer: str = "b", lane: Lane = CONTROL) -> list[str | None]:
        return [self.carrier.on_frame(peer, lane, frame) for frame in frames]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.carrier.close()


async def test_without_a_fault_everything_passes_and_answers_do_too(bench: Bench) -> None:
    bench.above.answer = "no"
    assert bench.say(b"1") == [True]
    assert bench.hear(b"2") == ["no"]
    bench.below.down.append("b")
    assert bench.say(b"3") == [False]
    assert (bench.below.frames(), bench.above.frames()) == ([b"1"], [b"2"])


async def test_a_cut_of_what_is_said_is_noticed_by_nobody_and_leaves_the_rest_alone(bench: Bench) -> None:
    bench.carrier.inject("cut", "b", "out", 0, LONG_S)
    assert bench.say(b"1") == [True]
    assert bench.say(b"2", lane=BULK) == [True]
    bench.say(b"3", peer="c")
    bench.hear(b"4")
    assert bench.carrier.outbound_up("b", CONTROL)
    assert (bench.below.frames(), bench.below.frames("c"), bench.above.frames()) == ([], [b"3"], [b"4"])


async def test_a_cut_of_what_is_heard_leaves_what_is_said_alone(bench: Bench) -> None:
    bench.carrier.inject("cut", "b", "in", 0, LONG_S)
    assert bench.hear(b"1") == [None]
    bench.hear(b"2", peer="c")
    bench.say(b"3")
    assert (bench.above.frames(), bench.above.frames("c"), bench.below.frames()) == ([], [b"2"], [b"3"])


async def test_a_link_that_is_down_is_down_also_while_it_is_cut(bench: Bench) -> None:
    bench.carrier.inject("cut", "b", "out", 0, LONG_S)
    bench.below.down.append("b")
    assert bench.say(b"1") == [False]
    assert not bench.carrier.outbound_up("b", CONTROL)


async def test_a_simulated_failure_is_every_link_both_ways(bench: Bench) -> None:
    bench.carrier.inject("failure", "", "", 0, LONG_S)
    for peer in "bc":
        bench.say(b"1", peer=peer)
        bench.hear(b"2", peer=peer)
    assert (bench.below.sent, bench.above.heard) == ([], [])
    assert bench.carrier.failing
    bench.carrier.recover()
    bench.say(b"3")
    bench.hear(b"4")
    assert (bench.below.frames(), bench.above.frames()) == ([b"3"], [b"4"])
    assert not bench.carrier.failing


async def test_a_heal_ends_what_it_names_and_nothing_else(bench: Bench) -> None:
    for peer in "bc":
        bench.carrier.inject("cut", peer, "both", 0, LONG_S)
    bench.carrier.heal("b", "out")
    assert [fault.key for fault in bench.carrier.active] == [
        ("cut", "b", "in"),
        ("cut", "c", "in"),
        ("cut", "c", "out"),
    ]
    bench.carrier.heal("c", "both")
    assert [fault.key for fault in bench.carrier.active] == [("cut", "b", "in")]


async def test_links_that_lived_through_a_cut_are_kept_and_one_that_lost_its_greeting_is_dialled_anew(
    bench: Bench,
) -> None:
    bench.carrier.inject("cut", "b", "both", 0, LONG_S)
    bench.say(b"1")
    bench.hear(b"2")
    bench.carrier.recover()
    assert bench.below.resets == []
    bench.carrier.inject("cut", "b", "out", 0, LONG_S)
    bench.carrier.inject("cut", "c", "in", 0, LONG_S)
    bench.carrier.on_outbound("b", CONTROL, True, "")
    bench.carrier.on_inbound("c", CONTROL, True, "")
    bench.hear(b"hello", peer="c")
    bench.carrier.heal("b", "out")
    assert bench.below.resets == ["b"]
    bench.carrier.heal("c", "in")
    assert bench.below.resets == ["b", "c"]


async def test_a_greeting_is_not_lost_again_while_another_cut_of_that_link_is_left(bench: Bench) -> None:
    bench.carrier.inject("cut", "b", "both", 0, LONG_S)
    bench.carrier.on_outbound("b", CONTROL, True, "")
    bench.carrier.heal("b", "out")
    assert bench.below.resets == []
    bench.carrier.heal("b", "in")
    assert bench.below.resets == ["b"]


async def test_a_drop_takes_its_share_and_never_a_greeting(bench: Bench) -> None:
    bench.carrier.inject("drop", "b", "both", 30, LONG_S)
    bench.say(*[b"x"] * 2000)
    bench.hear(*[b"x"] * 2000)
    for kept in (len(bench.below.sent), len(bench.above.heard)):
        assert 1250 < kept < 1550
    bench.below.sent.clear()
    bench.carrier.inject("drop", "b", "both", 100, LONG_S)
    for lane in Lane:
        bench.carrier.on_outbound("b", lane, True, "")
    bench.say(b"y")
    assert bench.below.frames() == [b"hello", b"hello"]


def bits_between(one: bytes, other: bytes) -> int:
    assert len(one) == len(other)
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


async def test_a_corrupted_frame_has_one_bit_flipped_anywhere_in_it(bench: Bench) -> None:
    bench.carrier.inject("corrupt", "b", "both", 100, LONG_S)
    frame = bytes(range(40))
    bench.say(*[frame] * 6000)
    bench.hear(*[frame] * 50)
    bench.say(frame, peer="c")
    assert {bits_between(frame, sent) for sent in bench.below.frames()} == {1}
    assert {bits_between(frame, heard) for heard in bench.above.frames()} == {1}
    assert len(dict.fromkeys(bench.below.frames())) == len(frame) * 8, "every bit has its turn"
    assert bench.below.frames("c") == [frame]


async def test_corruption_takes_its_share_spares_no_greeting_and_ends(bench: Bench) -> None:
    bench.carrier.inject("corrupt", "b", "out", 30, LONG_S)
    bench.say(*[b"frame"] * 1000)
    hurt = sum(1 for frame in bench.below.frames() if frame != b"frame")
    assert 220 < hurt < 380
    bench.carrier.inject("corrupt", "b", "out", 100, LONG_S)
    bench.carrier.on_outbound("b", CONTROL, True, "")
    assert bits_between(bench.below.frames()[-1], b"hello") == 1
    bench.carrier.heal("b", "both")
    bench.say(b"whole")
    assert bench.below.frames()[-1] == b"whole"


async def test_a_refusal_of_a_corrupted_frame_closes_the_link_that_brought_it(bench: Bench) -> None:
    bench.carrier.inject("corrupt", "b", "in", 100, LONG_S)
    bench.above.answer = "damaged"
    assert bench.hear(b"1") == ["damaged"]


async def test_what_is_delayed_comes_later_and_in_order_within_its_lane(bench: Bench) -> None:
    loop = asyncio.get_running_loop()
    bench.carrier.inject("delay", "b", "in", 30, LONG_S)
    began = loop.time()
    bench.hear(b"1", b"2")
    bench.hear(b"3", lane=BULK)
    bench.carrier.inject("delay", "b", "in", 1, LONG_S)
    bench.hear(b"4")
    assert bench.above.heard == []
    async with asyncio.timeout(5):
        while len(bench.above.frames()) < 4:
            bench.above.arrived.clear()
            await bench.above.arrived.wait()
    assert [f for _, lane, f in bench.above.heard if lane is CONTROL] == [b"1", b"2", b"4"]
    assert loop.time() - began >= 0.03


async def test_when_a_delay_ends_what_was_held_goes_first(bench: Bench) -> None:
    bench.carrier.inject("delay", "b", "both", 60_000, LONG_S)
    bench.say(b"1", b"2")
    bench.hear(b"3")
    bench.carrier.heal("b", "both")
    bench.say(b"4")
    bench.hear(b"5")
    assert bench.below.frames() == [b"1", b"2", b"4"]
    assert bench.above.frames() == [b"3", b"5"]


async def test_what_is_said_while_held_frames_go_out_does_not_overtake_them(bench: Bench) -> None:
    bench.carrier.inject("delay", "b", "both", 60_000, LONG_S)
    bench.hear(b"question")
    bench.say(b"1", b"2")
    bench.above.reply = b"answer"
    bench.carrier.recover()
    assert bench.below.frames() == [b"1", b"2", b"answer"]


async def test_what_was_passed_on_gives_its_room_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "HELD_BYTES_MAX", 1000)
    bench.carrier.inject("delay", "b", "in", 1, LONG_S)
    bench.hear(bytes(600))
    bench.carrier.inject("delay", "b", "in", 60_000, LONG_S)
    bench.hear(bytes(300))
    async with asyncio.timeout(5):
        await bench.above.arrived.wait()
    bench.hear(bytes(600))
    bench.carrier.recover()
    assert [len(frame) for frame in bench.above.frames()] == [600, 300, 600]


async def test_what_is_held_is_bounded_in_bytes_and_in_frames(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "HELD_BYTES_MAX", 1000)
    monkeypatch.setattr(held, "HELD_FRAMES_MAX", 5)
    bench.carrier.inject("delay", "b", "both", 60_000, LONG_S)
    assert bench.say(bytes(600), bytes(300), bytes(300)) == [True, True, False]
    assert bench.say(*[b"x"] * 7, lane=BULK) == [True] * 5 + [False] * 2
    bench.hear(bytes(600), bytes(600))
    bench.carrier.recover()
    assert [len(frame) for frame in bench.above.frames()] == [600]
    assert bench.say(bytes(600)) == [True]


async def test_a_frame_larger_than_the_bound_is_held_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "HELD_BYTES_MAX", 10)
    bench.carrier.inject("delay", "b", "out", 60_000, LONG_S)
    assert bench.say(bytes(20), b"x") == [True, False]


async def test_no_held_frame_outlives_its_link(bench: Bench) -> None:
    bench.carrier.inject("delay", "b", "both", 60_000, LONG_S)
    for lane in Lane:
        bench.say(b"1", lane=lane)
        bench.hear(b"2", lane=lane)
    bench.carrier.on_outbound("b", CONTROL, False, "lost")
    bench.carrier.on_inbound("b", BULK, False, "lost")
    bench.carrier.recover()
    assert bench.below.sent == [("b", BULK, b"1")]
    assert bench.above.heard == [("b", CONTROL, b"2")]


async def test_a_reset_drops_what_is_held(bench: Bench) -> None:
    bench.carrier.inject("delay", "b", "out", 60_000, LONG_S)
    bench.say(b"1")
    bench.carrier.reset("b")
    bench.carrier.recover()
    assert (bench.below.resets, bench.below.sent) == (["b"], [])


async def test_a_delayed_frame_that_is_refused_resets_the_link_and_drops_the_rest(bench: Bench) -> None:
    bench.carrier.inject("delay", "b", "in", 60_000, LONG_S)
    bench.hear(b"1", b"2")
    bench.above.answer = "nonsense"
    bench.carrier.recover()
    assert (bench.above.frames(), bench.below.resets) == ([b"1"], ["b"])


async def test_a_cut_takes_what_a_delay_still_holds(bench: Bench) -> None:
    bench.carrier.inject("delay", "b", "out", 5, LONG_S)
    bench.say(b"1")
    bench.carrier.inject("cut", "b", "out", 0, LONG_S)
    bench.carrier.heal("c", "both")
    await asyncio.sleep(0.03)
    bench.carrier.recover()
    assert bench.below.sent == []


async def test_every_fault_ends_by_itself_each_at_its_own_time_and_says_so(bench: Bench) -> None:
    bench.carrier.inject("cut", "b", "out", 0, 0.02)
    bench.carrier.inject("delay", "c", "in", 5, LONG_S)
    async with asyncio.timeout(5):
        await bench.ended.wait()
    assert [fault.key for fault in bench.carrier.active] == [("delay", "c", "in")]
    assert bench.told == [
        ("cut", "b", "out", True, "injected"),
        ("delay", "c", "in", True, "injected"),
        ("cut", "b", "out", False, "expired"),
    ]
    bench.say(b"1")
    assert bench.below.frames() == [b"1"]


async def test_no_fault_can_ask_for_more_than_the_longest_time(bench: Bench) -> None:
    bench.carrier.inject("cut", "b", "out", 0, 1e9)
    (fault,) = bench.carrier.active
    assert fault.expires_at <= asyncio.get_running_loop().time() + faulty.SECONDS_MAX


async def test_a_fault_that_is_injected_again_lives_anew_and_is_counted_again(bench: Bench) -> None:
    bench.carrier.inject("drop", "b", "out", 10, 1)
    bench.carrier.inject("drop", "b", "out", 90, 500)
    (fault,) = bench.carrier.active
    assert fault.value == 90
    assert fault.expires_at > asyncio.get_running_loop().time() + 400
    assert bench.carrier.injections == {"drop": 2}


async def test_faults_of_one_who_is_no_peer_any_more_end_and_its_links_are_not_dialled_anew(bench: Bench) -> None:
    bench.carrier.inject("cut", "b", "out", 0, LONG_S)
    bench.carrier.inject("cut", "c", "out", 0, LONG_S)
    bench.carrier.on_outbound("b", CONTROL, True, "")  # its greeting vanishes: after the cut a reset would mend that
    bench.carrier.set_peers(("c", "d"))
    assert [fault.key for fault in bench.carrier.active] == [("cut", "c", "out")]
    assert bench.told[-1] == ("cut", "b", "out", False, "ended")
    assert bench.below.resets == []
    assert bench.below.peers == ("c", "d")
