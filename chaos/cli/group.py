"""A group of commands that knows them: who mistypes one is told which there are.

It must not know what they do.
"""

from difflib import get_close_matches
from typing import Any

from typer.core import TyperGroup

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
