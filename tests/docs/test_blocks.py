"""Every code block of the pages could run: Python compiles, a shell can read it, commands and options exist."""

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from packaging.requirements import Requirement

from chaos.cli.main import app as raft_chaos
from node.cli.commands import app as raft_node
from tests.docs.blocks import PAGES, ROOT, Block, blocks, spans, words

EVERY = [block for page in PAGES for block in blocks(page)]
LANGUAGES = {"sh", "python", "mermaid", "yaml", ""}
"""Without a name: what a program printed, or a drawing. `tests/kubernetes/test_ingress.py` installs what is YAML."""
TOOLS: dict[str, typer.Typer] = {"raft-node": raft_node, "raft-chaos": raft_chaos}

with (ROOT / "pyproject.toml").open("rb") as file:
    PROJECT = tomllib.load(file)["project"]


def called(block: Block) -> str:
    return f"{block.page}-{block.number}"


def of(language: str) -> list[Block]:
    return [block for block in EVERY if block.language == language]


@cache
def tool(name: str) -> Any:
    return typer.main.get_command(TOOLS[name])


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def wrong_with(command: str) -> str:
    """What of a command line does not exist; empty where all does."""
    first, *rest = words(command) or [""]
    if first == "make":
        unknown = [word for word in rest if re.fullmatch("[a-z-]+", word) and word not in targets()]
        return f"no target {unknown}" if unknown else ""
    if first not in TOOLS:
        return ""
    known: Any = tool(first)
    while rest and hasattr(known, "commands") and not rest[0].startswith("-"):
        if rest[0] not in known.commands:
            return f"{known.name} has no command {rest[0]}"
        known, rest = known.commands[rest[0]], rest[1:]
    rest = rest[: rest.index("--")] if "--" in rest else rest  # what follows is another program's
    options = {name for parameter in known.params for name in (*parameter.opts, *parameter.secondary_opts)}
    options |= {"--help", "-h"}
    unknown = [word for word in rest if word.startswith("-") and word.partition("=")[0] not in options]
    return f"{known.name} has no option {unknown}" if unknown else ""


def test_every_block_says_what_it_is() -> None:
    assert len(EVERY) > 30
    assert [called(block) for block in EVERY if block.language not in LANGUAGES] == []


@pytest.mark.parametrize("block", of("python"), ids=called)
def test_python_compiles_as_a_file_of_its_own(block: Block) -> None:
    compile(block.text, called(block), "exec")


@pytest.mark.parametrize("block", of("sh"), ids=called)
def test_a_shell_can_read_it(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_exist(page: str) -> None:
    written = [line for block in blocks(page) if block.language == "sh" for line in block.commands()]
    assert [(line, wrong) for line in (*written, *spans(page)) if (wrong := wrong_with(line))] == []


def test_values_of_the_chart_that_are_set_exist() -> None:
    values = yaml.safe_load((ROOT / "deploy" / "helm" / "values.yaml").read_text())
    named = {key for page in PAGES for key in re.findall(r"--set(?:-json)? '?([\w.]+)=", (ROOT / page).read_text())}
    assert len(named) > 8
    assert [key for key in sorted(named) if not exists(values, key)] == []


def exists(values: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def test_what_does_not_exist_is_noticed() -> None:
    assert wrong_with("raft-node cluster --nodes 5 | head") == ""
    assert wrong_with("raft-node cluster --knots 5") == "cluster has no option ['--knots']"
    assert wrong_with("raft-node lock x --knots 5 -- echo") == "lock has no option ['--knots']"
    assert wrong_with("raft-node lock x -- echo --knots 5") == ""
    assert wrong_with("raft-node log verity x") == "log has no command verity"
    assert wrong_with("raft-chaos split") == "raft-chaos has no command split"
    assert wrong_with("make demmo") == "no target ['demmo']"


def test_nobody_is_told_to_install_the_project_from_a_registry() -> None:
    """What is installed by name must be somebody else's, and one that development installs as well."""
    installs = r"(pip3? install|pipx install|uv pip install|uv add|uv tool install|poetry add) ([^`]*)"
    search = ["git", "grep", "--untracked", "-I", "-E", installs, "--", ".", f":!{Path(__file__).relative_to(ROOT)}"]
    found = subprocess.run(search, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(found) > 3
    development = {Requirement(text).name for text in PROJECT["optional-dependencies"]["dev"]} - {PROJECT["name"]}
    told = []
    for line in found:
        for _, rest in re.findall(installs, line):
            what = next((word.lstrip("'\"").rstrip("'\".,;:") for word in rest.split() if not word.startswith("-")), "")
            is_path = not what or what.startswith((".", "/", "{", "$"))
            if PROJECT["name"] in rest or not (is_path or what in development):
                told.append(line)
    assert told == []


def test_the_client_is_in_what_is_installed() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        include = tomllib.load(file)["tool"]["setuptools"]["packages"]["find"]["include"]
    assert "raftclient*" in include
    assert (ROOT / "raftclient" / "py.typed").exists()
