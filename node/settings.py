"""Every setting of one node, described once: the struct `Settings` is the table.

Why it exists: flags, environment variables, TOML keys, help, `--print-config` and the README's configuration table
are all derived from the fields below, so none of them can lag behind. Precedence: flag, then environment (`RAFT_...`),
then TOML file, then default. A typo is an error, never silently ignored. It must not open anything but the TOML
file, and must not know what a setting is used for.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

KIB, MIB, GIB = 1024, 1024**2, 1024**3
ENV_PREFIX = "RAFT_"
CONFIG_ENV = "RAFT_CONFIG"
"""Names the TOML file where `--config` does not."""
CONFIG_BYTES_MAX = MIB
LEAVE_BESIDE_MS = 5000
"""What leaving takes beside the wait and the requests under way: two hand-overs of a second, links, files."""
DISK_SECTOR_BYTES = 512
"""Log files are made of whole sectors."""
NAME_PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
"""What a node may be called: it becomes a folder, a label and a host name."""


class SettingsError(Exception):
    """A setting is missing, unknown or impossible; the message is one sentence: what, where it came from, cure."""


class MsRange(msgspec.Struct, frozen=True):
    """A span of milliseconds, both ends included; written `150-300`."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low}-{self.high}"


class Seed(msgspec.Struct, frozen=True):
    """A member of the cluster's birth and where its peer links are dialled; written `n1=127.0.0.1:9001`."""

    name: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.name}={f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def _meta(group: str, help: str, **bounds: Any) -> Meta:
    return Meta(description=help, extra={"group": group}, **bounds)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One node's settings. Sizes are bytes, durations milliseconds; `load` is the checked way to make one."""

    name: Annotated[
        str, _meta("Who", "this node's name, stable for ever; who is no seed waits to be let in", max_length=63)
    ]
    seeds: Annotated[tuple[Seed, ...], _meta("Who", "all members of the birth: name=host:peerport,...")]
    data_dir: Annotated[str, _meta("Who", "folder of this node's log; one process at a time", min_length=1)]

    host: Annotated[str, _meta("Addresses", "where clients are served", min_length=1)] = "127.0.0.1"
    port: Annotated[int, _meta("Addresses", "port for clients; 0 takes any free one", ge=0, le=65535)] = 8001
    peer_host: Annotated[str, _meta("Addresses", "where peers are listened to", min_length=1)] = "127.0.0.1"
    peer_port: Annotated[
        int,
        _meta(
            "Addresses", "port for peers; 0 takes this node's own of seeds, so who is no seed must say", ge=0, le=65535
        ),
    ] = 0
    client_url: Annotated[str, _meta("Addresses", "how clients reach this node; empty: http://HOST:PORT")] = ""
    allowed_hosts: Annotated[
        tuple[str, ...], _meta("Addresses", "names accepted in Host beside localhost and IP literals: a,b,...")
    ] = ()

    heartbeat_ms: Annotated[int, _meta("Timing", "a leader is heard from at least this often", ge=5, le=60_000)] = 100
    election_timeout_ms: Annotated[
        MsRange, _meta("Timing", "silence after which a leader is suspected, drawn anew each time", ge=10, le=600_000)
    ] = MsRange(150, 300)
    request_timeout_ms: Annotated[
        int, _meta("Timing", "a client's request is answered by then, or its outcome is unknown", ge=10, le=600_000)
    ] = 5000
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
        _meta("Disk", "sync in the loop, in a thread beside it, or in the loop while the disk is quick"),
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
            return _choice(text, self.choices)
        if self.type is bool:
            return _boolean(text)
        if self.type in (int, int | None):
            number = self._bounded(_number(text, size=self.key.endswith("_bytes")))
            if self.key == "segment_bytes" and number % DISK_SECTOR_BYTES:
                raise ValueError(f"is not a multiple of {DISK_SECTOR_BYTES}")
            return number
        if self.type is MsRange:
            return self._range(text)
        if self.key == "seeds":
            return _seeds(text)
        if self.type == tuple[str, ...]:
            return tuple(_host_name(part.strip()) for part in text.split(",") if part.strip())
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


def _choice(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise ValueError(f"is not one of: {', '.join(choices)}")
    return text


def _boolean(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError("is neither true nor false")
    return words[text.lower()]


def _number(text: str, size: bool) -> int:
    found = re.fullmatch(r"\s*(\d{1,19})\s*(KiB|MiB|GiB)?\s*" if size else r"\s*(\d{1,19})()\s*", text, re.IGNORECASE)
    if not found:
        raise ValueError("is not a number of bytes such as 1048576 or 1MiB" if size else "is not a whole number")
    return int(found[1]) * {"": 1, "kib": KIB, "mib": MIB, "gib": GIB}[(found[2] or "").lower()]


def _host_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", text):
        raise ValueError(f"holds {text!r}, which is not a host name (no scheme, no port)")
    return text.lower()


def _seeds(text: str) -> tuple[Seed, ...]:
    seeds: list[Seed] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = re.fullmatch(rf"({NAME_PATTERN})=(\[[0-9A-Fa-f:.]+\]|[^\s:=\[\]]+):(\d{{1,5}})", part)
        if not found or not 0 < int(found[3]) < 65536:
            raise ValueError(f"holds {part!r}, which is not of the form name=host:port")
        seed = Seed(found[1], found[2].strip("[]"), int(found[3]))
        for other in seeds:
            if other.name == seed.name:
                raise ValueError(f"names {seed.name} twice")
            if (other.host, other.port) == (seed.host, seed.port):
                raise ValueError(f"gives {other.name} and {seed.name} the same address {seed.host}:{seed.port}")
        seeds.append(seed)
    return tuple(seeds)


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
"""The table: one row a setting, in the order of the struct."""
_BY_KEY = {row.key: row for row in SETTINGS}


class Loaded(msgspec.Struct, frozen=True):
    """`settings`, and for each key where its value came from ("flag --name", "environment RAFT_NAME", ...)."""

    settings: Settings
    origins: dict[str, str]


def load(flags: Mapping[str, str], environ: Mapping[str, str], config: str | None = None) -> Loaded:
    """Settings from `flags` (key to text), environment and TOML file (`config`, else RAFT_CONFIG), else defaults.

    Raises SettingsError, one sentence, for anything unknown, malformed, missing or impossible.
    """
    found: dict[str, tuple[str, str]] = {}
    path = config or environ.get(CONFIG_ENV)
    if path:
        found |= _from_file(path)
    found |= _from_environment(environ)
    found |= {key: (text, f"flag {_BY_KEY[key].flag}") for key, text in flags.items()}

    values: dict[str, Any] = {}
    origins = {row.key: "default" for row in SETTINGS}
    for row in SETTINGS:
        if row.key in found:
            text, origins[row.key] = found[row.key]
            try:
                values[row.key] = row.read(text)
            except ValueError as error:
                raise SettingsError(f"{row.key} {text!r} {error} (from {origins[row.key]}).") from None
        if row.default is None and not values.get(row.key):
            raise SettingsError(
                f"{row.key} is missing ({row.help}): give {row.flag}, {row.env} or the TOML key {row.key}."
            )
    settings = Settings(**values)
    own = settings.own_seed
    if settings.peer_port == 0 and own is not None:
        settings = msgspec.structs.replace(settings, peer_port=own.port)
        origins["peer_port"] = f"own entry in seeds ({origins['seeds']})"
    _check(settings, origins)
    return Loaded(settings, origins)


def _from_file(path: str) -> dict[str, tuple[str, str]]:
    import tomllib

    try:
        with Path(path).open("rb") as file:
            data = file.read(CONFIG_BYTES_MAX + 1)
        if len(data) > CONFIG_BYTES_MAX:
            raise SettingsError(f"The configuration file {path} is longer than {CONFIG_BYTES_MAX} bytes.")
        table = tomllib.loads(data.decode())
    except OSError as error:
        raise SettingsError(f"The configuration file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SettingsError(f"The configuration file {path} is not UTF-8 text.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"The configuration file {path} is not valid TOML: {error}.") from None
    found = {}
    for key, value in table.items():
        if key not in _BY_KEY:
            raise SettingsError(
                f"The configuration file {path} has an unknown key {key!r}{_did_you_mean(key, _BY_KEY)}"
            )
        found[key] = (_toml_text(key, value, path), f"file {path}")
    return found


def _toml_text(key: str, value: object, path: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, list) and key in ("seeds", "allowed_hosts") and all(isinstance(item, str) for item in value):
        return ",".join(value)
    raise SettingsError(f"{key} in {path} is a TOML {type(value).__name__}, which that setting cannot be.")


def _from_environment(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    known = {row.env: row for row in SETTINGS}
    found = {}
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX) or name == CONFIG_ENV:
            continue
        if re.search(r"_SERVICE_(HOST|PORT)|_PORT_\d+_(TCP|UDP)", name) or environ[name].startswith(
            ("tcp://", "udp://")
        ):
            raise SettingsError(
                f"The environment variable {name} looks like a Kubernetes service link, not a setting: "
                "set enableServiceLinks: false in the pod."
            )
        if name not in known:
            raise SettingsError(
                f"The environment variable {name} is unknown{_did_you_mean(name, (*known, CONFIG_ENV))}"
            )
        if environ[name]:  # set but empty is how compose files and charts say "not set"
            found[known[name].key] = (environ[name], f"environment {name}")
    return found


def _did_you_mean(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else "; see raft-node serve --help."


def _check(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise SettingsError for values that are each fine and together are not."""

    def refuse(keys: tuple[str, ...], sentence: str) -> None:
        raise SettingsError(f"{sentence} ({', '.join(f'{key} from {origins[key]}' for key in keys)}).")

    if settings.own_seed is None and settings.peer_port == 0:
        refuse(
            ("name", "seeds"),
            f"{no_seed(settings)}, so it needs a peer_port of its own to be let in: give one, or correct the name",
        )
    timeout, heartbeat = settings.election_timeout_ms, settings.heartbeat_ms
    timing = ("election_timeout_ms", "heartbeat_ms")
    if timeout.low * 2 < heartbeat * 3:
        refuse(
            timing,
            f"election_timeout_ms {timeout} begins below 1.5 heartbeats of {heartbeat} ms, so one late heartbeat would "
            f"depose a healthy leader: begin at {-(-heartbeat * 3 // 2)} or more",
        )
    if timeout.high * 5 < timeout.low * 6:
        refuse(
            timing[:1],
            f"election_timeout_ms {timeout} is too narrow, so candidates would split the vote again and again: "
            f"end at {-(-timeout.low * 6 // 5)} or more",
        )
    for small, large in (
        ("max_append_bytes", "inflight_bytes"),
        ("max_append_bytes", "max_uncommitted_bytes"),
    ):
        low, high = getattr(settings, small), getattr(settings, large)
        if low > high:
            show = _BY_KEY[small].show
            refuse(
                (small, large), f"{small} {show(low)} exceeds {large} {show(high)}: raise the second or lower the first"
            )
    if settings.port and settings.port == settings.peer_port and settings.host == settings.peer_host:
        refuse(
            ("port", "peer_port"), f"port and peer_port are both {settings.port}: clients and peers need a port each"
        )


def remarks(settings: Settings) -> tuple[str, ...]:
    """What is allowed and may well be a mistake, one sentence each; nothing where all is as usual."""
    if settings.own_seed is not None:
        return ()
    return (f"{no_seed(settings)}: this node waits until the members let it in",)


def no_seed(settings: Settings) -> str:
    """The beginning of a sentence, with the seed that may have been meant."""
    names = [seed.name for seed in settings.seeds]
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(settings.name.lower(), lower, n=1)
    hint = f" (did you mean {lower[close[0]]}?)" if close else ""
    return f"name {settings.name} is not one of the seeds {', '.join(names)}{hint}"


def rows(loaded: Loaded) -> list[dict[str, str]]:
    """What `--print-config` shows: key, value, where it came from, flag, environment variable."""
    return [
        {
            "key": row.key,
            "value": row.show(getattr(loaded.settings, row.key)),
            "from": loaded.origins[row.key],
            "flag": row.flag,
            "environment": row.env,
        }
        for row in SETTINGS
    ]


def markdown_table() -> str:
    """The README's configuration table, between its markers `<!-- settings -->` and `<!-- /settings -->`."""
    lines = ["| Flag (TOML key: the same with `_`) | Environment | Default | Meaning |", "|---|---|---|---|"]
    for row in SETTINGS:
        default = "required" if row.default is None else f"`{row.default}`" if row.default else ""
        meaning = f"{row.help} ({row.bounds})" if row.bounds else row.help
        lines.append(f"| `{row.flag}` | `{row.env}` | {default} | {meaning} |")
    return "\n".join(lines)
