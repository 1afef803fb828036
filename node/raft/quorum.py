"""Counting: what a majority has said. All quorum arithmetic of the node is here and takes the voters as a value.

Why it exists: votes, commits, read rounds and CheckQuorum are one question, "what does a majority agree on?", and
must not be answered by four pieces of code. A second, naive implementation in the tests checks this one.
"""

import enum
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Voter = TypeVar("Voter", bound=Hashable)


class Tally(enum.Enum):
    """The state of an election."""

    PENDING = "pending"
    WON = "won"
    LOST = "lost"


def majority(voters: int) -> int:
    """How many of `voters` are a quorum: any two quorums share a server (section 5.2)."""
    return voters // 2 + 1


def tally(voters: Sequence[Voter], votes: Mapping[Voter, bool]) -> Tally:
    """Count `votes` (by voter, so that a duplicate counts once, pitfall 15); votes of non-voters do not count."""
    needed = majority(len(voters))
    granted = sum(1 for voter in voters if votes.get(voter) is True)
    refused = sum(1 for voter in voters if votes.get(voter) is False)
    if granted >= needed:
        return Tally.WON
    return Tally.LOST if refused > len(voters) - needed else Tally.PENDING


def agreed(values: list[int]) -> int:
    """The largest value that a majority has reached, given one value a voter.

    With match indexes it is the index that is stored on a quorum (section 5.3); with acknowledged read rounds the
    round that is confirmed; with times of last contact the time since when a quorum is connected.
    """
    ordered = sorted(values, reverse=True)
    return ordered[majority(len(ordered)) - 1]
