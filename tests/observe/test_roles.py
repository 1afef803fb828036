"""What roles are called: every one that a node can have."""

from node.observe.roles import LEARNER, ROLES
from node.raft.types import Role


def test_every_role_has_its_words() -> None:
    assert set(ROLES) == {LEARNER, *(role.value for role in Role)}
