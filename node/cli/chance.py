"""Chance, for the identity of a cluster that a command makes, and for tokens."""

import secrets


def chance() -> str:
    """16 hexadecimal digits that no other call gives."""
    return secrets.token_hex(8)


def token() -> str:
    """256 bits that no other call gives; what scans files for secrets knows it by its beginning."""
    return f"raft_{secrets.token_urlsafe(32)}"
