"""What every carrier must do, whoever carries: the promises of `node.transport.port` as tests.

Why it exists: the simulator's verdicts are worth something only if its network keeps the same promises as the real
one. A harness hides how time passes: it awaits events on the real network and advances the clock on the virtual one.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

from node.raft.messages import Lane
from node.raft.types import Member
from node.transport.port import GOODBYE, LOST, NO_PEER, REFUSED, Carrier
from node.transport.processes import Processes

FRAME_BYTES_MAX = 64 * 1024
QUEUE_FRAMES_MAX = 200
QUEUE_BYTES_MAX = 4 * 1024 * 1024
SILENCE_S = 0.6
"""The limits that a harness sets on its carriers, so that they are reached quickly."""

Change = tuple[str, Lane, bool, str]


class Record:
    """A receiver that remembers, in one list too, so that orders between frames and changes can be checked."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self.frames: list[tuple[str, Lane, bytes]] = []
        self.outbound: list[Change] = []
        self.inbound: list[Change] = []
        self.all: list[tuple[str, str, Lane, bool | bytes]] = []
        self.answer: str | None = None
        self.greeting: Callable[[str, Lane], None] | None = None
        self.gone: list[str] = []
        """Boots of processes that are gone, as far as all that was told here says."""
        self.processes = Processes(lambda _member, boot: self.gone.append(boot))
        self._notify = notify

    def on_outbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        self.outbound.append((peer, lane, up, reason))
        self.all.append(("out", peer, lane, up))
        self.processes.outbound(peer, lane, up, reason)
        if up and self.greeting is not None:
            self.greeting(peer, lane)
        self._notify()

    def on_inbound(self, peer: str, lane: Lane, up: bool, reason: str) -> None:
        self.inbound.append((peer, lane, up, reason))
        self.all.append(("in", peer, lane, up))
        self.processes.inbound(peer, lane, up)
        self._notify()

    def on_frame(self, peer: str, lane: Lane, frame: bytes) -> str | None:
        self.frames.append((peer, lane, frame))
        self.all.append(("frame", peer, lane, frame))
        self._notify()
        return self.answer

    def of(self, lane: Lane) -> list[bytes]:
        """The frames of one lane."""
        return [frame for _, lane_of_frame, frame in self.frames if lane_of_frame is lane]

    def forget_failed_dials(self) -> None:
        """What was told of links before they came up first: on a machine that has no time, a dial may take too long."""
        came: set[tuple[str, Lane]] = set()
        kept = []
        for change in self.outbound:
            if change[2]:
                came.add(change[:2])
            if change[:2] in came:
                kept.append(change)
        self.outbound[:] = kept

    def reasons(self, peer: str, lane: Lane) -> list[str]:
        """Why the outbound link was down, each time."""
        return [reason for name, its_lane, up, reason in self.outbound if (name, its_lane, up) == (peer, lane, False)]


class Harness(Protocol):
    """Starts, breaks and watches carriers named a, b and c; each begins with a and b as its peers."""

    async def start(self, *names: str) -> None: ...
    async def kill(self, name: str) -> None: ...
    async def leave(self, name: str) -> None: ...
    def close_port(self, name: str) -> None: ...
    def carrier(self, name: str) -> Carrier: ...
    def heard(self, name: str) -> Record: ...
    async def until(self, condition: Callable[[], bool], what: str) -> None: ...
    async def pass_time(self, seconds: float) -> None: ...
    def cut(self, source: str, target: str) -> None: ...
    def heal(self, source: str, target: str) -> None: ...
    def stall(self, source: str, target: str, lane: Lane) -> None: ...
    def release(self, source: str, target: str, lane: Lane) -> None: ...


async def both_up(harness: Harness) -> None:
    await harness.start("a", "b")
    await harness.until(lambda: links_are_up(harness, "a", "b") and links_are_up(harness, "b", "a"), "all links up")
    for name in ("a", "b"):
        harness.heard(name).forget_failed_dials()


def links_are_up(harness: Harness, source: str, target: str) -> bool:
    return all(harness.carrier(source).outbound_up(target, lane) for lane in Lane)


