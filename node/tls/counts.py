"""What became of handshakes and of renewed files, counted and told; the certificates in force.

Why it exists: whoever renews certificates, or closes the door on plain text, must see who is still refused and why,
and a flood of refusals must not become a flood of lines. It must not decide anything.
"""

from collections.abc import Callable

import msgspec

TOLD_EVERY_SECONDS = 10.0
"""Refusals of one kind at one port are told at most so often; all are counted."""

Tell = Callable[[str, dict[str, str | int | bool]], None]
"""Given a kind of event and its detail."""


class Certificate(msgspec.Struct, frozen=True):
    """One that is in force. Seconds since the epoch. `error`: why newer files were not taken; empty: they were."""

    not_before_s: int
    not_after_s: int
    error: str = ""


class TlsCounts:
    """Used on the loop's thread alone. `now`: the loop's clock, seconds."""

    def __init__(self, tell: Tell, now: Callable[[], float]) -> None:
        self._tell = tell
        self._now = now
        self._told_at: dict[tuple[str, str], float] = {}
        self._untold: dict[tuple[str, str], int] = {}
        self.handshakes: dict[str, int] = {}
        """Those that succeeded, by port ("client" or "peer")."""
        self.plain: dict[str, int] = {}
        """Connections that came without TLS, where both are accepted, by port."""
        self.refused: dict[tuple[str, str], int] = {}
        """By port and why."""
        self.certificates: dict[str, Certificate] = {}
        """In force, by what for ("client" or "peer")."""
        self.reloads: dict[tuple[str, str], int] = {}
        """By what for, and result ("taken" or "refused")."""

    def accepted(self, port: str) -> None:
        """A handshake succeeded."""
        self.handshakes[port] = self.handshakes.get(port, 0) + 1

    def came_plain(self, port: str) -> None:
        """A connection came without TLS, and is welcome."""
        self.plain[port] = self.plain.get(port, 0) + 1

    def refuse(self, port: str, why: str, reason: str) -> None:
        """A connection was refused; `reason` is for people."""
        key = (port, why)
        self.refused[key] = self.refused.get(key, 0) + 1
        self._untold[key] = self._untold.get(key, 0) + 1
        now = self._now()
        if now - self._told_at.get(key, -TOLD_EVERY_SECONDS) >= TOLD_EVERY_SECONDS:
            self._told_at[key] = now
            count = self._untold.pop(key)
            self._tell("tls-refused", {"port": port, "why": why, "reason": reason[:300], "count": count})

    def in_force(self, purpose: str, not_before_s: int, not_after_s: int, *, renewed: bool) -> None:
        """This certificate is shown from now on."""
        self.certificates[purpose] = Certificate(not_before_s, not_after_s)
        if renewed:
            self._reloaded(purpose, "taken")
            self._tell("tls-renewed", {"for": purpose, "not_after_s": not_after_s})

    def not_taken(self, purpose: str, reason: str) -> None:
        """New files are of no use: what was in force stays."""
        known = self.certificates.get(purpose)
        if known is not None:
            self.certificates[purpose] = msgspec.structs.replace(known, error=reason)
        self._reloaded(purpose, "refused")
        self._tell("tls-not-renewed", {"for": purpose, "reason": reason})

    def _reloaded(self, purpose: str, result: str) -> None:
        key = (purpose, result)
        self.reloads[key] = self.reloads.get(key, 0) + 1
