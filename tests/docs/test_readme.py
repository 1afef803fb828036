"""The README, followed line by line by real processes. What is not followed is listed here, each with its reason."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks
from tests.supervisor.conftest import eventually

README = [block for block in blocks("README.md") if block.language]
FOLLOWED = (
    "make demo",
    "raft-node put greeting hello",
    "raft-node log dump raft-data/n1",
    "raft-node cluster --heartbeat-ms 1000 --election-timeout-ms 3000-6000",
    'curl -X POST localhost:8001/v3/kv/put -d \'{"key":"Zm9v","value":"YmFy"}\'',
    "from etcd3gw import Etcd3Client",
    "raft-node command n1",
    "raft-chaos status",
    "import asyncio",
    "from asyncio import run as run_it",
    "from asyncio import run",
    "from raftclient.blocking import RaftClient",
    "SESSION=$(curl -X POST localhost:8001/sessions | cut -d'\"' -f4)",
    "curl http://127.0.0.1:8080/",
)
"""First lines of the blocks that the test below follows, in the README's order."""
NOT_FOLLOWED = {
    "export ETCDCTL_ENDPOINTS=127.0.0.1:8001": "needs etcdctl; tests/etcd/test_etcdctl.py does it",
    "etcdctl user add root:rootpw && etcdctl user add ann:annpw": "likewise; tests/etcd/test_auth_walk.py does it",
    "docker build -t raft:0.1.0 .": "needs Docker and Kubernetes; tests/kubernetes and tests/image do it",
}
SKIPPED = {"make test": "the suite that this test is a part of"}
DRY = {
    "raft-chaos kill-leader --mode sigkill --times 3": "asks, and takes a minute; tests/chaos runs it",
    "raft-chaos partition --split 2,3": "asks, and takes a minute; tests/chaos runs it",
    "raft-chaos pause leader --for 5s": "asks, and refuses within the 10 s of the cut link above; tests/chaos runs it",
}
"""Run with --dry-run: everything but the acts."""
ENDLESS = {
    "curl -N http://127.0.0.1:8001/events": "data:",
    "curl -N 'http://127.0.0.1:8004/kv/?prefix=a&watch=1'": "watching",
    "raft-node watch a --revision 1": "put",
    'curl -N -X POST localhost:8001/v3/watch -d \'{"create_request":{"key":"Zm9v","start_revision":"1"}}\'': "created",
    "curl -N 'http://127.0.0.1:8080/events?messages=1&rate=20'": "data:",
    "raft-node cluster --heartbeat-ms 1000 --election-timeout-ms 3000-6000": "Try it:",
}
"""Run until they say this."""
DEMO_STOPPED_FIRST = "raft-node cluster --heartbeat-ms 1000 --election-timeout-ms 3000-6000"
BRINGS_BACK = "curl -X POST http://127.0.0.1:8080/nodes/n2/start"
LED_BY_N1 = {"raft-node command n1 transfer_leadership target=n2"}
MAY_REFUSE = {"raft-node command n1 trigger_election": "n1 leads already"}
SAYS = {
    "raft-node get greeting": "hello",
    "raft-node status": "leader",
    "curl -i http://127.0.0.1:8004/kv/a/b": r'ETag: "\d+"[\s\S]*hi$',
    "curl 'http://127.0.0.1:8005/kv/a/b?consistency=stale'": "^ho$",
    "raft-node log verify raft-data/n1": "^whole:",
    'curl -X POST localhost:8001/v3/kv/range -d \'{"key":"Zm9v"}\'': "YmFy",
    "from etcd3gw import Etcd3Client": r"\[b'hello'\]\nTrue\n",
    "import asyncio": r"^Value\(value=b'goodbye', revision=\d+\)$",
    "from asyncio import run as run_it": r"^b'http://10.0.0.7:80'$",
    "from asyncio import run": r"^Change\(key=b'jobs/1', value=b'begin', revision=\d+\)$",
    "from raftclient.blocking import RaftClient": r"^Value\(value=b'hello', revision=\d+\)$",
    "curl -X PUT localhost:8002/kv/a -d 1 -H \"Raft-Session: $SESSION\" -H 'Raft-Sequence: 1'": r'"revision":\d+',
    "raft-chaos partition --dry-run": "(?i)heal",
}
"""What a line must print beside succeeding, as a pattern."""


def test_every_block_is_followed_or_says_why_not() -> None:
    assert [block.title for block in README if block.title not in NOT_FOLLOWED] == list(FOLLOWED)
    assert NOT_FOLLOWED.keys() <= {block.title for block in README}


