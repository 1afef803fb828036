"""Decision 8 on virtual time: the end of a leader's process is seen at once; what only looks like it deposes nobody.

Every world is calm, of five servers, and has had a leader for longer than links need to count as settled.
"""

import statistics
from collections.abc import Callable

import pytest

from node.raft.events import PeerGone
from node.raft.types import EntryKind, Member
from node.runtime.inputs import WantWrite
from node.runtime.ports import Done, Outcome
from node.simulation.server import Server
from node.simulation.weather import Conditions
from node.simulation.world import SETTINGS, World
from node.statemachine.writes import Put, encode_write

SEEDS = range(1, 13)
SETTLED_US = 3_000_000
BETWEEN_US = 80_000
"""So long before a heartbeat, and so long that the one before is answered."""
CLOSED_US = 1_000_000
BRIEFLY_US = 30_000


class Calm(World):
    """Five servers in good weather, without clients and faults."""

    def _size(self) -> int:
        return 5

    def _weather(self) -> Conditions:
        return Conditions()

    def settle(self) -> Server:
        """Let one lead for a while; the leader."""
        for server in self.servers:
            server.start()
        self.scheduler.run_until(SETTLED_US)
        self.pass_us(SETTINGS.heartbeat_us, self._between_heartbeats)
        return self.leader()

    def _between_heartbeats(self) -> bool:
        """What is lost with the links is then no heartbeat; the want of two makes an election, as ever."""
        driver = self.leader().driver
        assert driver is not None
        return abs(driver.core.timers(self.scheduler.now())["heartbeat"] - BETWEEN_US) < 5_000

    def leader(self) -> Server:
        (leads,) = (server for server in self.servers if server.leads)
        return leads

    def pass_us(self, duration_us: int, until: Callable[[], bool] = lambda: False) -> bool:
        return self.scheduler.run_until(self.scheduler.now() + duration_us, until)

    def told(self, kind: str) -> int:
        """How often this was traced, anywhere."""
        return sum(server.told.get(kind, 0) for server in self.servers)


def _committing(world: Calm, term: int) -> bool:
    """Somebody leads in a later term, and an entry of it is committed."""
    for server in world.servers:
        core = None if server.driver is None else server.driver.core
        if core is not None and server.leads and core.term > term and core.term_at(core.commit) == core.term:
            return True
    return False


def test_a_killed_leader_is_replaced_long_before_the_shortest_election_timeout() -> None:
    took_us = []
    for seed in SEEDS:
        world = Calm(seed)
        leader = world.settle()
        assert leader.driver is not None
        term, killed_at = leader.driver.core.term, world.scheduler.now()
        leader.kill()
        assert world.pass_us(1_000_000, lambda world=world, term=term: _committing(world, term))  # type: ignore[misc]
        took_us.append(world.scheduler.now() - killed_at)
    assert statistics.median(took_us) < 18_000, took_us
    assert max(took_us) < SETTINGS.election_min_us, took_us


def test_writes_that_survivors_get_meanwhile_are_done_by_the_next_leader_and_none_is_refused() -> None:
    for seed in SEEDS:
        world = Calm(seed)
        leader = world.settle()
        survivors = [server for server in world.servers if server is not leader]
        leader.kill()
        assert world.pass_us(100_000, lambda world=world: world.told("leader-gone") > 0)  # type: ignore[misc]
        outcomes: list[Outcome] = []
        for number, server in enumerate(survivors):
            write = encode_write(Put(b"key-%d" % number, b"v"))
            server.post(WantWrite(write, world.scheduler.now() + CLOSED_US, outcomes.append))
        world.pass_us(CLOSED_US, lambda outcomes=outcomes: len(outcomes) == 4)  # type: ignore[misc]
        assert [type(outcome) for outcome in outcomes] == [Done] * len(survivors), f"seed {seed}"


