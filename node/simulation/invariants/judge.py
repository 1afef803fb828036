"""Looks at a server after each of its steps, and asks every invariant.

Why it exists: the order in which invariants look matters to what they may rely on. It must not know a rule itself, nor
share code with the rules that are judged.
"""

from node.raft.core import Raft
from node.raft.types import Base, Configuration, Entry, EntryKind, Role
from node.simulation.invariants.configuration_safety import ConfigurationSafety
from node.simulation.invariants.durable_answers import DurableAnswers
from node.simulation.invariants.election_safety import ElectionSafety
from node.simulation.invariants.history import History
from node.simulation.invariants.leader_completeness import LeaderCompleteness
from node.simulation.invariants.log_matching import LogMatching
from node.simulation.invariants.log_time import LogTime
from node.simulation.invariants.one_birth import OneBirth
from node.simulation.invariants.snapshot_equals_log import SnapshotEqualsLog
from node.simulation.invariants.state_machine_safety import StateMachineSafety


class Invariants:
    """Fed by the world: `sent` before each message leaves, `stepped` after each step, `rebooted` after a restart."""

    def __init__(self) -> None:
        self.history = history = History()
        self.birth = OneBirth()
        self._answers = DurableAnswers(history)
        self._completeness = LeaderCompleteness(history)
        self.configurations = ConfigurationSafety(history)
        self._elections = ElectionSafety(history)
        self._logs = LogMatching(history)
        self._machines = StateMachineSafety(history)
        self._snapshots = SnapshotEqualsLog(history)
        self._times = LogTime()
        self.sent = self._elections.sent
        self.acknowledged = self._answers.acknowledged

    @property
    def committed(self) -> list[Entry]:
        """The one history of the world."""
        return self.history.committed

    @property
    def configuration(self) -> Configuration:
        """The latest that is committed."""
        return self.configurations.last

    @property
    def leaders(self) -> dict[int, str]:
        """Who led each term."""
        return self.history.leaders

    def founded(self, base: Base, now: int) -> None:
        """What is judged is a cluster that begins with a state, not with a birth: all up to `base` is committed."""
        self.history.committed += [Entry(index, base.term, EntryKind.WRITE) for index in range(1, base.index + 1)]
        self.configurations.founded(base.configuration)
        self.birth.cluster_id = base.cluster_id
        self._times.founded(base, now)

    def rebooted(self, name: str, core: Raft, wiped: bool) -> None:
        """A new process began from its disk; `wiped`: from an empty one that took the place of a lost one."""
        self._machines.rebooted(name, core, wiped)
        self._elections.rebooted(name, core, wiped)
        self._logs.rebooted(name)
        self._completeness.rebooted(name)
        self.history.booted(name, core)

    def stepped(self, name: str, core: Raft, now: int) -> None:
        """All of figure 3, for the server that just took a step. Before birth it has nothing to keep."""
        if core.role is Role.INITIAL or self.birth.is_stranded(name, core):
            return
        self.birth.stepped(name, core, self.configurations.changed)
        self._snapshots.stepped(name, core)
        new: list[Entry] = []
        for entry, term_before in self._logs.stepped(name, core):
            self._times.appended(name, entry, term_before, now)
            new.append(entry)
        if self._machines.stepped(name, core):
            self.configurations.committed()
            if core.role is Role.LEADER:
                self._completeness.committed(name, core, self.history.committed[-1])
        for entry in new:
            self.configurations.appended(name, entry)
        self.configurations.stepped(name, core)
        if core.role is Role.LEADER:
            self._elections.leads(name, core)
            self._completeness.leads(name, core)
        self._answers.stepped()
