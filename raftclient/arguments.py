"""What callers hand over, judged before anything is sent.

Why it exists: what an HTTP library makes of a body that is None, a dict or an open file is sent and stored, and a
missing revision makes a write unconditional. A wrong type is a TypeError here, a wrong value of the right type a
ValueError. It must not convert anything but a string into its UTF-8.
"""

import math
import ssl
from collections.abc import Sequence
from contextlib import suppress

import aiohttp
from yarl import URL

from raftclient.leases import TTL_SECONDS_MAX, Lease

Text = str | bytes
"""Keys and values are bytes; a string stands for its UTF-8."""


def text_of(name: str, given: object) -> bytes:
    """A key or a value."""
    if isinstance(given, bytes):
        return given
    if isinstance(given, str):
        return given.encode()
    raise _wrong(name, "bytes, or a str for its UTF-8", given)


def key_of(given: object) -> bytes:
    """A key: at least one byte."""
    key = text_of("key", given)
    if not key:
        raise ValueError("a key has at least one byte")
    return key


def name_of(given: object) -> bytes:
    """What a lock or an election is called: at least one byte."""
    name = text_of("name", given)
    if not name:
        raise ValueError("a name has at least one byte")
    return name


def revision_of(given: object) -> int:
    """A revision; 0 stands for no such key."""
    if not isinstance(given, int) or isinstance(given, bool):
        raise _wrong("expect_revision", "an int", given)
    if given < 0:
        raise ValueError(f"expect_revision is 0 or more, not {given}")
    return given


def lease_of(given: object) -> Lease | None:
    """A lease of this client's, or none."""
    if given is not None and not isinstance(given, Lease):
        raise _wrong("lease", "a lease that client.lease() gave", given)
    return given


def flag_of(name: str, given: object) -> bool:
    """A switch."""
    if not isinstance(given, bool):
        raise _wrong(name, "True or False", given)
    return given


def seconds_of(name: str, given: object) -> float:
    """A time limit."""
    if not isinstance(given, int | float) or isinstance(given, bool):
        raise _wrong(name, "a number of seconds", given)
    if not 0 < given < math.inf:
        raise ValueError(f"{name} is above 0 and finite, not {given}")
    return given


def wait_of(given: object) -> float | None:
    """How long others may be waited for; 0: not at all, None: without end."""
    return given if given is None or (given == 0 and not isinstance(given, bool)) else seconds_of("wait_s", given)


def ttl_of(given: object) -> int:
    """A time to live, in whole seconds."""
    if not isinstance(given, int) or isinstance(given, bool):
        raise _wrong("ttl_s", "a whole number of seconds", given)
    if not 1 <= given <= TTL_SECONDS_MAX:
        raise ValueError(f"ttl_s is from 1 to {TTL_SECONDS_MAX}, not {given}")
    return given


def endpoints_of(given: object) -> tuple[str, ...]:
    """Base URLs of nodes, without a slash at the end. One string is a mistake: it would be a URL for each letter."""
    if not isinstance(given, Sequence) or isinstance(given, str | bytes | bytearray | memoryview):
        raise _wrong("endpoints", 'a list of URLs, such as ["http://127.0.0.1:8001"]', given)
    for url in given:
        if not isinstance(url, str):
            raise _wrong("each of endpoints", "a str, such as http://127.0.0.1:8001", url)
        if not is_base_url(url):
            raise ValueError(f"{url!r} is no URL of a node; one is http://127.0.0.1:8001")
    if not given:
        raise ValueError("endpoints names no node; one is http://127.0.0.1:8001")
    return tuple(url.rstrip("/") for url in given)


def session_of(given: object) -> aiohttp.ClientSession | None:
    """A session of the caller's, or none."""
    if given is not None and not isinstance(given, aiohttp.ClientSession):
        raise _wrong("session", "an aiohttp.ClientSession", given)
    return given


def tls_of(given: object) -> ssl.SSLContext | None:
    """What https is spoken with; none: the system's authorities are trusted, and no certificate is shown."""
    if given is not None and not isinstance(given, ssl.SSLContext):
        raise _wrong("tls", "an ssl.SSLContext", given)
    return given


def token_of(given: object) -> str:
    """What nodes are shown."""
    if not isinstance(given, str):
        raise _wrong("token", "a str, as raft-node token new shows it", given)
    found = given.strip()
    if not (found.isascii() and found.isprintable() and " " not in found):
        raise ValueError("token is one word, as raft-node token new shows it")
    return found


def is_base_url(text: str) -> bool:
    """Whether it is a URL of a node."""
    with suppress(ValueError):
        url = URL(text)
        return url.scheme in ("http", "https") and bool(url.host and url.port) and not url.query_string
    return False


def _wrong(name: str, wanted: str, given: object) -> TypeError:
    return TypeError(f"{name} is {wanted}; this is of type {type(given).__name__}")
