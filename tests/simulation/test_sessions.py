"""A write's session and sequence number, from a client at a follower over the real links into every log."""

from random import Random

from node.raft.settings import RaftSettings
from node.raft.types import Role
from node.runtime.inputs import WantWrite
from node.runtime.ports import Done, Outcome
from node.simulation.network import SimNetwork
from node.simulation.scheduler import Scheduler
from node.simulation.server import Observer, Server
from node.simulation.weather import Conditions
from node.statemachine.writes import Put, PutResult, encode_write

NAMES = ("n1", "n2", "n3")


def test_session_and_sequence_reach_every_log_from_whichever_node_the_client_asks() -> None:
    scheduler, chance = Scheduler(), Random(1)
    network = SimNetwork(schedule=scheduler.schedule, now=scheduler.now, chance=chance, conditions=Conditions())
    servers = [Server(name, NAMES, RaftSettings(), scheduler, network, chance, Observer()) for name in NAMES]
    for server in servers:
        server.start()
    scheduler.run_until(5_000_000)
    roles = [server.driver.core.role for server in servers if server.driver is not None]
    assert sorted(role.value for role in roles) == ["follower", "follower", "leader"]
    outcomes: list[Outcome] = []
    for number, server in enumerate(servers):
        command = encode_write(Put(b"k%d" % number, b"v"))
        server.post(WantWrite(command, scheduler.now() + 1_000_000, outcomes.append, 70 + number, 80 + number))
    scheduler.run_until(8_000_000)
    assert sorted(type(o.result).__name__ for o in outcomes if isinstance(o, Done)) == [PutResult.__name__] * 3
    for server in servers:
        assert server.driver is not None
        entries = server.driver.core.entries(1, 99)
        assert {(e.session, e.sequence) for e in entries if e.session} == {(70, 80), (71, 81), (72, 82)}
        assert server.driver.core.role in (Role.LEADER, Role.FOLLOWER)
