"""Settings from their sources: a flag wins over the environment (`RAFT_...`), that over a file, that over the default.

Why it exists: a typo is an error, never silently ignored, and every value knows where it came from. It must not open
anything but the TOML file.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from node.settings.checks import check
from node.settings.table import BY_KEY, ENV_PREFIX, SETTINGS, Settings
from node.settings.values import MIB, SettingsError

CONFIG_ENV = "RAFT_CONFIG"
"""Names the TOML file where `--config` does not."""
URLS_ENV = "RAFT_URLS"
"""Not a setting: what commands in the same container ask when they are given no URL. A node passes over it."""
CLIENT_ENV = ("RAFT_CACERT", "RAFT_CERT", "RAFT_KEY", "RAFT_TOKEN", "RAFT_TOKEN_FILE")
"""What commands that ask nodes read: they may stand in the same shell, and are no settings of a node."""
CONFIG_BYTES_MAX = MIB


class Loaded(msgspec.Struct, frozen=True):
    """`settings`, and for each key where its value came from ("flag --name", "environment RAFT_NAME", ...)."""

    settings: Settings
    origins: dict[str, str]


def load(
    flags: Mapping[str, str],
    environ: Mapping[str, str],
    config: str | None = None,
    called: Mapping[str, str] | None = None,
) -> Loaded:
    """Settings from `flags` (key to text), environment and TOML file (`config`, else RAFT_CONFIG), else defaults.
    `called`: how a command calls the flags, by key, that are not called as the table has it.

    Raises SettingsError, one sentence, for anything unknown, malformed, missing or impossible.
    """
    found: dict[str, tuple[str, str]] = {}
    path = config or environ.get(CONFIG_ENV)
    if path:
        found |= _from_file(path)
    found |= _from_environment(environ)
    found |= {key: (text, f"flag {(called or {}).get(key, BY_KEY[key].flag)}") for key, text in flags.items()}

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
    if settings.peer_port == 0 and own is not None and own.port:
        settings = msgspec.structs.replace(settings, peer_port=own.port)
        origins["peer_port"] = f"own entry in seeds ({origins['seeds']})"
    check(settings, origins)
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
        if key not in BY_KEY:
            raise SettingsError(f"The configuration file {path} has an unknown key {key!r}{_did_you_mean(key, BY_KEY)}")
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
        if not name.startswith(ENV_PREFIX) or name in (CONFIG_ENV, URLS_ENV, *CLIENT_ENV):
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
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else "; see raft-node serve --help."
