"""The trace: two rings, one sequence, readers that resume and are told what they missed."""

import asyncio
import itertools

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from node.observe.events import TraceEvent, to_line
from node.observe.trace import Cursor, Trace
from node.raft.messages import Append, Forward, ForwardedProposal, Heartbeat, ReadContext, Report, VoteReply
from node.raft.types import Entry, EntryKind
from node.runtime.ports import TraceSink

HEARTBEAT = Heartbeat(3, 7)


def make_trace(transitions_max: int = 8, messages_max: int = 8) -> Trace:
    clock = itertools.count(1_000_000)
    return Trace("n1", "boot-1", lambda: next(clock), transitions_max=transitions_max, messages_max=messages_max)


def test_the_trace_is_a_sink_of_the_runtime() -> None:
    sink: TraceSink = make_trace()
    sink.transition("term", 2, "follower", {"from": 1})


def test_messages_never_evict_transitions() -> None:
    trace = make_trace(messages_max=4)
    trace.transition("won", 3, "leader", {"votes": 3})
    for _ in range(1000):
        trace.message(True, "n2", HEARTBEAT)
    (found,) = trace.reader().take(10).events
    assert found[1].kind == "won"


def test_a_reader_gets_both_rings_in_one_order() -> None:
    trace = make_trace()
    reader = trace.reader(messages=True)
    trace.message(False, "n2", HEARTBEAT)
    trace.transition("term", 4, "follower", {"from": 3})
    trace.message(True, "n3", VoteReply(4, True))
    events = [event for _, event in reader.take(10).events]
    assert [(e.seq, e.kind, e.time_us, e.term) for e in events] == [
        (1, "message", 1_000_000, 0),
        (2, "term", 1_000_001, 4),
        (3, "message", 1_000_002, 4),
    ]
    assert events[2].detail == {
        "peer": "n3",
        "sent": True,
        "type": "vote-reply",
        "term": 4,
        "granted": True,
        "asker": "",
    }
    assert events[2].role == "follower"
    assert reader.take(10).events == []


def test_messages_are_shown_by_their_numbers_and_do_not_hold_on_to_entries() -> None:
    trace = make_trace()
    reader = trace.reader(messages=True)
    entries = (Entry(5, 2, EntryKind.WRITE, b"secret"),)
    trace.message(True, "n2", Append(2, 4, 1, 3, entries))
    trace.message(True, "n2", Append(2, 4, 1, 3))
    trace.message(True, "n2", Heartbeat(2, 3, ReadContext("n1", "b", 9)))
    trace.message(True, "n2", Forward(boot="b", proposals=(ForwardedProposal(1, b"secret"),), term=2))
    trace.message(True, "n2", Report(body=b"secret", term=2))
    ring = trace._messages._slots
    assert not any(isinstance(m and m.content, (Forward, Report)) for m in ring)
    assert not any(isinstance(m and m.content, Append) and m.content.entries for m in ring)  # type: ignore[union-attr]
    shown = [event.detail for _, event in reader.take(10).events]
    assert shown[0] == {
        "peer": "n2", "sent": True, "type": "append", "term": 2, "prev_index": 4, "prev_term": 1, "commit": 3,
        "entries": 1, "last_index": 5,
    }  # fmt: skip
    assert shown[1]["entries"] == 0
    assert shown[2]["context"] == "n1/b/9"
    assert (shown[3]["proposals"], shown[4]["body_bytes"]) == (1, 6)


def test_a_slow_reader_loses_the_oldest_and_is_told_how_many() -> None:
    trace = make_trace(transitions_max=4, messages_max=3)
    reader = trace.reader(messages=True)
    for n in range(10):
        trace.transition("term", n, "follower", {"from": n})
        trace.message(True, "n2", HEARTBEAT)
    batch = reader.take(100)
    assert (batch.lost_transitions, batch.lost_messages) == (6, 7)
    assert [e.term for _, e in batch.events if e.kind == "term"] == [6, 7, 8, 9]
    assert reader.take(100).lost_transitions == 0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.booleans(), max_size=40), st.data(), st.booleans())
