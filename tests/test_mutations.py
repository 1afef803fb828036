"""Tests of sessions, leases, users, snapshots on disk, watches, doors and the client notice the mistakes they are for.

Those of the algorithm are many, and run side by side: tests/raft/test_mutations.py.
"""

from types import ModuleType

import pytest

from tests.grpc import mutations as of_doors
from tests.mutating import Mutation, anchors
from tests.statemachine import auth_mutations as of_users
from tests.statemachine import lease_mutations as of_leases
from tests.statemachine import mutations as of_the_store
from tests.storage import mutations as of_storage
from tests.watching import mutations as of_watches

LISTS = (of_the_store, of_leases, of_users, of_storage, of_watches, of_doors)


@pytest.mark.longest
@pytest.mark.parametrize(
    ("of", "mutation"),
    [pytest.param(of, mutation, id=mutation.name) for of in LISTS for mutation in of.MUTATIONS],
)
def test_a_mistake_fails_a_test(of: ModuleType, mutation: Mutation) -> None:
    assert not of.survives(mutation)


@pytest.mark.longest
@pytest.mark.parametrize("of", LISTS, ids=lambda of: of.__name__)
def test_an_unchanged_copy_passes(of: ModuleType) -> None:
    """Else the mutations would prove nothing: the copy might fail for another reason."""
    assert of.survives(None)


@pytest.mark.parametrize("of", LISTS, ids=lambda of: of.__name__)
def test_every_mutation_still_finds_its_line(of: ModuleType) -> None:
    for mutation in of.MUTATIONS:
        assert anchors(mutation, of.ROOM) == 1, f"{mutation.name}: {anchors(mutation, of.ROOM)} anchors"
