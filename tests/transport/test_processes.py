"""When a process counts as gone: every link with it is over, one broke without goodbye, and its port refuses."""

import pytest

from node.raft.messages import Lane
from node.raft.types import Member
from node.transport.port import GOODBYE, LOST, NO_PEER, REFUSED
from node.transport.processes import Processes

B = Member("b", "disk-b")
LINKS = [(way, lane) for way in ("in", "out") for lane in Lane]


class Watch:
    """Links with b, all up, and what is told of it."""

    def __init__(self, boot: str = "1") -> None:
        self.gone: list[tuple[Member, str]] = []
        self.processes = Processes(lambda member, boot: self.gone.append((member, boot)))
        for way, lane in LINKS:
            self.up(way, lane)
        self.processes.hello(B, boot)

    def up(self, way: str, lane: Lane) -> None:
        if way == "in":
            self.processes.inbound("b", lane, True)
        else:
            self.processes.outbound("b", lane, True, "")

    def down(self, reason: str, *links: tuple[str, Lane]) -> None:
        for way, lane in links or LINKS:
            if way == "in":
                self.processes.inbound("b", lane, False)
            else:
                self.processes.outbound("b", lane, False, reason)

    def dial(self, reason: str, *lanes: Lane) -> None:
        for lane in lanes or Lane:
            self.processes.outbound("b", lane, False, reason)


def test_all_links_lost_and_one_dial_refused_is_the_end_of_the_process_told_once() -> None:
    watch = Watch()
    watch.down(LOST)
    assert not watch.gone
    watch.dial(REFUSED, Lane.BULK)
    assert watch.gone == [(B, "1")]
    watch.dial(REFUSED, Lane.CONTROL)
    assert len(watch.gone) == 1


def test_the_order_in_which_its_links_are_seen_to_end_does_not_matter() -> None:
    for last in LINKS:
        watch = Watch()
        watch.down(LOST, *[link for link in LINKS if link != last])
        watch.dial(REFUSED, *[lane for way, lane in LINKS if way == "out" and (way, lane) != last])
        assert not watch.gone, f"{last} stands"
        watch.down(LOST, last)
        assert watch.gone == [(B, "1")]


@pytest.mark.parametrize("reason", [GOODBYE, NO_PEER, "reset", "silence: no pong within 2 s", "the link is old"])
def test_a_link_that_ended_otherwise_is_no_evidence(reason: str) -> None:
    watch = Watch()
    watch.down(reason)
    watch.dial(REFUSED)
    assert not watch.gone


@pytest.mark.parametrize(
    "reason", ["silence: no answer to a dial within 1 s", "the name b has no address", "the port answered HTTP 403"]
)
def test_a_dial_that_fails_otherwise_is_no_evidence_until_one_is_refused(reason: str) -> None:
    watch = Watch()
    watch.down(LOST)
    watch.dial(reason)
    assert not watch.gone
    watch.dial(REFUSED)
    assert watch.gone == [(B, "1")]


def test_a_port_that_refused_and_then_does_not_is_no_evidence_any_more() -> None:
    watch = Watch()
    watch.down(LOST, ("out", Lane.CONTROL), ("out", Lane.BULK))
    watch.dial(REFUSED)
    watch.dial("silence: no answer to a dial within 1 s")
    watch.down(LOST, ("in", Lane.CONTROL), ("in", Lane.BULK))
    assert not watch.gone


def test_a_process_that_dialled_again_and_is_lost_again_is_told_again() -> None:
    watch = Watch()
    watch.down(LOST)
    watch.dial(REFUSED)
    watch.up("in", Lane.CONTROL)
    watch.processes.hello(B, "1")
    watch.down(LOST, ("in", Lane.CONTROL))
    assert watch.gone == [(B, "1"), (B, "1")]


def test_who_never_said_hello_has_no_end() -> None:
    gone: list[str] = []
    processes = Processes(lambda _member, boot: gone.append(boot))
    processes.outbound("b", Lane.CONTROL, True, "")
    processes.outbound("b", Lane.CONTROL, False, LOST)
    processes.outbound("b", Lane.CONTROL, False, REFUSED)
    assert not gone


def test_it_is_the_last_process_of_the_name_that_is_gone_and_others_are_not_touched() -> None:
    watch = Watch()
    watch.processes.hello(Member("c", "disk-c"), "9")
    watch.processes.hello(B, "2")
    watch.down(LOST)
    watch.dial(REFUSED)
    assert watch.gone == [(B, "2")]
