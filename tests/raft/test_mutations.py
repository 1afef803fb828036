"""The tests of this folder notice the mistakes that they are for: each mutation of the algorithm fails one of them.

`make test` checks that every anchor is still there. `make test-long` plants a fixed few,
`python -m tests.raft.mutations` and `RAFT_ALL_MUTATIONS=1 pytest -m longest tests/raft/test_mutations.py` all of them.
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.mutating import Mutation, anchors
from tests.mutations import by_area, everything
from tests.raft.mutations import MUTATIONS, QUICK_EVERY, ROOM, survives

CHOSEN = MUTATIONS if os.environ.get("RAFT_ALL_MUTATIONS") else MUTATIONS[::QUICK_EVERY]


Verdicts = dict[Mutation | None, Future[str]]


@pytest.fixture(scope="module")
def verdicts() -> Verdicts:
    """Of every mutation that is tested: what `survives` says. Each is a process, so they run on all processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {mutation: pool.submit(survives, mutation) for mutation in (None, *CHOSEN)}


@pytest.mark.longest
@pytest.mark.timeout(600)  # the first waits for all
@pytest.mark.parametrize("mutation", CHOSEN, ids=lambda mutation: mutation.name)
def test_a_mistake_fails_a_test(verdicts: Verdicts, mutation: Mutation) -> None:
    assert not verdicts[mutation].result(), f"{mutation.name}: every test passed"


@pytest.mark.longest
@pytest.mark.timeout(600)
def test_an_unchanged_copy_passes(verdicts: Verdicts) -> None:
    """Else the mutations would prove nothing: the copy might fail for another reason."""
    assert verdicts[None].result()


def test_every_mutation_still_finds_its_line() -> None:
    for mutation in MUTATIONS:
        assert anchors(mutation, ROOM) == 1, f"{mutation.name}: {anchors(mutation, ROOM)} anchors"
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


def test_what_came_after_the_paper_is_held_by_mutations_too() -> None:
    counts = {area: len(mutations) for area, mutations in by_area().items()}
    assert all(counts[area] >= 20 for area in ("snapshots", "members", "sessions", "failover")), counts
    names = [mutation.name for mutation in everything()]
    assert len(set(names)) == len(names) == sum(counts.values())
