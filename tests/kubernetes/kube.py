"""kubectl and helm as a person runs them: real programs, bounded waits, and failures that say what was asked.

Why it exists: these tests prove what an operator sees, so they use what an operator uses. It must know nothing of Raft.
"""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

COMMAND_SECONDS_MAX = 120.0
POLL_SECONDS, POLL_SECONDS_MAX = 0.2, 1.0
POLL_SHARE = 0.1
"""Of the time that it waited so far: each look takes from the machine that it waits for."""
STOP_SECONDS_MAX = 10.0

T = TypeVar("T")


class CommandFailed(AssertionError):
    """A command ended with another code than 0; `said` is what it printed, both streams."""

    def __init__(self, command: Sequence[str], code: int, said: str) -> None:
        super().__init__(f"`{shlex.join(command)}` ended with {code}:\n{said.strip()[-4000:]}")
        self.said = said


def run(*command: str, stdin: str | None = None, timeout_s: float = COMMAND_SECONDS_MAX) -> str:
    """Run it to its end; what it printed on standard output. Raises `CommandFailed`, also where it takes too long."""
    try:
        # Without input of its own it must not wait for the terminal's
        done = subprocess.run(command, input=stdin or "", capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise CommandFailed(command, -1, f"no end after {timeout_s} s") from None
    if done.returncode:
        raise CommandFailed(command, done.returncode, done.stdout + done.stderr)
    return done.stdout


def until(what: str, holds: Callable[[], T | None], within_s: float, every_s: float | None = None) -> T:
    """Ask until the answer is neither None nor False; the failure says what was waited for. Returns the answer.

    `every_s`: so often; without it less and less often.
    """
    begun = time.monotonic()
    while True:
        answer = holds()
        if answer is not None and answer is not False:
            return answer
        waited_s = time.monotonic() - begun
        if waited_s > within_s:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(every_s or min(max(POLL_SECONDS, POLL_SHARE * waited_s), POLL_SECONDS_MAX))


@contextmanager
def background(*command: str, output: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A command beside the test, what it prints in `output`; ended afterwards."""
    with output.open("ab") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def json_objects(text: str) -> list[dict[str, Any]]:
    """What `kubectl -o json --watch` prints: one object after the other; a last one that is not whole is left out."""
    found, decoder, at = [], json.JSONDecoder(), 0
    while (at := _past_blank(text, at)) < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            break
        found.append(value)
    return found


def _past_blank(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


class Namespace:
    """One namespace, and the programs aimed at it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_s: float = COMMAND_SECONDS_MAX) -> str:
        return run(*self.command(*arguments), stdin=stdin, timeout_s=timeout_s)

    def helm(self, *arguments: str, timeout_s: float = COMMAND_SECONDS_MAX) -> str:
        return run("helm", "--namespace", self.name, *arguments, timeout_s=timeout_s)

    def command(self, *arguments: str) -> tuple[str, ...]:
        """The words of a kubectl call, for `background`."""
        return ("kubectl", "--namespace", self.name, *arguments)

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get ... -o json`."""
        return dict(json.loads(self.kubectl("get", *arguments, "--output=json")))

    def apply(self, *objects: dict[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--filename=-", stdin=json.dumps(listed))


@contextmanager
def namespace(purpose: str) -> Iterator[Namespace]:
    """A new namespace that enforces the *restricted* Pod Security Standard, gone afterwards.

    One that a killed run left behind has the label `raft-test`.
    """
    made = Namespace(name := f"raft-test-{purpose}-{os.getpid()}")
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    labels["raft-test"] = purpose
    made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    try:
        yield made
    finally:
        # Volumes are freed one after the other; the next namespace has another name and need not wait for it
        run("kubectl", "delete", "namespace", name, "--wait=false")
