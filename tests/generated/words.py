"""What the page takes from the tables of the code, as JavaScript: kinds of events, faults, messages, roles, work.

Why it exists: the page loads no more than its own files, so their words are written into one of them
(`node/dashboard/static/words.js`). It must not add a word of its own.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

from node.observe.events import KINDS
from node.observe.messages import LOOKS, type_name
from node.observe.roles import ROLES
from node.observe.turns import DOING
from node.runtime.commands import COMMANDS


def kinds() -> str:
    """Those that the page lists."""
    return _object({name: {"group": kind.group, "says": kind.says} for name, kind in KINDS.items() if kind.group})


def faults() -> str:
    """By the command's name."""
    found = {spec.name: spec.fault for spec in COMMANDS if spec.fault is not None}
    return _object(
        {
            name: {"kind": fault.kind, "noun": fault.noun, "note": fault.note, "stops": fault.stops}
            for name, fault in found.items()
        }
    )


def looks() -> str:
    """By the name of the message."""
    return _object({type_name(kind): _without_defaults(look) for kind, look in LOOKS.items()})


def roles() -> str:
    """By the role, for the page."""
    return _object({role: words._asdict() for role, words in ROLES.items()})


def roles_of_reports() -> str:
    """The same for the report of `raft-chaos`, which is written in Python and imports nothing of a node."""
    return "\n".join(
        f"    {json.dumps(role)}: ({json.dumps(name)}, {json.dumps(means)})," for role, (name, means) in ROLES.items()
    )


def doing() -> str:
    """In words."""
    return _object(DOING)


def _without_defaults(look: NamedTuple) -> dict[str, object]:
    return {name: value for name, value in look._asdict().items() if value}


def _object(rows: Mapping[str, object]) -> str:
    """Its lines, without the braces."""
    lines = (f"  {json.dumps(name)}: {json.dumps(row, ensure_ascii=False)}," for name, row in rows.items())
    return "\n".join(lines)
