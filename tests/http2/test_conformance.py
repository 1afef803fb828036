"""h2spec, which nobody here wrote, finds the server to speak HTTP/2: 145 cases of RFC 9113 and RFC 7541."""

import asyncio
import os
import re
import shutil

import pytest

from tests.grpc.double import serving, until

PASSED_MIN = 144
"""The one that is left sends what no HTTP/2 begins with: HTTP/1.1 answers it, and says that it cannot be parsed."""


@pytest.mark.slowest
async def test_h2spec_passes() -> None:
    program = os.environ.get("H2SPEC") or shutil.which("h2spec")
    if program is None:
        pytest.skip("no h2spec: put it on PATH, or name it in H2SPEC")
    async with serving() as served:
        command = [program, "-h", "127.0.0.1", "-p", str(served.port), "-P", "/etcdserverpb.KV/Range", "-o", "5"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        text = output.decode()
        found = re.search(r"145 tests, (\d+) passed", text)
        assert found is not None, text[-2000:]
        assert int(found[1]) >= PASSED_MIN, text[text.find("Failures") :][:4000]
        await until(lambda: not served.counts.connections)
        assert (served.counts.streams, served.counts.held_bytes) == (0, 0)
