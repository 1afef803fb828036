"""Samples, events and clocks of nodes: complete, resumed where they broke, placed on the tool's clock."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from aiohttp import web

from chaos.checks.aim import the_leader_was_hit
from chaos.checks.terms import commit_never_goes_back
from chaos.clock import Clock
from chaos.model import Event, View
from chaos.observe import offsets as offsets_module
from chaos.observe import traces as traces_module
from chaos.observe.nodeapi import new_session
from chaos.observe.offsets import WINDOW_US, Offsets
from chaos.observe.sampler import Sampler, thinned
from chaos.observe.traces import Traces
from tests.chaos.doubles import addresses, answering
from tests.chaos.evidence import S, good, kill, view

STATUS: dict[str, Any] = {"name": "n1", "role": "leader", "term": 3, "leader": "n1", "commit": 8, "applied": 7}


async def test_the_latest_of_a_node_that_falls_silent_is_forgotten_and_the_past_is_kept() -> None:
    status = 200

    async def handler(_: web.Request) -> web.Response:
        return web.json_response(STATUS, status=status)

    async with answering(handler) as url, new_session() as session:
        sampler = Sampler(addresses(n1=url), session, Clock(), every_s=0.01)
        sampler.start()
        assert await sampler.until(lambda latest: "n1" in latest, 5.0)
        status = 500
        assert await sampler.until(lambda latest: not latest, 5.0)
        assert not await sampler.until(lambda latest: "n1" in latest, 0.05)
        await sampler.stop()
    assert sampler.views
    assert {seen.term for seen in sampler.views} == {3}


async def test_a_node_that_hangs_does_not_delay_the_others() -> None:
    over, asked = asyncio.Event(), []

    async def hangs(_: web.Request) -> web.Response:
        asked.append(1)
        await over.wait()
        return web.Response()

    async def answers(_: web.Request) -> web.Response:
        return web.json_response(STATUS)

    async with answering(hangs) as a, answering(answers) as b, new_session() as session:
        sampler = Sampler(addresses(n1=a, n2=b), session, Clock(), every_s=0.01)
        sampler.start()
        assert await sampler.until(lambda _: len(sampler.views) > 10, 30.0)
        assert len(asked) < len(sampler.views) / 2, "asked in rounds, each would wait for the one that hangs"
        await sampler.stop()
        over.set()


async def test_views_are_bounded_and_what_shows_something_new_stays() -> None:
    terms = iter(range(1, 10_000))

    async def handler(_: web.Request) -> web.Response:
        return web.json_response(STATUS | {"term": 3 + next(terms) // 20})

    async with answering(handler) as url, new_session() as session:
        sampler = Sampler(addresses(n1=url), session, Clock(), every_s=0.0, views_max=20)
        sampler.start()
        assert await sampler.until(lambda _: sampler.dropped > 20, 5.0)
        await sampler.stop()
    assert len(sampler.views) <= 20
    seen = [one.term for one in sampler.views]
    assert seen == sorted(seen)
    assert set(range(3, max(seen) + 1)) == set(seen)


def test_thinning_halves_what_is_alike_and_keeps_every_change() -> None:
    alike = [view("n2", at / 10) for at in range(100)]
    assert 45 <= len(thinned(alike)) <= 55
    changing = [view("n2", at / 10, term=3 + at) for at in range(100)]
    assert thinned(changing) == changing


@pytest.mark.parametrize("place", [50, 51])
def test_thinning_keeps_an_index_that_falls(place: int) -> None:
    views = [view("n2", at / 10) for at in range(100)]
    views[place] = msgspec.structs.replace(views[place], commit=views[place - 1].commit - 1)
    for _ in range(3):
        views = thinned(views)
    assert commit_never_goes_back(good(views=tuple(views))).outcome == "fail"


# --- clocks --------------------------------------------------------------------------------------------------------


def answered(asked_us: int, answered_us: int, time_us: int | None, boot: str = "b1") -> View:
    return msgspec.structs.replace(
        view("n1", 0), asked_us=asked_us, answered_us=answered_us, time_us=time_us, boot=boot
    )


def on_ours(offsets: Offsets, node: str, boot: str, time_us: int) -> int:
    return offsets.place(node, boot, time_us, arrived_us=2**62).at_us


def test_a_node_time_is_placed_by_the_middle_of_the_shortest_question() -> None:
    offsets = Offsets(0)
    offsets.add(answered(1000, 5000, 900_000), "n1")
    offsets.add(answered(6000, 6200, 903_100), "n1")
    offsets.add(answered(9000, 9900, 906_000), "n1")
    assert on_ours(offsets, "n1", "b1", 903_100) == 6100
    assert offsets.uncertainty_us("n1") == 100


def test_a_process_that_starts_again_is_measured_anew() -> None:
    offsets = Offsets(0)
    offsets.add(answered(1000, 1200, 900_000), "n1")
    offsets.add(answered(5000, 5600, 100_000, boot="b2"), "n1")
    assert on_ours(offsets, "n1", "b2", 100_000) == 5300
    assert on_ours(offsets, "n1", "b1", 900_000) == 1100
    assert on_ours(offsets, "n1", "b3", 100_000) == 5300
    assert offsets.uncertainty_us("n1") == 300


def test_a_time_is_placed_by_what_was_measured_near_it_as_clocks_drift() -> None:
    offsets, minute = Offsets(0), 2 * WINDOW_US
    for number, drift in enumerate((0, 4_000, 8_000)):
        at = number * minute
        offsets.add(answered(at, at + 200 - number * 50, at + 100 + drift), "n1")
    placed = [on_ours(offsets, "n1", "b1", number * minute + 100 + number * 4_000) for number in range(3)]
    assert [number * minute - at for number, at in enumerate(placed)] == [-100, -75, -50]
    assert on_ours(offsets, "n1", "b1", -5 * minute) == -5 * minute, "the nearest there is"
    assert offsets.uncertainty_us("n1") == 100


def test_a_node_that_does_not_say_its_time_is_taken_to_have_our_clock() -> None:
    clock = Clock()
    offsets = Offsets(clock.began_wall_us)
    offsets.add(answered(1000, 1200, None), "n1")
    assert offsets.uncertainty_us("n1") is None
    assert on_ours(offsets, "n1", "b1", clock.began_wall_us + 77) == 77


def stepping(*steps: tuple[float, float]) -> Offsets:
    """A node that was asked ten times a second for thirty seconds, 0.4 ms each way; at each (second, by how much) its
    clock is set."""
    offsets = Offsets(0)
    for at in range(0, 30_000_000, 100_000):
        ahead = sum(by for when, by in steps if at >= when * 1e6)
        offsets.add(answered(at, at + 800, at + 400 + int(ahead * 1e6)), "n1")
    return offsets


@pytest.mark.parametrize("by", [5.0, -5.0, 0.2, -0.2])
def test_a_clock_that_is_set_is_another_one_from_then_on(by: float) -> None:
    offsets = stepping((15.0, by))
    assert (offsets.steps("n1"), offsets.uncertainty_us("n1")) == (1, 400)
    for at in (3.0, 14.9, 15.1, 16.0, 29.0):
        shown = at + (by if at > 15 else 0)
        for arrived in (at + 0.05, 29.9):
            told = offsets.place("n1", "b1", int(shown * 1e6), int(arrived * 1e6))
            assert abs(told.at_us - at * 1e6) <= max(told.off_us, 400), (at, arrived, told)
            assert told.off_us <= abs(by) * 1e6
    surely = [offsets.place("n1", "b1", int(at * 1e6), int((at + 0.05) * 1e6)) for at in (3.0, 14.9)]
    assert [told.off_us for told in surely] == [0, 0], "what was told of before it was set is as sure as ever"


def test_what_may_be_of_either_side_of_a_step_says_so() -> None:
    offsets = stepping((15.0, -5.0))
    told = offsets.place("n1", "b1", 12_000_000, 29_000_000)  # shown at 12 s, and again at 17 s
    assert (told.at_us, told.off_us) == (17_000_000, 5_000_000)
    told = offsets.place("n1", "b1", 12_000_000, 12_050_000)
    assert (told.at_us, told.off_us) == (12_000_000, 0)


@pytest.mark.parametrize("by", [0.2, -0.2, 1.0])
def test_an_event_in_a_long_time_without_an_answer_in_which_the_clock_was_set_is_as_unsure_as_the_step(
    by: float,
) -> None:
    offsets = Offsets(0)
    for at in (*range(0, 10_000_000, 100_000), *range(11_600_000, 20_000_000, 100_000)):
        offsets.add(answered(at, at + 800, at + 400 + (int(by * 1e6) if at > 11_000_000 else 0)), "n1")
    for at, step in ((10.5, 0.0), (11.3, by)):  # it was set between the two
        told = offsets.place("n1", "b1", int((at + step) * 1e6), 11_700_000)
        assert abs(told.at_us - at * 1e6) <= max(told.off_us, 400), (at, told)


def test_many_steps_are_bounded_and_drift_or_a_slow_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsets_module, "STEPS_MAX", 5)
    offsets = stepping(*((float(at), 1.0) for at in range(30)))
    assert offsets.steps("n1") == 4
    assert stepping().steps("n1") == 0
    drifting = Offsets(0)
    for at in range(0, 300_000_000, 1_000_000):
        slow = 2_000_000 if at % 7_000_000 == 0 else 0
        drifting.add(answered(at, at + 800 + slow, at + 400 + int(at * 4e-4) + slow), "n1")
    assert drifting.steps("n1") == 0


def test_an_event_beside_a_step_that_may_lie_on_either_side_of_the_kill_leaves_the_aim_open() -> None:
    lost = Event(9, 0, "n1", "role", 4, "follower", {"from": "leader", "to": "follower"}, 4 * S, "boot-n1", 2 * S)
    run = good(events=(*good().events, lost), faults=(kill(at=5.0),), uncertainty_us={"n1": 400})
    assert the_leader_was_hit(run).outcome == "unknown"
    sure = msgspec.structs.replace(lost, off_us=0)
    assert the_leader_was_hit(msgspec.structs.replace(run, events=(*good().events, sure))).outcome == "fail"


# --- events --------------------------------------------------------------------------------------------------------


class Node:
    """Serves events from a list of streams, one per connection; a node's clock that is an hour ahead."""

    def __init__(self, clock: Clock, streams: list[str]) -> None:
        self.clock, self.streams = clock, streams
        self.asked: list[str] = []
        self.done = asyncio.Event()
        self.over = asyncio.Event()

    def wall_us(self) -> int:
        return self.clock.began_wall_us + self.clock.now_us() + 3_600_000_000

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/status":
            return web.json_response(STATUS | {"boot": "b1", "time_us": self.wall_us()})
        self.asked.append(request.headers.get("Last-Event-ID", ""))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.force_close()
        await response.prepare(request)
        if self.streams:
            await response.write(self.streams.pop(0).encode())
        else:
            self.done.set()
            await self.over.wait()
        return response


