"""The release before this one, as a folder of its source.

Why it exists: what two releases say to each other is seen only where both run. The source comes out of this
repository's own history, once, and is kept in `.cache`; it runs on the packages of today. A clone without that history
asks its origin for the one commit; where that is not to be had, tests are skipped, in CI they fail: a check that is
never made must not look like one that passes.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINNED = Path(__file__).with_name("previous.txt")
CACHE = ROOT / ".cache" / "previous"
GIT_SECONDS_MAX = 60


def pinned() -> str:
    """The commit that `previous.txt` names."""
    return next(line for line in PINNED.read_text().split("\n") if line and not line.startswith("#"))


def previous_source() -> Path:
    """A folder with the source of the release before; ends the test where there is none."""
    commit = pinned()
    folder = CACHE / commit
    if not folder.is_dir():
        problem = _brought(commit) or _unpacked(commit, folder)
        if problem:
            said = f"the release before this one, {commit[:12]}, is not to be had ({problem}): git fetch --unshallow"
            pytest.fail(said) if os.environ.get("CI") else pytest.skip(said)
    return folder


def _brought(commit: str) -> str:
    """Why this clone does not have the commit; empty: it has."""
    if not _git("cat-file", "-e", f"{commit}^{{commit}}"):
        return ""
    return _git("fetch", "--quiet", "--depth=1", "origin", commit)


def _unpacked(commit: str, folder: Path) -> str:
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix="part-", dir=folder.parent))
    try:
        problem = _git("archive", f"--output={part}/source.tar", commit, "node", "raftclient")
        if problem:
            return problem
        with tarfile.open(part / "source.tar") as archive:
            archive.extractall(part / "source", filter="data")
        try:
            (part / "source").rename(folder)
        except OSError:
            assert folder.is_dir(), "another run of the tests was faster"
    finally:
        shutil.rmtree(part)
    return ""


def _git(*words: str) -> str:
    """Why it failed; empty: it did not."""
    try:
        done = subprocess.run(("git", *words), cwd=ROOT, capture_output=True, text=True, timeout=GIT_SECONDS_MAX)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip().split("\n")[-1] or f"exit code {done.returncode}") if done.returncode else ""
