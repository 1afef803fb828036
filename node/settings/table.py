"""Every setting of one node, described once: the struct `Settings` is the table.

Why it exists: flags, environment variables, TOML keys, help, `--print-config`, the README's table and the chart's
values and schema are all derived from the fields below, so none of them can lag behind. It must not read anything,
and must not know what a setting is used for.
"""

import re
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from node.settings.values import (
    GIB,
    KIB,
    MIB,
    NAME_PATTERN,
    MsRange,
    Seed,
    address_of,
    boolean_of,
    choice_of,
    host_name_of,
    name_pattern_of,
    number_of,
    registry_of,
    seeds_of,
)

ENV_PREFIX = "RAFT_"
LEAVE_BESIDE_MS = 5000
"""What leaving takes beside the wait and the requests under way: two hand-overs of a second, links, files."""
DISK_SECTOR_BYTES = 512
"""Log files are made of whole sectors."""


def _meta(group: str, help: str, **bounds: Any) -> Meta:
    return Meta(description=help, extra={"group": group}, **bounds)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One node's settings. Sizes are bytes, durations milliseconds; `load` is the checked way to make one."""

    name: Annotated[
        str, _meta("Who", "this node's name, stable for ever; who is no seed waits to be let in", max_length=63)
    ]
    seeds: Annotated[
        tuple[Seed, ...], _meta("Who", "all members of the birth: name=host:peerport,...; with discover names will do")
    ]
    data_dir: Annotated[str, _meta("Who", "folder of this node's log; one process at a time", min_length=1)]

    host: Annotated[str, _meta("Addresses", "where clients are served", min_length=1)] = "127.0.0.1"
    port: Annotated[int, _meta("Addresses", "port for clients; 0 takes any free one", ge=0, le=65535)] = 8001
    operations_port: Annotated[
        int,
        _meta(
            "Addresses",
            "port at which probes and /metrics are served and nothing else; 0: only where clients are",
            ge=0,
            le=65535,
        ),
    ] = 0
    peer_host: Annotated[str, _meta("Addresses", "where peers are listened to", min_length=1)] = "127.0.0.1"
    peer_port: Annotated[
        int,
        _meta(
            "Addresses", "port for peers; 0 takes this node's own of seeds, so who is no seed must say", ge=0, le=65535
        ),
    ] = 0
    peer_address: Annotated[
        str,
        _meta("Addresses", "host:port where peers reach this node; empty: as seeds say, else PEER_HOST:PEER_PORT"),
    ] = ""
    discover: Annotated[
        str,
        _meta(
            "Addresses",
            "registry:http://host:port, where this node says that it is and looks peers up, before it tries seeds; "
            "empty: nowhere",
        ),
    ] = ""
    client_url: Annotated[
        str, _meta("Addresses", "how clients reach this node; empty: http://HOST:PORT, https where only TLS is")
    ] = ""
    allowed_hosts: Annotated[
        tuple[str, ...], _meta("Addresses", "names accepted in Host beside localhost and IP literals: a,b,...")
    ] = ()

    tls_cert: Annotated[
        str, _meta("TLS", "certificate shown to clients, with its issuers, PEM; a new file is taken up as it comes")
    ] = ""
    tls_key: Annotated[str, _meta("TLS", "its key, PEM, without a password")] = ""
    tls_client_ca: Annotated[
        str, _meta("TLS", "clients must show a certificate that one of these authorities signed, PEM; empty: none")
    ] = ""
    tls_accept: Annotated[
        Literal["plain", "both", "tls"], _meta("TLS", "what clients may speak; both: on the way from one to the other")
    ] = "plain"
    operations_tls: Annotated[
        Literal["plain", "tls"],
        _meta("TLS", "what the port for operations speaks; tls: with tls_cert, and nobody has to show a certificate"),
    ] = "plain"
    peer_tls_cert: Annotated[
        str, _meta("TLS", "certificate that proves this node's name to peers, whoever dials, with its issuers, PEM")
    ] = ""
    peer_tls_key: Annotated[str, _meta("TLS", "its key, PEM, without a password")] = ""
    peer_tls_ca: Annotated[str, _meta("TLS", "authorities that sign the peers' certificates, PEM")] = ""
    peer_tls_accept: Annotated[
        Literal["plain", "both", "tls"], _meta("TLS", "what peers may dial; both: on the way from one to the other")
    ] = "plain"
    peer_tls_dial: Annotated[
        Literal["plain", "tls"], _meta("TLS", "how peers are dialled; tls only where all accept it")
    ] = "plain"

    tokens_file: Annotated[
        str,
        _meta(
            "Access", "who may do what: a line for each token, made by raft-node token new; empty: anybody may do all"
        ),
    ] = ""

    audit: Annotated[
        Literal["operate", "writes"],
        _meta(
            "Access",
            "who did what is told where tokens are asked for: what operators do, or every write too, in the log",
        ),
    ] = "operate"

    auto_members: Annotated[
        tuple[str, ...],
        _meta(
            "Members",
            "names, with * and ?, that are let in without being asked for, a new disk in the place of a lost one; only "
            "where at most one process of a name can run: a,b-*",
        ),
    ] = ()

    heartbeat_ms: Annotated[int, _meta("Timing", "a leader is heard from at least this often", ge=5, le=60_000)] = 100
    election_timeout_ms: Annotated[
        MsRange, _meta("Timing", "silence after which a leader is suspected, drawn anew each time", ge=10, le=600_000)
    ] = MsRange(150, 300)
    request_timeout_ms: Annotated[
        int, _meta("Timing", "a client's request is answered by then, or its outcome is unknown", ge=10, le=600_000)
    ] = 5000
    leaderless_wait_ms: Annotated[
        int,
        _meta(
            "Timing",
            "while no leader is known, requests that were certainly not begun wait for one so long at most, then they "
            "are refused at once; 0: always at once",
            ge=0,
            le=600_000,
        ),
    ] = 3000
    leave_wait_ms: Annotated[
        int,
        _meta(
            "Timing",
            "after SIGTERM: not ready, the lead handed over, serving on for so long, then a drain; all ends within "
            "this + request_timeout_ms + 5000",
            ge=0,
            le=600_000,
        ),
    ] = 0

    max_log_bytes: Annotated[
        int, _meta("Limits", "a log that reaches this refuses writes, reads go on", ge=4 * MIB, le=64 * GIB)
    ] = 256 * MIB
    snapshot_entries: Annotated[
        int,
        _meta("Limits", "a snapshot is taken when so many entries were applied since the last", ge=10, le=100_000_000),
    ] = 100_000
    snapshot_bytes: Annotated[
        int,
        _meta(
            "Limits",
            "or so many bytes of them; both grow with a store that is larger than this",
            ge=64 * KIB,
            le=16 * GIB,
        ),
    ] = 64 * MIB
    snapshot_tail: Annotated[
        int,
        _meta(
            "Limits",
            "entries before a snapshot that stay in the log, for followers a little behind; at most an eighth of "
            "max_log_bytes",
            ge=0,
            le=10_000_000,
        ),
    ] = 10_000
    quota_bytes: Annotated[
        int,
        _meta(
            "Limits",
            "a store of this size (keys, values, versions) refuses puts; deletes and compactions go on",
            ge=MIB,
            le=1024 * GIB,
        ),
    ] = 2 * GIB
    auto_compaction_minutes: Annotated[
        int,
        _meta("Limits", "old versions of keys are let go after so long; 0: never by time", ge=0, le=525_600),
    ] = 60
    auto_compaction_revisions: Annotated[
        int,
        _meta("Limits", "or when the store is so many revisions further; 0: never by number", ge=0, le=10**12),
    ] = 0
    watch_progress_ms: Annotated[
        int,
        _meta(
            "Limits",
            "a watch that asked for it, and was told of no change for so long, is told how far it has come",
            ge=100,
            le=86_400_000,
        ),
    ] = 600_000
    max_uncommitted_bytes: Annotated[
        int, _meta("Limits", "a leader refuses writes while this much waits to be committed", ge=2 * MIB, le=4 * GIB)
    ] = 32 * MIB
    max_append_bytes: Annotated[
        int, _meta("Limits", "entries in one message to a follower (one entry always fits)", ge=4 * KIB, le=2 * MIB)
    ] = MIB
    inflight_messages: Annotated[
        int, _meta("Limits", "messages on their way to one follower without an answer", ge=1, le=4096)
    ] = 64
    inflight_bytes: Annotated[
        int, _meta("Limits", "bytes on their way to one follower without an answer", ge=64 * KIB, le=GIB)
    ] = 8 * MIB

    segment_bytes: Annotated[int, _meta("Disk", "a log file's size, taken on disk at once", ge=64 * KIB, le=GIB)] = (
        16 * MIB
    )
    fsync_mode: Annotated[
        Literal["adaptive", "threaded", "inline"],
        _meta("Disk", "sync in the loop, in a thread beside it, or in the loop while a quick disk has just answered"),
    ] = "adaptive"

    trace_transitions: Annotated[
        int, _meta("Watching", "elections and other changes kept for /events", ge=16, le=1_000_000)
    ] = 4096
    trace_messages: Annotated[int, _meta("Watching", "messages kept for /events", ge=16, le=1_000_000)] = 4096
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _meta("Watching", "least severity logged")] = (
        "info"
    )
    log_format: Annotated[Literal["json", "text"], _meta("Watching", "one JSON object a line, or text for people")] = (
        "json"
    )
    otlp_endpoint: Annotated[
        str,
        _meta(
            "Watching",
            "where an OpenTelemetry collector takes traces over HTTP, as http://host:4318/v1/traces; empty: none",
        ),
    ] = ""
    otlp_writes_per_second: Annotated[
        int,
        _meta("Watching", "clients' writes that are traced per second at most, where they are", ge=1, le=10_000),
    ] = 100

    enable_faults: Annotated[
        bool, _meta("Faults", "take commands that break this node on purpose, for a while (cut_link, ...)")
    ] = False
    wait_in_initial: Annotated[
        bool, _meta("Faults", "start without a vote, and wait for the command become_follower")
    ] = False

    chance_seed: Annotated[
        int | None, _meta("Reproduction", "fixes every random choice; empty: from the system", ge=0, le=2**63 - 1)
    ] = None
    exit_with_parent: Annotated[bool, _meta("Reproduction", "end at once when the parent process ends")] = False

    @property
    def leave_ms_max(self) -> int:
        """From SIGTERM to the end of the process, at most, on a disk that answers: a grace period must be longer."""
        return self.leave_wait_ms + self.request_timeout_ms + LEAVE_BESIDE_MS

    @property
    def registry_url(self) -> str:
        """Where the registry is; empty: there is none."""
        return registry_of(self.discover) if self.discover else ""

    @property
    def own_seed(self) -> Seed | None:
        """This node's entry of `seeds`; None: it waits to be let in."""
        return next((seed for seed in self.seeds if seed.name == self.name), None)


