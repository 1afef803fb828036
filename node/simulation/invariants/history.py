"""What servers have shown so far: the one memory that every invariant looks at.

Why it exists: invariants are about more than one moment and more than one server. It must not judge.
"""

from node.raft.core import Raft
from node.raft.types import Entry, Member


class History:
    """A server is known by its label: which of several disks that bear one name."""

    def __init__(self) -> None:
        self.committed: list[Entry] = []
        """The one history, by whoever knew of it first."""
        self.leaders: dict[int, str] = {}
        """Who led each term."""
        self.terms: dict[str, list[int]] = {}
        """The term of each entry of a server's log, those before its base included."""
        self.commit: dict[str, int] = {}
        """The commit index that a server showed last, in this process."""
        self.applied: dict[str, int] = {}
        self.disks: dict[Member, str] = {}
        """Whose disk is there, and has not been lost."""

    def booted(self, name: str, core: Raft) -> None:
        """A new process began from its disk."""
        self.commit.pop(name, None)
        self.applied.pop(name, None)
        self.terms.pop(name, None)
        status = core.status(0)
        self.disks = {disk: label for disk, label in self.disks.items() if label != name}
        self.disks[Member(status.name, status.incarnation)] = name
