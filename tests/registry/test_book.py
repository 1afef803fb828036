"""What is registered, for how long, and how many: with a clock of the test's own."""

import pytest

from node.discovery.words import NODES_MAX, PER_NAME_MAX, Registration
from node.registry.book import Book, Full


def said(name: str = "n1", boot: str = "p1", port: int = 1, ttl_ms: int = 1000) -> Registration:
    return Registration(name=name, boot=boot, incarnation="disk", host="127.0.0.1", port=port, ttl_ms=ttl_ms)


def ports(book: Book, name: str, now_s: float) -> list[int]:
    return [each.registration.port for each in book.find(name, now_s)]


def test_a_registration_lives_as_long_as_it_is_repeated_and_is_forgotten_at_its_time() -> None:
    book = Book()
    book.register(said(), 0.0)
    book.register(said(port=2), 0.9)
    assert ports(book, "n1", 1.8) == [2], "what was said last counts"
    assert ports(book, "n1", 1.9) == []
    assert book.all(1.9) == ()


def test_a_process_that_leaves_is_gone_at_once_and_no_other_of_its_name_with_it() -> None:
    book = Book()
    book.register(said(boot="p1", port=1), 0.0)
    book.register(said(boot="p2", port=2), 0.1)
    assert book.withdraw("n1", "p1")
    assert not book.withdraw("n1", "p1")
    assert ports(book, "n1", 0.2) == [2]


def test_the_newest_process_comes_first_whoever_spoke_last() -> None:
    book = Book()
    book.register(said(boot="p1", port=1), 0.0)
    book.register(said(boot="p2", port=2), 0.1)
    book.register(said(boot="p1", port=1), 0.2)
    assert ports(book, "n1", 0.3) == [2, 1]


def test_a_rival_is_one_who_has_spoken_since_and_not_one_that_was_there_before() -> None:
    book = Book()
    book.register(said(boot="p1"), 0.0)
    assert book.register(said(boot="p2"), 0.1) == ()
    assert book.register(said(boot="p2"), 0.2) == (), "p1 may have ended before p2 began"
    assert [rival.boot for rival in book.register(said(boot="p1"), 0.3)] == ["p2"]
    assert [rival.boot for rival in book.register(said(boot="p2"), 0.4)] == ["p1"]


def test_processes_of_one_name_and_processes_in_all_are_bounded_and_a_full_book_takes_repetitions() -> None:
    book = Book()
    for number in range(PER_NAME_MAX):
        book.register(said(boot=f"p{number}"), 0.0)
    with pytest.raises(Full, match=f"{PER_NAME_MAX} processes are registered as n1 already"):
        book.register(said(boot="one more"), 0.0)
    for number in range(NODES_MAX - PER_NAME_MAX):
        book.register(said(name=f"m{number}"), 0.0)
    with pytest.raises(Full, match="no more fit in"):
        book.register(said(name="x"), 0.0)
    assert len(book.all(0.0)) == NODES_MAX
    book.register(said(name="m0", port=9), 0.5)
    assert ports(book, "m0", 1.2) == [9]
    book.register(said(name="x"), 1.2), "those that were not repeated made room"
    assert len(book.all(1.2)) == 2
