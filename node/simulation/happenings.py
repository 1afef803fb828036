"""What happened in a world that is rare enough to be counted: what a batch of worlds must have seen (coverage.py).

Why it exists: a batch in which no vote was ever split says nothing about split votes. It must not judge.
"""

from collections import Counter
from collections.abc import Mapping

from node.raft.core import Raft
from node.raft.messages import Message, Vote
from node.raft.types import EntryKind, Role
from node.storage.recovery import Recovered

UNDER_LOAD_US = 300_000
"""An install is under load where a write was acknowledged so shortly before it."""

_TOLD = {
    ("truncated", ""): "conflicts: entries removed",
    ("snapshot", "taken"): "snapshots taken",
    ("snapshot-sent", "done"): "snapshots sent",
    ("snapshot-sent", "given up"): "snapshots given up on their way",
    ("transfer", "done"): "hand-overs done",
    ("transfer", "failed"): "hand-overs failed",
    ("quorum-lost", ""): "leaders without a quorum stepped down",
    ("disk-silent", ""): "silent disks noticed",
    ("leader-gone", ""): "ends of leaders seen",
    ("leader-back", ""): "ends of leaders seen wrongly",
    ("members", ""): "changes of members begun",
    ("left-out", ""): "removed members told so when they came back",
}
_REASONS = {"it was removed from the voters": "leaders that removed themselves"}


class Happenings:
    """Fed by the world; `counts` by name, for people too."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._candidates: dict[int, dict[str, None]] = {}
        self._leaders: dict[int, None] = {}

    def told(self, kind: str, detail: Mapping[str, object], since_write_us: int) -> None:
        """A server traced something; so long ago a write was acknowledged."""
        name = _TOLD.get((kind, str(detail.get("phase", ""))))
        if kind == "snapshot-installed":
            name = "snapshots installed"
            if since_write_us < UNDER_LOAD_US:
                self.counts["snapshots installed under load"] += 1
        elif kind == "role":
            name = _REASONS.get(str(detail["reason"]))
        if name is not None:
            self.counts[name] += 1

    def started(self, recovered: Recovered) -> None:
        """A process began with that."""
        if not recovered.cluster_id:
            kind = "an empty disk"
        elif recovered.snapshot is None:
            kind = "a log alone"
        elif recovered.entries:
            kind = "a snapshot and a log"
        else:
            kind = "a snapshot alone"
        self.counts[f"starts with {kind}"] += 1
        if recovered.partial is not None:
            self.counts["starts with a part of a snapshot"] += 1
        if recovered.torn_files:
            self.counts["starts with a torn frame"] += 1

    def sent(self, name: str, message: Message) -> None:
        """A server says this to another."""
        if isinstance(message, Vote):
            self._candidates.setdefault(message.term, {})[name] = None

    def stepped(self, core: Raft, committed: int) -> None:
        """`committed`: how many entries are, as far as anybody knows."""
        if core.role is not Role.LEADER or core.term in self._leaders:
            return
        self._leaders[core.term] = None
        self.counts["leaders"] += 1
        status = core.status(0)
        beyond = core.entries(committed + 1, status.last_index - committed)
        if any(entry.kind is EntryKind.CONFIGURATION for entry in beyond):
            self.counts["leaders elected in the middle of a change of members"] += 1

    def end(self) -> None:
        """Nothing more comes."""
        split = [term for term, who in self._candidates.items() if len(who) > 1 and term not in self._leaders]
        self.counts["split votes"] = len(split)