def came_up(changes: list[Change], peer: str, lane: Lane) -> bool:
    """Whether the last that was told of that link is that it is up, each time once. On a machine that has no time, the
    first dial may fail, and that is told as well."""
    told = [(up, reason) for name, its_lane, up, reason in changes if (name, its_lane) == (peer, lane)]
    assert all(reason == "" for up, reason in told if up)
    assert all(not (before and after) for (before, _), (after, _) in pairwise(told)), "told twice"
    return bool(told) and told[-1][0]


async def all_three_up(harness: Harness) -> None:
    """c joins a and b, who learn of it while their own links are up."""
    await both_up(harness)
    await harness.start("c")
    for name in ("a", "b"):
        harness.carrier(name).set_peers(("a", "b", "c"))
    pairs = [(source, target) for source in "abc" for target in "abc" if source != target]
    await harness.until(lambda: all(links_are_up(harness, *pair) for pair in pairs), "the links of all three")
    for name in "abc":
        harness.heard(name).forget_failed_dials()


async def stuff(harness: Harness, lane: Lane) -> int:
    """Send from a to b until refused, letting time pass now and then; how many frames were taken."""
    frame = bytes(FRAME_BYTES_MAX)
    taken = 0
    while harness.carrier("a").send("b", lane, frame):
        taken += 1
        assert taken < 20 * QUEUE_FRAMES_MAX, "the queue of a link that takes nothing has no bound"
        if taken % 20 == 0:
            await harness.pass_time(0.001)
    return taken


