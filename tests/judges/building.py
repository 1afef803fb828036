"""Builds the programs that judge, each into a folder of .cache: once, and again when what it is made of changed.

Why it exists: none of them belongs into the environment of this project. What builds them (pip, go, mvn) takes
packages by name; where one of these is missing, the test that needs it is skipped and says so.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".cache" / "judges"
CLIENTS = Path(__file__).parent / "clients"
BUILD_SECONDS_MAX = 900


def go_client() -> list[str]:
    """The command of etcd's own client for Go."""
    go, source = _needed("go"), CLIENTS / "go"

    def build(to: Path) -> None:
        _run([go, "build", "-trimpath", "-o", str(to / "judge"), "."], source)

    return [str(_built("go", [*source.glob("*")], build) / "judge")]


def jetcd() -> list[str]:
    """The command of jetcd."""
    java, maven, source = _needed("java"), _needed("mvn"), CLIENTS / "jetcd"

    def build(to: Path) -> None:
        _run([maven, "-q", "-B", f"-Dbuilt={to}", "compile", "dependency:copy-dependencies"], source)

    to = _built("jetcd", [source / "pom.xml", *source.glob("src/**/*.java")], build)
    return [java, "-cp", f"{to / 'classes'}:{to / 'dependency' / '*'}", "Judge"]


def python_client(name: str) -> list[str]:
    """The command of `with_NAME.py`, in an environment of what NAME.txt lists."""
    python = sys.executable if sys.version_info[:2] == (3, 11) else _needed("python3.11")
    wanted = CLIENTS / f"{name}.txt"

    def build(to: Path) -> None:
        _run([python, "-m", "venv", str(to)], CLIENTS)
        pip = [str(to / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--requirement", str(wanted)], CLIENTS)

    return [str(_built(name, [wanted], build) / "bin" / "python"), str(CLIENTS / f"with_{name}.py")]


def _needed(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program} on PATH: this judge is built and run with it")
    return found


def _built(name: str, made_of: list[Path], build: Callable[[Path], None]) -> Path:
    """Its folder. The name says of what it is made; a file in it, that it is complete."""
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sorted(made_of)))
    to = CACHE / f"{name}-{digest.hexdigest()[:12]}"
    if not (to / "complete").exists():
        for old in CACHE.glob(f"{name}-*"):
            shutil.rmtree(old)
        to.mkdir(parents=True)
        build(to)
        (to / "complete").touch()
    return to


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUILD_SECONDS_MAX)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