def test_every_exception_is_about_a_line_that_there_is() -> None:
    lines = {line for block in README for line in (block.title, *block.commands())}
    assert {*SKIPPED, *DRY, *ENDLESS, *MAY_REFUSE, *LED_BY_N1, *SAYS} - lines == set()


class Shell:
    """One bash for all lines, so that variables live on; `curl` fails where the answer is an error."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._out = folder, folder / "out.txt"
        (folder / ".curlrc").write_text("silent\nshow-error\nfail-with-body\n")
        bin_of_environment = str(Path(sys.executable).parent)  # what `source .venv/bin/activate` puts on PATH
        self.environment = os.environ | {
            "CURL_HOME": str(folder),
            "PATH": f"{bin_of_environment}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "RAFT_HEARTBEAT_MS": "100",  # what is asked has one right answer while nobody is elected; a laptop's 175 ms
            "RAFT_ELECTION_TIMEOUT_MS": "1500-3000",  # are too few where others want the processor
            "KUBECONFIG": str(folder / "none"),
        }
        self._bash = subprocess.Popen(
            ["bash"], cwd=folder, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, line: str) -> tuple[int, str]:
        """Exit code, and what it printed."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{{ {line}\n}} </dev/null >{self._out} 2>&1; echo $?\n")
        self._bash.stdin.flush()
        return int(self._bash.stdout.readline()), self._out.read_text()

    @contextlib.contextmanager
    def running(self, command: str, words: str) -> Iterator[None]:
        """Begins it and waits until it says that; ended as Ctrl-C ends it."""
        said = self.folder / "endless.txt"
        with said.open("w") as out:
            child = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.environment,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            eventually(lambda: words in said.read_text() or child.poll() is not None, f"{words!r} of {command}")
            assert words in said.read_text(), f"{command} ended with {child.returncode}: {said.read_text()}"
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGINT)
            child.wait(30)

    def close(self) -> None:
        self._bash.kill()
        self._bash.communicate()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    (tmp_path / "node").symlink_to(ROOT / "node")
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    made = Shell(tmp_path)
    yield made
    made.close()


def ready(shell: Shell) -> None:
    """What a reader sees before typing on: whoever is asked knows a leader."""
    urls = [f"http://127.0.0.1:{port}/readyz" for port in range(8001, 8006)]
    eventually(lambda: shell.run(f"curl {' '.join(urls)}")[0] == 0, "five nodes that know a leader")


def kill(shell: Shell, name: str) -> None:
    """A line says how to bring a dead node back: here it dies, and the supervisor sees it."""
    file = shell.folder / "raft-data" / "cluster.json"

    def process() -> int:
        return int(next(node["pid"] for node in json.loads(file.read_text())["nodes"] if node["name"] == name) or 0)

    os.kill(process(), signal.SIGKILL)
    end = time.monotonic() + 10
    while process():
        assert time.monotonic() < end, f"{name} was killed and is still said to run"
        time.sleep(0.02)


def follow(shell: Shell, line: str) -> None:
    if line in SKIPPED:
        return
    if line in ENDLESS:
        with shell.running(line, ENDLESS[line]):
            return
    if line == BRINGS_BACK:
        kill(shell, "n2")
    else:
        ready(shell)
    if line in LED_BY_N1:  # "n1 campaigns" is said when it begins to
        eventually(lambda: '"role":"leader"' in shell.run("curl http://127.0.0.1:8001/status")[1], "n1 leads")
    code, said = shell.run(f"{line} --dry-run" if line in DRY else line)
    refused = code == 1 and line in MAY_REFUSE and MAY_REFUSE[line] in said
    assert code == 0 or refused, f"{line} ended with {code}: {said}"
    assert re.search(SAYS.get(line, ""), said), f"{line} printed {said}"


def follow_python(shell: Shell, block: Block) -> None:
    program = shell.folder / "program.py"
    program.write_text(block.text)
    ready(shell)
    code, said = shell.run("python program.py")
    assert code == 0, f"{block.title} ended with {code}: {said}"
    assert re.search(SAYS[block.title], said), f"{block.title} printed {said}"


@pytest.mark.slowest
@pytest.mark.timeout(400)
def test_it_can_be_followed_line_by_line(shell: Shell) -> None:
    demo = "make --assume-old .venv/node.stamp demo"  # installs nothing: tests/tools do
    waiting = [block for block in README if block.title not in NOT_FOLLOWED]
    while waiting:
        with shell.running(demo, "Try it:"):
            while waiting and waiting[0].title != DEMO_STOPPED_FIRST:
                block = waiting.pop(0)
                if block.language == "python":
                    follow_python(shell, block)
                    continue
                for line in block.commands():
                    if line != "make demo":
                        follow(shell, line)
        if waiting:
            for line in waiting.pop(0).commands():
                follow(shell, line)
