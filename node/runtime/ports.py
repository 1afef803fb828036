"""The doors of the runtime: what it needs (Storage, StateMachine, Links, TraceSink) and what it offers (NodeHandle).

Why it exists: the runtime is written against these Protocols, so that the simulator can put a simulated disk,
network and clock behind the very same driver, and `app.py` real ones. It must not import a concrete class.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from node.raft.effects import Persist
from node.raft.messages import Message
from node.raft.status import CoreStatus
from node.raft.types import Entry, MemberAddress, SnapshotInfo
from node.runtime.snapshot_ports import RestoreJob, SnapshotJob


class Storage(Protocol):
    """A durable log. Written only, after the start; what was recovered is handed to the core once."""

    def submit(self, write: Persist, done: Callable[[int], None]) -> None:
        """Queue `write`; call `done(token)` once it and all before it are durable, in the order of submission.

        `done` is called on the thread (and event loop) that called `submit` or `flush`, never within `submit`
        itself. A failure to write or sync is fatal: the storage reports it through its `on_fatal` and calls no
        `done` again, ever (a second fsync after a failed one lies).
        """

    def flush(self) -> None:
        """All that was submitted may now go to the disk: one frame, one fsync for everything queued."""


class StateMachine(Protocol):
    """What the log drives. Deterministic: equal entries give equal state and equal results, however they are sliced.

    A result is a value that only the state machine and the API understand; bytes only between nodes.
    """

    def begin(self, entries: Sequence[Entry], wanted: Callable[[int], bool]) -> "Job":
        """Take committed entries in order, each exactly once. One job at a time.

        `wanted(index)`: whether somebody waits for the result of that entry; others need not be made. Nothing of an
        entry may be seen by readers before all of it is done."""

    def begin_snapshot(self) -> SnapshotJob:
        """What it holds now, while later entries are applied. No entry may be half done."""

    def begin_restore(self) -> RestoreJob:
        """Take over the state that such a job gave. Nothing of it is seen before it is finished."""

    @property
    def due_us(self) -> int | None:
        """The log time from which on `due_write` does something; None: nothing ends by itself. Asked in every turn."""

    @property
    def due_write(self) -> bytes:
        """What a leader proposes then. Where an entry of it comes too early, it changes nothing."""

    def tidy(self, work_max: int) -> bool:
        """Let go of what nobody can read any more, in one slice; True: nothing is left."""

    def encode_result(self, result: object, bytes_max: int) -> bytes | None:
        """A result for another node. None: it is longer than that, or would cost that node more than its bytes say;
        the work of finding out is bounded by `bytes_max`, too."""

    def decode_result(self, data: bytes) -> object:
        """Inverse of `encode_result`; raises ValueError for anything else."""


class Job(Protocol):
    """Entries being applied. `results`: by index, of entries that are done and were `wanted` when they were begun.
    `finished`: how many of the entries are done, and can be seen by readers."""

    @property
    def results(self) -> dict[int, object]: ...

    @property
    def finished(self) -> int: ...

    def run(self, work_max: int) -> bool:
        """One slice; True: all is done. `work_max`: units of about one key that is changed (1 to 2 microseconds) or
        4 KiB that are moved."""


class Links(Protocol):
    """Messages to the other members. Sending may lose, never blocks and never raises."""

    def send(self, to: str, message: Message) -> bool:
        """Hand `message` to the link to the member called `to`. False: certainly not sent (no link, queue full)."""

    def flush(self) -> None:
        """Let what was sent leave now, and not in the loop's next turn."""

    def connected(self, to: str) -> bool:
        """Whether a link to `to` is up now, on both lanes."""


class TraceSink(Protocol):
    """Where the trace goes: see `node.observe.events` for the one schema."""

    def transition(self, kind: str, term: int, role: str, detail: dict[str, str | int | bool]) -> None:
        """Something a person would want to know; never evicted by messages."""

    def message(self, sent: bool, peer: str, message: Message) -> None:
        """A message left (`sent`) or came in."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Committed and applied: `result` is the state machine's answer, a value; `index` and `term` the entry's."""

    result: object
    index: int
    term: int


class DoneUntold(msgspec.Struct, frozen=True, tag="done-untold"):
    """Committed and applied as `Done`, but the state machine's answer did not get here. `reason` is one sentence."""

    index: int
    term: int
    reason: str


