"""The scenarios, in the order in which they are best read.

Why it exists: one table for the command's list, its help, and the tests. It must not play anything.
"""

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from node.scenarios import (
    leader_election,
    leader_failure,
    log_divergence,
    majority_partition,
    minority_partition,
    rank_death,
    recovery,
    registry_loss,
    split_vote,
)
from node.scenarios.story import Story


class Scenario(msgspec.Struct, frozen=True):
    """`lesson`: what to keep of it. `stretch`: its election timeouts are that many times as long."""

    name: str
    title: str
    summary: str
    lesson: str
    play: Callable[[Story], Awaitable[None]]
    stretch: int = 1
    nodes: Literal["listed", "registered", "ranks"] = "listed"
    """How they find and reach each other: a list, a registry, or MPI, which must be there."""


SCENARIOS = (
    Scenario(
        "leader-election",
        "Leader election",
        "Five equal nodes start; one of them becomes leader, and nobody decided which.",
        "A timeout drawn by chance picks who asks, a majority of votes decides, and one vote a term makes it safe.",
        leader_election.play,
    ),
    Scenario(
        "leader-failure",
        "Leader failure",
        "The leader is killed; the others elect another and have everything that was acknowledged.",
        "Acknowledged means: on the disks of a majority. Every later leader needs a majority, and both majorities "
        "share a node, which votes for nobody whose log is behind its own.",
        leader_failure.play,
    ),
    Scenario(
        "split-vote",
        "Split vote",
        "Two nodes stand at the same moment and get two votes each of five: a term without a winner.",
        "A tie costs time, never safety. Timeouts drawn anew by chance make the next tie unlikely.",
        split_vote.play,
        stretch=2,
    ),
    Scenario(
        "minority-partition",
        "Partition: the leader is in the minority",
        "The network splits; the leader keeps one follower, three nodes are on the other side.",
        "Only one side of a split can have a majority. The other refuses instead of guessing, so there is never "
        "more than one truth.",
        minority_partition.play,
    ),
    Scenario(
        "majority-partition",
        "Partition: the leader keeps the majority",
        "The network splits; two followers are on their own, the leader goes on with three of five.",
        "Losing a minority costs clients nothing, and PreVote keeps those who return from disturbing a good leader.",
        majority_partition.play,
    ),
    Scenario(
        "recovery",
        "Recovery and catch-up",
        "A follower dies, misses hundreds of writes, and returns with the disk it had.",
        "The log on disk is the node's memory: it goes on where it was, and the leader sends only what is missing.",
        recovery.play,
    ),
    Scenario(
        "log-divergence",
        "Log divergence and repair",
        "A leader that is cut off takes writes it can never commit; the others write something else in their place.",
        "An entry counts when a majority holds it. What only a deposed leader holds is replaced, and 504 has said "
        "beforehand that it might be.",
        log_divergence.play,
    ),
    Scenario(
        "registry-loss",
        "The registry is lost",
        "Nodes that know names alone find each other by a registry; it is killed, then the leader is.",
        "Who says where nodes are must not decide who they are: members and votes are in the log, so whatever helps "
        "to find them may be wrong, forgetful or dead.",
        registry_loss.play,
        nodes="registered",
    ),
    Scenario(
        "rank-death",
        "A rank of an MPI world dies",
        "Five ranks of an MPI world are the nodes; the leader's is killed, and cannot come back.",
        "Raft needs messages and no more: what carries them may have no connections, no goodbyes and no way back. A "
        "death is silence then, and the cluster has one life less until its world begins anew.",
        rank_death.play,
        stretch=2,
        nodes="ranks",
    ),
)

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
