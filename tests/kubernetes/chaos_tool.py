"""`raft-chaos` as a person runs it against Kubernetes: as a process, with the kubeconfig of an account.

Why it exists: exit codes, sentences, signals and folders are the product, so they are tested from outside. It must know
nothing of how the tool works inside.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from chaos.errors import NOT_EFFECTIVE, PASSED, REFUSED
from tests.kubernetes.kube import Namespace, until
from tests.kubernetes.release import Release

RUN_SECONDS_MAX = 240.0
SAYS_SECONDS_MAX = 150.0
WHOLE_SECONDS_MAX = 120.0
CLOCK_STARTS = "the fault clock starts"
TOO_BUSY = (
    "needed to tell anything",
    "is not healthy to begin with",
    "was not healthy any more",
    "would stop ",
    "would have stopped the cluster",
    "Nobody kept the lead",
)
"""What a run says that broke nothing: the machine had no time for ten writes per second, or the cluster was not healthy
in the moment of a look, at which a voter answered late or was being elected. It is made again once the cluster is."""
NOTHING_BROKEN = (REFUSED, NOT_EFFECTIVE)
TRIES_MAX = 4
EVIDENCE = {"run.json", "history.ndjson", "trace.ndjson", "undo.json", "report.html"}


class Said:
    """How a command ended, and what it printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one line that it failed with."""
        assert "Traceback" not in self.err, self.err
        (line,) = [line for line in self.err.splitlines() if line.startswith("raft-chaos: ")]
        return line

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


class Tool:
    """The command with one kubeconfig, run in `folder`: its runs are kept in `folder`/chaos-runs."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self.kubeconfig, self.folder = kubeconfig, folder
        folder.mkdir(exist_ok=True, parents=True)

    def __call__(self, *arguments: str) -> Said:
        done = subprocess.run(
            self._command(arguments),
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS_MAX,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def run(self, *arguments: str) -> Said:
        """A command that breaks something, made again where the machine was too busy for it."""
        for _ in range(TRIES_MAX - 1):
            said = self(*arguments)
            if said.code not in NOTHING_BROKEN or not any(words in said.out + said.err for words in TOO_BUSY):
                return said
            self.until_whole()
        return self(*arguments)

    def status(self) -> Any:
        return self("status", "-o", "json").json

    def until_whole(self) -> Any:
        """Wait until every voter follows one leader; what `status` says then."""

        def whole() -> Any:
            said = self.status()
            return said if said.get("healthy") and all(node["ready"] for node in said["nodes"]) else None

        return until("a healthy cluster, as the tool sees it", whole, WHOLE_SECONDS_MAX, every_s=1.0)

    def leader(self) -> str:
        """Whom every voter follows; on a busy machine there may be nobody for a moment."""
        return str(self.until_whole()["leader"])

    def runs(self) -> list[Path]:
        """The folders that runs left here, the newest last."""
        kept = self.folder / "chaos-runs"
        return sorted(path for path in kept.iterdir() if not path.is_symlink()) if kept.is_dir() else []

    @contextlib.contextmanager
    def breaking(self, *arguments: str, says: str = CLOCK_STARTS) -> Iterator["Process"]:
        """The command beside the test, its fault proven (or `says`); it has ended when this is left, healed where it
        could. Made again where the machine was too busy for it."""
        for tries_left in reversed(range(TRIES_MAX)):
            made = Process(self._command(arguments), self.folder, self._environment())
            try:
                made.until_says(says, or_says=TOO_BUSY if tries_left else ())
                if says in made.output:
                    yield made
                    return
                assert made.ends() in NOTHING_BROKEN, made.output
            finally:
                made.end()
            self.until_whole()

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "chaos.cli", *arguments]

    def _environment(self) -> Mapping[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PYTHONPATH": str(Path(__file__).parents[2])}


class Process:
    """A running `raft-chaos`."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._printed = folder / f"printed-{time.monotonic_ns()}"
        with self._printed.open("wb") as stream:
            self.popen = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
            )

    @property
    def output(self) -> str:
        return self._printed.read_text()

    def until_says(self, text: str, times: int = 1, or_says: Collection[str] = ()) -> None:
        def says() -> bool:
            said = self.output.count(text) >= times or any(words in self.output for words in or_says)
            assert said or self.popen.poll() is None, self.output
            return said

        try:
            until(text, says, SAYS_SECONDS_MAX, every_s=0.05)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None

    def ends(self) -> int:
        return self.popen.wait(RUN_SECONDS_MAX)

    def end(self) -> None:
        """Ask it to heal and end; where it does not, kill it."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(SAYS_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        self.popen.wait(10.0)


def policy_specs(raft: Release) -> dict[str, Any]:
    """What every policy of the namespace says, its labels and annotations, and who owns which of its fields."""
    items = raft.namespace.get("networkpolicies", "--show-managed-fields")["items"]
    kept = ("labels", "annotations", "managedFields")
    return {one["metadata"]["name"]: (one["spec"], *(one["metadata"].get(key) for key in kept)) for one in items}


@contextlib.contextmanager
def no_trace(raft: Release) -> Iterator[dict[str, Any]]:
    """What policies there are before and after is the same to the byte, and nothing else is left."""
    before = policy_specs(raft)
    yield before
    assert policy_specs(raft) == before
    assert left_by_label(raft.namespace) == []


KINDS = "networkpolicies,leases,pods,jobs,serviceaccounts,roles,rolebindings"
"""Of all that the tool makes."""


def left_by_label(namespace: Namespace) -> list[str]:
    """Whatever in this namespace carries a label of the tool."""
    found = [
        *namespace.get(KINDS, "--selector=raft-chaos/run")["items"],
        *namespace.get(KINDS, "--selector=app.kubernetes.io/managed-by=raft-chaos")["items"],
    ]
    return [f"{one['kind']} {one['metadata']['name']}" for one in found]


def until_no_trace(namespace: Namespace, within_s: float) -> None:
    """The failure says what is left, and how it is."""
    try:
        until("no trace of the run", lambda: left_by_label(namespace) == [], within_s)
    except AssertionError as error:
        left = namespace.kubectl("get", KINDS, "--selector=raft-chaos/run", "--output=yaml")
        raise AssertionError(f"{error}\n{left}") from None


def passed(said: Said) -> Any:
    """The record of a run (`-o json`) that passed in every check."""
    assert said.code == PASSED, said
    record = said.json
    assert {verdict["outcome"] for verdict in record["verdicts"]} == {"pass"}, record["verdicts"]
    return record


def is_complete(folder: Path) -> None:
    """All files are there, and the report is one file that needs nothing from elsewhere."""
    assert {path.name for path in folder.iterdir()} >= EVIDENCE
    assert all((folder / name).stat().st_size for name in EVIDENCE)
    page = (folder / "report.html").read_text()
    assert "</html>" in page
    outside = re.findall(r"""(?:src|href)\s*=\s*["'](?!#|data:)([^"']+)|url\((?!["']?(?:#|data:))|@import""", page)
    assert outside == [], outside
