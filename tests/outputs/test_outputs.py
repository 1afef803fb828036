"""Every command of both tools meets every kind of output that cannot be written, or not as it is.

No command may call that an internal error, and each says what it did. Output that cannot be written is walked with all
commands in `make test`, each other sort and kind with a few; `make test-slow` walks one kind of each sort with all,
`make test-long` all with all.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.cli.test_usage import commands
from tests.outputs.conftest import Bench
from tests.outputs.paths import OUTPUT, PATHS, WHY, OutputPath

OF_THEIR_OWN = (
    *("cluster", "start", "lock", "elect", "members add", "members remove", "members replace", "lab etcd"),
    *("registry", "mpi", "mpi-cluster"),
)
"""See test_processes.py, tests/cli/test_lock.py and tests/chaos/test_etcd_lab.py. Those of members would change
the cluster that all tests here share: see tests/cli."""
FEW = (
    "put schlüssel wert --data-dir {data}",
    "status --data-dir {data}",
    "status {url1} {url2} {url3} {dead1} {dead2}",
    "members list --json --data-dir {data}",
    "log dump {data}/n1",
    "partition --dry-run --data-dir {data} --out {runs}",
)


def walk(*kinds: str, every: bool = False) -> pytest.MarkDecorator:
    """A few paths with all `kinds`; the others with the first of them, in `make test` where it shall walk `every` path,
    else in `make test-slow`; all with all in `make test-long`."""
    return pytest.mark.parametrize(("path", "kind"), list(_pairs(kinds, every)))


def _pairs(kinds: Sequence[str], every: bool) -> Iterator[Any]:
    for kind in kinds:
        for path in PATHS:
            seldom = pytest.mark.longest if kind != kinds[0] else pytest.mark.slowest
            often = path.words in FEW or (every and kind == kinds[0])
            yield pytest.param(path, kind, marks=() if often else seldom, id=f"{path.title} ({kind})")


@walk("full", "closed", "pipe", every=True)
def test_output_that_cannot_be_written_is_one_sentence_with_what_was_done(
    bench: Bench, path: OutputPath, kind: str
) -> None:
    ended = bench.ran(path, out=kind)
    said = rf"{path.tool}: {path.done}, but standard output cannot be written: {WHY[kind]}\.\n"
    if path.never and kind == "closed":
        said = rf"{path.tool}: Standard output is closed, so nobody could ever read {path.never}: .+\.\n"
    assert re.fullmatch(said, ended.err), ended
    assert (ended.code, ended.out) == (path.broken_code, b"")


@walk("ascii", "latin-1")
def test_what_an_encoding_does_not_know_is_written_with_backslashes(bench: Bench, path: OutputPath, kind: str) -> None:
    ended = bench.ran(path, encoding=kind)
    assert (ended.code, ended.err) == (path.code, "")
    text = ended.out.decode("utf-8" if path.bytes else kind)
    assert text.strip()
    if "json" in path.words:
        assert _is_json(text), text
    if path.words.startswith("put schlüssel wert --data-dir"):
        assert text.startswith("put schl\\u00fcssel (" if kind == "ascii" else "put schlüssel (")


def _is_json(text: str) -> bool:
    """One object, or one a line."""
    try:
        json.loads(text)
    except ValueError:
        return all(json.loads(line) is not None for line in text.splitlines())
    return True


@walk("20", "40", "80")
def test_a_narrow_terminal_cuts_nothing_that_tells_rows_apart(bench: Bench, path: OutputPath, kind: str) -> None:
    ended = bench.ran(path, COLUMNS=kind)
    assert (ended.code, ended.err) == (path.code, "")
    lines = ended.out.decode().splitlines()
    for word in path.whole:
        assert any(word in line for line in lines), (word, lines)
    if not path.words.endswith("--help"):
        assert "…" not in ended.out.decode()


@walk("full", "closed", "pipe")
def test_a_broken_standard_error_changes_neither_output_nor_exit_code(
    bench: Bench, path: OutputPath, kind: str
) -> None:
    ended = bench.ran(path, err=kind)
    assert ended.code == path.code
    assert ended.out


@pytest.mark.parametrize("tool", ["raft-node", "raft-chaos"])
def test_every_command_is_walked_or_has_tests_of_its_own(tool: str) -> None:
    walked = [path.words for path in PATHS if path.tool == tool]
    for words, _ in commands(tool):
        name = " ".join(words[1:])
        assert name in OF_THEIR_OWN or any(line.startswith(f"{name} ") for line in walked), name


@pytest.mark.parametrize("kind", WHY)
@pytest.mark.parametrize("tool", ["raft-node", "raft-chaos"])
def test_where_nothing_can_be_said_the_exit_code_still_tells(bench: Bench, tool: str, kind: str) -> None:
    assert bench.ran(OutputPath(tool, "--bogus"), out=kind, err=kind).code == 64
    assert bench.ran(OutputPath(tool, "--version"), out=kind, err=kind).code == OUTPUT
