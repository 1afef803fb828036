"""How a cluster begins (architecture, decision 6): unanimously, once, byte-identical everywhere."""

from collections.abc import Callable, Sequence

import pytest

from node.raft.birth import FRESH_HEARTBEATS, UNHEARD
from node.raft.effects import ConfigChanged, Effect, Persist, Refused, Send
from node.raft.errors import InvariantViolation, NotBorn
from node.raft.events import Receive
from node.raft.messages import Append, Birth, Heartbeat, PreVote, Vote
from node.raft.types import Configuration, EntryKind, HardState, Member, Role, cluster_id_of
from tests.raft.bench import HEARTBEAT_US, Server, configuration, follower, log_of, member, of, promised, traces

FRESH_US = FRESH_HEARTBEATS * HEARTBEAT_US


class Nursery:
    """Some servers and the messages between them: all are delivered, except those that `lost` names."""

    def __init__(self, *servers: Server) -> None:
        self.servers = {server.raft.status(server.now).name: server for server in servers}
        self.lost: Callable[[str, str], bool] = lambda sender, to: False

    def deliver(self, sender: str, effects: Sequence[Effect]) -> None:
        waiting = [(sender, send) for send in of(effects, Send)]
        while waiting:
            origin, send = waiting.pop(0)
            receiver = self.servers.get(send.to)
            if receiver is None or self.lost(origin, send.to):
                continue
            status = self.servers[origin].raft.status(0)
            caused = receiver.step(Receive(Member(origin, status.incarnation), send.message))
            waiting += [(send.to, further) for further in of(caused, Send)]

    def rounds(self, count: int) -> None:
        for _ in range(count):
            for name, server in self.servers.items():
                self.deliver(name, server.pass_time(HEARTBEAT_US) if server.role() is Role.INITIAL else [])

    def roles(self) -> list[Role]:
        return [server.role() for server in self.servers.values()]

    def firsts(self) -> set[bytes]:
        return {entry.data for server in self.servers.values() for entry in server.raft.entries(1, 1)}


def nursery(count: int = 3) -> Nursery:
    seeds = tuple("abcde"[:count])
    return Nursery(*(Server(name, seeds=seeds) for name in seeds))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_all_seeds_are_born_with_a_byte_identical_first_entry(count: int) -> None:
    cluster = nursery(count)
    cluster.rounds(3)
    writes = [server.writing[0] for server in cluster.servers.values()]
    assert {write.entries[0] for write in writes} == {log_of((), count)[0]}
    assert {write.cluster_id for write in writes} == {cluster_id_of(log_of((), count)[0])}
    assert writes[0].entries[0].kind is EntryKind.CONFIGURATION
    assert writes[0].hard_state == HardState(0, "", 1)


def test_a_server_takes_part_only_once_its_first_entry_is_durable() -> None:
    cluster = nursery()
    cluster.rounds(3)
    server = cluster.servers["a"]
    assert server.role() is Role.INITIAL
    assert server.raft.status(server.now).waiting_for == "the first entry is being written to disk"
    assert not server.receive("b", Vote(1, 1, 0))
    effects = server.persist()
    assert server.role() is Role.FOLLOWER
    changed = of(effects, ConfigChanged)[0]
    assert (changed.configuration, changed.self_member) == (configuration(3), member("a"))
    assert traces(effects, "born")


def test_an_initial_server_answers_nobody_and_says_why() -> None:
    server = Server("a")
    for message in (Vote(1, 1, 0), PreVote(1, 1, 0, 1), Append(1, 0, 0, 0, log_of(())), Heartbeat(1, 0)):
        assert not server.receive("b", message)
    assert of(server.propose(b"x"), Refused)[0].reason == NotBorn("this node does not belong to a cluster yet")
    assert isinstance(of(server.read(1), Refused)[0].reason, NotBorn)
    assert (server.role(), server.term, server.last_index) == (Role.INITIAL, 0, 0)


def test_a_silent_seed_keeps_all_others_waiting() -> None:
    cluster = nursery(5)
    cluster.lost = lambda sender, to: "e" in (sender, to)
    cluster.rounds(30)
    assert set(cluster.roles()) == {Role.INITIAL}
    assert not cluster.firsts()
    status = cluster.servers["a"].raft.status(cluster.servers["a"].now)
    assert status.waiting_for.startswith("no answer from e")


