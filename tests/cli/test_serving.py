"""A node that is started with plain flags: no parser is loaded for it, and the flags mean the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from node.cli.serving import plain_flags
from node.settings import SETTINGS, Setting, load, rows
from tests.cli.conftest import raft_node

NEEDED = ("--name", "n1", "--seeds", "n1=127.0.0.1:9001,n2=127.0.0.1:9002")
WRITTEN = {"allowed_hosts": "raft.example", "chance_seed": "7", "peer_address": "n1:9001", "client_url": "http://n1:1"}
WRITTEN |= {"discover": "registry:http://127.0.0.1:5000", "otlp_endpoint": "http://127.0.0.1:4318/v1/traces"}


def _given(setting: Setting) -> list[str]:
    """Flag and value, as a person would write them."""
    if setting.type is bool:
        return [setting.flag]
    return [setting.flag, WRITTEN.get(setting.key) or setting.default or f"{setting.key}-1"]


def test_plain_flags_of_every_setting_mean_what_the_parser_makes_of_them() -> None:
    given = [word for setting in SETTINGS if setting.key not in ("name", "seeds") for word in _given(setting)]
    words = ["serve", *given, *NEEDED]
    plain = plain_flags(words)
    assert plain is not None
    assert set(plain) == {setting.key for setting in SETTINGS}
    parsed = raft_node(*words, "--print-config", "--json")
    assert parsed.code == 0, parsed.err
    assert json.loads(parsed.out) == rows(load(plain, {}))


@pytest.mark.parametrize(
    "line",
    [
        "", "status", "cluster --nodes 3", "serve --help", "serve --nmae n1", "serve n1", "serve --name=n1",
        "serve --no-enable-faults", "serve --name n1 --print-config", "serve --config c.toml", "serve --name",
        "serve --name --port", "--version serve", "serve --port -1",
    ],
)  # fmt: skip
def test_whatever_is_not_plain_is_left_to_the_parser(line: str) -> None:
    assert plain_flags(line.split()) is None


def test_the_last_of_two_flags_counts_and_no_flags_are_plain() -> None:
    assert plain_flags(["serve", "--name", "n1", "--name", "n2"]) == {"name": "n2"}
    assert plain_flags(["serve"]) == {}


def test_a_node_starts_without_the_parser(tmp_path: Path) -> None:
    """A start that ends soon, for its data folder is a file, and has loaded all that a node needs."""
    (tmp_path / "n1").touch()
    script = (
        "import gc, sys; from node.cli import main; code = main(sys.argv[1:]);"
        "print(code, gc.isenabled(), {'typer', 'pydantic', 'rich', 'node.app'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script, "serve", *NEEDED, "--data-dir", str(tmp_path / "n1")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ran.stdout == "3 True {'node.app'}\n", ran
