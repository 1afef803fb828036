"""The README's example of a fencing token, word for word: a holder that was paused past its lease writes too late."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from raftclient import RaftClient
from tests.cluster.harness import running_cluster
from tests.docs.blocks import ROOT, blocks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

RUNS = "\n\nrun_it(main())\n"
TTL_S = 2
HOLDER = f"""
import asyncio, sys
from example import TooLate, write
from raftclient import LeaseLost, RaftClient

async def main() -> None:
    async with RaftClient(sys.argv[1:]) as client, client.lock("reports", ttl_s={TTL_S}) as lock:
        print(lock.token, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        try:
            await write(client, "report", b"old", lock.token)
            print("written")
        except TooLate:
            print("too late")
        await lock.lost.wait()
        try:
            lock.check()
        except LeaseLost:
            print("lost")

asyncio.run(main())
"""


def example() -> str:
    """The whole block."""
    (block,) = [block for block in blocks("README.md") if "class TooLate" in block.text]
    assert block.text.endswith(RUNS)
    return block.text


@pytest.mark.slowest
async def test_a_holder_that_was_stopped_past_its_lease_is_refused_by_its_token_and_learns_of_its_loss(
    tmp_path: Path,
) -> None:
    (tmp_path / "example.py").write_text(example().removesuffix(RUNS))
    (tmp_path / "holder.py").write_text(HOLDER)
    async with running_cluster(tmp_path, 3) as cluster:
        urls = [cluster.url(name) for name in cluster.nodes]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
        holder = await asyncio.create_subprocess_exec(
            sys.executable, str(tmp_path / "holder.py"), *urls, stdin=-1, stdout=-1, env=environ
        )
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            old = int(await holder.stdout.readline())
            holder.send_signal(signal.SIGSTOP)
            async with RaftClient(urls) as client:
                async with client.lock("reports", wait_s=20) as lock:
                    assert lock.token > old
                    written: dict[str, object] = {}
                    exec(compile(example().removesuffix(RUNS), "README.md", "exec"), written)
                    await written["write"](client, "report", b"new", lock.token)  # type: ignore[operator]
                holder.send_signal(signal.SIGCONT)
                said, _ = await asyncio.wait_for(holder.communicate(b"\n"), 20)
                assert said.decode().splitlines() == ["too late", "lost"]
                found = await client.get("report")
                assert found is not None
                assert found.value == b"%d new" % lock.token
        finally:
            if holder.returncode is None:
                holder.kill()
                await holder.wait()


@pytest.mark.slowest
async def test_the_example_runs_as_it_stands(tmp_path: Path) -> None:
    nodes = '["http://127.0.0.1:8001", "http://127.0.0.1:8002"]'
    assert nodes in example()
    async with running_cluster(tmp_path, 3) as cluster:
        urls = [cluster.url(name) for name in cluster.nodes]
        (tmp_path / "example.py").write_text(example().replace(nodes, repr(urls)))
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        for _ in range(2):
            running = await asyncio.create_subprocess_exec(
                sys.executable, str(tmp_path / "example.py"), stdout=-1, stderr=-1, env=environ
            )
            said, errors = await asyncio.wait_for(running.communicate(), 30)
            assert (running.returncode, said, errors) == (0, b"b'http://10.0.0.7:80'\n", b"")
