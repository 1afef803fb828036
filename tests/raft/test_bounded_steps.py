"""No step of the core does more than its budget, however long the log is or however much there is to send.

What is counted is work, entries looked at and sent, not time. The bounds are those of `RaftSettings`.
"""

import ast
from array import array
from pathlib import Path
from typing import Any

import msgspec
import pytest

import node
from node.raft.effects import Accepted, Apply, Refused
from node.raft.entries import Entries
from node.raft.errors import InvariantViolation, Overloaded, invariant
from node.raft.events import Continue, Proposal, Propose, Receive
from node.raft.log import RaftLog
from node.raft.messages import Append, AppendReply, Heartbeat, HeartbeatReply, PreVote, PreVoteReply, VoteReply
from node.raft.settings import RaftSettings
from node.raft.types import ENTRY_OVERHEAD_BYTES, Entry, HardState, Role
from tests.raft.bench import Server, commands, follower, leader, log_of, member, of, promised, sent

SIZE = ENTRY_OVERHEAD_BYTES + 60
DATA = b"x" * 60
"""A command of exactly SIZE bytes."""


def limited(**limits: int) -> RaftSettings:
    return msgspec.structs.replace(RaftSettings(), **limits)


def indexes(messages: list[Append]) -> list[list[int]]:
    return [[entry.index for entry in message.entries] for message in messages]


def unfinished(server: Server) -> bool:
    return server.raft.unfinished


def propose_many(server: Server, count: int) -> list[Append]:
    return sent(server.propose(*[DATA] * count), Append)


# --- what is sent -----------------------------------------------------------------------------------------------


def test_an_append_holds_no_more_entries_than_its_limit() -> None:
    server = leader(settings=limited(append_entries_max=2))
    effects = server.propose(*[b""] * 5)
    assert indexes(sent(effects, Append, "b")) == [[3, 4], [5, 6], [7]]


def test_one_step_sends_no_more_entries_than_its_budget_and_the_next_goes_on_with_the_others() -> None:
    server = leader(settings=limited(append_entries_max=2, step_entries_max=4))
    effects = server.propose(*[DATA] * 6)
    assert indexes(sent(effects, Append, "b")) == [[3, 4], [5, 6]]
    assert not sent(effects, Append, "c")
    assert unfinished(server)
    effects = server.step(Continue())
    assert indexes(sent(effects, Append, "c")) == [[3, 4], [5, 6]]
    assert not sent(effects, Append, "b")
    effects = server.step(Continue())
    assert (indexes(sent(effects, Append, "b")), indexes(sent(effects, Append, "c"))) == ([[7, 8]], [[7, 8]])
    assert not unfinished(server)
    assert not server.step(Continue())


def test_one_step_sends_no_more_bytes_than_its_budget_and_one_append() -> None:
    server = leader(settings=limited(append_bytes_max=2 * SIZE, step_bytes_max=3 * SIZE))
    effects = server.propose(*[DATA] * 8)
    assert indexes(sent(effects, Append, "b")) == [[3, 4], [5, 6]]
    assert unfinished(server)


def test_however_much_there_is_to_send_everything_is_sent_once_and_in_order() -> None:
    server = leader(count=5, settings=limited(append_entries_max=3, step_entries_max=4))
    effects = server.propose(*[DATA] * 40)
    steps = 0
    while unfinished(server):
        more = server.step(Continue())
        assert sum(len(message.entries) for message in sent(more, Append)) <= 4 + 3 - 1
        effects += more
        steps += 1
    assert steps > 20
    for peer in "bcde":
        assert [index for part in indexes(sent(effects, Append, peer)) for index in part] == list(range(3, 43))


def test_a_full_window_is_no_unfinished_work() -> None:
    server = leader(settings=limited(inflight_messages_max=1, append_entries_max=1, step_entries_max=100))
    propose_many(server, 5)
    assert not unfinished(server)


