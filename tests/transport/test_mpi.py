"""What of the carrier over MPI needs no MPI: words, and what a rank does that takes nothing."""

import asyncio
from random import Random

import pytest

from node.raft.messages import Lane
from node.transport.mpi.carrier import MpiCarrier
from node.transport.mpi.words import HEAD_BYTES, Kind, heard, spoken
from node.transport.mpi.world import MpiError, MpiWorld
from node.transport.packing import frames_of
from node.transport.settings import LinkSettings
from tests.conformance.carrier_suite import Record


class Wire:
    """Ranks that take nothing, until told to."""

    def __init__(self) -> None:
        self.posted: list[tuple[int, Lane, bytes]] = []
        self.takes = True

    def attach(self, loop: object, hearer: object) -> None: ...

    def post(self, rank: int, lane: Lane, message: bytes) -> bool:
        self.posted.append((rank, lane, message))
        return True

    def room(self, rank: int, lane: Lane) -> bool:
        return self.takes

    def taken(self, rank: int, lane: Lane) -> int:
        return 0

    def last(self, lane: Lane) -> tuple[Kind, int, bytes]:
        word = heard([message for _, its_lane, message in self.posted if its_lane is lane][-1])
        assert word is not None
        return word


def test_a_word_is_read_back_and_nothing_else_is_one() -> None:
    for kind in Kind:
        assert heard(spoken(kind, 2**64 - 1, b"rest")) == (kind, 2**64 - 1, b"rest")
    assert heard(b"") is None
    assert heard(bytes(HEAD_BYTES - 1)) is None
    assert heard(bytes(HEAD_BYTES)) is None, "no kind is 0"
    assert heard(b"\xff" * 40) is None


def carrier(wire: Wire, record: Record, peers: tuple[str, ...] = ("a", "b")) -> MpiCarrier:
    return MpiCarrier(
        name="a",
        peers=peers,
        ranks={"a": 0, "b": 1},
        world=wire,
        receiver=record,
        chance=Random(1),
        settings=LinkSettings(dial_timeout_s=0.05, redial_min_s=0.01, redial_max_s=0.02),
    )


async def up(made: MpiCarrier, wire: Wire) -> None:
    await made.start()
    await asyncio.sleep(0)
    for lane in Lane:
        kind, link, _ = wire.last(lane)
        assert kind is Kind.DIAL
        made.on_message(1, lane, spoken(Kind.OPEN, link))
        assert made.outbound_up("b", lane)


async def test_a_rank_that_takes_nothing_is_sent_no_pack_and_gets_all_in_order_when_it_does() -> None:
    wire, record = Wire(), Record(lambda: None)
    made = carrier(wire, record)
    await up(made, wire)
    wire.takes = False
    before = len(wire.posted)
    for number in range(3):
        assert made.send("b", Lane.BULK, b"%d" % number)
    made.flush()
    assert len(wire.posted) == before
    wire.takes = True
    made.on_room(1, Lane.BULK)
    kind, _, pack = wire.last(Lane.BULK)
    assert (kind, list(frames_of(pack))) == (Kind.PACK, [b"0", b"1", b"2"])
    await made.close()
    assert wire.last(Lane.BULK)[0] is Kind.BYE


async def test_an_answer_to_a_dial_of_before_opens_nothing() -> None:
    wire, record = Wire(), Record(lambda: None)
    made = carrier(wire, record)
    await made.start()
    await asyncio.sleep(0)
    _, link, _ = wire.last(Lane.CONTROL)
    made.on_message(1, Lane.CONTROL, spoken(Kind.OPEN, link - 1))
    assert not made.outbound_up("b", Lane.CONTROL)
    made.on_message(1, Lane.CONTROL, spoken(Kind.NOBODY, link))
    assert record.reasons("b", Lane.CONTROL) == ["refused"]
    made.on_message(1, Lane.CONTROL, spoken(Kind.OPEN, link))
    assert not made.outbound_up("b", Lane.CONTROL)
    await made.close()


async def test_who_says_anothers_name_or_is_in_no_list_is_not_let_in_and_told_why() -> None:
    wire, record = Wire(), Record(lambda: None)
    made = carrier(wire, record)
    await made.start()
    for rest, why in (
        (b"a\0a", b"rank 1 is b, and this is a"),
        (b"b\0c", b"rank 1 is b, and this is a"),
        (b"\xff", b"rank 1 is b, and this is a"),
    ):
        made.on_message(1, Lane.CONTROL, spoken(Kind.DIAL, 7, rest))
        assert wire.last(Lane.CONTROL) == (Kind.NO, 7, why)
    made.set_peers(())
    made.on_message(1, Lane.CONTROL, spoken(Kind.DIAL, 8, b"b\0a"))
    assert wire.last(Lane.CONTROL) == (Kind.NO, 8, b"b is no peer of a")
    made.on_message(1, Lane.CONTROL, b"no word")
    assert record.inbound == []
    await made.close()


async def test_a_peer_that_is_no_rank_is_dialled_in_vain_and_says_so_once() -> None:
    wire, record = Wire(), Record(lambda: None)
    made = carrier(wire, record, ("a", "x"))
    await made.start()
    await asyncio.sleep(0.1)
    assert record.reasons("x", Lane.BULK) == ["x is no rank of this MPI world"]
    assert wire.posted == []
    await made.close()


def test_without_mpi_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mpi4py", None)
    with pytest.raises(MpiError, match=r"there is no mpi4py, or no MPI, here .*pip install"):
        MpiWorld().join()


async def test_what_comes_late_of_an_older_link_neither_arrives_nor_ends_the_newer_one() -> None:
    wire, record = Wire(), Record(lambda: None)
    made = carrier(wire, record)
    await made.start()
    for number in (7, 8):
        made.on_message(1, Lane.BULK, spoken(Kind.DIAL, number, b"b\0a"))
        assert wire.last(Lane.BULK)[:2] == (Kind.OPEN, number)
    for kind in (Kind.PACK, Kind.PING, Kind.BYE, Kind.RESET):
        made.on_message(1, Lane.BULK, spoken(kind, 7, b"\0\0\0\1x" if kind is Kind.PACK else b""))
    assert wire.last(Lane.BULK) == (Kind.LOST, 7, b""), "who still speaks on it is told"
    assert record.frames == []
    made.on_message(1, Lane.BULK, spoken(Kind.PACK, 8, b"\0\0\0\1x"))
    assert record.of(Lane.BULK) == [b"x"]
    assert [(up, reason) for _, lane, up, reason in record.inbound if lane is Lane.BULK] == [
        (True, ""),
        (False, "replaced by a newer link"),
        (True, ""),
    ]
    await made.close()


async def test_who_dialled_and_fell_silent_is_dropped() -> None:
    changed = asyncio.Event()
    wire, record = Wire(), Record(changed.set)
    made = MpiCarrier(
        name="a",
        peers=("a", "b"),
        ranks={"a": 0, "b": 1},
        world=wire,
        receiver=record,
        chance=Random(1),
        settings=LinkSettings(inbound_silence_s=0.05),
    )
    await made.start()
    made.on_message(1, Lane.BULK, spoken(Kind.DIAL, 7, b"b\0a"))
    async with asyncio.timeout(5):
        while len(record.inbound) < 2:
            changed.clear()
            await changed.wait()
    assert record.inbound[-1] == ("b", Lane.BULK, False, "silence: nothing was heard for 0.05 s")
    await made.close()
