"""The tests of this folder notice the mistakes that they are for: each mutation of the algorithm fails one of them.

The whole list takes a minute or two: `RAFT_ALL_MUTATIONS=1 pytest tests/raft/test_mutations.py`, or
`python -m tests.raft.mutations`. The default run takes a fixed few, and checks that every anchor is still there.
"""

import os

import pytest

from tests.raft.mutations import MUTATIONS, QUICK_EVERY, ROOT, Mutation, survives

CHOSEN = MUTATIONS if os.environ.get("RAFT_ALL_MUTATIONS") else MUTATIONS[::QUICK_EVERY]


@pytest.mark.parametrize("mutation", CHOSEN, ids=lambda mutation: mutation.name)
def test_a_mistake_fails_a_test(mutation: Mutation) -> None:
    assert not survives(mutation), f"{mutation.name}: every test passed"


def test_an_unchanged_copy_passes() -> None:
    """Else the mutations would prove nothing: the copy might fail for another reason."""
    assert survives(None)


def test_every_mutation_still_finds_its_line() -> None:
    for mutation in MUTATIONS:
        text = (ROOT / "node" / "raft" / mutation.file).read_text()
        assert text.count(mutation.right) == 1, f"{mutation.name}: {text.count(mutation.right)} anchors"
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
