"""A history gives back what was put in, and a long one fits into memory."""

import tracemalloc

import msgspec
import pytest

from chaos.workload.history import BYTES_PER_OP, History, by_key, columns_of
from tests.chaos import long_run
from tests.chaos.evidence import S, read, write

OPS = (
    write(1, 0, 1),
    msgspec.structs.replace(read(0, 1, 2), value=None, outcome="fail", code=0, error="no answer"),
    write(2, 2, 3, "unknown", key="chaos/t/w2", via="n3"),
    msgspec.structs.replace(read(2, 3, 4, key="chaos/t/w2"), value=-1, error="the value is b'x'", revision=10**17),
    write(3, 4, 5, "fail"),
)


def test_what_was_put_in_comes_out_in_its_order() -> None:
    history = History(OPS)
    assert tuple(history) == OPS
    assert history == OPS
    assert history == OPS
    assert history != History(OPS[:-1])
    assert [history[place] for place in (0, -1)] == [OPS[0], OPS[-1]]
    assert [history[1:3], history[-2:], history[::2], history[9:]] == [
        [*OPS[1:3]], [*OPS[-2:]], [*OPS[::2]], []
    ]  # fmt: skip
    assert list(reversed(history)) == history[::-1] == [*OPS[::-1]]
    with pytest.raises(IndexError):
        history[5]


def test_its_parts_are_the_requests_of_a_key_a_node_a_client_and_all_writes() -> None:
    assert {key: list(part) for key, part in by_key(OPS).items()} == {
        "chaos/t/w1": [OPS[0], OPS[1], OPS[4]], "chaos/t/w2": [OPS[2], OPS[3]]
    }  # fmt: skip
    history = columns_of(OPS)
    assert columns_of(history) is history
    assert {via: list(part) for via, part in history.split("via").items()} == {
        "n1": [OPS[0], OPS[4]], "n2": [OPS[1], OPS[3]], "n3": [OPS[2]]
    }  # fmt: skip
    assert list(history.split("client")["r1"]) == [OPS[1], OPS[3]]
    writes = history.writes()
    assert (list(writes), len(writes), writes[1], writes[1:]) == (
        [OPS[0], OPS[2], OPS[4]], 3, OPS[2], [OPS[2], OPS[4]]
    )  # fmt: skip


def test_requests_are_found_by_what_they_were_and_how_they_ended_without_being_made() -> None:
    history = History(OPS)
    assert list(history.places()) == [0, 1, 2, 3, 4]
    assert (list(history.places("write")), list(history.places("write", "ok"))) == ([0, 2, 4], [0])
    assert (list(history.places(outcome="fail")), list(history.places("read", "ok"))) == ([1, 4], [3])
    assert list(by_key(history)["chaos/t/w1"].places("write")) == [0, 4]
    assert (history.number_of("write", "fail"), history.number_of("read", "unknown")) == (1, 0)
    assert [(history.key(place), history.via(place), history.outcome(place)) for place in (1, 2)] == [
        ("chaos/t/w1", "n2", "fail"), ("chaos/t/w2", "n3", "unknown")
    ]  # fmt: skip


def test_requests_are_kept_in_the_order_in_which_they_were_done_until_another_comes() -> None:
    late, early, other = write(1, 0, 9), write(2, 1, 3), write(3, 2, 5, via="n3")
    history = History([late, early, other])
    assert list(history.at(history.ordered("write", "ok").places)) == [early, other, late]
    assert list(history.ordered("write", "ok", "n1").done_us) == [3 * S, 9 * S]
    assert list(history.ordered().between(3 * S, 5 * S)) == [1, 2], "both ends are in it"
    assert list(history.ordered(via="n9").places) == []
    assert history.ordered("write") is history.ordered("write")
    assert (history.last_sent_us("write"), history.last_sent_us("read")) == (2 * S, None)
    history.append(read(3, 6, 7))
    assert (history.last_sent_us("read"), list(history.ordered().places)) == (6 * S, [1, 2, 3, 0])


@pytest.mark.parametrize("too_much", [{"value": 2**63}, {"revision": 2**63}, {"code": 2**16}, {"sent_us": -(2**64)}])
def test_a_number_that_no_run_has_is_refused_and_leaves_no_half_request(too_much: dict[str, int]) -> None:
    history = History(OPS)
    with pytest.raises(OverflowError):
        history.append(msgspec.structs.replace(OPS[0], **too_much))
    assert history == OPS


def test_a_request_takes_sixty_bytes() -> None:
    tracemalloc.start()
    history = History(long_run.requests(20_000))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(history) == 20_000
    assert taken / len(history) < BYTES_PER_OP * 1.25, "arrays have room for an eighth more"
