"""A set of seeds gives birth once, and who takes part does so with its own disk (architecture, decisions 5 and 6)."""

from node.raft.core import Raft
from node.raft.types import Member, Role
from node.simulation.invariants.violation import fail


class OneBirth:
    def __init__(self) -> None:
        self.cluster_id = ""
        self.doubled: tuple[str, ...] = ()
        """Servers whose name another disk bears as well, from before birth on."""
        self._disks: dict[str, Member] = {}
        self._judged: dict[str, Raft] = {}
        """Whose birth was looked at: it does not change in a process's life."""

    def is_stranded(self, name: str, core: Raft) -> bool:
        """A server whose name two disks bear may be born of a set that the others have left by then (birth.py).

        It can harm nobody as long as it gets no further than its birth; once it does, it is judged like any other.
        """
        no_further = core.base.index < 2 and core.term_at(2) is None
        return name in self.doubled and no_further and core.role is not Role.LEADER

    def _may_campaign(self, name: str, core: Raft) -> bool:
        """A voter may, and one that was a voter of the last configuration that it knows to be committed: the change
        that removes it may be in its log alone (thesis 4.2.2)."""
        disk = self._disks[name]
        committed = core.base_at(core.commit).configuration
        return disk in core.configuration.voters or disk in committed.voters

    def stepped(self, name: str, core: Raft, changed: bool) -> None:
        """`changed`: whether members were ever changed, so that who takes part may be no member (any more, or yet)."""
        if self._judged.get(name) is not core:
            self._began(name, core, changed)
        # After that: the first step that a restarted server is seen at may be its campaign.
        if core.role in (Role.CANDIDATE, Role.PRE_CANDIDATE) and not self._may_campaign(name, core):
            fail(f"{name} campaigns with disk {self._disks[name]}, which is no voter of {core.configuration}")

    def _began(self, name: str, core: Raft, changed: bool) -> None:
        self._judged[name] = core
        status = core.status(0)
        self._disks[name] = Member(status.name, status.incarnation)
        self.cluster_id = self.cluster_id or status.cluster_id
        if status.cluster_id != self.cluster_id:
            fail(f"two clusters were born: {name} belongs to {status.cluster_id}, another to {self.cluster_id}")
        if not changed and self._disks[name] not in core.configuration.members:
            fail(f"{name} takes part with disk {status.incarnation}, which is no member of {core.configuration}")
