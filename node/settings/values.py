"""What settings are made of: sizes, spans, seeds, and how each is read from text.

Why it exists: a value means the same in a flag, a variable, a file and the chart. It must not know which settings
there are.
"""

import re

import msgspec

KIB, MIB, GIB = 1024, 1024**2, 1024**3
LOOPBACK = ("127.0.0.1", "::1", "localhost")
ANY_ADDRESS = ("0.0.0.0", "::")
"""What a listener may be given that takes any address: nobody can dial it."""

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
    """A member of the cluster's birth and where its peer links are dialled; written `n1=127.0.0.1:9001`, or `n1` where
    a registry says where it is (no host, port 0)."""

    name: str
    host: str
    port: int

    def __str__(self) -> str:
        if not self.host:
            return self.name
        return f"{self.name}={f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def choice_of(text: str, choices: tuple[str, ...]) -> str:
    """One of `choices`. These readers raise ValueError with the end of a sentence, such as "is not ..."."""
    if text not in choices:
        raise ValueError(f"is not one of: {', '.join(choices)}")
    return text


def boolean_of(text: str) -> bool:
    """true or false, in the words that people use."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError("is neither true nor false")
    return words[text.lower()]


def number_of(text: str, size: bool) -> int:
    """A whole number; with `size` also with a unit."""
    found = re.fullmatch(r"\s*(\d{1,19})\s*(KiB|MiB|GiB)?\s*" if size else r"\s*(\d{1,19})()\s*", text, re.IGNORECASE)
    if not found:
        raise ValueError("is not a number of bytes such as 1048576 or 1MiB" if size else "is not a whole number")
    return int(found[1]) * {"": 1, "kib": KIB, "mib": MIB, "gib": GIB}[(found[2] or "").lower()]


def host_name_of(text: str) -> str:
    """A host name, in small letters."""
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", text):
        raise ValueError(f"holds {text!r}, which is not a host name (no scheme, no port)")
    return text.lower()


def name_pattern_of(text: str) -> str:
    """A node's name, with * and ? for what may be anything."""
    if not re.fullmatch(r"[A-Za-z0-9._*?-]{1,63}", text):
        raise ValueError(f"holds {text!r}, which is no name of a node, and no pattern of one such as raft-*")
    return text


def address_of(text: str) -> tuple[str, int]:
    """`host:port`."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:=\[\]]+):(\d{1,5})", text)
    if not found or not 0 < int(found[2]) < 65536:
        raise ValueError("is not of the form host:port")
    return found[1].strip("[]"), int(found[2])


def registry_of(text: str) -> str:
    """The URL in `registry:http://host:port`."""
    found = re.fullmatch(r"registry:(https?://[^/\s?#@]+)/?", text)
    if not found:
        raise ValueError("is not of the form registry:http://host:port")
    return found[1]


def seeds_of(text: str) -> tuple[Seed, ...]:
    """`name=host:port`, or a name alone, separated by commas; no name and no address twice."""
    seeds: list[Seed] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = re.fullmatch(rf"({NAME_PATTERN})(?:=(\[[0-9A-Fa-f:.]+\]|[^\s:=\[\]]+):(\d{{1,5}}))?", part)
        if not found or (found[2] and not 0 < int(found[3]) < 65536):
            raise ValueError(f"holds {part!r}, which is not of the form name=host:port")
        seed = Seed(found[1], found[2].strip("[]"), int(found[3])) if found[2] else Seed(found[1], "", 0)
        for other in seeds:
            if other.name == seed.name:
                raise ValueError(f"names {seed.name} twice")
            if seed.host and (other.host, other.port) == (seed.host, seed.port):
                raise ValueError(f"gives {other.name} and {seed.name} the same address {seed.host}:{seed.port}")
        seeds.append(seed)
    return tuple(seeds)
