"""Every limit of the algorithm: what it refuses, and that a refusal means that nothing happened."""

import msgspec

from node.raft.effects import Accepted, Apply, ReadReady, Refused
from node.raft.errors import LogFull, Overloaded
from node.raft.events import Proposal, Propose
from node.raft.messages import Append, AppendReply, HeartbeatReply, ReadContext
from node.raft.replication import log_limit
from node.raft.settings import RaftSettings
from node.raft.types import ENTRY_OVERHEAD_BYTES
from tests.raft.bench import Server, follower, leader, log_of, of, sent, traces

SIZE = ENTRY_OVERHEAD_BYTES + 60
DATA = b"x" * 60
"""A command of exactly SIZE bytes."""


def limited(**limits: int) -> RaftSettings:
    return msgspec.structs.replace(RaftSettings(), **limits)


def log_bytes(server: Server) -> int:
    return server.raft.status(server.now).log_bytes


def test_a_full_log_refuses_writes_tells_once_and_keeps_serving_reads() -> None:
    limit = log_bytes(leader()) + 2 * SIZE
    server = leader(settings=limited(log_bytes_max=limit))
    effects = server.propose(DATA, DATA, DATA, DATA)
    assert of(effects, Accepted) == [Accepted((1, 2), 2, 3)]
    assert of(effects, Refused) == [Refused((3, 4), LogFull(limit, limit))]
    assert len(traces(effects, "log-full")) == 1
    again = server.propose(DATA, first_request=9)
    assert of(again, Refused) == [Refused((9,), LogFull(limit, limit))]
    assert not traces(again, "log-full")
    assert server.last_index == 4
    server.read(5)
    assert of(server.receive("b", HeartbeatReply(2, ReadContext("a", "boot-1", 1))), ReadReady)