class Setting(msgspec.Struct, frozen=True):
    """One row of the table. `low` and `high` bound numbers (each end of a range); `default` is text, None: required."""

    key: str
    type: Any
    group: str
    help: str
    default: str | None
    low: int | None = None
    high: int | None = None

    @property
    def flag(self) -> str:
        return "--" + self.key.replace("_", "-")

    @property
    def env(self) -> str:
        return ENV_PREFIX + self.key.upper()

    @property
    def choices(self) -> tuple[str, ...]:
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def bounds(self) -> str:
        """What is allowed, for people; empty where anything is."""
        if self.choices:
            return " or ".join(self.choices)
        if self.low is None or self.high is None or self.high > 2**40:
            return ""
        return f"{self.show(self.low)} to {self.show(self.high)}"

    def show(self, value: Any) -> str:
        """`value` as it could be written in any source."""
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, tuple):
            return ",".join(map(str, value))
        if isinstance(value, int) and self.key.endswith("_bytes"):
            for unit, size in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
                if value >= size and value % size == 0:
                    return f"{value // size}{unit}"
        return str(value)

    def read(self, text: str) -> Any:
        """The value that `text` means; raises ValueError with the end of a sentence ("is not ...") otherwise."""
        if self.choices:
            return choice_of(text, self.choices)
        if self.type is bool:
            return boolean_of(text)
        if self.type in (int, int | None):
            number = self._bounded(number_of(text, size=self.key.endswith("_bytes")))
            if self.key == "segment_bytes" and number % DISK_SECTOR_BYTES:
                raise ValueError(f"is not a multiple of {DISK_SECTOR_BYTES}")
            return number
        if self.type is MsRange:
            return self._range(text)
        if self.key == "seeds":
            return seeds_of(text)
        if self.key == "auto_members":
            return tuple(name_pattern_of(part.strip()) for part in text.split(",") if part.strip())
        if self.type == tuple[str, ...]:
            return tuple(host_name_of(part.strip()) for part in text.split(",") if part.strip())
        if self.key == "peer_address" and text:
            address_of(text)
        if self.key == "discover" and text:
            registry_of(text)
        if self.key == "client_url" and text and not re.fullmatch(r"https?://[^/\s]+", text):
            raise ValueError("is not of the form http://host:port")
        if self.key == "name" and not re.fullmatch(NAME_PATTERN, text):
            raise ValueError("is not a name of 1 to 63 letters, digits, dots, dashes and underscores")
        return text

    def _bounded(self, value: int) -> int:
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise ValueError(f"is out of bounds: it must be {self.bounds or f'from {self.low} to {self.high}'}")
        return value

    def _range(self, text: str) -> MsRange:
        found = re.fullmatch(r"\s*(\d{1,9})\s*-\s*(\d{1,9})\s*", text)
        if not found:
            raise ValueError("is not two whole numbers of milliseconds such as 150-300")
        return MsRange(self._bounded(int(found[1])), self._bounded(int(found[2])))


def _describe() -> tuple[Setting, ...]:
    hints = get_type_hints(Settings, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(Settings):
        kind, meta = get_args(hints[field.name])
        row = Setting(field.name, kind, meta.extra["group"], meta.description, None, meta.ge, meta.le)
        if not field.required:
            row = msgspec.structs.replace(row, default=row.show(field.default))
        rows.append(row)
    return tuple(rows)


SETTINGS: tuple[Setting, ...] = _describe()
"""The table: one row per setting, in the order of the struct."""
BY_KEY = {row.key: row for row in SETTINGS}
