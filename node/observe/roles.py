"""What each role is called for people, and what it means.

Why it exists: the page and the report of `raft-chaos` name the same roles; the words of both (`words.js`,
`chaos/report/words.py`) are made from this table. How a role looks is in the page's `look.css`, which both have, too.
"""

from typing import NamedTuple

from node.raft.types import Role


class RoleWords(NamedTuple):
    """`name` as it stands after "became" and "was"; `means` completes "a node that ..."."""

    name: str
    means: str


LEARNER = "learner"
"""No role of the algorithm: a node that follows and is no voter."""

ROLES: dict[str, RoleWords] = {
    Role.LEADER.value: RoleWords("leader", "leads its term"),
    Role.FOLLOWER.value: RoleWords("follower", "follows a leader, or waits to hear one"),
    LEARNER: RoleWords("learner", "gets the log, has no vote and counts nowhere"),
    Role.PRE_CANDIDATE.value: RoleWords("pre-candidate", "asks whether it could win, in no new term yet"),
    Role.CANDIDATE.value: RoleWords("candidate", "stands for election in a term of its own"),
    Role.INITIAL.value: RoleWords("waiting", "has no vote and waits, for birth or because its disk was lost"),
}