class NotProposed(msgspec.Struct, frozen=True, tag="not-proposed"):
    """Provably never proposed: nothing happened and nothing will.

    `code` is for programs: "no-leader", "not-born", "log-full", "overloaded", "too-large", "no-link",
    "stopping", "transferring".
    `reason` is one sentence for people. `leader`: who probably leads, or empty.
    """

    code: str
    reason: str
    leader: str = ""


class Unknown(msgspec.Struct, frozen=True, tag="unknown"):
    """It may have happened, may happen yet, or may never happen (pitfall 34). `reason` is one sentence."""

    reason: str


Outcome = Done | DoneUntold | NotProposed | Unknown


class ReadFailed(msgspec.Struct, frozen=True):
    """No linearizable read now: `reason` is one sentence. A read changes nothing, so it may always be repeated."""

    code: str
    reason: str
    leader: str = ""


class FaultView(msgspec.Struct, frozen=True):
    """A fault that is active. `kind`: that of a `FaultSpec` in `commands.py`; `value`: its number (milliseconds,
    percent), 0 where it has none. `direction` "out": what this node says to `peer`; "in": what it says to this node. A
    fault of the whole node has neither."""

    kind: str
    peer: str
    direction: str
    value: float
    expires_in_us: int


class Faults(Protocol):
    """Faults at the edge of this node (decision 10): off unless enabled, visible while active, ended by themselves."""

    def inject(self, kind: str, peer: str, direction: str, value: float, seconds: float) -> None:
        """Begin one, or begin it anew. `direction` "both" is two."""

    def heal(self, peer: str, direction: str) -> None:
        """End all faults of that link in that direction."""

    def recover(self) -> None:
        """End all."""

    def active(self) -> tuple[FaultView, ...]:
        """What is active now."""


class CommandOutcome(msgspec.Struct, frozen=True):
    """What became of an operator's command on `node`. `message` is one sentence, `data` plain JSON values.

    `code`: "ok"; "refused" or failed; "unknown-command"; "malformed" (`field` names the argument); "faults-disabled";
    "unknown-node"; "unknown": whether it was obeyed is not known; and where it certainly was not: "no-link",
    "overloaded", "stopping".
    """

    command: str
    node: str
    code: Literal[
        "ok",
        "refused",
        "unknown-command",
        "malformed",
        "faults-disabled",
        "unknown-node",
        "unknown",
        "no-link",
        "overloaded",
        "stopping",
    ]
    message: str
    data: dict[str, Any] = {}
    field: str = ""


class SendingView(msgspec.Struct, frozen=True):
    """A snapshot on its way to a follower: `bytes_there` of `size_bytes` are known to be written at `peer`."""

    peer: str
    bytes_there: int
    size_bytes: int


class SnapshotView(msgspec.Struct, frozen=True):
    """The latest snapshot that is durable here (`index` 0: none), and what is done with snapshots just now.
    `taken_ago_us`, `took_us`: of the last that this process took itself; None: none yet."""

    index: int = 0
    size_bytes: int = 0
    taking: bool = False
    receiving: bool = False
    restoring: bool = False
    sending: tuple[SendingView, ...] = ()
    taken_ago_us: int | None = None
    took_us: int | None = None


class StoreSummary(msgspec.Struct, frozen=True):
    """What the store of a node holds, as it has applied it, and who follows it there. `size_bytes`: of all keys,
    values, versions and leases, as counted against `quota_bytes` (0: there is no quota). `watches`: of clients of this
    node, on so many streams."""

    revision: int = 0
    keys: int = 0
    size_bytes: int = 0
    quota_bytes: int = 0
    leases: int = 0
    watches: int = 0
    watch_streams: int = 0