def test_heartbeats_do_not_wait_for_the_budget() -> None:
    server = leader(settings=limited(append_entries_max=1, step_entries_max=1))
    propose_many(server, 9)
    assert unfinished(server)
    assert len(sent(server.deadline(), Heartbeat)) == 2


def test_who_leads_no_more_has_nothing_left_to_send() -> None:
    server = leader(settings=limited(append_entries_max=1, step_entries_max=1))
    propose_many(server, 9)
    server.receive("b", Heartbeat(9, 1))
    assert not unfinished(server)


def test_answers_that_arrive_together_cause_no_more_than_the_budget_of_one_step() -> None:
    """A leader that was paused finds a heap of them, and each would have an Append of its own."""
    server = leader((1,) * 50, settings=limited(append_entries_max=2, step_entries_max=10), vouched=False)
    answers = [Receive(member("b"), HeartbeatReply(2)) for _ in range(100)]
    effects = server.step(*answers)
    assert 1 <= len(sent(effects, Append, "b")) <= 10
    server.step(Continue())
    refusals = [Receive(member("b"), AppendReply(2, False, prev, prev - 1, 1)) for prev in range(51, 1, -1)]
    assert len(sent(server.step(*refusals), Append, "b")) <= 10


def test_questions_without_entries_count_too() -> None:
    server = leader(settings=limited(inflight_messages_max=1, step_entries_max=10))
    propose_many(server, 1)
    propose_many(server, 1)
    effects = server.step(*(Receive(member("b"), HeartbeatReply(2)) for _ in range(100)))
    assert 1 <= len(sent(effects, Append, "b")) <= 10


# --- what is taken and handed out -------------------------------------------------------------------------------


def test_an_apply_holds_no_more_entries_than_its_limit() -> None:
    server = follower((1,) * 6, settings=limited(apply_entries_max=2))
    pieces = of(server.receive("b", Append(1, 7, 1, 7)), Apply)
    while server.applying:
        pieces += of(server.apply_next(), Apply)
    assert [[entry.index for entry in piece.entries] for piece in pieces] == [[2, 3], [4, 5], [6, 7]]


def test_a_leader_takes_no_more_entries_than_may_be_truncated_in_one_step() -> None:
    server = leader(settings=limited(uncommitted_entries_max=2))
    effects = server.propose(b"", b"", b"")
    assert of(effects, Accepted) == [Accepted((1, 2), 2, 3)]
    assert of(effects, Refused) == [Refused((3,), Overloaded(2, 2, "entries"))]
    server.persist()
    server.receive("b", AppendReply(2, True, 3))
    assert of(server.propose(b"", first_request=4), Accepted)


def test_many_acknowledgements_among_many_answers_of_one_step_are_one() -> None:
    server = follower((1, 1, 1), term=1)
    heap: list[Receive] = []
    for _ in range(300):  # of a term that is not durable, so that the answers wait for the disk together
        heap += [Receive(member("b"), Heartbeat(2, 1)), Receive(member("b"), Append(2, 4, 1, 1))]
    effects = server.step(*heap)
    assert promised(effects, AppendReply) == [AppendReply(2, True, 4)]
    assert len(promised(effects, HeartbeatReply)) == 300


# --- what is looked at ------------------------------------------------------------------------------------------


class Counting(Entries):
    """Entries that count how many of them are looked at one by one; a slice counts as many as it has."""

    looked = 0

    def __getitem__(self, at: int | slice) -> Any:
        self.looked += not isinstance(at, slice)
        return super().__getitem__(at)

    def between(self, begin: int, end: int) -> list[Entry]:
        self.looked += end - begin
        return super().between(begin, end)


class CountingTerms(array):  # type: ignore[type-arg]
    """Likewise their terms; `entries` counts."""

    entries: Counting

    def __getitem__(self, at: Any) -> Any:
        self.entries.looked += 1
        return super().__getitem__(at)


