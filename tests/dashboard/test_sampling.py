"""`/events?messages=1&rate=N`: a page of a busy node gets a fair sample and an honest count, never the flood."""

import asyncio
import itertools
import time
from collections import Counter

import msgspec
import pytest

from node.observe.trace import Cursor, Reader, Trace
from node.raft.messages import Heartbeat, HeartbeatReply, Message, Vote
from tests.dashboard.serving import page_server


def make_trace(messages_max: int = 8192) -> Trace:
    clock = itertools.count(1)
    return Trace("n1", "boot-1", lambda: next(clock), messages_max=messages_max)


def talk(trace: Trace, rounds: int) -> None:
    """A leader's traffic, as regular as it really is: to four peers and back."""
    for _ in range(rounds):
        for peer in ("n2", "n3", "n4", "n5"):
            trace.message(True, peer, Heartbeat(1, 1))
        for peer in ("n2", "n3", "n4", "n5"):
            trace.message(False, peer, HeartbeatReply(1))


def kinds(reader: Reader, most: int) -> tuple[list[str], int]:
    batch = reader.sample(256, most)
    return [str(event.detail.get("type", event.kind)) for _, event in batch.events], batch.left_out


def test_few_messages_are_all_shown() -> None:
    trace = make_trace()
    reader = trace.reader(messages=True)
    talk(trace, 1)
    shown, left_out = kinds(reader, 8)
    assert (len(shown), left_out) == (8, 0)


def test_shown_and_left_out_are_all_there_was_and_transitions_are_never_left_out() -> None:
    trace = make_trace()
    reader = trace.reader(messages=True)
    for number in range(5):
        talk(trace, 20)
        trace.transition("term", number, "follower", {"from": 0})
    batch = reader.sample(256, 4)
    seqs = [event.seq for _, event in batch.events]
    assert seqs == sorted(seqs)
    assert [event.kind for _, event in batch.events].count("term") == 5
    assert len(batch.events) - 5 == 4
    assert batch.left_out == 5 * 160 - 4
    assert kinds(reader, 4) == ([], 0)


def test_votes_come_first() -> None:
    trace = make_trace()
    reader = trace.reader(messages=True)
    talk(trace, 50)
    trace.message(True, "n2", Vote(2, 1, 1))
    talk(trace, 50)
    shown, left_out = kinds(reader, 1)
    assert (shown, left_out) == (["vote"], 800)


def test_regular_traffic_is_sampled_fairly_over_peers_and_directions() -> None:
    trace = make_trace()
    reader = trace.reader(messages=True)
    seen: Counter[tuple[object, object]] = Counter()
    for _ in range(200):
        talk(trace, 1)
        seen.update((event.detail["peer"], event.detail["sent"]) for _, event in reader.sample(256, 2).events)
    assert len(seen) == 8
    assert max(seen.values()) < 2 * min(seen.values())


def test_no_room_leaves_all_out_and_says_so() -> None:
    trace = make_trace()
    reader = trace.reader(messages=True)
    talk(trace, 2)
    assert kinds(reader, 0) == ([], 16)


def test_overwritten_messages_are_lost_not_left_out() -> None:
    trace = make_trace(messages_max=16)
    reader = trace.reader(messages=True)
    talk(trace, 5)
    batch = reader.sample(256, 4)
    assert (batch.lost_messages, len(batch.events), batch.left_out) == (24, 4, 12)


def test_more_transitions_than_fit_keep_the_order_and_lose_nothing() -> None:
    trace = make_trace()
    reader = trace.reader(messages=True, after=Cursor(0, 0))
    for number in range(10):
        trace.transition("term", number, "follower", {"from": 0})
        talk(trace, 1)
    seqs, left_out = [], 0
    for _ in range(5):
        batch = reader.sample(4, 3)
        seqs += [event.seq for _, event in batch.events]
        left_out += batch.left_out
    assert seqs == sorted(seqs)
    assert len(seqs) + left_out == 10 + 80


async def test_a_sampled_stream_keeps_its_rate_and_counts_the_rest() -> None:
    trace = make_trace()
    async with page_server(trace) as server, server.http.get("/events?messages=1&rate=40") as answer:
        shown = left_out = 0
        await answer.content.readuntil(b"\n\n")
        began = time.monotonic()
        talk_until = began + 0.6
        offered = 0
        while time.monotonic() < talk_until:
            talk(trace, 30)
            offered += 240
            await asyncio.sleep(0.02)
        while shown + left_out < offered:
            block = (await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5)).decode()
            if block.startswith("event: sampled"):
                left_out += msgspec.json.decode(block.split("data: ", 1)[1])["left_out"]
            else:
                shown += 1
        seconds = time.monotonic() - began
        assert shown + left_out == offered
        assert 0 < shown <= 40 * seconds + 4


@pytest.mark.parametrize("rate", ["0", "1001", "x", "-1"])
async def test_a_rate_out_of_bounds_is_refused(rate: str) -> None:
    async with page_server() as server, server.http.get(f"/events?messages=1&rate={rate}") as answer:
        assert (answer.status, (await answer.json())["field"]) == (400, "rate")


def test_a_glance_at_a_full_ring_is_quick() -> None:
    trace = make_trace()
    reader = trace.reader(messages=True)
    message: Message = Heartbeat(1, 1)
    for _ in range(8192):
        trace.message(True, "n2", message)
    began = time.perf_counter()
    reader.sample(256, 4)
    assert time.perf_counter() - began < 0.05
