"""`raft-node serve`: one node. Its flags are made from the table of settings, so they cannot lag behind it."""

import inspect
import os
from collections.abc import Callable
from typing import Any

import typer

from node.cli.failure import USAGE, Failure
from node.cli.group import for_programs
from node.cli.serving import serve_loaded
from node.cli.show import print_object, print_table
from node.settings import CONFIG_ENV, SETTINGS, Loaded, Setting, load, rows

_HELP = """Run one node until SIGTERM or Ctrl-C.

Every setting is a flag, an environment variable (RAFT_...) and a key of a
TOML file; the first of these that gives it wins. An unknown variable or key
is an error, so that a typo is never silently ignored.

[bold]Examples[/bold]
  raft-node serve --config cluster.toml --name n1
  RAFT_NAME=n1 raft-node serve --config cluster.toml --print-config
  raft-node serve --name n1 --data-dir ./n1 --port 8001 \\
    --seeds n1=127.0.0.1:9001,n2=127.0.0.1:9002,n3=127.0.0.1:9003

Exit codes: 0 asked to end, 2 an address is in use or a limit too low, 3
storage error (the log names file, offset and cure), 64 a setting is wrong,
70 a broken invariant.
"""


def register(app: typer.Typer) -> None:
    app.command("serve", help=_HELP)(for_programs(_with_flags(_serve)))


def _serve(config: str | None, print_config: bool, as_json: bool, **given: str | bool | None) -> int:
    if as_json and not print_config:
        raise Failure("--json is for --print-config: for logs as JSON there is --log-format.", USAGE)
    flags = {key: _text(value) for key, value in given.items() if value is not None}
    loaded = load(flags, os.environ, config)
    if print_config:
        _print(loaded, as_json)
        return 0
    return serve_loaded(loaded)


def _text(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value


def _print(loaded: Loaded, as_json: bool) -> None:
    if as_json:
        print_object(rows(loaded), indent=2)
        return
    found = [tuple(row[column] for column in ("key", "value", "from")) for row in rows(loaded)]
    print_table(("setting", "value", "from"), found, soft=True)


def _with_flags(function: Callable[..., int]) -> Callable[..., int]:
    """`function` with a parameter for each row of the table: what Typer reads the flags from."""
    parameters = [
        _parameter("config", str | None, None, ("--config",), f"TOML file with settings (or {CONFIG_ENV})", "FILE"),
        _parameter("print_config", bool, False, ("--print-config",), "show the settings and where each came from; end"),
        _parameter("as_json", bool, False, ("--json",), "with --print-config: as JSON"),
        *(_flag(row) for row in SETTINGS),
    ]

    def command(**values: Any) -> int:
        return function(**values)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _flag(row: Setting) -> inspect.Parameter:
    notes = [row.bounds] if row.bounds else []
    notes += ["required" if row.default is None else f"default {row.default}" if row.default else "default empty"]
    help = f"{row.help} [dim]({'; '.join(notes)})[/dim]"
    if row.type is bool:
        return _parameter(row.key, bool | None, None, (f"{row.flag}/--no-{row.flag[2:]}",), help, panel=row.group)
    metavar = "N" if row.low is not None else "TEXT"
    metavar = {"election_timeout_ms": "MIN-MAX", "data_dir": "DIR"}.get(row.key, metavar)
    return _parameter(row.key, str | None, None, (row.flag,), help, metavar, row.group, row.choices)


def _parameter(
    name: str,
    type: Any,
    default: Any,
    flags: tuple[str, ...],
    help: str,
    metavar: str | None = None,
    panel: str | None = None,
    choices: tuple[str, ...] = (),
) -> inspect.Parameter:
    option = typer.Option(
        default,
        *flags,
        help=help,
        metavar=metavar,
        rich_help_panel=panel,
        show_default=False,
        autocompletion=(lambda: list(choices)) if choices else None,
    )
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=type)
