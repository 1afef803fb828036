"""Chance, for the identity of a cluster that a command makes."""

import secrets


def chance() -> str:
    """16 hexadecimal digits that no other call gives."""
    return secrets.token_hex(8)
