"""The tests of snapshots on disk notice the mistakes that they are for: each mutation fails one of them."""

import pytest

from tests.mutating import Mutation, anchors
from tests.storage.mutations import MUTATIONS, ROOM, survives


@pytest.mark.longest
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mistake_fails_a_test(mutation: Mutation) -> None:
    assert not survives(mutation)


@pytest.mark.longest
def test_an_unchanged_copy_passes() -> None:
    """Else the mutations would prove nothing: the copy might fail for another reason."""
    assert survives(None)


def test_every_mutation_still_finds_its_line() -> None:
    for mutation in MUTATIONS:
        assert anchors(mutation, ROOM) == 1, f"{mutation.name}: {anchors(mutation, ROOM)} anchors"
