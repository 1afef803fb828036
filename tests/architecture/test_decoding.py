"""Whoever reads JSON or MessagePack of others survives any bytes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OF_OWN = ("node/raft", "node/storage", "node/statemachine", "node/simulation")
"""They read what their own process, or a voter of the cluster, wrote with a checksum. A node that cannot read it must
stop: how deep a stack may be differs from node to node, so to go on would make their states differ, too."""
DECODERS = {"MsgspecError", "DecodeError", "ValidationError"}


def names_of(expression: ast.expr | None) -> set[str]:
    """The last words of what an `except` or a `suppress` names."""
    found = ast.walk(expression) if expression is not None else ()
    return {node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in found}


def forgetful(tree: ast.AST) -> Iterator[int]:
    """Lines that take a decoder's errors but for the one of what is nested too deeply."""
    for node in ast.walk(tree):
        named: set[str] = set()
        if isinstance(node, ast.ExceptHandler):
            named = names_of(node.type)
        elif isinstance(node, ast.Call) and names_of(node.func) >= {"suppress"}:
            named = set().union(*map(names_of, node.args))
        if named & DECODERS and "RecursionError" not in named and isinstance(node, ast.ExceptHandler | ast.Call):
            yield node.lineno
        if isinstance(node, ast.Try) and any(
            isinstance(call, ast.Call) and ast.unparse(call.func) == "json.loads"
            for line in node.body
            for call in ast.walk(line)
        ):
            taken = set().union(*(names_of(handler.type) for handler in node.handlers))
            if "ValueError" in taken and "RecursionError" not in taken:
                yield node.lineno


def sources() -> list[str]:
    found = [
        path.relative_to(ROOT).as_posix()
        for room in ("node", "raftclient", "chaos")
        for path in (ROOT / room).rglob("*.py")
    ]
    return sorted(path for path in found if not path.startswith(OF_OWN))


def test_who_takes_what_cannot_be_read_takes_what_is_nested_too_deeply() -> None:
    """Both decoders raise RecursionError for it, which is none of their own errors."""
    found = [f"{path}:{line}" for path in sources() for line in forgetful(ast.parse((ROOT / path).read_text()))]
    assert not found, "name RecursionError there, too"


@pytest.mark.parametrize(
    "planted",
    [
        "try:\n    msgspec.json.decode(b)\nexcept msgspec.MsgspecError:\n    pass",
        "try:\n    decode(b)\nexcept (OSError, msgspec.DecodeError) as error:\n    pass",
        "with contextlib.suppress(msgspec.ValidationError):\n    decode(b)",
        "try:\n    x = dict(json.loads(b))\nexcept ValueError:\n    pass",
    ],
)
def test_one_that_does_not_is_found(planted: str) -> None:
    assert list(forgetful(ast.parse(planted)))
