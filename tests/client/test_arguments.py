"""Every argument of every call, given as something else: refused before a byte is sent."""

import asyncio
import inspect
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from raftclient import RaftClient
from tests.client.breaking import breaking

RIGHT: dict[str, Any] = {
    "key": "k",
    "value": b"v",
    "expect_revision": 7,
    "stale": True,
    "endpoints": ["http://127.0.0.1:8001"],
    "timeout_s": 3.0,
    "session": None,
    "tls": None,
    "token": "raft_token",
    "exactly_once": True,
    "discover": True,
    "lease": None,
    "ttl_s": 10,
    "name": "deploy",
    "wait_s": 3.0,
}
"""A right value of every parameter that any public call has."""

MAY_BE_NONE = {
    ("delete", "expect_revision"),
    ("__init__", "session"),
    ("__init__", "tls"),
    ("__init__", "token"),
    ("put", "lease"),
    ("lock", "wait_s"),
}

ANYTHING: dict[str, Any] = {
    "None": None,
    "True": True,
    "an int": 7,
    "a float": 1.5,
    "a str": "7",
    "bytes": b"7",
    "a bytearray": bytearray(b"7"),
    "a memoryview": memoryview(b"7"),
    "a list": ["7"],
    "a dict": {"a": "b"},
    "a set": {"7"},
    "a generator": (letter for letter in "7"),
    "a file": io.BytesIO(b"content"),
    "a path": Path("/etc/hostname"),
    "an object": object(),
    "a list of URLs that are bytes": [b"http://127.0.0.1:8001"],
    "a list of ints": [8001],
    "one URL": "http://127.0.0.1:8001",
}
RIGHT_TYPES: dict[str, tuple[str, ...]] = {
    "key": ("a str", "bytes", "one URL"),
    "value": ("a str", "bytes", "one URL"),
    "expect_revision": ("an int",),
    "stale": ("True",),
    "endpoints": (),
    "timeout_s": ("an int", "a float"),
    "session": (),
    "tls": (),
    "token": ("a str", "one URL"),
    "exactly_once": ("True",),
    "discover": ("True",),
    "lease": (),
    "ttl_s": ("an int",),
    "name": ("a str", "bytes", "one URL"),
    "wait_s": ("an int", "a float"),
}
"""What of ANYTHING is of the parameter's own type. A list of no URL is a ValueError of its own."""


def calls() -> Iterator[tuple[str, str]]:
    """(method, parameter) of all that a caller can hand over."""
    for method, function in inspect.getmembers(RaftClient, inspect.isfunction):
        if method == "watch":
            continue  # it is followed, not awaited: tests/api/test_watch.py
        if method == "__init__" or not method.startswith("_"):
            for parameter in list(inspect.signature(function).parameters)[1:]:
                yield method, parameter


def call(client: RaftClient | None, method: str, **arguments: Any) -> Any:
    """The call with right arguments but for these."""
    function: Callable[..., Any] = RaftClient if client is None else getattr(client, method)
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in arguments:
            given[name] = arguments[name]
        elif parameter.default is inspect.Parameter.empty:
            given[name] = RIGHT[name]
    return function(**given)


@pytest.mark.parametrize("what", ANYTHING)
@pytest.mark.parametrize(("method", "parameter"), list(calls()))
async def test_an_argument_of_a_wrong_type_is_a_type_error_and_nothing_is_sent(
    method: str, parameter: str, what: str
) -> None:
    if what in RIGHT_TYPES[parameter] or (what == "None" and (method, parameter) in MAY_BE_NONE):
        return
    expected = ValueError if parameter == "endpoints" and what == "a list" else TypeError
    async with breaking() as server:
        if method == "__init__":
            with pytest.raises(expected, match=parameter if expected is TypeError else "no URL of a node"):
                call(None, method, **{parameter: ANYTHING[what]})
            return
        async with RaftClient([server.url], timeout_s=5) as client:
            with pytest.raises(TypeError, match=parameter):
                await call(client, method, **{parameter: ANYTHING[what]})
        assert server.requests == []


@pytest.mark.parametrize(("method", "parameter"), list(calls()))
async def test_an_argument_of_the_right_type_is_taken(method: str, parameter: str) -> None:
    """Else the walk above would be met by calls that refuse everything."""
    async with breaking() as server:
        if method == "__init__":
            call(None, method, **{parameter: RIGHT[parameter]})
            return
        async with RaftClient([server.url], timeout_s=5) as client:
            found = call(client, method, **{parameter: RIGHT[parameter]})
            if inspect.isawaitable(found):
                async with asyncio.timeout(5):
                    await found
        assert len(server.requests) == inspect.isawaitable(found), (
            "a lease, a lock or an election asks when it is entered"
        )


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("compare_and_set", {"expect_revision": -1}),
        ("delete", {"expect_revision": -1}),
        *((method, {"key": empty}) for method in ("get", "put", "compare_and_set", "delete") for empty in ("", b"")),
        ("put", {"value": "\ud800"}),
        ("get", {"key": "\ud800"}),
        *((method, {"name": ""}) for method in ("lock", "election")),
        *(("lock", {"wait_s": seconds}) for seconds in (-1, float("nan"), float("inf"))),
        ("lock", {"ttl_s": 0}),
        ("__init__", {"endpoints": []}),
        *(("__init__", {"timeout_s": seconds}) for seconds in (0, -1, float("nan"), float("inf"))),
    ],
)
async def test_a_wrong_value_of_a_right_type_is_a_value_error_and_nothing_is_sent(
    method: str, arguments: dict[str, Any]
) -> None:
    async with breaking() as server:
        if method == "__init__":
            with pytest.raises(ValueError, match=next(iter(arguments))):
                call(None, method, **arguments)
            return
        async with RaftClient([server.url], timeout_s=5) as client:
            with pytest.raises(ValueError, match=r"."):
                await call(client, method, **arguments)
        assert server.requests == []