def test_a_reader_that_resumes_anywhere_sees_what_an_uninterrupted_one_sees(
    script: list[bool], data: st.DataObject, messages: bool
) -> None:
    trace = make_trace(transitions_max=6, messages_max=5)
    through = trace.reader(messages)
    resuming = trace.reader(messages)
    seen: list[int] = []
    again: list[int] = []
    lost_again = 0
    for is_message in [*script, False]:
        if is_message:
            trace.message(True, "n2", HEARTBEAT)
        else:
            trace.transition("term", 1, "follower", {"from": 0})
        seen += [event.seq for _, event in through.take(100).events]
        if data.draw(st.booleans()):
            batch = resuming.take(data.draw(st.integers(0, 4)))
            lost_again += batch.lost_transitions + batch.lost_messages
            again += [event.seq for _, event in batch.events]
            if batch.events:
                position = trace.parse_cursor(trace.cursor_text(batch.events[-1][0]))
                resuming = trace.reader(messages, position)
    batch = resuming.take(100)
    lost_again += batch.lost_transitions + batch.lost_messages
    again += [event.seq for _, event in batch.events]
    assert again == sorted(again)
    assert set(again) <= set(seen)
    assert len(again) + lost_again == len(seen)


def test_a_position_taken_without_messages_can_be_resumed_with_them() -> None:
    trace = make_trace()
    reader = trace.reader()
    for is_message in (True, False, True, False):
        if is_message:
            trace.message(True, "n2", HEARTBEAT)
        else:
            trace.transition("term", 1, "follower", {"from": 0})
    cursor, event = reader.take(1).events[0]
    assert (cursor, event.seq) == (Cursor(1, 1), 2)
    assert [e.seq for _, e in trace.reader(messages=True, after=cursor).take(9).events] == [3, 4]


def test_a_position_of_another_process_begins_anew_and_nonsense_is_no_position() -> None:
    trace = make_trace()
    trace.transition("born", 1, "follower", {})
    assert trace.parse_cursor("boot-1.1.0") == Cursor(1, 0)
    assert trace.parse_cursor("boot-1.99.99") == Cursor(1, 0)
    assert trace.parse_cursor("another.7.7") == Cursor(0, 0)
    for text in ("", "7", "boot-1.1", "boot-1.a.b", "boot-1.-1.2", "boot-1.²." + "1", "x" * 200 + ".1.1"):
        assert trace.parse_cursor(text) is None


async def test_a_waiting_reader_is_woken_by_what_it_wants_alone() -> None:
    trace = make_trace()
    quiet, curious = trace.reader(), trace.reader(messages=True)
    waits = [asyncio.ensure_future(reader.wait()) for reader in (quiet, curious)]
    await asyncio.sleep(0)
    trace.message(True, "n2", HEARTBEAT)
    await waits[1]
    assert not waits[0].done()
    trace.transition("term", 1, "follower", {"from": 0})
    await waits[0]
    assert trace._waiting == {}


async def test_a_reader_that_gives_up_leaves_nothing_in_the_trace() -> None:
    trace = make_trace()
    wait = asyncio.ensure_future(trace.reader().wait())
    await asyncio.sleep(0)
    wait.cancel()
    await asyncio.gather(wait, return_exceptions=True)
    assert trace._waiting == {}


def test_every_transition_reaches_the_listener_and_is_one_line() -> None:
    heard: list[TraceEvent] = []
    trace = Trace("n1", "b", lambda: 5, listener=heard.append)
    trace.transition("role", 2, "leader", {"from": "candidate", "to": "leader", "reason": "won"})
    (event,) = heard
    assert msgspec.json.decode(to_line(event))["detail"]["to"] == "leader"
    assert b"\n" not in to_line(event)
    assert trace.transition_counts == {("role", "candidate", "leader"): 1}
