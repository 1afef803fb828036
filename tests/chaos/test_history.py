"""A history gives back what was put in, and a long one fits into memory."""

import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest

from chaos.checks import judge
from chaos.report import figures
from chaos.workload.history import BYTES_PER_OP, History, Op, by_key, columns_of
from tests.chaos.evidence import S, good, kill, read, write

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
    assert dict(by_key(OPS)) == {"chaos/t/w1": [OPS[0], OPS[1], OPS[4]], "chaos/t/w2": [OPS[2], OPS[3]]}
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


@pytest.mark.parametrize("too_much", [{"value": 2**63}, {"revision": 2**63}, {"code": 2**16}, {"sent_us": -(2**64)}])
def test_a_number_that_no_run_has_is_refused_and_leaves_no_half_request(too_much: dict[str, int]) -> None:
    history = History(OPS)
    with pytest.raises(OverflowError):
        history.append(msgspec.structs.replace(OPS[0], **too_much))
    assert history == OPS


def run(requests: int) -> Iterator[Op]:
    """Three writers and three readers, twenty a second each; one write of two thousand is of unknown outcome."""
    last, revision = [0, 0, 0], 1
    for number in range(requests):
        at, who = number / 120, number % 3
        if number % 6 < 3:
            last[who] += 1
            revision += 1
            op = write(
                last[who], at, at + 0.004, "ok" if number % 2003 else "unknown", f"chaos/run/w{who}", f"n{who + 1}"
            )
            yield msgspec.structs.replace(op, revision=revision if op.outcome == "ok" else 0)
        else:
            yield read(last[who], at, at + 0.003, f"chaos/run/w{who}", f"n{who + 1}")


def test_a_request_takes_sixty_bytes() -> None:
    tracemalloc.start()
    history = History(run(20_000))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(history) == 20_000
    assert taken / len(history) < BYTES_PER_OP * 1.25, "arrays have room for an eighth more"


MEGABYTES_RECORDED, MEGABYTES_JUDGED = 150, 450


def _main(requests: int) -> None:
    """What the process of the test below does."""
    history = History(run(requests))
    recorded = _megabytes()
    ended = requests / 120
    writes = {op.key: op.value or 0 for op in history.writes()}
    half_us = int(ended / 2 * S)
    evidence = msgspec.structs.replace(
        good(), history=history, final=writes, final_versions=writes, faults=(kill(at=ended / 2),),
        recovered_us=(half_us + S,), began_faults_us=half_us, ended_us=int(ended * S),
    )  # fmt: skip
    verdicts = {verdict.check: verdict.outcome for verdict in judge.judge(evidence)}
    counted = figures.count(evidence)
    print(recorded, _megabytes(), verdicts["no-stale-read"], counted.acknowledged_writes + counted.unknown_writes)


def _megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000


@pytest.mark.longest
def test_a_million_requests_are_recorded_and_judged_in_bounded_memory() -> None:
    command = [sys.executable, "-c", "from tests.chaos.test_history import _main; _main(1_000_000)"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=400)
    recorded, judged, stale, writes = ended.stdout.split()
    assert (stale, writes) == ("pass", "500001")
    assert int(recorded) < MEGABYTES_RECORDED
    assert int(judged) < MEGABYTES_JUDGED