def test_a_seed_that_fell_silent_no_longer_agrees() -> None:
    """b once agreed; since then it has said nothing for so long that it may be gone."""
    server = Server("a")
    view = (member("a"), member("b"), member("c"))
    server.receive("b", Birth(view, b"", answer=False))
    server.wait(FRESH_US + 1)
    server.receive("c", Birth(view, b"", answer=False))
    assert not server.writing


@pytest.mark.parametrize("deaf", ["a", "b", "c"])
def test_one_who_missed_the_moment_adopts_what_it_had_agreed_to(deaf: str) -> None:
    cluster = nursery()
    cluster.rounds(1)
    heard = {"count": 0}

    def lost(sender: str, to: str) -> bool:
        heard["count"] += to == deaf
        return to == deaf and heard["count"] > 2

    cluster.lost = lost
    cluster.rounds(2)
    cluster.lost = lambda sender, to: False
    cluster.rounds(3)
    for server in cluster.servers.values():
        server.settle()
    assert set(cluster.roles()) == {Role.FOLLOWER}
    assert len(cluster.firsts()) == 1


def test_pitfall_36_a_wiped_disk_stays_initial_and_says_so() -> None:
    cluster = nursery()
    cluster.rounds(3)
    for server in cluster.servers.values():
        server.settle()
    wiped = Server("c", incarnation="another disk")
    cluster.servers["c"] = wiped
    for _ in range(40):
        wiped.receive("a")
        cluster.deliver("c", wiped.deadline())
    assert (wiped.role(), wiped.last_index) == (Role.INITIAL, 0)
    assert "born without this disk" in wiped.raft.status(wiped.now).waiting_for
    assert "a, b belong to a cluster" in wiped.raft.status(wiped.now).waiting_for
    assert wiped.raft.status(wiped.now).vote_lost


def test_a_born_server_says_what_it_was_born_of_and_is_not_born_again() -> None:
    server = follower(term=3)
    effects = server.receive("c", Birth((member("a"), member("c")), b"", answer=True))
    assert of(effects, Send) == [Send("c", Birth((), configuration(3).encode(), answer=False, known=True))]
    assert not server.receive("c", Birth((member("a"), member("b"), member("c")), b"", answer=False))
    assert server.last_index == 1


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"\x93\x90\x90", b"\x93\x91\x92\xa1\xff\xa1x\x90\x90", Configuration(()).encode()[:-1], b"\x80", b"null"],
)
def test_a_malformed_configuration_is_not_taken_and_stops_nobody(data: bytes) -> None:
    server = Server("a")
    server.receive("b", Birth((), data, answer=False))
    assert (server.role(), server.last_index) == (Role.INITIAL, 0)
    assert server.raft.status(server.now).waiting_for


@pytest.mark.parametrize(
    "configuration_offered",
    [
        Configuration((member("b"), member("c"))),
        Configuration((Member("a", "another disk"), member("b"), member("c"))),
        Configuration((member("a"), member("b"), member("c"), member("d"))),
        Configuration((member("b"), member("a"), member("c"))),
    ],
)
def test_a_configuration_that_was_not_agreed_to_is_not_taken(configuration_offered: Configuration) -> None:
    server = Server("a")
    server.receive("b", Birth((), configuration_offered.encode(), answer=False))
    assert server.last_index == 0


def test_different_seed_lists_never_agree() -> None:
    lists = {"a": "abc", "b": "abcd", "c": "abc", "d": "abcd"}
    cluster = Nursery(*(Server(name, seeds=tuple(seeds)) for name, seeds in lists.items()))
    cluster.rounds(10)
    assert not cluster.firsts()


def test_a_server_that_waits_for_more_seeds_does_not_agree_to_fewer() -> None:
    """b also waits for d, which is not up yet: what b has heard of so far is no agreement to a cluster without d."""
    lists = {"a": "abc", "b": "abcd", "c": "abc"}
    cluster = Nursery(*(Server(name, seeds=tuple(seeds)) for name, seeds in lists.items()))
    cluster.rounds(10)
    assert not cluster.firsts()
    assert set(cluster.roles()) == {Role.INITIAL}


