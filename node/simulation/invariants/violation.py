"""What a broken invariant is."""

from typing import NoReturn


class Violation(AssertionError):
    """Raft was broken; the message says by whom and how."""


def fail(sentence: str) -> NoReturn:
    """Raise it."""
    raise Violation(sentence)
