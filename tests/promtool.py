"""Prometheus' own programs for tests: what checks metrics and tries rules, and what scrapes.

Why it exists: rules that nobody evaluated are not tested. `make test` puts both programs into .cache; where they are
not to be had, a test says so and is skipped.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[1] / ".cache" / "prometheus" / "usr" / "bin"
SECONDS_MAX = 60


def program(name: str) -> str:
    """`promtool` or `prometheus`: what its variable (PROMTOOL, ...) names, else of .cache, else on PATH."""
    found = os.environ.get(name.upper()) or shutil.which(CACHE / name) or shutil.which(name)
    if not found:
        pytest.skip(f"{name} is missing: run `make prometheus`, or install your system's package of Prometheus")
    return found


def promtool(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """`promtool ARGUMENTS`, with `given` on standard input."""
    command = [program("promtool"), *arguments]
    environment = {**os.environ, "GOGC": "300"}  # half the time: it ends before much garbage is worth collecting
    return subprocess.run(command, input=given, env=environment, capture_output=True, timeout=SECONDS_MAX, check=False)
