"""Writes that nobody took because the lead changes hands, while they wait for who has it next.

Why it exists: a client that is refused comes again after a pause of its own choice, and an election then costs it that
pause and another round trip. What waits here goes with the first entry of the next leader. Only what was certainly not
proposed waits, and only for a moment: a cluster without a quorum must say so at once. It must not send, or know who
leads.
"""

from node.runtime.deadlines import earliest
from node.runtime.pending import PendingWrite
from node.runtime.ports import NotProposed

HELD_US = 500_000
"""Since nobody took the first; then all are refused, and so is what comes, until another leads, or nothing came and
nothing was refused for so long."""

HELD_WRITES_MAX = 1024
HELD_BYTES_MAX = 4 * 1024 * 1024
"""What may wait, since all of it may be offered in one step; more is refused at once. One larger write waits alone."""

AGAIN_US = 10_000
"""A leader that refused is asked again after so long: it may be handing over, or was deposed and nobody knows yet."""

MAY_WAIT = ("no-leader", "no-link", "transferring")
"""Why nobody took it, where the next leader would."""


class BetweenLeaders:
    """Every write that is held leaves once: offered anew, or refused as it was before."""

    def __init__(self) -> None:
        self.held: list[tuple[PendingWrite, NotProposed]] = []
        """To look at whether there is anything, in every turn."""
        self._bytes = 0
        self._until_us: int | None = None
        self._asked_us = 0
        self._due_us: int | None = None
        """When the first of them has waited too long."""
        self._again_us: int | None = None

    def __len__(self) -> int:
        return len(self.held)

    def hold(self, write: PendingWrite, refusal: NotProposed, now: int) -> bool:
        """Whether `write`, which was refused, waits now."""
        if refusal.code not in MAY_WAIT or not write.may_forward:
            return False
        if self._until_us is None or now - self._asked_us > HELD_US:
            self._until_us = now + HELD_US
        self._asked_us = now
        size_bytes = len(write.data)
        full = len(self.held) >= HELD_WRITES_MAX or (self.held and self._bytes + size_bytes > HELD_BYTES_MAX)
        until_us = min(self._until_us, write.deadline_us)
        if full or now >= until_us:
            return False
        self.held.append((write, refusal))
        self._bytes += size_bytes
        self._due_us = earliest(self._due_us, until_us)
        return True

    def refused_by_leader(self, now: int) -> None:
        """Who leads as far as is known took nothing: what is held waits a little before it is asked again."""
        self._again_us = now + AGAIN_US

    def leader_changed(self) -> None:
        """What follows is another change of leaders."""
        self._until_us = self._again_us = None

    def may_be_offered(self, now: int) -> bool:
        """Whether somebody is to be asked again."""
        if self._again_us is not None and now >= self._again_us:
            self._again_us = None
        return bool(self.held) and self._again_us is None

    def take_all(self) -> list[PendingWrite]:
        """They wait no more: offer each of them."""
        held, self.held = self.held, []
        self._bytes, self._due_us = 0, None
        return [write for write, _ in held]

    def expired(self, now: int) -> list[tuple[PendingWrite, NotProposed]]:
        """Take away and return what waited too long, with what it is refused for."""
        if self._due_us is None or now < self._due_us:
            return []
        self._asked_us = now
        ends_us = now if self._until_us is None else self._until_us
        late = [one for one in self.held if now >= min(ends_us, one[0].deadline_us)]
        self.held = [one for one in self.held if now < min(ends_us, one[0].deadline_us)]
        self._bytes = sum(len(write.data) for write, _ in self.held)
        self._due_us = min((min(ends_us, write.deadline_us) for write, _ in self.held), default=None)
        return late

    @property
    def deadline(self) -> int | None:
        """When one has waited too long, or somebody is to be asked again; None: none waits."""
        return earliest(self._due_us, self._again_us) if self.held else None

    def drain(self) -> list[tuple[PendingWrite, NotProposed]]:
        """Take away and return everything: the node stops."""
        held, self.held = self.held, []
        self._bytes, self._due_us = 0, None
        return held
