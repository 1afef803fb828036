"""Log time: measured by leaders one after the other, on their own monotonic clocks; no wall clock has a say."""

from node.raft.events import Propose
from node.raft.messages import Append, Heartbeat
from node.raft.types import Base, Entry, EntryKind, HardState
from tests.raft.bench import Server, configuration, follower, leader, log_of

YEARS_US = 10 * 365 * 24 * 3_600 * 1_000_000


def log_time(server: Server) -> int:
    return server.raft.status(server.now).log_time_us


def last_time(server: Server) -> int:
    return server.raft.entries(server.last_index, 1)[0].time_us


def test_it_begins_with_the_birth() -> None:
    assert log_time(follower()) == 0
    assert log_of(())[0].time_us == 0


def test_an_entry_bears_what_passed_on_the_clock_of_its_leader_since_it_was_elected() -> None:
    server = leader()
    before = log_time(server)
    for passed_us in (1, 70_000):
        server.wait(passed_us)
        server.propose(b"x")
        before += passed_us
        assert last_time(server) == before


def test_a_leader_knows_it_in_an_idle_cluster_without_an_entry() -> None:
    server = leader()
    before, index = log_time(server), server.last_index
    server.wait(5_000_000)
    assert log_time(server) == before + 5_000_000
    assert server.last_index == index


def test_a_new_leader_goes_on_from_the_last_entry_whoever_made_it_and_a_noop_bears_the_time_too() -> None:
    """Not from what its own clock shows: monotonic clocks of two machines have nothing to do with each other. What was
    poisoned before log time was measured goes on from there, no faster than a clock."""
    server = Server(hard=HardState(1, "", 2), entries=(log_of(())[0], Entry(2, 1, EntryKind.WRITE, b"x", YEARS_US)))
    server.settle()
    assert log_time(server) == YEARS_US
    lead = leader((1,), term=2)
    assert lead.raft.entries(3, 1)[0].kind is EntryKind.NOOP
    assert lead.raft.entries(3, 1)[0].time_us == lead.raft.entries(2, 1)[0].time_us
    first = log_time(lead)
    lead.wait(10)
    assert log_time(lead) == first + 10


def test_who_does_not_lead_says_the_time_of_its_last_entry() -> None:
    server = follower()
    server.receive("b", Append(1, 1, 0, 1, (Entry(2, 1, EntryKind.WRITE, b"x", 700),)))
    server.wait(1_000)
    server.receive("b", Heartbeat(1, 1))
    assert log_time(server) == 700


def test_a_leader_that_is_no_more_says_what_its_log_says() -> None:
    server = leader()
    server.wait(1_000)
    before = last_time(server)
    assert log_time(server) > before
    server.receive("b", Heartbeat(9, 1))
    assert log_time(server) == before


def test_a_log_that_begins_after_its_base_goes_on_from_the_time_of_the_base() -> None:
    base = Base(7, 3, 12_345, configuration(1), "cluster")
    server = Server(hard=HardState(3, "", 7), base=base, seeds=("a",))
    assert log_time(server) == 12_345
    server.deadline()
    server.settle()
    server.wait(55)
    server.step(Propose(()))
    assert (server.raft.entries(8, 1)[0].time_us, log_time(server)) == (12_345, 12_345 + 55)
