"""The settings for people: what `--print-config` shows, and the README's table.

Why it exists: both are made from the table of settings. It must not decide anything.
"""

from node.settings.reading import Loaded
from node.settings.table import SETTINGS


def rows(loaded: Loaded) -> list[dict[str, str]]:
    """What `--print-config` shows: key, value, where it came from, flag, environment variable."""
    return [
        {
            "key": row.key,
            "value": row.show(getattr(loaded.settings, row.key)),
            "from": loaded.origins[row.key],
            "flag": row.flag,
            "environment": row.env,
        }
        for row in SETTINGS
    ]


def markdown_table() -> str:
    """The README's configuration table, between its markers `<!-- settings -->` and `<!-- /settings -->`."""
    lines = ["| Flag (TOML key: the same with `_`) | Environment | Default | Meaning |", "|---|---|---|---|"]
    for row in SETTINGS:
        default = "required" if row.default is None else f"`{row.default}`" if row.default else ""
        meaning = f"{row.help} ({row.bounds})" if row.bounds else row.help
        lines.append(f"| `{row.flag}` | `{row.env}` | {default} | {meaning} |")
    return "\n".join(lines)
