"""What the tool knows of a cluster, as values: what nodes said of themselves, and where they run.

Why it exists: targets produce these, faults decide by them, checks judge them, the report shows them. Times are
microseconds of the tool's clock (clock.py) unless a name says otherwise. It must not talk to anything.
"""

import msgspec


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

    `injected_us`: the act was done. `effective_us`: it was proven, the fault clock starts here. `reverting_us`: taking
    it back began, so that it may no longer hold: set it before the first act of reverting. `reverted_us`: taken back.
    `healed_us`: proven to be gone. `groups`: for partitions, who could still talk to whom; the first holds the leader.
    `facts`: what was seen, sentences for the report; `acted_on`: (leader, term) of the instant before the act.
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