class Status(msgspec.Struct, frozen=True):
    """One node's own view, as `/status` shows it and as peers tell each other in `Report`.

    `boot` is new in every process. `uptime_us`: microseconds since it started. `client_url`: where it serves
    clients; empty where not known. `fatal`: why it is about to stop, else empty. `time_us`: its wall clock when it
    said so, microseconds since the epoch; 0 where not known.
    """

    core: CoreStatus
    boot: str
    version: str
    uptime_us: int
    client_url: str
    links_up: tuple[str, ...]
    fatal: str = ""
    faults: tuple[FaultView, ...] = ()
    time_us: int = 0
    leaving: bool = False
    """It was asked to stop, and serves until those who send requests have noticed."""
    snapshot: SnapshotView = SnapshotView()
    store: StoreSummary | None = None
    """None: not known, of a node of before this was told."""
    peer_scheme: str = "http"
    """How it dials its peers: https with TLS."""
    backup_at_us: int = 0
    """When a backup of the cluster was last completed, as far as this node was told or has heard: a wall clock,
    microseconds since the epoch; 0: it knows of none."""
    address: MemberAddress | None = None
    """How it is reached, by its own settings; None: it does not say."""


class Address(msgspec.Struct, frozen=True):
    """Where a node is dialled, for people alone: a dial asks anew. `host`: as configured; `addresses`: what it meant
    when it was last looked up, empty with `error` (one sentence) where that failed, or where nobody asked yet.
    `age_us`: microseconds since; None: not looked up yet."""

    host: str
    port: int
    addresses: tuple[str, ...] = ()
    error: str = ""
    age_us: int | None = None


class Readiness(msgspec.Struct, frozen=True):
    """What `/readyz` judges beside the core. `caught_up`: since the start, everything that was committed then was
    applied. `leaderless_us`: microseconds since a leader was last known, 0 while one is, None where none ever was.
    `election_timeout_us`: the longest that is drawn."""

    caught_up: bool = True
    leaderless_us: int | None = 0
    election_timeout_us: int = 0
    leaving: bool = False


class PeerView(msgspec.Struct, frozen=True):
    """A member as seen from here. `status` None: never heard. `age_us`: microseconds since the view arrived."""

    name: str
    status: Status | None
    age_us: int | None
    reachable: bool | None
    """True: heard within the last two seconds. None: *unknown*, not dead. (False is never claimed from silence.)"""


class LogLine(msgspec.Struct, frozen=True):
    """One entry for comparison: equal (index, term) must mean equal `checksum` (CRC-32 of its stored fields, hex).
    `summary`: one short text for people."""

    index: int
    term: int
    kind: str
    size_bytes: int
    checksum: str
    summary: str = ""
    session: int = 0
    sequence: int = 0


class Backup(Protocol):
    """A copy of the whole state, as a file that does not change. `close` it, whether it was read or not."""

    @property
    def info(self) -> SnapshotInfo: ...

    async def read(self, offset: int, bytes_max: int) -> bytes:
        """A piece of the file; empty: it cannot be read."""

    def close(self) -> None: ...


class NodeHandle(Protocol):
    """What the API and the dashboard see of a running node."""

    async def propose(self, write: bytes, timeout_us: int | None, session: int = 0, sequence: int = 0) -> Outcome:
        """Put `write` through the log (forwarded to the leader at most once, never retried) and wait for it, at
        most `timeout_us` microseconds; None: as long as this node's settings say. `session`, `sequence`: of the
        client's session, for the entry; 0: none."""

    async def read_barrier(self, timeout_us: int | None) -> ReadFailed | None:
        """Return None once the state machine holds every write acknowledged before this call (thesis 6.4).

        `timeout_us` as above."""

    async def backup(self) -> Backup | ReadFailed:
        """A copy of the state with every write that was acknowledged before this call. One at a time."""

    async def command(
        self, name: str, arguments: Mapping[str, object], timeout_us: int, node: str = ""
    ) -> CommandOutcome:
        """Carry out an operator's command here, or on `node`, over one hop, never retried."""

    def status(self) -> Status:
        """This node's own view, now."""

    def views(self) -> tuple[PeerView, ...]:
        """Every member (before birth: every seed) as seen from here, this one included, sorted by name."""

    def log(self, from_index: int, limit: int) -> Iterator[LogLine]:
        """At most `limit` entries of this node's log from `from_index` on (uncommitted ones included), as the log is
        now; each line is made when it is asked for, and reads its whole entry."""

    def readiness(self) -> Readiness:
        """What `/readyz` judges beside `status().core`."""

    def loop_age_us(self) -> int:
        """Microseconds since the driver's loop last ran: what `/livez` judges, never quorum."""

    def log_time_us(self) -> int:
        """Log time now: exactly where this node leads; else counted by its own clock from the last entry that it
        applied."""
