"""`raft-node serve`, once its flags are read: the settings, then the node. And flags so plain that no parser is needed.

Why it exists: the parser of command lines, with the types that it checks, takes longer to load than a node to start.
Who starts nodes (a supervisor, a container, a script) writes `--flag value`, word by word. It must not print, and what
it does not know for certain it leaves to the parser.
"""

import gc
import os
from collections.abc import Sequence

from node.settings import SETTINGS, Loaded, load


def plain_flags(arguments: Sequence[str]) -> dict[str, str] | None:
    """The settings that `serve --flag value ...` gives, by key; None: no such line, or the parser must look at it."""
    if not arguments or arguments[0] != "serve":
        return None
    known = {setting.flag: setting for setting in SETTINGS}
    found: dict[str, str] = {}
    words = iter(arguments[1:])
    for word in words:
        setting = known.get(word)
        if setting is None:
            return None
        value = "true" if setting.type is bool else next(words, "-")
        if value.startswith("-"):
            return None
        found[setting.key] = value
    return found


def serve_node(flags: dict[str, str], config: str | None = None) -> int:
    """Run the node that flags, environment and TOML file describe; its exit code."""
    return serve_loaded(load(flags, os.environ, config))


def serve_loaded(loaded: Loaded) -> int:
    """Run the node; its exit code."""
    if loaded.settings.exit_with_parent:
        from node.supervisor import lifeline

        lifeline.end_with_parent()
    gc.disable()  # what is loaded stays, so looking for garbage in it is a tenth of the start
    from node.app import run  # type: ignore[attr-defined, unused-ignore]

    gc.enable()
    return int(run(loaded.settings))
