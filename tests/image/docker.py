"""The docker command for tests: one call, its output, or an error that shows what it said.

Why it exists: these tests do what a person does at a terminal, so they use the command and no library.
"""

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "deploy" / "compose.yaml"
COMMAND_SECONDS_MAX = 600.0
WAIT_SECONDS = 120.0
"""Until something is there that a busy machine needs half a minute for: no test judges by it how quick a node is."""
POLL_SECONDS = 0.05
NODE_PID = "$(echo $(cat /proc/1/task/1/children))"
"""In a container's shell: the node's process id, as the Dockerfile says it, without the space after it."""


def docker(*arguments: str, environment: dict[str, str] | None = None) -> str:
    """Standard output of `docker ARGUMENTS`, without the space round it."""
    done = attempt(*arguments, environment=environment)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout.strip()


def attempt(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """As `docker`, whatever the exit code."""
    return subprocess.run(
        ["docker", *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    )


def inspect(name: str) -> dict[str, Any]:
    """A container or an image."""
    found = json.loads(docker("inspect", name))
    return dict(found[0])


def ask(address: str, path: str, method: str = "GET", body: bytes | None = None) -> bytes:
    """One request to a published port, through no proxy; raises OSError where it is not answered with 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"http://{address}{path}", data=body, method=method)
    with opener.open(request, timeout=10) as answer:
        return bytes(answer.read())


def until(holds: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Poll until it holds; an error of the way there counts as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except OSError:
            pass
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"not within {seconds} s: {what}")
