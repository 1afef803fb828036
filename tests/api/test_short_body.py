"""A short body comes in however many pieces: it is read to its end, within its bounds, by everybody who takes one."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

import node
from node.api.answers import Problem
from node.api.inputs import short_body


def request_of(**headers: str) -> tuple[web.Request, StreamReader]:
    """One whose body is still to come."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    content = StreamReader(protocol, 2**16, loop=loop)
    request: Any = make_mocked_request("POST", "/login", headers=headers, payload=content)
    return request, content


async def test_what_comes_in_pieces_is_whole() -> None:
    request, content = request_of()
    reading = asyncio.create_task(short_body(request, "form", 10))
    for piece in (b"sec", b"ret=", b"abc"):
        content.feed_data(piece)
        await asyncio.sleep(0)
        assert not reading.done()
    content.feed_eof()
    assert await reading == b"secret=abc"


async def test_it_is_bounded_in_size_said_or_not_and_in_time() -> None:
    request, content = request_of()
    content.feed_data(b"x" * 11)
    with pytest.raises(Problem) as too_long:
        await short_body(request, "form", 10)
    said, _ = request_of(**{"Content-Length": "11"})
    with pytest.raises(Problem) as said_too_long:
        await short_body(said, "form", 10)
    late, _ = request_of()
    with pytest.raises(Problem) as too_late:
        await short_body(late, "form", 10, 0.001)
    broken, rest = request_of()
    rest.set_exception(web.RequestPayloadError("broken"))
    with pytest.raises(Problem) as cut:
        await short_body(broken, "form", 10)
    assert [each.value.status for each in (too_long, said_too_long, too_late, cut)] == [413, 413, 408, 400]


def test_no_handler_reads_what_happens_to_have_come() -> None:
    """`content.read(n)` gives the first piece, and no sign that there is more."""
    found = [
        f"{path.name}: {line.strip()}"
        for path in Path(next(iter(node.__path__))).rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"request\.content\.read\(", line)
    ]
    assert found == []
