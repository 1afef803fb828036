"""What nodes and a registry say to each other, as values; JSON on the wire.

Why it exists: both sides must mean the same, and neither may be sent more than it can hold. It must not say who votes:
no word of the registry is about that, so none can be believed.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

TTL_MS_MIN = 500
TTL_MS_MAX = 60_000
"""How long a registration counts that is not repeated."""
REGISTRATION_BYTES_MAX = 4096
PER_NAME_MAX = 4
"""Processes that may be registered under one name: a restarted one beside the one before it, and mistakes."""
NODES_MAX = 256
"""Registrations in all."""
ANSWER_BYTES_MAX = PER_NAME_MAX * REGISTRATION_BYTES_MAX
"""What a node reads of an answer: the registrations of one name."""

# What strangers say stands in logs and on terminals later, so it is words: `\Z`, for `$` lets a line's end through.
Name = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z")]
Word = Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9._-]*\Z")]
Host = Annotated[str, Meta(max_length=253, pattern=r"^[A-Za-z0-9._:%-]*\Z")]
Url = Annotated[str, Meta(max_length=300, pattern=r"^(https?://[!#-&(-;=?-~]+)?\Z")]


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says of itself. `incarnation` is its disk, `boot` is new in every process; `host` and `port` are
    where peers reach it (port 0: nowhere that could be dialled), `url` where clients do. All below is for people."""

    name: Name
    boot: Annotated[Word, Meta(min_length=1)]
    incarnation: Word
    host: Host
    port: Annotated[int, Meta(ge=0, le=65535)]
    url: Url = ""
    role: Word = ""
    leader: Word = ""
    term: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    cluster: Word = ""
    ttl_ms: Annotated[int, Meta(ge=TTL_MS_MIN, le=TTL_MS_MAX)] = 6000


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A registration as the registry tells it: since when it stands, and when it was last said."""

    registration: Registration
    since_ms: int
    age_ms: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a look-up: what is registered under a name now, the newest process first; none is fine."""

    name: str
    registrations: tuple[Listed, ...] = ()


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a registration. `rivals`: other processes of the same name that have spoken since this one began
    to, so they live beside it."""

    ttl_ms: int
    rivals: tuple[Registration, ...] = ()
