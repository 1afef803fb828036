"""Wrong usage of any command of either tool: one exit code, one sentence, nothing done."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import chaos.cli.main
import node.cli.commands
from node.settings import SETTINGS

USAGE = 64
MAINS: dict[str, Callable[[list[str]], int]] = {"raft-node": node.cli.main, "raft-chaos": chaos.cli.main}
APPS = {"raft-node": node.cli.commands.app, "raft-chaos": sys.modules["chaos.cli.main"].app}
BAD = {
    "--nodes": "two", "--base-port": "99999", "--monitor-port": "-2", "--log-format": "xml", "--output": "yaml",
    "--revision": "new", "--count": "many",
    "--speed": "warp", "--if-match": "newest", "--url": "ftp://n1", "--target": "mars", "--duration": "soon",
    "--seed": "-1", "--times": "0", "--every": "soon", "--mode": "softly", "--within": "soon", "--split": "half",
    "--kind": "flat", "--system": "consul", "--one-way": "leader",
    "--ttl": "long", "--wait": "soon", "--without": "everything", "--peer": "n3", "--client-url": "n3:8003",
    "--role": "reed", "--discovery-port": "99999", "--heartbeat-interval": "soon",
    "--min-election-timeout": "soon", "--max-election-timeout": "late", "--keep": "all",
}  # fmt: skip
"""By option, a value that no command takes."""
FREE = {
    "--data-dir", "--heartbeat-ms", "--election-timeout-ms", "--namespace", "--release", "--context", "--out",
    "--isolate", "--bridge", "--cacert", "--cert", "--key", "--token-file",
    "--junit", "--config", "--trace", "--token", "--survivor", "--members", "--names", "--override",
}  # fmt: skip
"""Texts: what is wrong with one is found by whoever uses it, and told in tests of its own."""
CONTRADICTIONS = (
    "raft-node put k v --if-match 7 --if-absent",
    "raft-node put k v --url http://127.0.0.1:1 --data-dir .",
    "raft-node status http://127.0.0.1:1 --data-dir .",
    "raft-node command 127.0.0.1:1 recover --data-dir .",
    "raft-node status --json -o table",
    "raft-node cluster --no-monitor --monitor-port 0",
    "raft-node demo-scenario split-vote --all",
    "raft-node demo-scenario split-vote --list",
    "raft-node demo-scenario --all --list",
    "raft-node serve --json",
    "raft-node lock deploy --json --url http://127.0.0.1:1 -- echo",
    "raft-node lock deploy --ttl 0 --url http://127.0.0.1:1",
    "raft-node members fit --names , http://127.0.0.1:1",
    "raft-node lock  --url http://127.0.0.1:1",
    "raft-node elect chief --url http://127.0.0.1:1",
    "raft-node elect chief me --listen --url http://127.0.0.1:1",
    "raft-node elect chief me --count 1 --url http://127.0.0.1:1",
    "raft-chaos partition --isolate leader --split 2,3",
    "raft-chaos partition --bridge leader --ring",
    "raft-chaos partition --one-way n1:n2 --isolate n1",
    "raft-chaos lab etcd --json -o table",
    "raft-chaos status --junit file.xml",
    "raft-chaos status --json -o table",
    "raft-chaos status --target local -n default",
    "raft-chaos status --target local --release raft",
    "raft-chaos status --target local --context kind",
    "raft-chaos status --target kubernetes --data-dir .",
    "raft-chaos status --data-dir . -n default",
    "raft-chaos report somewhere --out elsewhere",
)
WRONG_URLS = (
    ("ftp://n1:8001", "not a node's URL"),
    ("http://", "not a node's URL"),
    ("http://n1:port", "not a node's URL"),
    ("http://n1 n2:1", "not a node's URL"),
    ("http://me@n1:8001", "a user"),
    ("http://n1:8001/kv", "a path"),
    ("http://n1:8001?x=1", "a query"),
    ("http://n1:8001#top", "a fragment"),
)


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)


def commands(tool: str) -> Iterator[tuple[list[str], Any]]:
    """Every command of a tool that does something, with the words that call it."""

    def walk(words: list[str], command: Any) -> Iterator[tuple[list[str], Any]]:
        for name, below in getattr(command, "commands", {}).items():
            yield from walk([*words, name], below)
        if not hasattr(command, "commands"):
            yield words, command

    yield from walk([tool], typer.main.get_command(APPS[tool]))


def _mistakes() -> Iterator[tuple[str, ...]]:
    for tool in MAINS:
        yield (tool, "--bogus")
        yield (tool, "no-such-command")
        for words, command in commands(tool):
            needed = ["x" for p in command.params if p.param_type_name == "argument" and p.required]
            yield (*words, *needed, "--bogus")
            if needed:
                yield (*words, *needed[1:])
            yield (*words, *needed, *["x"] * 9, "--bogus")
            for option in _with_values(command):
                if option in BAD and (words[1] != "serve" or option == "--output"):
                    yield (*words, *needed, option, BAD[option])
    for setting in SETTINGS:
        if setting.low is not None:
            yield ("raft-node", "serve", setting.flag, "x")


def _with_values(command: Any) -> list[str]:
    return [p.opts[0] for p in command.params if p.param_type_name == "option" and not p.is_flag]


@pytest.mark.parametrize("words", list(_mistakes()), ids=" ".join)
def test_a_mistake_is_64_and_one_sentence(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    _refuses(words, capsys)


@pytest.mark.parametrize("line", CONTRADICTIONS)
def test_what_contradicts_each_other_is_wrong_usage(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    _refuses(line.split(), capsys)


@pytest.mark.parametrize(("url", "said"), WRONG_URLS)
@pytest.mark.parametrize("command", [["status"], ["get", "k", "--url"], ["put", "k", "v", "--url"], ["command"]])
def test_a_url_that_cannot_work_is_told_why(
    command: list[str], url: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in _refuses(["raft-node", *command, url], capsys)


@pytest.mark.parametrize("number", ["0", "00", '"0"'])
@pytest.mark.parametrize("command", [["put", "k", "v"], ["delete", "k"]])
def test_a_revision_that_no_key_has_is_told(
    command: list[str], number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _refuses(["raft-node", *command, "--url", "http://127.0.0.1:1", "--if-match", number], capsys)
    assert "can never hold" in said


@pytest.mark.parametrize("tool", MAINS)
def test_an_unknown_command_is_told_which_there_are(tool: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = _refuses([tool, "statsu"], capsys)
    assert all(words[1] in said for words, _ in commands(tool))
    assert "Did you mean status" in said


@pytest.mark.parametrize("tool", MAINS)
def test_every_option_with_a_value_is_walked(tool: str) -> None:
    settings = {setting.flag for setting in SETTINGS}
    found = {option for _, command in commands(tool) for option in _with_values(command)} - settings
    assert found - FREE <= set(BAD)


@pytest.mark.parametrize("tool", MAINS)
def test_the_version_is_told(tool: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert MAINS[tool](["--version"]) == 0
    name, version = capsys.readouterr().out.split()
    assert name == tool
    assert version[0].isdecimal() or version == "unknown"


@pytest.mark.parametrize("tool", MAINS)
def test_json_is_asked_for_in_both_ways_wherever_it_is(tool: str) -> None:
    for words, command in commands(tool):
        options = {option for p in command.params for option in p.opts}
        assert {"--json", "--output", "-o"} <= options, words


def _refuses(words: "list[str] | tuple[str, ...]", capsys: pytest.CaptureFixture[str]) -> str:
    code = MAINS[words[0]](list(words[1:]))
    said = capsys.readouterr()
    assert code == USAGE, said
    assert not said.out or json.loads(said.out)["exit_code"] == USAGE  # where a program asked in its own way
    assert said.err.startswith(f"{words[0]}: ")
    assert said.err.count("\n") == 1
    assert "internal error" not in said.err
    assert list(Path().iterdir()) == []
    return said.err
