"""`python3 tools/install.py ENV [EXTRA]`: makes the virtual environment that `make` works in, and says what it does.

Why it exists: the first command that anybody runs must not be silent for a minute, and one that was broken off must not
leave an environment that later counts as done. So a stamp is written last, and whatever is begun bears the file
`unfinished` until then. It runs before anything is installed: it must need the standard library alone, and an old
Python (3.6) must still be able to read it, for it says which one is needed.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Callable, List, cast

PYTHON_MIN = (3, 11)
STAMPS = {"": ("node.stamp",), "dev": ("node.stamp", "installed.stamp")}
"""By extra: what is there when it is done. Who develops can run a node as well."""
MEANT_FOR = {"": "what a node needs", "dev": "what development needs"}
SILENCE_SECONDS_MAX = 10.0
LAST_WORDS = 12
"""Lines of a failed command that are shown; its log has all."""

TRIES = 3
"""pip asks again where it cannot connect, and not where an answer stops in the middle."""

_BROKE_OFF = re.compile(
    "Read timed out|ReadTimeoutError|IncompleteRead|ProtocolError|ConnectionResetError|Connection broken"
)
_COLLECTS = re.compile(r"^Collecting ([\w.-]+)")
_PREPARES = re.compile(r"^  (\w[\w .()]*): started")
_INSTALLS = re.compile(r"^Installing collected packages: (.*)")


class Failed(Exception):
    """A sentence for people."""


class Teller:
    """A line for each step with the seconds since the start. What passes within a step changes the last line of a
    terminal; elsewhere it gets a line where nothing was said for a while."""

    def __init__(self) -> None:
        self._began = self._told = time.monotonic()
        self._is_terminal = sys.stdout.isatty()

    def step(self, text: str) -> None:
        self._put(text + "\n")

    def passing(self, text: str) -> None:
        if self._is_terminal:
            self._put(text[: max(20, shutil.get_terminal_size().columns - 10)])
        elif time.monotonic() - self._told >= SILENCE_SECONDS_MAX:
            self.step(text)

    def _put(self, text: str) -> None:
        self._told = time.monotonic()
        start = "\r\033[K" if self._is_terminal else ""
        sys.stdout.write(f"{start}{time.monotonic() - self._began:5.0f} s  {text}")
        sys.stdout.flush()


def main(env: Path, extra: str) -> None:
    """Raises Failed, KeyboardInterrupt."""
    if sys.version_info < PYTHON_MIN:
        found = ".".join(map(str, sys.version_info[:3]))
        needed = ".".join(map(str, PYTHON_MIN))
        raise Failed(
            f"Python {found} is too old: name one of {needed} or newer, as in: make PYTHON=/path/to/python3 demo"
        )
    teller = Teller()
    lock = os.open(".", os.O_RDONLY)  # of the checkout: the environment itself may be removed below
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        teller.step(f"another make is installing into {env}: waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
    stamps = [env / name for name in STAMPS[extra]]
    if not all(map(_is_fresh, stamps)):
        _install(env, extra, stamps, lock, teller)


def _is_fresh(stamp: Path) -> bool:
    return stamp.exists() and stamp.stat().st_mtime >= Path("pyproject.toml").stat().st_mtime


def _install(env: Path, extra: str, stamps: List[Path], lock: int, teller: Teller) -> None:
    unfinished, python = env / "unfinished", env / "bin" / "python"
    if unfinished.exists():
        teller.step(f"an earlier install was broken off: {env} is made anew")
        shutil.rmtree(env)
    elif python.is_symlink() and not python.exists():
        teller.step(f"the Python of {env} is gone: it is made anew")
        shutil.rmtree(env)
    env.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    for name in STAMPS["dev"]:
        (env / name).unlink(missing_ok=True)
    log = env / "install.log"
    log.write_bytes(b"")
    if not python.exists() or subprocess.run([python, "-c", "import pip"], capture_output=True).returncode != 0:
        teller.step(f"making the virtual environment {env} with Python {'.'.join(map(str, sys.version_info[:3]))}")
        _run([sys.executable, "-m", "venv", str(env)], log, lock, lambda _line: None)
    teller.step(f"fetching {MEANT_FOR[extra]} (pyproject.toml), with pip")
    what = f".[{extra}]" if extra else "."
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    for tries_left in reversed(range(TRIES)):
        try:
            _run([*pip, "--timeout", "60", "--editable", what], log, lock, _Progress(teller))
            break
        except Failed:
            if not tries_left or not _BROKE_OFF.search(log.read_text(encoding="utf-8", errors="replace")):
                raise
            log.write_bytes(b"")
            teller.step("a download broke off: once more, with what has come already")
    for stamp in stamps:
        stamp.touch()
    unfinished.unlink()
    teller.step(f"installed: {_megabytes(env):.0f} MB in {env}")


class _Progress:
    """pip's own lines, made into steps."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._fetched = 0

    def __call__(self, line: str) -> None:
        collects, prepares, installs = (rule.match(line) for rule in (_COLLECTS, _PREPARES, _INSTALLS))
        if collects:
            self._fetched += 1
            self._teller.passing(f"  {self._fetched}: {collects.group(1)}")
        elif prepares:
            self._teller.passing(f"  {prepares.group(1).lower()}")
        elif installs:
            self._teller.step(f"installing {len(installs.group(1).split(','))} packages")


def _run(command: List[str], log: Path, lock: int, each_line: Callable[[str], None]) -> None:
    """The command keeps the lock for as long as it lives, also where this process is killed."""
    with open(log, "a", encoding="utf-8", errors="replace") as kept:
        kept.write(f"$ {' '.join(command)}\n")
        kept.flush()
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=[lock],
            universal_newlines=True, encoding="utf-8", errors="replace",
        ) as child:  # fmt: skip
            try:
                for line in cast(IO[str], child.stdout):
                    kept.write(line)
                    each_line(line)
            except BaseException:  # an interrupt may have been meant for this process alone
                child.terminate()
                raise
    if child.returncode != 0:
        words = log.read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line for line in words if line.startswith("ERROR")] or words
        shown = "\n".join(f"    {line}" for line in told[-LAST_WORDS:])
        raise Failed(
            f"{' '.join(command[:4])} failed with exit code {child.returncode}:\n{shown}\n"
            f"all it said is in {log}; the same command begins anew"
        )


def _megabytes(folder: Path) -> float:
    """What it takes on disk."""
    return sum(path.lstat().st_blocks for path in folder.rglob("*")) * 512 / 1e6


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
    except Failed as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        print("\nbroken off; the same command begins anew", file=sys.stderr)
        sys.exit(130)