def test_two_processes_of_one_name_with_different_disks_cannot_make_two_clusters() -> None:
    """An old pod lives on beside its replacement, which has another disk. a and c hear both, in turn: were each new
    word to replace the last, a could be born with the one and c with the other, and both would have a quorum."""
    old, new = Member("b", "old disk"), Member("b", "new disk")
    with_old = (member("a"), old, member("c"))
    with_new = (member("a"), new, member("c"))
    a, c = Server("a"), Server("c")

    def say(server: Server, sender: Member, view: tuple[Member, ...]) -> None:
        server.step(Receive(sender, Birth(tuple(sorted(view)), b"", answer=False)))

    say(c, old, with_old)  # c agrees to the old one and tells a ...
    say(a, new, with_new)  # ... a agrees to the new one and tells c ...
    say(c, new, with_new)
    say(a, old, with_old)
    say(a, member("c"), with_old)
    say(c, member("a"), with_new)
    born = [server.raft.entries(1, 1)[0].data for server in (a, c) if server.last_index]
    assert len(set(born)) <= 1
    assert not born


def test_a_restarted_seed_with_a_new_disk_is_agreed_to_once_the_old_one_is_silent() -> None:
    cluster = nursery()
    cluster.lost = lambda sender, to: "c" in (sender, to)  # a and b hear each other, then b loses its disk
    cluster.rounds(2)
    cluster.servers["b"] = Server("b", incarnation="another disk")
    cluster.lost = lambda sender, to: False
    cluster.rounds(FRESH_HEARTBEATS + 4)
    assert len(cluster.firsts()) == 1
    assert Member("b", "another disk") in Configuration.decode(next(iter(cluster.firsts()))).voters


def test_one_who_is_not_among_the_seeds_neither_agrees_nor_counts() -> None:
    server = Server("a", seeds=("a", "b"))
    assert not server.receive("z", Birth((member("a"), member("z")), b"", answer=True))
    outside = Server("z", seeds=("a", "b"))
    outside.deadline()
    for seed in "ab":
        outside.receive(seed, Birth((member("a"), member("b")), b"", answer=False))
    assert outside.last_index == 0


def test_a_server_without_seeds_is_not_born_alone() -> None:
    server = Server("a", seeds=())
    server.pass_time(FRESH_US)
    assert (server.role(), server.last_index) == (Role.INITIAL, 0)


def test_birth_is_not_complete_without_its_write_and_a_crash_begins_it_again() -> None:
    cluster = nursery()
    cluster.rounds(3)
    for name in "bc":
        cluster.servers[name].settle()
    cluster.servers["a"] = Server("a", boot="boot-2")  # it had promised nothing but what it now takes again
    cluster.rounds(2)
    (write,) = (persist for persist in cluster.servers["a"].writing if isinstance(persist, Persist))
    assert write.entries == log_of(())
    cluster.servers["a"].settle()
    assert set(cluster.roles()) == {Role.FOLLOWER}


def test_an_empty_log_with_a_term_is_a_lost_log() -> None:
    with pytest.raises(InvariantViolation, match="the log was lost"):
        Server(hard=HardState(3, "", 0))


def test_the_first_election_is_for_term_one() -> None:
    server = follower((), term=0)
    effects = server.deadline()
    assert not promised(effects, Vote)
    assert [send.message.term for send in of(effects, Send)] == [1, 1]


def test_what_a_server_says_before_it_heard_everyone_can_travel() -> None:
    """The codec refuses empty and unsorted names: a seed that is not heard needs a name for that."""
    server = Server("b", seeds=("c", "a", "b"))
    (first, *_) = of(server.deadline(), Send)
    assert isinstance(first.message, Birth)
    assert first.message.view == (Member("a", UNHEARD), member("b"), Member("c", UNHEARD))


def test_a_node_that_is_no_seed_stays_initial_and_says_that_it_waits_to_be_let_in() -> None:
    cluster = nursery(3)
    outsider = cluster.servers["z"] = Server("z", seeds=("a", "b", "c"))
    cluster.rounds(5)
    assert cluster.firsts() == {configuration(3).encode()}
    assert (outsider.role(), outsider.raft.entries(1, 1)) == (Role.INITIAL, ())
    cluster.rounds(3)
    for server in cluster.servers.values():
        server.settle()
    cluster.rounds(3)
    assert outsider.raft.status(outsider.now).waiting_for == (
        "it is none of the seeds a, b, c; they answer, and know no node of this name: it waits until they let it in"
    )
    assert not outsider.raft.status(outsider.now).vote_lost
    outsider.wait(10_000_000)
    outsider.deadline()
    assert outsider.raft.status(outsider.now).waiting_for == (
        "it is none of the seeds a, b, c, and none of them that could let it in answers"
    )
