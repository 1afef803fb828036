"""What counts as agreement to a birth, where words are late, repeated, or another process's of the same name."""

import pytest

from node.raft.birth import FRESH_HEARTBEATS, HELD_UP_HEARTBEATS
from node.raft.effects import Send
from node.raft.events import Receive
from node.raft.messages import Birth, ReadContext
from node.raft.settings import RaftSettings
from node.raft.types import Configuration, Member, MemberAddress
from node.transport.settings import LinkSettings
from tests.raft.bench import HEARTBEAT_US, Server, configuration, member, of
from tests.raft.test_birth import Nursery

ALL = (member("a"), member("b"), member("c"))
OLD, NEW = Member("b", "old disk"), Member("b", "new disk")
WITH_OLD, WITH_NEW = ((member("a"), disk, member("c")) for disk in (OLD, NEW))


def question(server: Server) -> ReadContext:
    """What the server asks now, and asks anew until its view changes."""
    asked = of(server.deadline(), Send)[0].message
    assert isinstance(asked, Birth)
    assert asked.challenge is not None
    return asked.challenge


def hear(server: Server, *senders: Member) -> None:
    """These are up and ask; what they see is not told yet."""
    for sender in senders:
        server.step(Receive(sender, Birth((sender,), b"", answer=True)))


def say(server: Server, sender: Member, view: tuple[Member, ...], answers: ReadContext | None) -> None:
    server.step(Receive(sender, Birth(view, b"", answer=False, challenge=answers)))


def test_only_an_answer_to_a_question_asked_since_the_own_view_became_that_set_is_an_agreement() -> None:
    server = Server("a")
    hear(server, member("b"))
    early = question(server)  # it does not see c yet
    hear(server, member("c"))
    for sender in ("b", "c"):
        say(server, member(sender), ALL, early)
        say(server, member(sender), ALL, None)
    assert not server.last_index
    now = question(server)
    assert now != early
    say(server, member("b"), ALL, now)
    assert not server.last_index
    say(server, member("c"), ALL, now)
    assert server.raft.entries(1, 1)[0].data == configuration(3).encode()


def test_a_question_is_no_agreement() -> None:
    """It may have been on its way for seconds, whatever it says."""
    server = Server("a")
    hear(server, member("b"), member("c"))
    for sender in ("b", "c"):
        server.step(Receive(member(sender), Birth(ALL, b"", answer=True, challenge=question(server))))
    assert not server.last_index


def test_an_answer_to_an_earlier_process_of_this_disk_is_no_agreement() -> None:
    server = Server("a", boot="boot-2")
    hear(server, member("b"), member("c"))
    earlier = ReadContext("a", "boot-1", question(server).number)
    say(server, member("b"), ALL, earlier)
    say(server, member("c"), ALL, earlier)
    assert not server.last_index


def test_one_who_answers_that_it_sees_another_set_by_now_agrees_no_more() -> None:
    server = Server("a")
    hear(server, member("b"), member("c"))
    asked = question(server)
    say(server, member("b"), ALL, asked)
    say(server, member("b"), (member("a"), member("b"), Member("c", "another disk")), asked)
    say(server, member("c"), ALL, asked)
    assert not server.last_index


