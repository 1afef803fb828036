"""How every group of commands answers, whoever wrote them: an unknown one is told which there are, and each command
that prints for programs does so by `--json` and by `-o json` alike.

Why it exists: a person who mistypes wants to know what there is, and a script should not have to remember which of two
tools takes which of two spellings.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from node.cli import identity
from node.cli.failure import USAGE, Failure
from node.cli.targets import DataDirOption

Form = Annotated[
    Literal["table", "json"] | None, typer.Option("--output", "-o", help="json: the same as --json", show_default=False)
]


class Group(TyperGroup):
    """A group that knows its commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As Typer's, and the sentence names all there are."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            raise Failure(unknown(ctx.command_path, args[0], list(self.commands)), USAGE)
        return super().resolve_command(ctx, args)


def unknown(path: str, name: str, known: list[str]) -> str:
    """The sentence for a command that is not there."""
    from difflib import get_close_matches

    near = get_close_matches(name, known)
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    group = " ".join([*path.split()[1:], ""])
    return f"There is no command '{group}{name}'; there are {', '.join(group + each for each in known)}.{guess}"


def for_programs(
    command: Callable[..., int], use: Callable[..., None] = identity.use, *, asks: bool = False
) -> Callable[..., int]:
    """The command, which takes `as_json`, with `-o json` beside `--json`; where it asks nodes (as `asks` says, or those
    that its data folder leads to), with what TLS needs, of which `use` is told before it runs."""
    signature = inspect.signature(command)
    data_dir = signature.parameters.get("data_dir")
    asks_nodes = asks or (data_dir is not None and data_dir.annotation == DataDirOption)

    @functools.wraps(command)
    def merged(*, output: str | None = None, **given: Any) -> int:
        if asks_nodes:
            use(*(given.pop(name) for name in identity.OPTIONS))
        if given["as_json"] and output == "table":
            raise Failure("--json and -o table exclude each other: give one of the two.", USAGE)
        return command(**{**given, "as_json": given["as_json"] or output == "json"})

    own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in signature.parameters.values()]
    options = {**(identity.OPTIONS if asks_nodes else {}), "output": Form}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in options.items()
    ]
    merged.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    merged.__annotations__ = {p.name: p.annotation for p in (*own, *added)}
    return merged