def test_a_write_goes_to_the_next_leader_with_its_first_entry() -> None:
    """One that waits on the node that wins comes right behind the no-op, whoever else wants to write."""
    world = Calm(1)
    leader = world.settle()
    leader.kill()
    outcomes: list[Outcome] = []
    assert world.pass_us(100_000, lambda: world.told("leader-gone") == 4)
    for server in world.servers:
        if server is not leader:
            write = encode_write(Put(b"k", b"v"))
            server.post(WantWrite(write, world.scheduler.now() + CLOSED_US, outcomes.append))
    assert world.pass_us(CLOSED_US, lambda: len(outcomes) == 4)
    driver = world.leader().driver
    assert driver is not None
    first = next(e.index for e in driver.core.entries(1, 100) if e.term == driver.core.term)
    assert [(e.kind, e.index) for e in driver.core.entries(first, 2)] == [
        (EntryKind.NOOP, first),
        (EntryKind.WRITE, first + 1),
    ]
    assert isinstance(outcomes[0], Done)
    assert outcomes[0].index == first + 1


def test_a_leader_whose_process_was_stopped_is_waited_for_as_ever() -> None:
    world = Calm(1)
    leader = world.settle()
    leader.pause()
    world.pass_us(SETTINGS.election_min_us - SETTINGS.heartbeat_us)
    assert not world.told("leader-gone")
    assert leader.leads
    assert not any(server.leads for server in world.servers if server is not leader)


def _port_closed(world: Calm, leader: Server) -> None:
    """As if a proxy before the leader had ended: what it dialled itself stands."""
    world.network.close_port(leader.label)
    world.network.break_inbound(leader.label)


def _port_closed_and_all_links_reset(world: Calm, leader: Server) -> None:
    _port_closed(world, leader)
    leader.reset_links()


def _all_links_reset_again(world: Calm, leader: Server) -> None:
    """Links that did not stand for long are not dialled at once: the leader's next hello is late."""
    leader.reset_links()
    world.pass_us(100_000)
    _port_closed_and_all_links_reset(world, leader)


@pytest.mark.parametrize("deceive", [_port_closed, _port_closed_and_all_links_reset, _all_links_reset_again])
def test_a_leader_that_lives_keeps_its_lead_whatever_its_links_look_like(
    deceive: Callable[[Calm, Server], None],
) -> None:
    """For a moment only: a leader that hears nobody for an election timeout steps down by itself."""
    believed = 0
    for seed in SEEDS:
        world = Calm(seed)
        leader = world.settle()
        assert leader.driver is not None
        term = leader.driver.core.term
        deceive(world, leader)
        world.pass_us(BRIEFLY_US)
        world.network.open_port(leader.label)
        world.pass_us(CLOSED_US)
        assert leader.leads, f"seed {seed}"
        assert leader.driver.core.term == term, f"seed {seed}"
        believed += world.told("leader-gone")
        assert world.told("leader-back") == world.told("leader-gone")
    if deceive is _port_closed:
        assert not believed, "links that the leader dialled itself tell that it lives"
    if deceive is _all_links_reset_again:
        assert believed > len(SEEDS), "hardly anybody was deceived, so this proves nothing"


def test_a_minority_that_is_deceived_for_long_asks_in_vain() -> None:
    """Two of five hear nothing of the leader for a second and think that it is gone; three go on."""
    for seed in SEEDS:
        world = Calm(seed)
        leader = world.settle()
        assert leader.driver is not None
        term = leader.driver.core.term
        deceived = [server for server in world.servers if server is not leader][:2]
        for server in deceived:
            world.network.cut(leader.label, server.label)
            server.post(PeerGone(Member(leader.name, leader.incarnation), leader.boot))
        world.pass_us(CLOSED_US)
        assert world.told("leader-gone") == len(deceived)
        assert leader.leads, f"seed {seed}"
        world.network.heal_all()
        world.pass_us(2 * CLOSED_US)
        assert world.leader() is leader, f"seed {seed}"
        assert leader.driver.core.term == term, f"seed {seed}"
