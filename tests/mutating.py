"""Plants one mistake at a time in a copy of the product and sees whether a test notices.

Why it exists: a test that no mistake can fail is worth nothing. Each mutation is one small change of one file; an
anchor that no longer occurs exactly once is an error, so that a list of mutations follows the code.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PYTEST = ("-x", "-q", "--no-header", "--tb=no", "--assert=plain", "-p", "no:cacheprovider")
RUN_SECONDS_MAX = 180
TESTS_FAILED = 1
"""pytest's exit code for "some tests failed": any other would mean that the copy did not even run."""


class Mutation(NamedTuple):
    """Replace `right` by `wrong` in `<file>` of its room."""

    name: str
    file: str
    right: str
    wrong: str


def anchors(mutation: Mutation, room: str) -> int:
    """How often its anchor occurs; `room` as for `passes`. It must be once."""
    return (ROOT / room / mutation.file).read_text().count(mutation.right)


ASYNC = ("-p", "pytest_asyncio.plugin", "-p", "pytest_timeout", "-o", "asyncio_mode=auto", "-o", "timeout=30")
"""For tests that run on a loop, and may wait for ever for what a mistake keeps from happening."""


def passes(
    mutation: Mutation | None,
    room: str,
    tests: str,
    files: Iterable[str],
    beside: Iterable[str] = (),
    options: Iterable[str] = (),
) -> str:
    """Run `files` of the folder `tests` on a copy with `mutation` in the folder `room` (None: an unchanged copy).
    `beside`: other folders of tests that these need; `options`: of pytest, as `ASYNC`.

    Returns what pytest said where all tests passed, an empty string where a test failed or did not end; raises
    RuntimeError where the copy could not be tested at all.
    """
    no_caches = shutil.ignore_patterns("__pycache__", "test_mutations.py")
    with tempfile.TemporaryDirectory(prefix="raft-mutation-") as folder:
        copy = Path(folder)
        for package in ("node", "raftclient"):
            shutil.copytree(ROOT / package, copy / package, ignore=no_caches)
        for folder_of_tests in (tests, *beside):
            shutil.copytree(ROOT / folder_of_tests, copy / folder_of_tests, ignore=no_caches)
        (copy / "tests" / "__init__.py").touch()
        if mutation is not None:
            if anchors(mutation, room) != 1:
                raise RuntimeError(f"{mutation.name!r}: its anchor occurs {anchors(mutation, room)} times")
            source = copy / room / mutation.file
            source.write_text(source.read_text().replace(mutation.right, mutation.wrong))
        alone = {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": folder}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *PYTEST, *options, *(f"{tests}/{file}" for file in files)],
                cwd=copy,
                env={**os.environ, **alone},
                capture_output=True,
                text=True,
                timeout=RUN_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired:
            if mutation is None:
                raise
            return ""  # no end is a failure, too
    if done.returncode not in (0, TESTS_FAILED):
        raise RuntimeError(f"{mutation and mutation.name}: the copy could not be tested:\n{done.stdout}{done.stderr}")
    return done.stdout if done.returncode == 0 else ""


def run(mutations: Sequence[Mutation], survives: Callable[[Mutation], str], wanted: Sequence[str]) -> int:
    """One line for each of `mutations`, or of those whose names are `wanted`; exit code 1 where one survives."""
    survivors = 0
    for mutation in mutations:
        if wanted and mutation.name not in wanted:
            continue
        alive = bool(survives(mutation))
        survivors += alive
        print(f"{'SURVIVES' if alive else 'killed  '}  {mutation.name}", flush=True)
    print(f"{survivors} survive")
    return 1 if survivors else 0
