"""What the tool knows of a cluster, as values: what nodes said of themselves, and where they run.

Why it exists: targets produce these, faults decide by them, checks judge them, the report shows them. Times are
microseconds of the tool's clock (clock.py) unless a name says otherwise. It must not talk to anything.
"""

from typing import Literal

import msgspec

from chaos import links
from chaos.links import Pair

Effect = Literal["", "killed", "paused", "cut"]
"""What a fault does to its victims: their process ends, stands still, or what links carry is lost. Empty: runs of
before this was recorded."""


class Peer(msgspec.Struct, frozen=True):
    """One other member, as a node sees it. `last_contact_ms`: since it last heard from it; None: never."""

    name: str
    last_contact_ms: float | None = None
    link_up: bool = False
    match_index: int | None = None


class Member(msgspec.Struct, frozen=True):
    """A voter or learner of the committed configuration."""

    name: str
    incarnation: str = ""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What a node said of itself in `/status` (its fields by the same names; unknown ones are ignored), and when it was
    asked and answered."""

    name: str
    role: str
    term: int
    leader: str
    commit: int
    applied: int
    last_index: int = 0
    vote: str = ""
    cluster_id: str = ""
    incarnation: str = ""
    boot: str = ""
    version: str = ""
    voters: tuple[Member, ...] = ()
    learners: tuple[Member, ...] = ()
    peers: tuple[Peer, ...] = ()
    election_timeout_ms: float | None = None
    waiting_for: str = ""
    fatal: str = ""
    time_us: int | None = None
    """The node's wall clock when it answered; None: it does not say."""
    asked_us: int = 0
    answered_us: int = 0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a node runs. `instance` changes when it is another process or pod (a pod's UID, a process id); empty: it
    does not run. `restarts`: of the container in place. `address`: where peers dial it, for people."""

    name: str
    where: str
    instance: str
    ready: bool
    restarts: int = 0
    leaving: bool = False
    address: str = ""


class Event(msgspec.Struct, frozen=True):
    """One event of a node's trace (`/events`), `time_us` still on the node's wall clock; `at_us` on the tool's. `boot`:
    of the process that tells it, within which `seq` grows. `off_us`: how far `at_us` may be off where that is more than
    it is of other events of the node, as beside a step of its clock."""

    seq: int
    time_us: int
    node: str
    kind: str
    term: int
    role: str
    detail: dict[str, str | int | bool] = {}
    at_us: int = 0
    boot: str = ""
    off_us: int = 0


class Lost(msgspec.Struct, frozen=True):
    """So many events that the node told and nobody kept happened in this time."""

    node: str
    events: int
    from_us: int
    to_us: int


class Pause(msgspec.Struct, frozen=True):
    """The tool itself stood still: what it did not see in this time says nothing of the cluster."""

    from_us: int
    to_us: int


class LogLine(msgspec.Struct, frozen=True):
    """One entry of a node's log as `/log` shows it; `checksum` stands for its bytes."""

    index: int
    term: int
    checksum: str


class FaultSpan(msgspec.Struct, kw_only=True):
    """One fault of a run, filled in as it goes; times None: not reached.

    `kind`: its command. `effect`: what it does; `nodes`: its victims, of a cut all of its nodes; `links`: of a cut, the
    ordered pairs over which nothing may pass; `groups`: of a cut into groups, who could still talk to whom, the first
    holds the leader (for people: what a cut means is asked of the span). `acted_on`: (leader, term) of the instant
    before the act.

    `injected_us`: the act was done. `effective_us`: it was proven, the fault clock starts here. `reverting_us`: taking
    it back began, so that it may no longer hold: set it before the first act of reverting. `reverted_us`: taken back.
    `healed_us`: proven to be gone. `facts`: what was seen, sentences for the report.
    """

    kind: str
    title: str
    nodes: tuple[str, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    acted_on: tuple[str, int] | None = None
    injected_us: int | None = None
    effective_us: int | None = None
    reverting_us: int | None = None
    reverted_us: int | None = None
    healed_us: int | None = None
    facts: list[str] = []
    effect: Effect = ""
    links: tuple[Pair, ...] = ()

    def __post_init__(self) -> None:
        """Runs that were recorded before say neither effect nor links: groups said both."""
        self.effect = self.effect or ("cut" if self.groups else "killed")
        self.links = self.links or links.between(self.groups)

    @property
    def separates(self) -> bool:
        """Whether nodes were cut off from each other."""
        return bool(self.links)

    @property
    def lasts(self) -> bool:
        """Whether it is on until it is taken back; else it is over with the act."""
        return self.effect != "killed"

    @property
    def in_force(self) -> bool:
        """Whether it was done and is not proven to be gone."""
        return self.injected_us is not None and self.healed_us is None

    @property
    def hit_the_leader(self) -> bool:
        """Whether it was done to the process of a node that was believed to lead."""
        led = self.acted_on is not None and self.acted_on[0] in self.nodes
        return led and self.effect in ("killed", "paused") and self.injected_us is not None

    @property
    def over_us(self) -> int | None:
        """When it was over."""
        return self.reverted_us if self.lasts else self.injected_us

    def excused(self, voters: tuple[str, ...]) -> tuple[str, ...]:
        """Nodes of which nothing can be asked while it is on: victims that do not run, or who cannot reach a side that
        decides."""
        return links.cut_off(voters, self._names(voters), self.links) if self.effect == "cut" else self.nodes

    def serving(self, voters: tuple[str, ...]) -> tuple[str, ...]:
        """Nodes that must go on to acknowledge while it is on; empty: no majority is left."""
        if self.effect == "cut":
            return links.serving(voters, self._names(voters), self.links)
        left = tuple(name for name in voters if name not in self.nodes)
        return left if len(left) >= links.majority(voters) else ()

    def _names(self, voters: tuple[str, ...]) -> tuple[str, ...]:
        """Everybody that is known of."""
        return tuple(dict.fromkeys((*voters, *self.nodes, *(end for pair in self.links for end in pair))))
