"""What is done all at once when something happens to a node: a restart, a new leader, requests that nobody answered."""

import pytest

from node.raft.messages import Append, AppendReply, Forward, Heartbeat, ReadIndex
from node.raft.settings import RaftSettings
from node.raft.types import Entry, EntryKind
from node.runtime.between_leaders import HELD_READS_MAX, HELD_US, HELD_WRITES_MAX
from node.runtime.inputs import WantRead, WantWrite
from node.runtime.ports import Outcome, ReadFailed, Unknown
from node.runtime.requests import PENDING_REQUESTS_MAX
from node.statemachine.writes import Put, encode_write
from tests.bounds.member import Member, member
from tests.bounds.meter import TURN_US_MAX
from tests.bounds.test_messages import PUT, entries_of, last_index

pytestmark = pytest.mark.timeout(300)

LONG_LOG = 10_000
"""Entries to be applied by a node that restarts: more are more turns of the same length, at most 512 entries each."""

UNCOMMITTED = RaftSettings().uncommitted_entries_max


def check(name: str, node: Member, action: object) -> None:
    worst = node.walk(action)  # type: ignore[arg-type]
    print(f"{name}: {worst}, {node.meter.turns} turns")
    assert worst.us <= TURN_US_MAX, str(worst)


def test_a_long_log_is_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = tuple(Entry(2 + i, 1, EntryKind.WRITE, encode_write(Put(b"key-%06d" % i, b"v"))) for i in range(LONG_LOG))
    with member(monkeypatch, entries=entries) as node:
        node.hear(Heartbeat(1, 1))
        last = last_index(node)
        check("a long log", node, lambda: node.hear(Append(1, last, 1, last)))
        assert node.core.status(node.now).applied == last


def test_a_new_leader_overwrites_everything_that_was_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    with member(monkeypatch, entries=entries_of(PUT, UNCOMMITTED)) as node:
        node.hear(Heartbeat(1, 1))
        check("truncation", node, lambda: node.hear(Append(2, 1, 0, 1, (Entry(2, 2, EntryKind.NOOP),)), sender=3))
        assert last_index(node) == 2


def test_a_leader_with_much_that_is_not_committed_is_elected_and_commits_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with member(monkeypatch, entries=entries_of(PUT, UNCOMMITTED)) as node:
        check("an election", node, node.lead)
        check("a follower far behind", node, lambda: node.hear(AppendReply(node.core.term, False, last_index(node), 1)))
        check("a commit", node, lambda: node.hear(AppendReply(node.core.term, True, last_index(node))))
        assert node.core.status(node.now).applied == last_index(node)


def test_a_leader_is_deposed_with_as_many_writes_as_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with member(monkeypatch) as node:
        outcomes = wait_for_writes(node)
        noop = Entry(2, node.core.term + 1, EntryKind.NOOP)
        check("deposed", node, lambda: node.hear(Append(noop.term, 1, 0, 2, (noop,)), sender=3))
        node.pass_time(20_000_000)
        assert len(outcomes) == PENDING_REQUESTS_MAX
        assert sum(isinstance(outcome, Unknown) for outcome in outcomes) >= PENDING_REQUESTS_MAX - 1


def test_as_many_requests_as_may_wait_run_out_of_time_together(monkeypatch: pytest.MonkeyPatch) -> None:
    with member(monkeypatch) as node:
        outcomes = wait_for_writes(node)
        check("writes", node, lambda: node.pass_time(20_000_000))
        assert len(outcomes) == PENDING_REQUESTS_MAX
        failed: list[ReadFailed | None] = []
        node.hear(Heartbeat(node.core.term + 1, 1), sender=3)
        for _ in range(PENDING_REQUESTS_MAX):
            node.shell.post(WantRead(node.now + 10_000_000, failed.append))
        node.turns()
        check("reads", node, lambda: node.pass_time(20_000_000))
        assert len(failed) == PENDING_REQUESTS_MAX


def test_as_many_forwarded_writes_as_may_wait_lose_their_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    with member(monkeypatch) as node:
        node.hear(Heartbeat(1, 1))
        outcomes: list[Outcome] = []
        for _ in range(PENDING_REQUESTS_MAX):
            node.shell.post(WantWrite(PUT, node.now + 10_000_000, outcomes.append))
        check("they leave", node, node.turns)
        check("another leads", node, lambda: node.hear(Heartbeat(2, 1), sender=3))
        check("no answer", node, lambda: node.pass_time(20_000_000))
        assert len(outcomes) == PENDING_REQUESTS_MAX


def test_as_many_writes_as_may_wait_for_a_leader_are_offered_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    for leads in (False, True):
        with member(monkeypatch) as node:
            outcomes: list[Outcome] = []
            for _ in range(HELD_WRITES_MAX):
                node.shell.post(WantWrite(PUT, node.now + 10_000_000, outcomes.append))
            check("they wait", node, node.turns)
            assert outcomes == []
            if leads:
                check("it wins", node, node.lead)
                assert last_index(node) == 2 + HELD_WRITES_MAX
            else:
                check("another leads", node, lambda: node.hear(Heartbeat(1, 1)))
                assert sum(len(forward.proposals) for forward in node.said(Forward)) == HELD_WRITES_MAX


def test_as_many_reads_as_may_wait_for_a_leader_are_asked_of_the_next_or_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for leads in (True, False):
        with member(monkeypatch) as node:
            outcomes: list[ReadFailed | None] = []
            for _ in range(PENDING_REQUESTS_MAX):
                node.shell.post(WantRead(node.now + 10_000_000, outcomes.append))
            check("they wait", node, node.turns)
            assert outcomes == []
            if leads:
                check("another leads", node, lambda: node.hear(Heartbeat(1, 1)))
                assert node.said(ReadIndex)
                check("and another", node, lambda: node.hear(Heartbeat(2, 1), sender=3))
                assert node.said(ReadIndex)
                assert outcomes == []
            else:
                check("nobody leads", node, lambda: node.pass_time(HELD_US))
                assert len(outcomes) == HELD_READS_MAX
                assert {failed.code for failed in outcomes if failed} == {"no-leader"}


def wait_for_writes(node: Member) -> list[Outcome]:
    """As a leader of whom nobody acknowledges anything."""
    node.lead()
    outcomes: list[Outcome] = []
    for _ in range(PENDING_REQUESTS_MAX):
        node.shell.post(WantWrite(PUT, node.now + 10_000_000, outcomes.append))
    node.turns()
    return outcomes