def test_a_seed_that_was_silent_for_too_long_agrees_anew_even_if_nothing_was_asked_meanwhile() -> None:
    """Its silence ends with a word: what was agreed before must not be counted with it."""
    server = Server("a")
    hear(server, member("b"), member("c"))
    asked = question(server)
    server.wait(FRESH_HEARTBEATS * HEARTBEAT_US // 2)
    say(server, member("b"), ALL, asked)
    server.wait(FRESH_HEARTBEATS * HEARTBEAT_US // 2 + 1)
    say(server, member("c"), ALL, asked)
    assert not server.last_index


def test_an_agreement_does_not_outlive_the_view_that_it_was_for() -> None:
    """c was not seen for a while: what b agreed to was the set before."""
    server = Server("a")
    hear(server, member("b"), member("c"))
    say(server, member("b"), ALL, question(server))
    server.pass_time(FRESH_HEARTBEATS * HEARTBEAT_US + 1)
    hear(server, member("c"))
    server.step(Receive(member("b"), Birth(ALL, b"", answer=True)))
    say(server, member("c"), ALL, question(server))
    assert not server.last_index


def test_while_one_disk_of_a_name_is_heard_another_is_not_listened_to() -> None:
    """Two living processes would otherwise take turns, and nobody would see one set for long enough to be born."""
    server = Server("a")
    hear(server, OLD, member("c"))
    asked = question(server)
    assert not server.step(Receive(NEW, Birth((NEW,), b"", answer=True)))
    assert question(server) == asked
    server.wait(FRESH_HEARTBEATS * HEARTBEAT_US + 1)
    assert server.step(Receive(NEW, Birth((NEW,), b"", answer=True)))


def test_words_held_up_for_seconds_cannot_make_two_clusters_of_two_processes_of_one_name() -> None:
    """a saw the new b, said so to c, and then the old one again: it is born with the old one. Its earlier word to c is
    held up and arrives when c sees the new b. Dated at its receipt it was an agreement: two clusters with a quorum."""
    a, c = Server("a"), Server("c")
    hear(c, member("a"), NEW)
    question_of_c = question(c)
    hear(a, member("c"), NEW)
    early = of(a.step(Receive(member("c"), Birth(WITH_NEW, b"", answer=True, challenge=question_of_c))), Send)[0]
    hear(c, OLD)  # c hears the old one by and by: the new one is silent, as it is for a
    for server, other in ((a, member("c")), (c, member("a"))):
        server.wait(FRESH_HEARTBEATS * HEARTBEAT_US + 1)
        hear(server, other, OLD)
    say(a, OLD, WITH_OLD, question(a))
    say(a, member("c"), WITH_OLD, question(a))
    assert a.raft.entries(1, 1)
    c.wait(FRESH_HEARTBEATS * HEARTBEAT_US + 1)
    hear(c, NEW, member("a"))
    say(c, NEW, WITH_NEW, question(c))
    c.step(Receive(member("a"), early.message))
    assert not c.last_index


def born(server: Server, sender: str, disks: tuple[Member, ...] = ALL, answers: ReadContext | None = None) -> None:
    server.step(Receive(member(sender), Birth((), Configuration(disks).encode(), answer=False, challenge=answers)))


def test_a_late_seed_is_born_when_the_others_are_or_agree() -> None:
    server = Server("a")
    hear(server, member("b"), member("c"))
    asked = question(server)
    born(server, "b", answers=asked)
    assert not server.last_index
    say(server, member("c"), ALL, asked)
    assert server.raft.entries(1, 1)


def test_a_late_seed_does_not_follow_one_while_another_may_be_born_of_its_word_for_another_set() -> None:
    server = Server("a")
    hear(server, member("c"), NEW)
    server.step(Receive(member("c"), Birth(WITH_NEW, b"", answer=True, challenge=ReadContext("c", "boot-1", 7))))
    for _ in range(2 * HELD_UP_HEARTBEATS):
        server.wait(HEARTBEAT_US)
        born(server, "c", WITH_OLD, question(server))
    assert not server.last_index


def test_a_late_seed_is_born_when_a_majority_was_although_another_has_lost_its_disk() -> None:
    """Of more than half one at least is a single disk: nobody else can have been born of another set."""
    server = Server("a", seeds=("a", "b", "c", "d", "e"))
    disks = tuple(member(name) for name in "abcde")
    hear(server, Member("e", "another disk"))
    for sender in "bc":
        born(server, sender, disks)
    assert not server.last_index
    born(server, "d", disks)
    assert server.raft.entries(1, 1)


def test_one_that_wavered_says_that_a_restart_helps() -> None:
    server = Server("a")
    for disk, view in ((OLD, WITH_OLD), (NEW, WITH_NEW)):
        server.pass_time(FRESH_HEARTBEATS * HEARTBEAT_US + 1)
        hear(server, disk, member("c"))
        server.step(Receive(member("c"), Birth(view, b"", answer=True, challenge=ReadContext("c", "boot-1", 7))))
    born(server, "c", WITH_OLD)
    assert "restart it if it does not go on" in server.raft.status(server.now).waiting_for


def test_who_sees_one_that_was_born_agrees_to_nothing_else() -> None:
    """Else the new disk of e would make it waver, and it could never be born."""
    server = Server("a")
    born(server, "b")
    hear(server, Member("c", "another disk"))
    asked = server.step(Receive(Member("c", "another disk"), Birth((), b"", answer=True)))
    assert [send.message.view for send in of(asked, Send) if isinstance(send.message, Birth)] == [()]
    server.pass_time(HELD_UP_HEARTBEATS * HEARTBEAT_US)
    born(server, "b")
    assert server.raft.entries(1, 1)


def test_a_birth_is_told_to_nobody_before_it_is_durable() -> None:
    server = Server("a")
    hear(server, member("b"), member("c"))
    asked = question(server)
    for sender in "bc":
        say(server, member(sender), ALL, asked)
    ask = Receive(member("b"), Birth(ALL, b"", answer=True))
    assert of(server.step(ask), Send) == [Send("b", Birth(ALL, b"", answer=False))]
    server.persist()
    assert of(server.step(ask), Send) == [Send("b", Birth((), configuration(3).encode(), answer=False, known=True))]


@pytest.mark.parametrize("wait_heartbeats", [1, HELD_UP_HEARTBEATS - 2])
def test_where_a_seed_is_gone_for_good_one_that_was_born_is_enough_after_a_while(wait_heartbeats: int) -> None:
    """Until no word of an earlier process of this disk can be on its way, which might have agreed to another set."""
    server = Server("a")
    server.pass_time(wait_heartbeats * HEARTBEAT_US)
    born(server, "b")
    assert not server.last_index
    server.pass_time((HELD_UP_HEARTBEATS - wait_heartbeats) * HEARTBEAT_US)
    born(server, "b")
    assert server.raft.entries(1, 1)


def test_short_heartbeats_do_not_shorten_how_long_a_word_may_be_on_its_way() -> None:
    """A carrier gives up a silent link after seconds, whatever the heartbeat."""
    server = Server("a", settings=RaftSettings(heartbeat_us=10_000, election_min_us=50_000, election_max_us=100_000))
    server.pass_time(2 * int(LinkSettings().inbound_silence_s * 1e6) - 1)
    born(server, "b")
    assert not server.last_index
    server.pass_time(1)
    born(server, "b")
    assert server.raft.entries(1, 1)


@pytest.mark.parametrize("silent_heartbeats", [1, 2 * FRESH_HEARTBEATS])
def test_one_that_was_born_is_not_enough_where_another_was_born_of_another_set(silent_heartbeats: int) -> None:
    """An earlier process of this disk helped c to be born with the old b, and the new b with c's word and its own: to
    follow the new b would make two clusters with a quorum. What c said counts, however long it is silent."""
    server = Server("a")
    born(server, "c", WITH_OLD)
    server.pass_time(HELD_UP_HEARTBEATS * HEARTBEAT_US - silent_heartbeats * HEARTBEAT_US)
    born(server, "c", WITH_OLD)
    server.pass_time(silent_heartbeats * HEARTBEAT_US)
    server.step(Receive(NEW, Birth((), Configuration(WITH_NEW).encode(), answer=False)))
    assert not server.last_index


def test_who_hears_two_that_were_born_of_different_sets_says_that_two_disks_bear_one_name() -> None:
    server = Server("a")
    born(server, "c", WITH_OLD)
    server.step(Receive(NEW, Birth((), Configuration(WITH_NEW).encode(), answer=False)))
    waiting_for = server.raft.status(server.now).waiting_for
    assert waiting_for.startswith("b, c were born of different sets with this disk in them: two disks bear one name")


def test_one_that_agreed_to_another_set_than_was_born_says_that_a_restart_helps() -> None:
    server = Server("a")
    hear(server, member("c"), NEW)
    server.step(Receive(member("c"), Birth(WITH_NEW, b"", answer=True, challenge=ReadContext("c", "boot-1", 7))))
    born(server, "c", WITH_OLD)
    assert "restart it if it does not go on" in server.raft.status(server.now).waiting_for


def test_the_first_entry_says_how_members_are_reached_where_they_say_so() -> None:
    a, b = MemberAddress("a", "a.example", 7000), MemberAddress("b", "10.0.0.2", 7001, "http://b.example:8000")
    servers = [Server("a", address=a), Server("b", address=b), Server("c")]
    cluster = Nursery(*servers)
    cluster.rounds(4)
    assert cluster.firsts() == {Configuration(ALL, addresses=(a, b)).encode()}


def test_a_late_seed_sees_the_very_set_that_was_born_where_addresses_are_part_of_it() -> None:
    """As it was: who was born said no address any more, so a late seed saw another set, and waited ten seconds."""
    addresses = tuple(MemberAddress(name, f"{name}.example", 7000) for name in "abc")
    servers = [Server(name, address=address) for name, address in zip("abc", addresses, strict=True)]
    Nursery(*servers).rounds(4)
    servers[1].persist()
    told = of(servers[1].step(Receive(member("a"), Birth(ALL, b"", answer=True))), Send)[0].message
    assert isinstance(told, Birth)
    assert (told.configuration, told.address) == (Configuration(ALL, addresses=addresses).encode(), addresses[1])

    late = Server("a", address=addresses[0])
    for sender, address in zip("bc", addresses[1:], strict=True):
        late.step(Receive(member(sender), Birth((member(sender),), b"", answer=True, address=address)))
    asked = question(late)
    late.step(Receive(member("b"), Birth((), told.configuration, False, 0, asked, told.address)))
    assert not late.last_index
    late.step(Receive(member("c"), Birth(ALL, b"", False, 0, asked, addresses[2], addresses)))
    assert late.raft.entries(1, 1)[0].data == told.configuration


def test_nobody_says_how_another_is_reached() -> None:
    server = Server("a")
    lie = MemberAddress("c", "elsewhere", 1)
    server.step(Receive(member("b"), Birth((member("b"),), b"", answer=True, address=lie)))
    assert "no answer from b, c" in server.raft.status(server.now).waiting_for
