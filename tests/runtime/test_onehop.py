"""One hop, never repeated: who is believed, and how long whoever was asked is waited for."""

from node.raft.types import Member
from node.runtime.onehop import Asked, HopCounts, OneHop

N2, N3 = Member("n2", "n2-disk"), Member("n3", "n3-disk")
NEW_DISK = Member("n2", "another-disk")
LATE_US = 1_000


def asked() -> tuple[OneHop[str], HopCounts, int]:
    counts = HopCounts()
    hop: OneHop[str] = OneHop("boot", counts)
    return hop, counts, hop.ask(N2, "this", LATE_US)


def test_only_the_member_that_was_asked_is_believed_and_only_by_the_process_that_asked() -> None:
    hop, counts, number = asked()
    assert hop.answered(N3, "boot", number) is None
    assert hop.answered(NEW_DISK, "boot", number) is None
    assert hop.answered(N2, "an-earlier-process", number) is None
    assert counts.refused == 3
    assert hop.answered(N2, "boot", number) == "this"


def test_an_answer_is_taken_once_and_one_that_comes_too_late_is_nobodys_fault() -> None:
    hop, counts, number = asked()
    assert hop.answered(N2, "boot", number) == "this"
    assert hop.answered(N2, "boot", number) is None
    other = hop.ask(N2, "that", LATE_US)
    assert hop.expired(LATE_US, 9) == [Asked(N2, "that")]
    assert hop.answered(N2, "boot", other) is None
    assert counts.refused == 0
    assert len(hop) == 0
    assert hop.deadline is None


def test_of_a_node_that_was_never_heard_the_name_is_all_that_is_known() -> None:
    hop, _, _ = asked()
    number = hop.ask(Member("n2", ""), "whoever you are", LATE_US)
    assert hop.answered(N3, "boot", number) is None
    assert hop.answered(NEW_DISK, "boot", number) == "whoever you are"


def test_what_was_not_sent_waits_for_nobody() -> None:
    hop, _, number = asked()
    assert hop.take_back(number) == "this"
    assert hop.take_back(number) is None
    assert (hop.expired(LATE_US, 9), hop.deadline) == ([], None)


def test_whoever_leads_no_more_is_waited_for_a_while_and_not_beyond_the_deadline() -> None:
    hop, _, _ = asked()
    hop.ask(N2, "soon", 100)
    hop.ask(N3, "of the new leader", LATE_US)
    hop.hurry("n3", lambda _name: 300)
    hop.hurry("n3", lambda _name: 900)
    assert hop.deadline == 100
    assert hop.expired(100, 9) == [Asked(N2, "soon")]
    assert hop.deadline == 300
    assert hop.expired(299, 9) == []
    assert hop.expired(300, 9) == [Asked(N2, "this", stale=True)]
    assert hop.deadline == LATE_US


def test_what_is_asked_after_the_change_is_waited_for_as_long_as_ever() -> None:
    hop, _, _ = asked()
    hop.hurry("n3", lambda _name: 10)
    number = hop.ask(N2, "n2 leads again", LATE_US)
    assert hop.expired(10, 9) == [Asked(N2, "this", stale=True)]
    assert hop.answered(N2, "boot", number) == "n2 leads again"


def test_a_change_of_the_leader_costs_the_same_however_much_was_asked_and_its_end_is_sliced() -> None:
    hop, _, _ = asked()
    for _ in range(20_000):
        hop.ask(N2, "", LATE_US)
    looked_at: list[str] = []

    def until_us(name: str) -> int:
        looked_at.append(name)
        return 5

    hop.hurry("n3", until_us)
    assert looked_at == ["n2"]
    assert [len(hop.expired(5, 1_000)) for _ in range(21)] == [1_000] * 20 + [1]


def test_draining_gives_everything_back_once() -> None:
    hop, _, _ = asked()
    hop.hurry("n3", lambda _name: 10)
    assert hop.drain() == ["this"]
    assert (hop.drain(), hop.deadline, hop.expired(LATE_US, 9)) == ([], None, [])
