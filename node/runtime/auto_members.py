"""Lets nodes in by itself, where a setting allows their names: a lost disk heals without an operator.

Why it exists: where something makes sure that at most one process of a name runs (a StatefulSet, the local cluster), a
node with an empty disk that asks under an allowed name is what it says. It wishes only what an operator could, one
change at a time, and the core refuses it alike. It must not decide what is safe.
"""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from node.raft.changes import CAUGHT_UP_ENTRIES
from node.raft.progress import ProgressState
from node.raft.status import ApplicantStatus, CoreStatus
from node.raft.types import Role
from node.runtime.applicants import said_of_itself
from node.runtime.ports import CommandOutcome

LOOK_S = 0.5
"""How often a leader looks for what there is to do."""

ASKED_US_MIN = 2_000_000
"""So long must a node have asked this leader: who is only restarted, or passes by, is not let in."""

RETRY_US_MIN, RETRY_US_MAX = 1_000_000, 30_000_000
"""The pause after a change that was refused doubles from the first to the second."""


class Wish(msgspec.Struct, frozen=True):
    """A command for the core, as an operator would give it. `more`: what an applicant said of itself, for this node may
    have heard of it from others alone."""

    command: str
    name: str
    more: Mapping[str, str] = {}


class _Pause(msgspec.Struct, frozen=True):
    until_us: int
    length_us: int


class AutoMembers:
    """`patterns`: names that are let in, with * and ?. `order` posts a command and answers once."""

    def __init__(
        self,
        patterns: Sequence[str],
        election_timeout_us: int,
        order: Callable[[str, Mapping[str, str], Callable[[CommandOutcome], None]], None],
    ) -> None:
        self._patterns = tuple(patterns)
        self._election_timeout_us = election_timeout_us
        self._order = order
        self._since: dict[tuple[str, str], int] = {}
        self._pauses: dict[str, _Pause] = {}
        self._ordered: Wish | None = None

    def look(self, core: CoreStatus, now: int) -> None:
        """Call again and again; `core` with everybody's applicants. Does at most one thing, and nothing before that is
        answered."""
        if core.role is not Role.LEADER:
            self._since.clear()
            self._pauses.clear()
            return
        asking = {(one.name, one.incarnation) for one in core.applicants}
        self._since = {who: self._since.get(who, now) for who in asking}
        if self._ordered is not None or core.changing_members or core.transferring_to:
            return
        wish = next((wish for wish in self._wishes(core, now) if not self._pauses_for(wish, now)), None)
        if wish is not None:
            self._ordered = wish
            self._order(
                wish.command, {"name": wish.name, **wish.more}, lambda outcome: self._answered(outcome, wish, now)
            )

    def _wishes(self, core: CoreStatus, now: int) -> list[Wish]:
        wishes = [Wish("promote_learner", name) for name in self._caught_up(core)]
        for one in core.applicants:
            if self._allows(one.name) and now - self._since[one.name, one.incarnation] >= ASKED_US_MIN:
                if not one.replaces:
                    wishes.append(Wish("add_learner", one.name, said_of_itself(one)))
                elif self._is_silent(core, one):
                    wishes.append(Wish("replace_member", one.name, said_of_itself(one)))
        return wishes

    def _allows(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self._patterns)

    def _is_silent(self, core: CoreStatus, applicant: ApplicantStatus) -> bool:
        """Whether the old disk of that name has not been heard for an election timeout: two may bear one name."""
        old = (applicant.name, applicant.replaces)
        ages = [peer.contact_age_us for peer in core.peers if (peer.name, peer.incarnation) == old]
        return all(age is None or age > self._election_timeout_us for age in ages)

    def _caught_up(self, core: CoreStatus) -> list[str]:
        learners = {(learner.name, learner.incarnation) for learner in core.learners if self._allows(learner.name)}
        return [
            peer.name
            for peer in core.peers
            if (peer.name, peer.incarnation) in learners
            and peer.progress == ProgressState.REPLICATE.value
            and core.last_index - peer.match_index <= CAUGHT_UP_ENTRIES
        ]

    def _pauses_for(self, wish: Wish, now: int) -> bool:
        pause = self._pauses.get(wish.name)
        return pause is not None and now < pause.until_us

    def _answered(self, outcome: CommandOutcome, wish: Wish, now: int) -> None:
        self._ordered = None
        pause = self._pauses.pop(wish.name, None)
        if outcome.code != "ok":
            length_us = RETRY_US_MIN if pause is None else min(2 * pause.length_us, RETRY_US_MAX)
            self._pauses[wish.name] = _Pause(now + length_us, length_us)
