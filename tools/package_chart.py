"""Packages the chart, the same bytes wherever the same Helm does it: `python tools/package_chart.py HELM FOLDER`.

Why it exists: `helm package` writes the time of each file into the archive (Helm 4; Helm 3 the time of day), and a
clone has files of today. Here every file is of one time: SOURCE_DATE_EPOCH, or else of the commit that is checked out.
It runs on the standard library alone, and must not change the chart.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

CHART = Path(__file__).resolve().parents[1] / "deploy" / "helm"
HELM_SECONDS_MAX = 60


class Refused(Exception):
    """Why no archive was made: one sentence."""


def moment() -> int:
    """Seconds since 1970 that all files are to be of."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None:
        if not given.isascii() or not given.isdigit():
            raise Refused(f"SOURCE_DATE_EPOCH {given!r} is no time: write whole seconds since 1970.")
        return int(given)
    done = _run("git", "-C", str(CHART), "log", "-1", "--format=%ct")
    if done.returncode != 0 or not done.stdout.strip():
        raise Refused("Not in a clone, so the time of the commit is not known: set SOURCE_DATE_EPOCH.")
    return int(done.stdout)


def package(helm: str, folder: Path, seconds: int, chart: Path = CHART) -> Path:
    """The archive of `chart` in `folder`; raises Refused where Helm fails, or writes times of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "chart"
        shutil.copytree(chart, copy)
        for file in copy.rglob("*"):
            os.utime(file, (seconds, seconds))
        made = Path(scratch) / "made"
        done = _run(helm, "package", str(copy), "--destination", str(made), epoch=seconds)
        if done.returncode != 0:
            raise Refused(f"helm package failed: {done.stderr.strip()}")
        [archive] = made.glob("*.tgz")
        with tarfile.open(archive) as members:
            if any(int(member.mtime) != seconds for member in members):
                raise Refused("This Helm writes the time of day into the archive: take Helm 4.")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(archive, folder / archive.name))


def _run(*command: str, epoch: int | None = None) -> subprocess.CompletedProcess[str]:
    more = {} if epoch is None else {"SOURCE_DATE_EPOCH": str(epoch)}
    return subprocess.run(
        command, env={**os.environ, **more}, capture_output=True, text=True, timeout=HELM_SECONDS_MAX, check=False
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python tools/package_chart.py HELM FOLDER")
    try:
        print(package(sys.argv[1], Path(sys.argv[2]), moment()))
    except (OSError, subprocess.TimeoutExpired, Refused) as error:
        sys.exit(str(error))
