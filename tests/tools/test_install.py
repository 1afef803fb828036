"""tools/install.py with a real venv and a real pip, on a project so small that it needs no network.

Its build backend lies in its own tree; where there is a FIFO `held`, a build says there that it has begun, and waits.
"""

import ast
import contextlib
import fcntl
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pip
import pytest
from packaging.requirements import Requirement

from chaos.targets import find
from tools import install

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "install.py"
WAIT_SECONDS_MAX = 140.0
"""On a machine full of other work, pip takes a minute for what it does in three seconds."""
pytestmark = pytest.mark.timeout(300)
NODE_MEGABYTES_MAX = 70
"""What a node needs beside pip and the environment itself, which take 15 MB."""

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1"
dependencies = ["needed"]
optional-dependencies.dev = ["helpful"]
optional-dependencies.chaos = ["helpful"]
"""
BACKEND = """
import os, time, zipfile

EXTRAS = []
for extra in ("dev", "chaos"):
    EXTRAS += [f"Provides-Extra: {extra}", f"Requires-Dist: helpful; extra == '{extra}'"]

def wheel(folder, name, *more):
    path = os.path.join(folder, f"{name}-1-py3-none-any.whl")
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(f"{name}.py", "")
        made.writestr(f"{name}-1.dist-info/METADATA", "\\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 1", *more]) + "\\n")
        made.writestr(f"{name}-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        made.writestr(f"{name}-1.dist-info/RECORD", "")
    return os.path.basename(path)

def build_editable(folder, config_settings=None, metadata_directory=None):
    if os.path.exists("held"):
        with open("held", "w") as began:
            began.write("began")
        time.sleep(600)
    return wheel(folder, "tiny", "Requires-Dist: needed", *EXTRAS)
"""  # noqa: E501


@pytest.fixture(scope="module")
def empty_env(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with pip alone, copied from this one: to make one with pip takes ten times as long."""
    made = tmp_path_factory.mktemp("env") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    packages = next(made.glob("lib/python*/site-packages"))
    for path in Path(pip.__file__).parents[1].glob("pip*"):
        shutil.copytree(path, packages / path.name)
    return made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    backend: dict[str, object] = {}
    exec(BACKEND, backend)
    for name in ("needed", "helpful"):
        backend["wheel"](tmp_path, name)  # type: ignore[operator]
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return folder


def begin(project: Path, *extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, "env", *extra],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(child: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        out, err = child.communicate(timeout=WAIT_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        raise
    return child.returncode, out + err


@pytest.fixture
def held(project: Path, empty_env: Path) -> Iterator[subprocess.Popen[str]]:
    """An install that is in the middle of pip's work."""
    shutil.copytree(empty_env, project / "env", symlinks=True)
    os.mkfifo(project / "held")
    child = begin(project)
    assert (project / "held").read_text() == "began"
    yield child
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def stamps(project: Path) -> set[str]:
    return {path.name for path in (project / "env").glob("*.stamp")}


def has(project: Path, module: str) -> bool:
    return subprocess.run([project / "env/bin/python", "-c", f"import {module}"], capture_output=True).returncode == 0


def steps(said: str) -> list[str]:
    """What was told, without the seconds and what a step is about in detail."""
    assert all(re.match(r" +\d+ s  ", line) for line in said.splitlines())
    told = [line.split(" s  ", 1)[1] for line in said.splitlines()]
    return [re.sub(r" \(.*|: \d+ MB.*", "", line) for line in told if not line.startswith(" ")]


@pytest.mark.slowest
def test_development_comes_on_top_of_what_a_node_needs(project: Path, empty_env: Path) -> None:
    shutil.copytree(empty_env, project / "env", symlinks=True)
    code, said = finished(begin(project))
    assert code == 0, said
    assert steps(said) == ["fetching what a node needs", "installing 2 packages", "installed"]
    assert (has(project, "needed"), has(project, "helpful")) == (True, False)
    assert stamps(project) == {"node.stamp"}

    code, said = finished(begin(project, "dev"))
    assert code == 0, said
    assert steps(said) == ["fetching what development needs", "installing 2 packages", "installed"]
    assert has(project, "helpful")
    assert stamps(project) == {"node.stamp", "installed.stamp"}
    assert not (project / "env" / "unfinished").exists()


@pytest.mark.slowest
def test_the_command_that_raft_chaos_names_brings_what_is_missing(
    project: Path, empty_env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(empty_env, project / "env", symlinks=True)
    monkeypatch.setattr(sys, "executable", str(project / "env/bin/python"))
    done = subprocess.run(find._install_command(project), shell=True, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert has(project, "helpful")


@pytest.mark.slowest
def test_one_that_is_broken_off_leaves_nothing_that_counts_as_done_and_the_next_begins_anew(
    project: Path, held: subprocess.Popen[str]
) -> None:
    (project / "env" / "half").touch()
    os.killpg(held.pid, signal.SIGINT)
    code, said = finished(held)
    assert (code, said.splitlines()[-1]) == (130, "broken off; the same command begins anew")
    assert "Traceback" not in said
    assert stamps(project) == set()

    (project / "held").unlink()
    code, said = finished(begin(project))
    assert code == 0, said
    assert steps(said) == [
        "an earlier install was broken off: env is made anew",
        f"making the virtual environment env with Python {sys.version.split()[0]}",
        "fetching what a node needs",
        "installing 2 packages",
        "installed",
    ]
    assert not (project / "env" / "half").exists()
    assert stamps(project) == {"node.stamp"}


def test_a_pip_that_outlives_its_parent_keeps_others_out(project: Path, held: subprocess.Popen[str]) -> None:
    held.kill()
    held.wait()
    lock = os.open(project, os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(lock)


def test_a_second_one_waits_for_the_first_and_finds_it_done(project: Path) -> None:
    lock = os.open(project, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    child = begin(project)
    assert child.stdout is not None
    assert "another make is installing into env: waiting for it" in child.stdout.readline()
    (project / "env").mkdir()
    (project / "env" / "node.stamp").touch()
    os.close(lock)
    assert finished(child) == (0, "")


def test_what_pip_cannot_install_is_told_with_its_own_words_and_where_all_of_them_are(
    project: Path, empty_env: Path
) -> None:
    shutil.copytree(empty_env, project / "env", symlinks=True)
    (project / "pyproject.toml").write_text(PROJECT.replace('"needed"', '"needed", "nowhere"'))
    (project / "backend.py").write_text(BACKEND.replace("*EXTRAS", '"Requires-Dist: nowhere", *EXTRAS'))
    code, said = finished(begin(project))
    assert code == 1
    assert "No matching distribution found for nowhere" in said
    assert said.endswith("all it said is in env/install.log; the same command begins anew\n")
    assert "Traceback" not in said
    assert "nowhere" in (project / "env" / "install.log").read_text()
    assert stamps(project) == set()


def test_a_download_that_breaks_off_is_begun_once_more(project: Path, empty_env: Path) -> None:
    shutil.copytree(empty_env, project / "env", symlinks=True)
    breaks = "def build_editable(folder, config_settings=None, metadata_directory=None):\n"
    once = '    if not os.path.exists("again"):\n        os.mkdir("again")\n        raise OSError("Read timed out.")\n'
    (project / "backend.py").write_text(BACKEND.replace(breaks, breaks + once))
    code, said = finished(begin(project))
    assert code == 0, said
    assert "a download broke off: once more" in said
    assert has(project, "needed")


def test_a_long_step_is_not_silent_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    teller = install.Teller()
    teller.step("fetching")
    for number in range(24):
        now[0] = number
        teller.passing(f"  {number}: a package")
    assert capsys.readouterr().out.splitlines() == [
        "    0 s  fetching",
        "   10 s    10: a package",
        "   20 s    20: a package",
    ]


def test_an_old_python_can_read_it_and_is_told_which_one_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))
    monkeypatch.setattr(install, "PYTHON_MIN", (3, 99))
    with pytest.raises(install.Failed, match=r"is too old: name one of 3\.99 or newer, as in: make PYTHON=.*demo$"):
        install.main(Path("env"), "")
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["requires-python"] == ">=3.11"


@pytest.mark.parametrize(
    ("target", "installs"), [("demo", "install.py x"), ("scenarios", "install.py x"), ("check", "install.py x dev")]
)
def test_a_target_installs_what_it_needs_and_no_more(target: str, installs: str) -> None:
    told = subprocess.run(["make", "-n", "VENV=x", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [line for line in told.splitlines() if "install" in line] == [f"python3 tools/{installs}"]


def test_what_a_node_needs_is_small() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        waiting = list(map(Requirement, tomllib.load(file)["project"]["dependencies"]))
    found: dict[str, int] = {}
    while waiting:
        one = waiting.pop()
        if one.name in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        about = importlib.metadata.distribution(one.name)
        found[one.name] = sum(
            path.stat().st_size for file in about.files or () if (path := Path(str(file.locate()))).is_file()
        )
        waiting += map(Requirement, about.requires or ())
    assert 15 < len(found) < 30
    assert sum(found.values()) < NODE_MEGABYTES_MAX * 1e6, found