def test_long_writes_leave_a_part_of_the_log_to_short_ones() -> None:
    limit = 4 * 1024 * 1024
    server = leader(settings=limited(log_bytes_max=limit))
    long, filled = b"x" * 100_000, log_bytes(server)
    number = 0
    while of(server.propose(long, first_request=(number := number + 1)), Accepted):
        server.persist()
        server.receive("b", AppendReply(2, True, server.last_index))
        filled = log_bytes(server)
    assert limit * 3 // 4 - 100_040 < filled <= limit * 3 // 4
    effects = server.propose(long, DATA, long, DATA, first_request=1000)
    assert of(effects, Refused) == [
        Refused((1000,), LogFull(filled, limit * 3 // 4)),
        Refused((1002,), LogFull(filled + SIZE, limit * 3 // 4)),
    ], "it is told how far it may fill it"
    (accepted,) = of(effects, Accepted)
    assert accepted.requests == (1001, 1003), "what fits is done, whatever stands before it"
    assert not traces(effects, "log-full"), "it was told"
    while of(effects := server.propose(b"y" * 900, first_request=(number := number + 1)), Accepted):
        server.persist()
        server.receive("b", AppendReply(2, True, server.last_index))
    assert limit - 940 < log_bytes(server) <= limit
    assert len(traces(effects, "log-full")) == 1, "that it is full for all is another thing"


def test_the_longer_a_write_is_the_more_it_leaves_free() -> None:
    limit = 1024 * 1024 * 1024
    assert [limit - log_limit(size, limit) for size in (1024, 2048, 2**20)] == [0, 2048 * 4096, limit // 4]


def test_a_follower_takes_what_its_leader_sends_however_full_it_is() -> None:
    server = follower((), term=1, settings=limited(log_bytes_max=1))
    server.receive("b", Append(1, 1, 0, 1, log_of((1, 1))[1:]))
    assert server.last_index == 3


def test_a_leader_without_its_quorum_takes_no_more_than_the_uncommitted_limit() -> None:
    server = leader(settings=limited(uncommitted_bytes_max=2 * SIZE))
    effects = server.propose(DATA, DATA, DATA)
    assert of(effects, Accepted) == [Accepted((1, 2), 2, 3)]
    assert of(effects, Refused) == [Refused((3,), Overloaded(2 * SIZE, 2 * SIZE))]
    server.persist()
    server.receive("b", AppendReply(2, True, 3))
    assert len(of(server.propose(DATA, first_request=4), Accepted)) == 1
    assert of(server.propose(DATA, first_request=5), Refused)


def test_one_command_larger_than_the_uncommitted_limit_travels_alone() -> None:
    server = leader(settings=limited(uncommitted_bytes_max=10))
    assert of(server.propose(DATA, b"y"), Accepted) == [Accepted((1,), 2, 3)]


def test_entries_of_earlier_terms_count_as_uncommitted_for_a_new_leader() -> None:
    inherited = leader((1, 1, 1), term=2, vouched=False, settings=limited(uncommitted_bytes_max=200))
    assert of(inherited.propose(DATA), Refused)
    inherited.receive("b", AppendReply(2, True, 5))
    assert of(inherited.propose(DATA), Accepted)


def test_an_append_holds_no_more_than_its_limit_but_one_entry_at_least() -> None:
    server = leader(settings=limited(append_bytes_max=2 * SIZE))
    appends = sent(server.propose(DATA, DATA, DATA, b"y" * 900, DATA), Append, "b")
    assert [[entry.index for entry in message.entries] for message in appends] == [[3, 4], [5], [6], [7]]
    assert [message.prev_index for message in appends] == [2, 4, 5, 6]


def test_appends_stream_ahead_in_a_window_of_messages() -> None:
    server = leader(settings=limited(inflight_messages_max=3))
    messages = [m for at in range(6) for m in sent(server.propose(DATA, first_request=at), Append, "b")]
    assert [m.entries[0].index for m in messages] == [3, 4, 5]
    opened = sent(server.receive("b", AppendReply(2, True, 4)), Append, "b")
    assert [entry.index for message in opened for entry in message.entries] == [6, 7, 8]


def test_appends_stream_ahead_in_a_window_of_bytes() -> None:
    server = leader(settings=limited(inflight_bytes_max=2 * SIZE))
    messages = [m for at in range(6) for m in sent(server.propose(DATA, first_request=at), Append, "b")]
    assert [m.entries[0].index for m in messages] == [3, 4]
    opened = sent(server.receive("b", AppendReply(2, True, 3)), Append, "b")
    assert [entry.index for message in opened for entry in message.entries] == [5, 6, 7, 8]


def test_a_probe_is_one_append_at_a_time() -> None:
    server = leader(vouched=False)
    for at in range(4):
        assert not sent(server.propose(DATA, first_request=at), Append)
    answered = sent(server.receive("b", AppendReply(2, True, 2)), Append, "b")
    assert [entry.index for message in answered for entry in message.entries] == [3, 4, 5, 6]


def test_a_long_log_is_applied_in_pieces_each_after_the_one_before() -> None:
    server = follower((1,) * 6, settings=limited(apply_bytes_max=2 * (SIZE - 59)))
    effects = server.receive("b", Append(1, 7, 1, 7))
    pieces = [[entry.index for entry in apply.entries] for apply in of(effects, Apply)]
    while server.applying:
        pieces += [[entry.index for entry in apply.entries] for apply in of(server.apply_next(), Apply)]
    assert pieces == [[2, 3], [4, 5], [6, 7]]


def test_proposals_of_one_step_are_one_write_and_one_append_a_follower() -> None:
    server = leader()
    effects = server.step(
        Propose((Proposal(1, b"x"), Proposal(2, b"y"))),
        Propose((Proposal(3, b"z"),)),
    )
    assert [accepted.first_index for accepted in of(effects, Accepted)] == [3, 5]
    assert [[entry.index for entry in message.entries] for message in sent(effects, Append)] == [[3, 4, 5]] * 2
    assert len(server.writing) == 1
