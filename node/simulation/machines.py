"""A world of changing members in which machines that were given up come back: of a name whose disk was replaced the
old process speaks again, while its successor serves.

It has its old disk, knows nothing of what was decided since, and asks for votes, as whoever hears of no leader does.
What it is answered goes to its name, which is its successor's by now.

Why it exists: a reply travels to a name, and whether it is for this disk or for an earlier one of the name is for the
core to see. What the old process says is made here, from where its log ended when it was last seen; it hears nothing,
since nobody dials it any more. Here must be no rule of the product.
"""

from typing import NamedTuple

from node.raft.messages import PreVote, RaftMessage, Vote
from node.raft.types import Member
from node.simulation.chance import pick
from node.simulation.members import LOOK_US, Members
from node.simulation.server import Server

SPEAKS = 0.8
"""How often, at a look, one of those that came back asks for votes."""
CAMPAIGNS_MAX = 12
"""Of one process before its machine is taken away; numbered from 1, as those of its successor are."""
VOTES = 0.2
"""How often it asks for the vote itself: it was promised enough by whoever heard of no leader either."""


class _End(NamedTuple):
    """Where the disk of a server stood when it was last seen."""

    term: int
    last_index: int
    last_term: int


class Machines(Members):
    """`run()` raises Violation."""

    def _found(self) -> list[Server]:
        self._ends: dict[Member, _End] = {}
        self._campaigns: dict[Member, int] = {}
        """Of those whose disk was given up: how often they have asked since."""
        self._aside = self._acts("m").aside
        return super()._found()

    def _look(self) -> None:
        super()._look()
        now = self.scheduler.now()
        if now >= self.safety_us:
            return
        for server in self.servers:
            if server.driver is not None:
                status = server.driver.core.status(now)
                self._ends[Member(server.name, server.incarnation)] = _End(
                    status.term, status.last_index, status.last_term
                )
        names = {member.name: member for member in self.configuration.members}
        back = [one for one in self._ends if names.get(one.name, one) != one and self._has_more_to_say(one)]
        if back and self._aside.random() < SPEAKS:
            self._speak(pick(self._aside, back))

    def _has_more_to_say(self, old: Member) -> bool:
        return self._campaigns.get(old, 0) < CAMPAIGNS_MAX

    def _speak(self, old: Member) -> None:
        """To everybody who may be a member of what it knows, but to its own name."""
        end, number = self._ends[old], self._campaigns.get(old, 0) + 1
        self._campaigns[old] = number
        self.happenings.counts["words of machines that were given up"] += 1
        asked: RaftMessage = PreVote(end.term + 1, end.last_index, end.last_term, number)
        if self._aside.random() < VOTES:
            asked = Vote(end.term + 1, end.last_index, end.last_term)
        self.on_line(b"%d back %s %s" % (self.scheduler.now(), old.name.encode(), old.incarnation.encode()))
        for server in self.servers:
            if server.name != old.name and server.driver is not None:
                after_us = int(self._aside.random() * LOOK_US)
                server.later(after_us, lambda server=server: server.hear(old, asked))  # type: ignore[misc]