def sse(seq: int, time_us: int, kind: str = "term", boot: str = "b1") -> str:
    data = {"seq": seq, "time_us": time_us, "node": "n1", "kind": kind, "term": 3, "role": "leader", "detail": {}}
    return f"id: {boot}.{seq}.0\ndata: {json.dumps(data)}\n\n"


async def test_events_are_followed_across_breaks_and_lie_on_our_clock() -> None:
    clock = Clock()
    node = Node(clock, [])
    at = node.wall_us()
    node.streams = [
        "retry: 1000\n\n" + sse(1, at) + ": still here\n\n",
        'event: lost\ndata: {"transitions":4,"messages":0}\n\n' + sse(7, at + 500) + "data: {no json\n\n",
        sse(1, at + 900, "started", "b2") + "event: sampled\ndata: " + json.dumps({"left_out": 1}) + "\n\n",
    ]
    async with answering(node.handle) as url, new_session() as session:
        traces = Traces(addresses(n1=url), session, clock)
        traces.start()
        await asyncio.wait_for(node.done.wait(), 10)
        await traces.stop()
        node.over.set()
    assert node.asked == ["", "b1.1.0", "b1.7.0", "b2.1.0"]
    assert [(event.seq, event.kind, event.boot) for event in traces.events] == [
        (1, "term", "b1"),
        (7, "term", "b1"),
        (1, "started", "b2"),
    ]
    assert traces.lost == 5, "what cannot be read counts"
    # Half a millisecond is between the two that were kept: which of them is told in this instant is the machine's
    assert {gap.node for gap in traces.gaps} == {"n1"}
    assert [gap.events for gap in traces.gaps] in ([5], [4, 1])
    for gap in traces.gaps:
        assert abs(gap.from_us - traces.events[0].at_us) < 1_000_000
        assert gap.from_us <= gap.to_us <= clock.now_us()
    off_us = traces.uncertainty_us["n1"]
    assert abs(traces.events[0].at_us - (at - clock.began_wall_us - 3_600_000_000)) <= off_us
    assert traces.events[1].at_us - traces.events[0].at_us == 500


async def test_events_are_bounded_and_what_is_too_much_is_counted() -> None:
    node = Node(Clock(), ["".join(sse(n, n) for n in range(1, 11))])
    async with answering(node.handle) as url, new_session() as session:
        traces = Traces(addresses(n1=url), session, node.clock, events_max=4)
        traces.start()
        await asyncio.wait_for(node.done.wait(), 10)
        await traces.stop()
        node.over.set()
    assert [event.seq for event in traces.events] == [1, 2, 3, 4]
    assert traces.lost == 6
    assert len(traces.gaps) == 1


async def test_a_stream_that_is_silent_for_too_long_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces_module, "SILENCE_SECONDS_MAX", 0.05)
    node = Node(Clock(), [])
    async with answering(node.handle) as url, new_session() as session:
        traces = Traces(addresses(n1=url), session, node.clock)
        traces.start()
        while len(node.asked) < 2:  # noqa: ASYNC110 - the double has no event for it
            await asyncio.sleep(0.01)
        await traces.stop()
        node.over.set()
