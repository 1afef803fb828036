"""A group of commands that knows them: who mistypes one is told which there are. And a command of whose options some
may stand without a value.

It must not know what they do.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from typer.core import TyperCommand, TyperGroup

from chaos.errors import Usage


class Group(TyperGroup):
    """As Typer's, with that sentence."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is meant. Raises Usage where there is none of that name."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            near = get_close_matches(args[0], list(self.commands))
            guess = f" Did you mean {' or '.join(near)}?" if near else ""
            raise Usage(f"There is no command {args[0]!r}; there are {', '.join(self.commands)}.{guess}")
        return super().resolve_command(ctx, args)


class Bare(TyperCommand):
    """As Typer's, which knows no option whose value may be left out: what `BARE` names means that value then."""

    BARE: Mapping[str, str] = {"--bridge": "leader", "--isolate": "leader"}

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """As the arguments would be with all values."""
        full = [
            f"{word}={self.BARE[word]}" if word in self.BARE and after.startswith("-") else word
            for word, after in pairwise((*args, "-"))
        ]
        return super().parse_args(ctx, full)