class CarrierSuite:
    """Subclasses provide the fixture `harness`."""

    async def test_links_come_up_on_both_lanes_and_say_so(self, harness: Harness) -> None:
        await both_up(harness)
        for name, peer in (("a", "b"), ("b", "a")):
            heard = harness.heard(name)
            for lane in Lane:
                inbound = lambda heard=heard, peer=peer, lane=lane: came_up(heard.inbound, peer, lane)  # noqa: E731
                await harness.until(inbound, f"the inbound link of {lane} at {name}")
                assert came_up(heard.outbound, peer, lane)
            assert {peer for peer, *_ in (*heard.outbound, *heard.inbound)} == {peer}

    async def test_frames_arrive_whole_once_and_in_order_within_a_lane(self, harness: Harness) -> None:
        await both_up(harness)
        sizes = [0, 1, 125, 126, 127, 300, 4000, FRAME_BYTES_MAX]
        sent = [number.to_bytes(4, "big") + bytes(sizes[number % 7]) for number in range(160)]
        sent += [bytes(FRAME_BYTES_MAX), b""]
        assert sum(map(len, sent)) < QUEUE_BYTES_MAX
        for frame in sent:
            for lane in Lane:
                assert harness.carrier("a").send("b", lane, frame)
        await harness.until(lambda: len(harness.heard("b").frames) == 2 * len(sent), "all frames")
        assert harness.heard("b").of(Lane.CONTROL) == sent
        assert harness.heard("b").of(Lane.BULK) == sent
        assert {peer for peer, _, _ in harness.heard("b").frames} == {"a"}

    async def test_what_is_sent_when_a_link_comes_up_arrives_first(self, harness: Harness) -> None:
        await harness.start("a")
        a = harness.carrier("a")

        def greet(peer: str, lane: Lane) -> None:
            for number in range(3):
                assert a.send(peer, lane, b"%d" % number)

        harness.heard("a").greeting = greet
        await harness.start("b")
        await harness.until(lambda: links_are_up(harness, "a", "b"), "links to b")
        for lane in Lane:
            a.send("b", lane, b"later")
        await harness.until(lambda: len(harness.heard("b").frames) == 8, "greetings")
        for lane in Lane:
            assert harness.heard("b").of(lane) == [b"0", b"1", b"2", b"later"]

    async def test_a_stuffed_bulk_lane_does_not_delay_control_and_loses_nothing(self, harness: Harness) -> None:
        await both_up(harness)
        harness.stall("a", "b", Lane.BULK)
        taken = await stuff(harness, Lane.BULK)
        assert taken >= QUEUE_BYTES_MAX // FRAME_BYTES_MAX
        assert not harness.carrier("a").send("b", Lane.BULK, b"x")
        assert harness.carrier("a").send("b", Lane.CONTROL, b"urgent")
        await harness.until(lambda: harness.heard("b").of(Lane.CONTROL) == [b"urgent"], "the control frame")
        assert len(harness.heard("b").of(Lane.BULK)) < taken
        harness.release("a", "b", Lane.BULK)
        await harness.until(lambda: len(harness.heard("b").of(Lane.BULK)) == taken, "the bulk frames")
        assert harness.carrier("a").send("b", Lane.BULK, b"x")

    async def test_letting_go_at_once_changes_no_order_and_waits_for_nobody(self, harness: Harness) -> None:
        await both_up(harness)
        a = harness.carrier("a")
        harness.stall("a", "b", Lane.BULK)
        sent: list[bytes] = []
        while a.send("b", Lane.BULK, len(sent).to_bytes(4, "big") + bytes(FRAME_BYTES_MAX - 4)):
            sent.append(len(sent).to_bytes(4, "big") + bytes(FRAME_BYTES_MAX - 4))
            if len(sent) % 3 == 0:
                a.flush()
            if len(sent) % 20 == 0:
                await harness.pass_time(0.001)
            assert len(sent) < 20 * QUEUE_FRAMES_MAX, "the queue of a link that takes nothing has no bound"
        assert a.send("b", Lane.CONTROL, b"urgent")
        a.flush()
        await harness.until(lambda: harness.heard("b").of(Lane.CONTROL) == [b"urgent"], "the control frame")
        harness.release("a", "b", Lane.BULK)
        await harness.until(lambda: len(harness.heard("b").of(Lane.BULK)) == len(sent), "the bulk frames")
        assert harness.heard("b").of(Lane.BULK) == sent

    async def test_letting_go_where_nothing_waits_or_nobody_listens_does_nothing(self, harness: Harness) -> None:
        await both_up(harness)
        harness.carrier("a").flush()
        await harness.kill("b")
        harness.carrier("a").send("b", Lane.CONTROL, b"x")
        harness.carrier("a").flush()
        await harness.until(lambda: not links_are_up(harness, "a", "b"), "the end of b's links")
        harness.carrier("a").flush()

    async def test_a_queue_is_bounded_in_frames_and_in_bytes(self, harness: Harness) -> None:
        await both_up(harness)
        a = harness.carrier("a")
        assert [a.send("b", Lane.CONTROL, b"x") for _ in range(QUEUE_FRAMES_MAX + 1)].count(True) == QUEUE_FRAMES_MAX
        large = QUEUE_BYTES_MAX // FRAME_BYTES_MAX
        assert [a.send("b", Lane.BULK, bytes(FRAME_BYTES_MAX)) for _ in range(large + 1)].count(True) == large
        await harness.until(lambda: len(harness.heard("b").frames) == QUEUE_FRAMES_MAX + large, "all that was taken")

    async def test_a_frame_over_the_limit_is_refused_and_harms_no_link(self, harness: Harness) -> None:
        await both_up(harness)
        assert not harness.carrier("a").send("b", Lane.BULK, bytes(FRAME_BYTES_MAX + 1))
        assert harness.carrier("a").send("b", Lane.BULK, bytes(FRAME_BYTES_MAX))
        await harness.until(lambda: len(harness.heard("b").frames) == 1, "the frame at the limit")
        assert all(up for _, _, up, _ in harness.heard("a").outbound)

    async def test_a_stranger_is_never_connected(self, harness: Harness) -> None:
        await both_up(harness)
        assert not harness.carrier("a").outbound_up("x", Lane.CONTROL)
        assert not harness.carrier("a").send("x", Lane.CONTROL, b"hello")

    async def test_refusal_is_told_apart_and_told_once(self, harness: Harness) -> None:
        await harness.start("a")
        heard = harness.heard("a")
        await harness.until(lambda: all(REFUSED in heard.reasons("b", lane) for lane in Lane), "the refused dials")
        await harness.pass_time(0.3)
        for lane in Lane:
            told = heard.reasons("b", lane)
            assert all(before != after for before, after in pairwise(told)), told
        assert not any(up for _, _, up, _ in heard.outbound)
        assert not harness.carrier("a").send("b", Lane.CONTROL, b"x")

    async def test_a_peer_that_dies_is_lost_and_then_refused(self, harness: Harness) -> None:
        await both_up(harness)
        await harness.kill("b")
        # A dial that met the closing port may have failed in another way before.
        await harness.until(
            lambda: all(harness.heard("a").reasons("b", x)[-1:] == [REFUSED] for x in Lane), "the failed redials"
        )
        for lane in Lane:
            first, *_, last = harness.heard("a").reasons("b", lane)
            assert (first, last) == (LOST, REFUSED), harness.heard("a").outbound
            assert not harness.carrier("a").send("b", lane, b"x")
        assert [up for _, _, up, _ in harness.heard("a").inbound] == [True, True, False, False]
        assert [reason for _, _, _, reason in harness.heard("a").inbound] == ["", "", LOST, LOST]

    async def test_the_end_of_a_process_is_told_once_all_its_links_broke_and_its_port_refuses(
        self, harness: Harness
    ) -> None:
        await both_up(harness)
        harness.heard("a").processes.hello(Member("b", "disk"), "boot-1")
        await harness.kill("b")
        await harness.until(lambda: harness.heard("a").gone != [], "the end of b")
        assert not any(harness.carrier("a").outbound_up("b", lane) for lane in Lane)
        # A dial that met the closing port may have failed in another way before.
        await harness.until(
            lambda: all(harness.heard("a").reasons("b", x)[-1:] == [REFUSED] for x in Lane), "the failed redials"
        )
        assert harness.heard("a").gone == ["boot-1"]

    async def test_a_process_that_lives_behind_a_closed_port_is_not_called_gone(self, harness: Harness) -> None:
        """What others dialled is lost and refused, but what it dialled itself stands."""
        await both_up(harness)
        harness.heard("a").processes.hello(Member("b", "disk"), "boot-1")
        harness.close_port("b")
        await harness.until(
            lambda: all(harness.heard("a").reasons("b", x)[-1:] == [REFUSED] for x in Lane), "refused redials"
        )
        assert all(harness.heard("a").reasons("b", lane)[0] == LOST for lane in Lane)
        assert links_are_up(harness, "b", "a")
        assert harness.carrier("b").send("a", Lane.CONTROL, b"still here")
        await harness.until(lambda: harness.heard("a").frames != [], "a frame of the living")
        assert harness.heard("a").gone == []
        await harness.kill("b")
        await harness.until(lambda: harness.heard("a").gone == ["boot-1"], "the end of b, now for real")

    async def test_links_that_a_peer_reset_are_lost_and_come_up_again_unrefused(self, harness: Harness) -> None:
        await both_up(harness)
        harness.heard("a").processes.hello(Member("b", "disk"), "boot-1")
        harness.carrier("b").reset("a")
        await harness.until(lambda: all(harness.heard("a").reasons("b", lane) for lane in Lane), "lost links")
        await harness.until(
            lambda: links_are_up(harness, "a", "b") and links_are_up(harness, "b", "a"), "links up again"
        )
        for lane in Lane:
            first, *redials = harness.heard("a").reasons("b", lane)
            assert (first, REFUSED in redials) == (LOST, False)
        assert harness.heard("a").gone == []

    async def test_a_peer_that_leaves_says_goodbye(self, harness: Harness) -> None:
        await both_up(harness)
        harness.heard("a").processes.hello(Member("b", "disk"), "boot-1")
        await harness.leave("b")
        # A dial that met the closing port may have failed in another way before.
        await harness.until(
            lambda: all(harness.heard("a").reasons("b", x)[-1:] == [REFUSED] for x in Lane), "the failed redials"
        )
        for lane in Lane:
            first, *_, last = harness.heard("a").reasons("b", lane)
            assert (first, last) == (GOODBYE, REFUSED)
        assert harness.heard("a").gone == []
        assert [reason for _, _, _, reason in harness.heard("a").inbound] == ["", "", GOODBYE, GOODBYE]

    async def test_a_restarted_peer_is_found_at_its_new_address(self, harness: Harness) -> None:
        await both_up(harness)
        await harness.kill("b")
        await harness.until(lambda: not links_are_up(harness, "a", "b"), "links down")
        await harness.start("b")
        await harness.until(
            lambda: links_are_up(harness, "a", "b") and links_are_up(harness, "b", "a"), "links up again"
        )
        assert harness.carrier("a").send("b", Lane.CONTROL, b"again")
        await harness.until(lambda: harness.heard("b").frames == [("a", Lane.CONTROL, b"again")], "the frame")

    async def test_after_a_reset_nothing_of_before_arrives(self, harness: Harness) -> None:
        await both_up(harness)
        for _ in range(100):
            harness.carrier("a").send("b", Lane.CONTROL, b"before" + bytes(60_000))
        harness.carrier("a").reset("b")
        assert sorted(harness.heard("a").outbound[-2:]) == [("b", lane, False, "reset") for lane in Lane]
        assert sorted(harness.heard("a").inbound[-2:]) == [("b", lane, False, "reset") for lane in Lane]
        assert not harness.carrier("a").send("b", Lane.CONTROL, b"between")
        await harness.until(
            lambda: links_are_up(harness, "a", "b") and links_are_up(harness, "b", "a"), "links up again"
        )
        after = [bytes(FRAME_BYTES_MAX)] * 9 + [b"last"]  # they need the room that the lost frames had in the queue
        assert all(harness.carrier("a").send("b", Lane.CONTROL, frame) for frame in after)
        await harness.until(lambda: b"last" in harness.heard("b").of(Lane.CONTROL), "the frames")
        events = [
            (kind, what) for kind, peer, lane, what in harness.heard("b").all if lane is Lane.CONTROL and kind != "out"
        ]
        assert [what for kind, what in events if kind == "in"] == [True, False, True]
        assert events[events.index(("in", False)) + 1 :] == [("in", True), *(("frame", frame) for frame in after)]

    async def test_a_newer_inbound_link_replaces_the_older(self, harness: Harness) -> None:
        await both_up(harness)
        harness.cut("a", "b")
        await harness.until(lambda: not any(harness.carrier("a").outbound_up("b", lane) for lane in Lane), "silence")
        await harness.pass_time(0.05)
        assert [up for _, _, up, _ in harness.heard("b").inbound] == [True, True]
        harness.heal("a", "b")
        await harness.until(lambda: links_are_up(harness, "a", "b"), "links up again")
        for lane in Lane:
            events = [(up, reason) for _, its_lane, up, reason in harness.heard("b").inbound if its_lane is lane]
            assert events == [(True, ""), (False, "replaced by a newer link"), (True, "")]

    async def test_a_cut_of_one_direction_leaves_the_other_alone(self, harness: Harness) -> None:
        await both_up(harness)
        harness.heard("a").processes.hello(Member("b", "disk"), "boot-1")
        harness.cut("a", "b")
        assert harness.carrier("a").send("b", Lane.CONTROL, b"unheard")
        assert harness.carrier("b").send("a", Lane.CONTROL, b"heard")
        await harness.until(lambda: harness.heard("a").frames == [("b", Lane.CONTROL, b"heard")], "the other direction")
        await harness.until(lambda: all(len(harness.heard("a").reasons("b", x)) == 2 for x in Lane), "silence, twice")
        for lane in Lane:
            assert all(reason.startswith("silence") for reason in harness.heard("a").reasons("b", lane))
        assert harness.heard("a").gone == []
        assert harness.carrier("b").send("a", Lane.CONTROL, b"still")
        await harness.until(lambda: len(harness.heard("a").frames) == 2, "the other direction again")
        assert [up for _, _, up, _ in harness.heard("b").outbound] == [True, True]
        assert harness.heard("b").frames == []
        harness.heal("a", "b")
        await harness.until(lambda: links_are_up(harness, "a", "b"), "links up again")

    async def test_a_refused_frame_closes_its_link_with_the_sentence(self, harness: Harness) -> None:
        await both_up(harness)
        harness.heard("b").answer = "this frame makes no sense"
        for _ in range(3):
            assert harness.carrier("a").send("b", Lane.BULK, b"?")
        await harness.until(lambda: harness.heard("a").reasons("b", Lane.BULK) != [], "the closed link")
        assert harness.heard("a").reasons("b", Lane.BULK)[0] == "the peer closed: this frame makes no sense"
        assert ("a", Lane.BULK, False, "this frame makes no sense") in harness.heard("b").inbound
        assert harness.heard("b").frames == [("a", Lane.BULK, b"?")]
        assert harness.heard("a").reasons("b", Lane.CONTROL) == []
        await harness.until(lambda: links_are_up(harness, "a", "b"), "the redial")

    async def test_a_new_peer_is_linked_from_then_on_and_the_links_of_others_are_not_touched(
        self, harness: Harness
    ) -> None:
        await both_up(harness)
        await harness.start("c")
        await harness.until(lambda: all(harness.heard("c").reasons("a", lane) for lane in Lane), "the refused dials")
        assert all(reason != REFUSED for lane in Lane for reason in harness.heard("c").reasons("a", lane))
        assert not harness.carrier("a").send("c", Lane.CONTROL, b"too early")
        harness.carrier("a").set_peers(("b", "c"))
        await harness.until(
            lambda: links_are_up(harness, "a", "c") and links_are_up(harness, "c", "a"), "links of a and c"
        )
        assert harness.carrier("a").send("c", Lane.BULK, b"welcome")
        assert harness.carrier("c").send("a", Lane.BULK, b"thanks")
        await harness.until(lambda: harness.heard("c").frames == [("a", Lane.BULK, b"welcome")], "the frame to c")
        await harness.until(lambda: harness.heard("a").frames == [("c", Lane.BULK, b"thanks")], "the frame to a")
        assert not links_are_up(harness, "c", "b")
        for changes in (harness.heard("a").outbound, harness.heard("a").inbound):
            assert [(lane, up) for peer, lane, up, _ in changes if peer == "b"].count((Lane.BULK, True)) == 1
            assert all(up for peer, _, up, _ in changes if peer == "b")

    async def test_links_with_one_who_is_no_peer_any_more_end_with_goodbye_and_the_others_go_on(
        self, harness: Harness
    ) -> None:
        await all_three_up(harness)
        a, sent = harness.carrier("a"), [b"%d" % number + bytes(20_000) for number in range(20)]
        assert all(a.send("b", Lane.BULK, frame) for frame in sent)
        a.set_peers(("c",))
        assert sorted(harness.heard("a").outbound[-2:]) == [("b", lane, False, NO_PEER) for lane in Lane]
        assert sorted(harness.heard("a").inbound[-2:]) == [("b", lane, False, NO_PEER) for lane in Lane]
        for lane in Lane:
            assert not a.outbound_up("b", lane)
            assert not a.send("b", lane, b"too late")
        await harness.until(lambda: harness.heard("b").of(Lane.BULK) == sent, "what was queued before")
        await harness.until(
            lambda: all(len(harness.heard("b").reasons("a", lane)) == 2 for lane in Lane), "the redials, not accepted"
        )
        for lane in Lane:
            goodbye, told = harness.heard("b").reasons("a", lane)
            assert goodbye == GOODBYE
            assert told != REFUSED

        def gone() -> list[Change]:
            return sorted(change for change in harness.heard("b").inbound if change[0] == "a" and not change[2])

        await harness.until(lambda: len(gone()) == len(Lane), "the ends of what a dialled")
        assert gone() == [("a", lane, False, GOODBYE) for lane in Lane]
        assert a.send("c", Lane.CONTROL, b"still here")
        await harness.until(lambda: harness.heard("c").of(Lane.CONTROL) == [b"still here"], "the frame to c")
        for changes in (harness.heard("a").outbound, harness.heard("a").inbound):
            assert [up for peer, _, up, _ in changes if peer == "c"] == [True, True]

    async def test_a_peer_that_comes_back_at_once_is_linked_anew(self, harness: Harness) -> None:
        await both_up(harness)
        harness.carrier("a").set_peers(())
        harness.carrier("a").set_peers(("b",))
        await harness.until(lambda: all(harness.heard("b").reasons("a", lane) for lane in Lane), "the goodbyes")
        await harness.until(
            lambda: links_are_up(harness, "a", "b") and links_are_up(harness, "b", "a"), "links up again"
        )
        assert harness.carrier("a").send("b", Lane.CONTROL, b"again")
        assert harness.carrier("b").send("a", Lane.CONTROL, b"again")
        await harness.until(lambda: b"again" in harness.heard("b").of(Lane.CONTROL), "the frame to b")
        await harness.until(lambda: b"again" in harness.heard("a").of(Lane.CONTROL), "the frame to a")
        for lane in Lane:
            assert harness.heard("a").reasons("b", lane)[0] == NO_PEER
