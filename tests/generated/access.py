"""The table of docs/access.md: which role each route and each method of gRPC needs, made from the node's own.

Why it exists: whoever gives somebody a token must see what comes with it. It must not decide what needs what.
"""

from node.access.principals import Need
from node.access.table import CALLS, ROUTES

_ORDER = ("open", "read", "write", "operate", "write and operate")


def table() -> str:
    """Routes of our own, then etcd's calls with both of their names; those that need the least come first."""
    own = [(_word(need), f"`{route}`", "") for route, need in ROUTES.items() if " /v3/" not in route]
    calls = [
        (
            _word(call.need),
            ", ".join(f"`POST /v3/{path}`" for path in call.paths),
            f"`{call.method[1:]}`" if call.method else "",
        )
        for call in CALLS
    ]
    lines = ["| Needs | HTTP | gRPC |", "|---|---|---|"]
    rows = sorted([*own, *calls], key=lambda row: _ORDER.index(row[0]))
    return "\n".join([*lines, *(f"| {need} | {http or '-'} | {grpc or '-'} |" for need, http, grpc in rows)])


def _word(need: Need) -> str:
    return str(need or "open")