LONG = 20_000
LOOKS_MAX = 200
"""A few searches by halves and a few looks at the ends; a walk over LONG entries is a hundred times that."""


def counting(server: Server) -> Counting:
    log = server.raft._state.log
    looked, terms = Counting(), CountingTerms("q", log._terms)
    looked.extend(log._entries)
    log._entries, log._terms, terms.entries = looked, terms, looked
    looked.looked = 0
    return looked


def test_an_election_a_commit_and_a_status_do_not_walk_a_long_log() -> None:
    server = follower((1,) * LONG)
    looked = counting(server)
    request = sent(server.deadline(), PreVote)[0]
    server.receive("b", PreVoteReply(request.term, True, request.campaign))
    server.persist()
    server.receive("b", VoteReply(2, True))
    assert server.role() is Role.LEADER
    server.persist()
    server.receive("b", AppendReply(2, True, LONG + 2))
    assert server.commit == LONG + 2
    server.raft.status(server.now)
    assert looked.looked - RaftSettings().apply_entries_max < LOOKS_MAX


@pytest.mark.parametrize("theirs", [[1] * 10, [1] * LONG, [3] * LONG])
def test_a_hint_in_a_long_term_is_searched_by_halves_on_both_sides(theirs: list[int]) -> None:
    server = follower((*theirs,), term=4)
    looked = counting(server)
    server.receive("b", Append(4, LONG, 2, 1, ()))
    assert looked.looked < LOOKS_MAX
    ahead = leader((2,) * LONG, term=4, vouched=False)
    looked = counting(ahead)
    effects = ahead.receive("b", AppendReply(4, False, LONG + 1, LONG // 2, 1))
    assert looked.looked - sum(len(message.entries) for message in sent(effects, Append)) < LOOKS_MAX


def test_a_truncation_does_not_look_at_what_it_removes() -> None:
    server = follower((1,) * LONG)
    looked = counting(server)
    server.receive("b", Append(2, 1, 0, 1, commands(2, [2])))
    assert server.last_index == 2
    assert looked.looked < LOOKS_MAX


def test_the_loading_of_a_long_log_calls_no_invariant_per_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("node.raft.log.invariant", lambda *given: calls.append(given))
    log = RaftLog(log_of((1,) * LONG))
    assert log.last_index == LONG + 1
    assert len(calls) < 10


# --- invariants -------------------------------------------------------------------------------------------------


class Told:
    """Counts how often somebody makes a text of it."""

    def __init__(self) -> None:
        self.times = 0

    def __str__(self) -> str:
        self.times += 1
        return "this"


def test_the_sentence_of_an_invariant_is_made_only_when_it_is_broken() -> None:
    told = Told()
    invariant(True, "{} holds", told)
    assert told.times == 0
    with pytest.raises(InvariantViolation, match="this does not hold"):
        invariant(False, "{} does not hold", told)


def test_a_sentence_without_values_may_hold_braces() -> None:
    with pytest.raises(InvariantViolation, match=r"a set \{1, 2\}"):
        invariant(False, "a set {1, 2}")


def test_a_step_of_a_server_makes_no_text_of_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def text(log: RaftLog) -> str:
        made.append(log)
        return "log"

    monkeypatch.setattr(RaftLog, "__str__", text)
    server = leader()
    server.step(Propose((Proposal(1, b"x"),)))
    server.settle()
    server.receive("b", AppendReply(2, True, 3))
    Server(hard=HardState(1, "", 1), entries=log_of((1,)))
    assert not made


@pytest.mark.slowest
def test_no_caller_builds_the_sentence_of_an_invariant_itself() -> None:
    built, calls = [], 0
    for path in sorted(Path(node.__file__).parent.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "invariant":
                calls += 1
                if not isinstance(call.args[1], ast.Constant):
                    built.append(f"{path.name}:{call.lineno}")
    assert calls > 20
    assert not built, f"pass a template and its values instead: {', '.join(built)}"
