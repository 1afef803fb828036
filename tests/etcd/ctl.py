"""Runs `etcdctl` against one side and says what it printed, with words for what is that side's own.

Why it exists: what people see of a cluster they see through this program, so everything that it prints must be equal:
texts of errors, tables, JSON, exit codes. Revisions are equal and stay; ids, terms, sizes, hashes and times are not.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

from tests.etcd.comparison import Client
from tests.etcd.generator import Request
from tests.etcd.member_story import words_of

SECONDS_MAX = 20.0


def ctl_program() -> str | None:
    """What ETCDCTL names, else the one on PATH."""
    return os.environ.get("ETCDCTL") or shutil.which("etcdctl")


class Step(NamedTuple):
    """One command, run once for each of `forms`. It reads `given`. With `lines` it does not end by itself: when it has
    printed so many, `during` is run; when it has printed `more` lines again, it gets Ctrl-C. What `lease grant` made is
    called `names` from then on."""

    line: str
    given: str = ""
    forms: tuple[str, ...] = ("simple",)
    lines: int = 0
    during: tuple[str, ...] = ()
    more: int = 0
    names: str = ""


class Said(NamedTuple):
    """What it printed, in words."""

    code: int
    output: str
    errors: str


PATTERNS = (
    (r'"(raft_?[tT]erm|raftIndex|raftAppliedIndex|dbSize\w*|hash|took|TTL|ttl)":("[^"]*"|\d+)', r'"\1":@'),
    (r'("Header":.*?"revision"):\d+', r"\1:@"),  # of a watch: etcd's is the store's, ours what was told up to then
    (r"(@CLIENT, )\d+(, \d+\n)", r"\1@HASH\2"),
    (r"\b\d+%", "@PERCENT"),
    (r'"(RaftTerm|Raft\w*Index|DBSize\w*|StorageSize|DbSize\w*|Hash|Took|TTL)" : ("[^"]*"|\d+\.?\w*)', r'"\1" : @'),
    (r"(took = |remaining\()[\d.]+[a-zµ]+", r"\1@"),
    (r"took [\d.]+[a-zµ]+", "took @"),
    (r"\d+(\.\d+)? [kM]?B\b", "@SIZE"),
    (r"(true|false), (true|false), \d+, \d+, \d+,", r"\1, \2, @TERM, @INDEX, @INDEX,"),
    (r"/[0-9a-f]{9,16}\b", "/@SESSION"),
    (r" +@(ID|CLUSTER)", r" @\1"),  # as wide as the widest
)
COLUMNS = frozenset(
    {"RAFT TERM", "RAFT INDEX", "RAFT APPLIED INDEX", "DB SIZE", "IN USE", "HASH", "TOOK", "PERCENTAGE NOT IN USE"}
)
"""Of tables, what is each side's own."""
LOGGED = ("level", "msg", "method", "error", "endpoint", "path")
"""What of its own log is not told by clocks."""


class Ctl:
    """It, for the one cluster behind a port."""

    def __init__(self, program: str, port: int, folder: Path) -> None:
        self._begin = [program, f"--endpoints=127.0.0.1:{port}", f"--command-timeout={SECONDS_MAX:.0f}s"]
        self._words: list[tuple[str, str]] = []
        with Client(port) as client:
            header = client.post_whole(Request("/v3/maintenance/status", b"{}"))
            for value, word in words_of(client).of.items():
                self._words.append((value, word))
        for number, word in ((header["header"]["cluster_id"], "@CLUSTER"), (header["header"]["member_id"], "@ID")):
            self._words += [(number, word), (f"{int(number):x}", word)]
        self._words += [(f"127.0.0.1:{port}", "@CLIENT"), (str(folder), "@FOLDER"), (header["version"], "@VERSION")]
        self._words.sort(key=lambda each: -len(each[0]))
        self._folder = folder

    def said(self, step: Step) -> list[Said]:
        """Of a step, in each of its forms."""
        return [self._run(step, form) for form in step.forms]

    def _run(self, step: Step, form: str) -> Said:
        command = self._command(step.line, *(() if form == "simple" else ("-w", form)))
        environment = {"PATH": os.environ["PATH"]}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            late = threading.Timer(2 * SECONDS_MAX, process.kill)
            late.start()
            try:
                output = self._interrupted(process, step) if step.lines else ""
                rest, errors = process.communicate(None if step.lines else step.given, timeout=2 * SECONDS_MAX)
            finally:
                late.cancel()
                process.kill()
                late.join()
        output = output or rest  # what it had still to print when it was interrupted depends on when that was
        if step.names and process.returncode == 0:
            self._name(step.names, output)
        return Said(process.returncode, self._worded(output), self._errors(errors))

    def _errors(self, text: str) -> str:
        """Where it panics, without where."""
        return self._worded("\n".join(map(_logged, text.partition("\n\ngoroutine ")[0].splitlines())))

    def _interrupted(self, process: subprocess.Popen[str], step: Step) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(step.given)
        process.stdin.flush()
        output = "".join(process.stdout.readline() for _ in range(step.lines))
        for line in step.during:
            subprocess.run(self._command(line), check=True, capture_output=True, timeout=2 * SECONDS_MAX)
        output += "".join(process.stdout.readline() for _ in range(step.more))
        process.send_signal(signal.SIGINT)
        process.wait(2 * SECONDS_MAX)  # before its input ends
        return output

    def _command(self, line: str, *options: str) -> list[str]:
        for value, word in reversed(self._words):  # of an id its hexadecimal digits, which stand behind the others
            line = line.replace(f"{word}!", value)
        words = shlex.split(line)
        at = words.index("--") if "--" in words else len(words)
        return [*self._begin, *words[:at], *options, *words[at:]]

    def _name(self, name: str, output: str) -> None:
        """Simple: `lease 7f3a granted`; JSON and fields: a decimal number."""
        found = re.search(r"lease ([0-9a-f]+) granted|\"ID\" ?: ?(\d+)", output)
        assert found is not None, output
        number = int(found[1], 16) if found[1] else int(found[2])
        self._words = [(str(number), name), (f"{number:016x}", name), *self._words]

    def _worded(self, text: str) -> str:
        text = "\n".join(_table(text.split("\n")))
        for value, word in self._words:
            text = text.replace(value, word)
        for pattern, by in PATTERNS:
            text = re.sub(pattern, by, text)
        return text


def _table(lines: list[str]) -> list[str]:
    """Cells of tables without the blanks that make them as wide as the widest, and without what is a side's own."""
    header: list[str] = []
    told = []
    for line in lines:
        if line.startswith("+--"):
            told.append("+")
        elif line.startswith("| "):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            header = header or cells
            own = (name in COLUMNS and cell != name for name, cell in zip(header, cells, strict=True))
            told.append("|".join("@" if hidden else cell for hidden, cell in zip(own, cells, strict=True)))
        else:
            told.append(line)
    return told


def _logged(line: str) -> str:
    """A line of its log: without times, pointers and places in its source."""
    try:
        fields = json.loads(line)
    except ValueError:
        return line
    return json.dumps({name: fields[name] for name in LOGGED if name in fields}) if isinstance(fields, dict) else line
